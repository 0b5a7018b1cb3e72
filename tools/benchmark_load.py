"""Benchmark `load`: a GPT-2 of 124 million weights, from a Hugging Face directory.

The directory has the real model's names, shapes and config.json, and random weights: no
registry has the real ones, and neither time nor memory depends on them.
"""

import json
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tools.benchmark_turns import Contender, Session

WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Shape:
    """The sizes of a GPT-2; the default is the smallest that was published."""

    layers: int = 12
    hidden: int = 768
    heads: int = 12
    vocabulary: int = 50_257
    positions: int = 1_024

    def tensors(self):
        """Name -> shape, named as in the published model.safetensors."""
        wide = self.hidden
        shapes: dict[str, tuple[int, ...]] = {
            "wte.weight": (self.vocabulary, wide),
            "wpe.weight": (self.positions, wide),
        }
        for layer in range(self.layers):
            for name, (rows, columns) in {
                "attn.c_attn": (wide, 3 * wide),
                "attn.c_proj": (wide, wide),
                "mlp.c_fc": (wide, 4 * wide),
                "mlp.c_proj": (4 * wide, wide),
            }.items():
                shapes[f"h.{layer}.{name}.weight"] = (rows, columns)
                shapes[f"h.{layer}.{name}.bias"] = (columns,)
            for name in ("ln_1", "ln_2"):
                shapes[f"h.{layer}.{name}.weight"] = (wide,)
                shapes[f"h.{layer}.{name}.bias"] = (wide,)
        return {**shapes, "ln_f.weight": (wide,), "ln_f.bias": (wide,)}

    def config(self):
        """What stands in config.json."""
        return {
            "activation_function": "gelu_new",
            "architectures": ["GPT2LMHeadModel"],
            "attn_pdrop": 0.1,
            "bos_token_id": self.vocabulary - 1,
            "embd_pdrop": 0.1,
            "eos_token_id": self.vocabulary - 1,
            "initializer_range": 0.02,
            "layer_norm_epsilon": 1e-5,
            "model_type": "gpt2",
            "n_ctx": self.positions,
            "n_embd": self.hidden,
            "n_head": self.heads,
            "n_layer": self.layers,
            "n_positions": self.positions,
            "resid_pdrop": 0.1,
            "vocab_size": self.vocabulary,
        }


def make_checkpoint(shape=None, *, cache=None):
    """The directory of the checkpoint, which is written once.

    Args:
        shape: `Shape`.
        cache: Where directories of all shapes lie. Default: `$ZOO_CACHE`, or
            `~/.cache/zoo`.
    """
    from safetensors.numpy import save_file

    from zoo.files import cache_directory

    shape = shape or Shape()
    sizes = "-".join(str(size) for size in asdict(shape).values())
    directory = cache_directory(cache) / "benchmarks" / f"gpt2-{sizes}"
    if directory.exists():
        return directory
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=".making-") as place:
        made = Path(place) / "made"
        made.mkdir()
        random = np.random.default_rng(0)
        tensors = {
            name: random.standard_normal(size, np.float32) * np.float32(0.02)
            for name, size in shape.tensors().items()
        }
        save_file(tensors, made / WEIGHTS, metadata={"format": "pt"})
        text = json.dumps(shape.config(), indent=2)
        (made / "config.json").write_text(text + "\n", encoding="utf-8")
        made.rename(directory)
    return directory


def contenders(directory):
    """Who is measured."""
    options = {"directory": str(directory)}
    torch = ("torch", "transformers")
    return [
        Contender("zoo", start_zoo, options),
        Contender("KerasHub", start_keras_hub, options, ("keras_hub",)),
        Contender("transformers", start_transformers, options, torch),
    ]


def start_zoo(directory):
    from zoo import GPTModel

    return session(
        "GPTModel.from_pretrained",
        lambda: GPTModel.from_pretrained(directory),
        lambda model: model.embeddings.tokens.weight.numpy(),
        lambda model: model.count_params(),
    )


def start_keras_hub(directory):
    from keras_hub.models import GPT2Backbone

    return session(
        "GPT2Backbone.from_preset",
        lambda: GPT2Backbone.from_preset(directory),
        lambda model: model.token_embedding.embeddings.numpy(),
        lambda model: model.count_params(),
    )


def start_transformers(directory):
    from transformers import GPT2LMHeadModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    return session(
        "GPT2LMHeadModel.from_pretrained",
        lambda: GPT2LMHeadModel.from_pretrained(directory),
        lambda model: model.transformer.wte.weight.detach().numpy(),
        lambda model: sum(p.numel() for p in model.parameters()),
    )


def session(how, load, tokens, count):
    """A `Session` that loads once per step.

    Args:
        how: The call, for the report.
        load: Makes the model.
        tokens: Gives a model's token table, to see that the weights have arrived.
        count: Gives a model's number of weights.
    """
    loaded: list[Any] = []

    def run(steps):
        seconds = []
        for _ in range(steps):
            loaded.clear()
            start = time.perf_counter()
            loaded.append(load())
            seconds.append(time.perf_counter() - start)
        return seconds

    def check():
        total = np.abs(tokens(loaded[0])).sum(dtype=np.float64)
        return {"checksum": round(float(total), 3), "parameters": int(count(loaded[0]))}

    return Session(run, {"variant": how}, check)
