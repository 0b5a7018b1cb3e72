"""What a task adds to Keras's files: its tokenizer, and the state of its dropout."""

from pathlib import Path

import numpy as np

from zoo.files import read_bytes
from zoo.models.base import TransformerModel

LARGEST_TOKENIZER_FILE = 1 << 28


class KeptWhole(TransformerModel):
    """A model that comes back from `.keras` and `.weights.h5` files as it was."""

    def save_own_variables(self, store):
        """Adds the state of dropout's generators, which Keras leaves out (3.15)."""
        super().save_own_variables(store)
        if seeds := self._seed_states():
            store["seeds"] = np.stack([seed.numpy() for seed in seeds])

    def load_own_variables(self, store):
        seeds = self._seed_states()
        if "seeds" in store and len(store["seeds"]) == len(seeds):
            for seed, value in zip(seeds, store["seeds"], strict=True):
                seed.assign(value)

    def _seed_states(self):
        return [
            v for v in self.non_trainable_variables if v.name == "seed_generator_state"
        ]

    def save_assets(self, inner_path):
        """Puts the tokenizer's files into a `.keras` file; Keras calls this."""
        directory = Path(inner_path, "tokenizer")
        directory.mkdir(parents=True, exist_ok=True)
        for name, data in self.tokenizer_files().items():
            (directory / name).write_bytes(data)

    def load_assets(self, inner_path):
        """Takes them out again."""
        directory = Path(inner_path, "tokenizer")
        if directory.is_dir():
            self._tokenizer = None
            self._tokenizer_files = {
                path.name: read_bytes(path, limit=LARGEST_TOKENIZER_FILE)
                for path in sorted(directory.iterdir())
            }


class KeptWriter(KeptWhole):
    """The same of a model that writes: what it does without options comes back too."""

    def get_config(self):
        return {**super().get_config(), "generation_defaults": self.generation_defaults}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        defaults = config.pop("generation_defaults", None)
        model = super().from_config(config)
        model.generation_defaults = defaults
        return model
