"""How a text's vector is made of its tokens' vectors, as sentence-transformers does it.

Reads and writes `modules.json`, `1_Pooling/config.json` and `sentence_bert_config.json`
(Reimers and Gurevych 2019, arXiv:1908.10084).
"""

import json
from dataclasses import dataclass

import tensorflow as tf

from zoo.errors import CheckpointError, InputError
from zoo.files import parse_json, read_bytes, read_json

MODES = ("cls", "max", "mean", "mean_sqrt_len")
PREFIX = "pooling_mode_"
KEYS = {
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len": "pooling_mode_mean_sqrt_len_tokens",
}
KINDS = ("Transformer", "Pooling", "Normalize")
LIMIT = 1 << 16


def pool(states, mask, modes):
    """One vector for each row of token vectors; several modes stand side by side.

    Args:
        states: `[B, T, D]`.
        mask: `[B, T]`, non-zero at valid tokens.
        modes: Names of `MODES`. "cls": the first token; "max": the largest value of
            each feature; "mean": their mean; "mean_sqrt_len": their sum divided by the
            root of their number.

    Returns:
        float32 `[B, D x modes]`. A row without valid tokens gives zeros, but for "cls".
    """
    states = tf.cast(states, tf.float32)
    mask = tf.cast(mask, tf.float32)[..., None]
    count = tf.maximum(tf.reduce_sum(mask, 1), 1e-9)
    total = tf.reduce_sum(states * mask, 1)
    lowest = tf.where(mask > 0, states, tf.float32.min)
    some = tf.reduce_max(mask, 1) > 0
    found = {
        "cls": lambda: states[:, 0],
        "max": lambda: tf.where(some, tf.reduce_max(lowest, 1), 0.0),
        "mean": lambda: total / count,
        "mean_sqrt_len": lambda: total / tf.sqrt(count),
    }
    return tf.concat([found[mode]() for mode in modes], -1)


@dataclass(frozen=True)
class Pooling:
    """What the files beside a checkpoint say of its embeddings.

    Attributes:
        modes: Names of `MODES`, one or several, in this order.
        normalize: Whether embeddings have length 1.
        max_length: Tokens to which texts are cut; None: not said.
        lowercase: Whether texts are made small before they are tokenised.
    """

    modes: tuple[str, ...] = ("mean",)
    normalize: bool = False
    max_length: int | None = None
    lowercase: bool = False

    def __post_init__(self):
        given = (self.modes,) if isinstance(self.modes, str) else tuple(self.modes)
        unknown = [mode for mode in given if mode not in MODES]
        if unknown or not given:
            raise InputError(
                f"pooling={self.modes!r}: expected one or more of {', '.join(MODES)}."
            )
        object.__setattr__(self, "modes", tuple(m for m in MODES if m in given))

    @classmethod
    def read(cls, directory):
        """From a model directory; what it does not say is as `Pooling()` has it.

        Raises:
            CheckpointError: on a module, mode or setting that is not honoured.
        """
        found = {}
        if (directory / "modules.json").exists():
            found["normalize"] = _read_modules(directory / "modules.json")
        if (directory / "1_Pooling" / "config.json").exists():
            found["modes"] = _read_modes(directory / "1_Pooling" / "config.json")
        if (directory / "sentence_bert_config.json").exists():
            given = read_json(directory / "sentence_bert_config.json", limit=LIMIT)
            length = given.get("max_seq_length")
            if length is not None and (type(length) is not int or length < 3):
                raise CheckpointError(
                    f"sentence_bert_config.json: max_seq_length={length!r}; expected "
                    "a number of tokens."
                )
            found["max_length"] = length
            found["lowercase"] = bool(given.get("do_lower_case"))
        return cls(**found)

    def write(self, directory, width):
        """The same files, for embeddings of `width` features."""
        kinds = KINDS if self.normalize else KINDS[:2]
        paths = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
        modules = [
            {
                "idx": i,
                "name": str(i),
                "path": paths[kind],
                "type": f"sentence_transformers.models.{kind}",
            }
            for i, kind in enumerate(kinds)
        ]
        _write(directory / "modules.json", modules)
        modes = {KEYS[mode]: mode in self.modes for mode in MODES}
        path = directory / "1_Pooling" / "config.json"
        path.parent.mkdir(exist_ok=True)
        _write(path, {"word_embedding_dimension": width, **modes})
        settings = {"max_seq_length": self.max_length, "do_lower_case": self.lowercase}
        _write(directory / "sentence_bert_config.json", settings)


def _read_modules(path):
    """Whether the pipeline ends in normalisation."""
    data = b'{"modules": %s}' % read_bytes(path, limit=LIMIT, error=CheckpointError)
    modules = parse_json(data, "modules.json")["modules"]
    try:
        kinds = [module["type"].rpartition(".")[2] for module in modules]
    except (TypeError, KeyError, AttributeError):
        raise CheckpointError(
            "modules.json: expected a list of objects, each with its 'type'."
        ) from None
    if tuple(kinds) not in (KINDS, KINDS[:2]):
        raise CheckpointError(
            f"modules.json: the modules are {', '.join(kinds)}; zoo honours "
            f"{', '.join(KINDS[:2])} and, if wanted, {KINDS[2]}. Without the others "
            "the embeddings would be wrong."
        )
    return len(kinds) == 3


def _read_modes(path):
    given = read_json(path, limit=LIMIT)
    name = "1_Pooling/config.json"
    newer = given.get("pooling_mode")  # one name, or several in a list
    if newer is not None:
        modes = [newer] if isinstance(newer, str) else newer
        unknown = [mode for mode in modes if mode not in MODES]
    else:
        on = [key for key, value in given.items() if key.startswith(PREFIX) and value]
        unknown = [key for key in on if key not in KEYS.values()]
        modes = [mode for mode in MODES if KEYS[mode] in on]
    if unknown or not modes:
        what = f"{', '.join(map(str, unknown))} is" if unknown else "no mode is"
        raise CheckpointError(
            f"{name}: {what} set. zoo honours {', '.join(KEYS.values())}."
        )
    return tuple(modes)


def _write(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
