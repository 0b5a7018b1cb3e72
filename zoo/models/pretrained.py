"""Models from checkpoints and back: the way through files, families and weights."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import keras

from zoo import families
from zoo.arrays import as_tensor
from zoo.checkpoints import (
    WEIGHT_FILES,
    plan,
    tensors_to_write,
    write_checkpoint,
)
from zoo.config import TransformerConfig
from zoo.errors import CheckpointError, ConfigError, InputError
from zoo.files import shorten, staged_directory
from zoo.layers.initializers import Normal, outline, uninitialized
from zoo.models.sources import open_source

logger = logging.getLogger("zoo")

# Fields that say nothing about what weights compute, or that the class or the tensors
# of a checkpoint decide.
SETTLED_ELSEWHERE = frozenset(
    "model_type pooler tie_word_embeddings classifier_dropout initializer_range "
    "embedding_initializer_range id2label problem_type sequence_head".split()
)


class Pretrained(keras.Model):
    """A Keras model that comes from Hugging Face directories and goes there.

    Attributes:
        assembly: "encoder", "decoder" or "encoder_decoder": which checkpoints fit.
        architecture: Key of the class in `Family.architectures`.
        body: Name of the attribute that holds the model without its task, or "".
        new_weights: Paths of the weights that the last checkpoint did not have.
    """

    assembly: str
    architecture: str = "model"
    body = ""
    new_weights: tuple[str, ...] = ()
    _tokenizer = None
    _tokenizer_files: dict[str, bytes] | Callable[[], dict[str, bytes]] | None = None

    def __init__(self, config, *, dtype=None, **kwargs):
        _check_policy(dtype)
        super().__init__(dtype=dtype, **kwargs)
        self.config = TransformerConfig.of(config)

    @classmethod
    def from_pretrained(
        cls, source, dtype=None, *, revision=None, changes=None, **options
    ):
        """The model of a checkpoint.

        Args:
            source: A Hugging Face directory, or a hub id such as
                "google-bert/bert-base-cased"; or a GGUF file, or a directory that has
                one.
            dtype: Keras dtype policy, such as "float32", "bfloat16" (weights too) or
                "mixed_bfloat16"; None: Keras's global policy.
            revision: Branch, tag or commit on the hub.
            changes: Fields of the configuration that are to be others than in
                config.json, such as {"hidden_dropout_prob": 0.2}.
            options: What this class lets one change, such as `labels`.

        Raises:
            CheckpointError: if the checkpoint is damaged, is another kind of model, or
                does not hold exactly what its config.json says. Nothing is loaded then.
        """
        with open_source(source, revision=revision) as opened:
            family, original = cls._read_config(opened)
            if changes:
                original = original.replace(**changes)
            config = cls.adapt_config(original, **options)
            checkpoint = opened.checkpoint
            if family.settle is not None:
                config = family.settle(config, checkpoint.tensors)
            with outline():
                steps = cls(config, dtype=dtype).plan_weights(
                    checkpoint, new=cls.new_heads(original, **options)
                )
            with uninitialized():
                model = cls(config, dtype=dtype)
            if opened.directory is not None:
                model.read_extras(opened.directory)
            model._fill(steps)
            model._tokenizer_files = opened.tokenizer_files
        return model

    @classmethod
    def adapt_config(cls, config):
        """What this class makes of a checkpoint's configuration; takes `options`."""
        return config

    @classmethod
    def new_heads(cls, config):
        """Heads that start anew although a checkpoint has them; takes `options`.

        Args:
            config: The checkpoint's, before `adapt_config`.
        """
        return ()

    @property
    def heads(self):
        """Heads of the family's weight table that this object has."""
        return ()

    def load_checkpoint(self, source, *, revision=None):
        """Fills this model's weights from a checkpoint of the same configuration.

        Raises:
            CheckpointError: as `from_pretrained`; the weights are then as they were.
        """
        with open_source(source, revision=revision) as opened:
            self._check_same(self._read_config(opened)[1], opened)
            steps = self.plan_weights(opened.checkpoint)
            for _ in steps.arrays():  # all is read and checked before all is assigned
                pass
            self._fill(steps)

    def plan_weights(self, checkpoint, new=()):
        """Compares this model with a checkpoint before anything is read: a `Plan`."""
        family = families.family_for(self.config, self.assembly)
        weights = self.weights_by_path(most=2 * len(checkpoint.tensors) + 64)
        return plan(
            family.table_for(self.config, self.architecture),
            checkpoint,
            weights,
            heads=self.heads,
            new=new,
            config=self.config,
        )

    def _fill(self, steps):
        weights = self.weights_by_path()
        for path, array in steps.arrays():
            weights[path].assign(as_tensor(array))
        self.new_weights = tuple(path for paths in steps.new.values() for path in paths)
        for path in self.new_weights:
            initialize(weights[path], self.config)
        if said := steps.summary():
            logger.warning("%s: %s", type(self).__name__, said)

    def save_pretrained(self, directory, *, max_shard_size="5GB"):
        """Writes a Hugging Face directory that `transformers` loads with equal outputs.

        Files are written beside and moved, so that a failure leaves what was there.

        Args:
            directory: Made if it does not exist; other files in it stay.
            max_shard_size: Bytes, or "500MB", "5GB": above it the weights are split.

        Raises:
            ConfigError: if the family has no words for this configuration.
            InputError: if the model has LoRA that was not merged.
        """
        if getattr(self, "lora", None):
            raise InputError(
                "this model has LoRA, which a Hugging Face directory does not hold. "
                "Call merge_lora() first, or save_lora(directory) for the adapter "
                "alone."
            )
        family = families.family_for(self.config, self.assembly)
        config = family.translation.write(self.config)
        if self.architecture in family.architectures:
            config["architectures"] = [family.architectures[self.architecture]]
        config["dtype"] = self.variable_dtype
        tensors = tensors_to_write(
            family.table_for(self.config, self.architecture),
            self.weights_by_path(),
            heads=self.heads,
            config=self.config,
            prefix=self.architecture != "model",
        )
        with staged_directory(directory, replaces=WEIGHT_FILES) as stage:
            text = json.dumps(config, indent=2, ensure_ascii=False)
            (stage / "config.json").write_text(text + "\n", encoding="utf-8")
            for name, data in self.tokenizer_files().items():
                (stage / name).write_bytes(data)
            self.write_extras(stage)
            write_checkpoint(stage, tensors, max_shard_size=max_shard_size)

    def save(self, filepath, *args, **kwargs):
        """As Keras's `save`, to a `.keras` file.

        Raises:
            InputError: for Keras's older `.h5` files, which cannot be read back: they
                keep neither the tokenizer nor the package of a class.
        """
        if Path(filepath).suffix.lower() in (".h5", ".hdf5"):
            raise InputError(
                f"{filepath}: Keras's older file format would lose the tokenizer and "
                "could not be read back. Save to a .keras file, with "
                "save_pretrained(directory), or the weights alone with "
                "save_weights('name.weights.h5')."
            )
        return super().save(filepath, *args, **kwargs)

    def read_extras(self, directory):
        """Reads files of a checkpoint that only this class knows."""

    def write_extras(self, directory):
        """Writes files that only this class knows."""

    @property
    def tokenizer(self):
        """The `zoo.Tokenizer` that came with the checkpoint, or that was set.

        Raises:
            CheckpointError: if there is none.
        """
        if self._tokenizer is None:
            files = self.tokenizer_files()
            if not files:
                raise CheckpointError(
                    f"this {type(self).__name__} has no tokenizer: its checkpoint came "
                    "without tokenizer files. Set model.tokenizer = "
                    "zoo.Tokenizer.from_pretrained(...), or pass ids."
                )
            from zoo.tokenizers import Tokenizer

            self._tokenizer = Tokenizer.from_files(files)
        return self._tokenizer

    def __setattr__(self, name, value):
        # Keras reads an attribute before it sets it, and there may be no tokenizer yet.
        super().__setattr__("_tokenizer" if name == "tokenizer" else name, value)

    def tokenizer_files(self):
        """Name and bytes of each tokenizer file; empty where there is none."""
        if self._tokenizer is not None:
            return self._tokenizer.get_files()
        if callable(self._tokenizer_files):  # of a GGUF file, made when needed
            self._tokenizer_files = self._tokenizer_files()
        return self._tokenizer_files or {}

    def weights_by_path(self, *, most=None):
        """Every weight under its path of attributes, such as
        "encoder.blocks.0.attention.qkv.weight"; those of the body without its name.

        Raises:
            CheckpointError: if there are more than `most`.
        """
        found = {}
        for path, weight in walk_weights(self):
            if len(found) == most:
                raise CheckpointError(
                    f"this config (num_hidden_layers={self.config.num_hidden_layers}) "
                    f"has more than {most} weights, far more than the checkpoint has "
                    "tensors. Is config.json from another checkpoint?"
                )
            found[path.removeprefix(f"{self.body}.") if self.body else path] = weight
        return found

    @classmethod
    def _read_config(cls, opened):
        """The family of a source and the configuration that its config.json says."""
        given = opened.read_config()
        family = families.family_named(given.get("model_type"))
        cls._check_assembly(family, opened)
        return family, family.translation.read(given)

    def _check_same(self, config, opened):
        """Refuses a configuration that makes another thing of the same weights."""
        differing = [
            f"{name} is {value!r} there and {getattr(self.config, name)!r} here"
            for name, value in vars(config).items()
            if name not in SETTLED_ELSEWHERE
            and not name.endswith(("_token_id", "dropout_prob"))
            and value != getattr(self.config, name)
        ]
        if differing:
            raise CheckpointError(
                f"{opened}: config.json describes another model than this one: "
                f"{'; '.join(differing[:4])}. Use from_pretrained."
            )

    @classmethod
    def _check_assembly(cls, family, opened):
        if family.assembly == cls.assembly:
            return
        fits = {"encoder": "BertModel", "decoder": "GPTModel"}
        fit = fits.get(family.assembly, "T5Model")
        raise CheckpointError(
            f"{opened}: config.json says model_type={family.model_type!r}, which is "
            f"{family.assembly.replace('_', '-')}: {cls.__name__} is for "
            f"{cls.assembly.replace('_', '-')} checkpoints. Use "
            f"zoo.{fit}.from_pretrained."
        )


def walk_weights(layer):
    """Yields `(path, variable)` for the weights of a layer and of those inside it."""
    for name, value in vars(layer).items():
        if name.startswith("_"):
            continue
        if isinstance(value, keras.Variable):
            yield name, value
        elif isinstance(value, keras.layers.Layer):
            for path, weight in walk_weights(value):
                yield f"{name}.{path}", weight
        elif isinstance(value, list) and value:
            # In an outline the last one stands for those that were not made.
            count = getattr(layer, "counts", {}).get(name, len(value))
            for index in range(count):
                item = value[min(index, len(value) - 1)]
                if isinstance(item, keras.layers.Layer):
                    for path, weight in walk_weights(item):
                        yield f"{name}.{index}.{path}", weight


def initialize(weight, config):
    """Draws a weight that a checkpoint did not have; biases are zero, norms one."""
    if len(weight.shape) > 1:
        normal = Normal(config.initializer_range)
        weight.assign(normal(weight.shape, weight.dtype))


def _check_policy(dtype):
    """Refuses what is no policy of Keras, or none that computes with floats."""
    try:
        if "float" in keras.dtype_policies.get(dtype).compute_dtype:
            return
    except (TypeError, ValueError):
        pass
    raise ConfigError(
        f"dtype={shorten(dtype)}: expected float32, bfloat16, mixed_bfloat16 or "
        "another policy of Keras that computes with floats."
    )
