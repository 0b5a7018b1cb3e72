"""GGUF files: how their settings and tensors are called in Hugging Face's checkpoints.

A GGUF file is shown as the config.json and the tensors that it was converted from, so
that a family's own translation and weight table read it. Names are those of
https://github.com/ggml-org/llama.cpp/blob/master/gguf-py/gguf/constants.py.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from reprlib import repr as short
from typing import Any

import numpy as np

from zoo.checkpoints import Interleaved, Layout, Reversed
from zoo.errors import CheckpointError

SAME = Layout()
REVERSED = Reversed()


@dataclass(frozen=True)
class Architecture:
    """How llama.cpp calls the parts of one kind of model.

    Attributes:
        model_type: The family's name in config.json.
        settings: Settings that all its files have -> keys of config.json.
        tensors: Names without ".weight" and ".bias" -> the same in Hugging Face's form.
        layouts: Layouts of the tensors that lie otherwise there; functions of the
            settings.
        rotary: Whether its positions are rotary.
        switches: Keys of config.json that say whether biases exist -> a tensor that
            then does.
    """

    model_type: str
    settings: Mapping[str, str]
    tensors: Mapping[str, str]
    layouts: Mapping[str, Callable[[Mapping[str, Any]], Layout]] = field(
        default_factory=dict
    )
    rotary: bool = True
    switches: Mapping[str, str] = field(default_factory=dict)


LAYER = "blk.{i}"
LLAMA_LAYER = "model.layers.{i}"
GPT2_LAYER = "transformer.h.{i}"

LLAMA = Architecture(
    model_type="llama",
    settings={
        "context_length": "max_position_embeddings",
        "embedding_length": "hidden_size",
        "block_count": "num_hidden_layers",
        "feed_forward_length": "intermediate_size",
        "attention.head_count": "num_attention_heads",
        "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    },
    tensors={
        "token_embd": "model.embed_tokens",
        "output_norm": "model.norm",
        "output": "lm_head",
        f"{LAYER}.attn_norm": f"{LLAMA_LAYER}.input_layernorm",
        f"{LAYER}.attn_q": f"{LLAMA_LAYER}.self_attn.q_proj",
        f"{LAYER}.attn_k": f"{LLAMA_LAYER}.self_attn.k_proj",
        f"{LAYER}.attn_v": f"{LLAMA_LAYER}.self_attn.v_proj",
        f"{LAYER}.attn_output": f"{LLAMA_LAYER}.self_attn.o_proj",
        f"{LAYER}.ffn_norm": f"{LLAMA_LAYER}.post_attention_layernorm",
        f"{LAYER}.ffn_gate": f"{LLAMA_LAYER}.mlp.gate_proj",
        f"{LAYER}.ffn_up": f"{LLAMA_LAYER}.mlp.up_proj",
        f"{LAYER}.ffn_down": f"{LLAMA_LAYER}.mlp.down_proj",
    },
    layouts={
        f"{LAYER}.attn_q": lambda s: Interleaved(s["attention.head_count"]),
        f"{LAYER}.attn_k": lambda s: Interleaved(s["attention.head_count_kv"]),
    },
    switches={"attention_bias": "blk.0.attn_q.bias", "mlp_bias": "blk.0.ffn_up.bias"},
)

QWEN2 = Architecture("qwen2", LLAMA.settings, LLAMA.tensors)

GPT2 = Architecture(
    model_type="gpt2",
    settings={
        "context_length": "n_positions",
        "embedding_length": "n_embd",
        "block_count": "n_layer",
        "feed_forward_length": "n_inner",
        "attention.head_count": "n_head",
        "attention.layer_norm_epsilon": "layer_norm_epsilon",
    },
    tensors={
        "token_embd": "transformer.wte",
        "position_embd": "transformer.wpe",
        "output_norm": "transformer.ln_f",
        "output": "lm_head",
        f"{LAYER}.attn_norm": f"{GPT2_LAYER}.ln_1",
        f"{LAYER}.attn_qkv": f"{GPT2_LAYER}.attn.c_attn",
        f"{LAYER}.attn_output": f"{GPT2_LAYER}.attn.c_proj",
        f"{LAYER}.ffn_norm": f"{GPT2_LAYER}.ln_2",
        f"{LAYER}.ffn_up": f"{GPT2_LAYER}.mlp.c_fc",
        f"{LAYER}.ffn_down": f"{GPT2_LAYER}.mlp.c_proj",
    },
    # The converter turns HF's Conv1D, [in, out], into ordinary linear layers.
    layouts=dict.fromkeys(
        (
            f"{LAYER}.attn_qkv",
            f"{LAYER}.attn_output",
            f"{LAYER}.ffn_up",
            f"{LAYER}.ffn_down",
        ),
        lambda s: REVERSED,
    ),
    rotary=False,
)

ARCHITECTURES = {"llama": LLAMA, "qwen2": QWEN2, "gpt2": GPT2}

# Settings that are honoured with these values alone.
ONLY: Mapping[str, tuple] = {
    "expert_count": (0,),
    "expert_used_count": (0,),
    "attention.causal": (True,),
    "tensor_data_layout": ("Meta AI original pth",),
}
# Settings of the conversion, which change nothing.
HARMLESS = frozenset({"rope.scaling.finetuned"})
# Groups of keys that llama.cpp computes nothing from; "general." is looked at below.
SILENT = ("general.", "tokenizer.", "split.")

# The one scaling of Llama 3.1 to 3.3: files hold only the factors it comes to.
LOW, HIGH, ORIGINAL = 1.0, 4.0, 8192
ROPE_FACTORS = "rope_freqs.weight"


def as_hugging_face(checkpoint):
    """Gives the tensors of a GGUF file the names of Hugging Face's checkpoints.

    Args:
        checkpoint: A `GgufCheckpoint`; its tensors are renamed.

    Returns:
        The config.json that says what its settings say, as a dictionary.

    Raises:
        CheckpointError: naming the settings and tensors that zoo does not know.
    """
    architecture, settings = _settings(checkpoint)
    config = {
        "model_type": architecture.model_type,
        **_config(architecture, settings, checkpoint),
    }
    checkpoint.rename(_names(architecture, settings, checkpoint))
    return config


def _refuse(checkpoint, what, cure="Convert the model again."):
    return CheckpointError(f"{checkpoint.name}: {what}. {cure}")


def _settings(checkpoint):
    """The architecture, and its settings without its name before them."""
    given = checkpoint.settings
    name, kind = given.get("general.architecture"), given.get("general.type", "model")
    if not isinstance(name, str) or name not in ARCHITECTURES:
        raise _refuse(
            checkpoint,
            f"general.architecture is {short(name)}; zoo reads GGUF files of "
            f"{', '.join(ARCHITECTURES)}",
            "Load the model from its Hugging Face directory instead.",
        )
    if kind != "model":
        raise _refuse(
            checkpoint, f"general.type is {short(kind)}, not 'model'", "Load the model."
        )
    if given.get("split.count", 0) not in (0, 1):
        raise _refuse(
            checkpoint,
            f"this is one of {short(given['split.count'])} files",
            "Merge them with llama.cpp's gguf-split --merge.",
        )
    quantized = any(info.kind.quantized for info in checkpoint.tensors.values())
    version = given.get("general.quantization_version", 2)
    if quantized and version != 2:
        raise _refuse(checkpoint, f"general.quantization_version is {short(version)}")
    settings = {
        key.removeprefix(f"{name}."): given[key]
        for key in given
        if key.startswith(f"{name}.")
    }
    return ARCHITECTURES[name], settings


def _config(architecture, settings, checkpoint):
    """config.json, from the settings; every one of them is looked at."""
    left, tensors = dict(settings), checkpoint.tensors
    missing = [key for key in architecture.settings if key not in left]
    if missing or "token_embd.weight" not in tensors:
        what = f"setting {missing[0]!r}" if missing else "tensor 'token_embd.weight'"
        raise _refuse(checkpoint, f"the {what} is missing", "Fetch the file again.")
    config = {new: left.pop(old) for old, new in architecture.settings.items()}
    for key, value in config.items():
        if key.endswith(("eps", "epsilon")):
            config[key] = _shortest(value)
    heads = _size(settings, "attention.head_count", checkpoint)
    settings.setdefault("attention.head_count_kv", heads)
    rows = tensors["token_embd.weight"].shape[0]
    head_dim = _size(settings, "embedding_length", checkpoint) // heads
    config["vocab_size"] = rows
    config["tie_word_embeddings"] = "output.weight" not in tensors
    only = {**ONLY, "vocab_size": (rows,)}
    if architecture.rotary:
        config["num_key_value_heads"] = _size(
            settings, "attention.head_count_kv", checkpoint
        )
        config |= _rotary(architecture, left, checkpoint)
        head_dim = config["head_dim"] = left.pop("attention.key_length", head_dim)
        left.pop("attention.head_count_kv", None)
        only["attention.value_length"] = (head_dim,)
        only["rope.dimension_count"] = (head_dim,)
    else:
        only["attention.head_count_kv"] = (heads,)
    if "attention.sliding_window" in left and architecture is LLAMA:
        config["model_type"] = "mistral"
        config["sliding_window"] = left.pop("attention.sliding_window")
    else:
        for key, tensor in architecture.switches.items():
            config[key] = tensor in tensors
    for key in ("bos", "eos", "pad"):
        name = "padding" if key == "pad" else key
        config[f"{key}_token_id"] = checkpoint.settings.get(
            f"tokenizer.ggml.{name}_token_id"
        )
    # The end of a turn, and of a message to a tool, end what is written as well.
    ends = [
        checkpoint.settings.get(f"tokenizer.ggml.{name}_token_id")
        for name in ("eos", "eot", "eom")
    ]
    ends = list(dict.fromkeys(each for each in ends if each is not None))
    if len(ends) > 1:
        config["eos_token_id"] = ends
    for key, value in left.items():
        if key in only and value not in only[key]:
            raise _refuse(
                checkpoint,
                f"the setting {key!r} is {short(value)}; zoo honours "
                f"{' or '.join(map(repr, only[key]))}",
                "Load the model from its Hugging Face directory instead.",
            )
    unknown = sorted(left.keys() - only.keys() - HARMLESS)
    if unknown:
        raise _refuse(
            checkpoint,
            f"zoo does not know the settings {', '.join(map(short, unknown[:9]))}",
            "A setting that is not honoured would give wrong numbers, so nothing was "
            "loaded. Load the model from its Hugging Face directory instead.",
        )
    return config


def _size(settings, key, checkpoint):
    value = settings[key]
    if type(value) is not int or not 0 < value < 1 << 31:
        raise _refuse(
            checkpoint,
            f"the setting {key!r} is {short(value)}; one positive number is expected",
            "Load the model from its Hugging Face directory instead.",
        )
    return value


def _rotary(architecture, left, checkpoint):
    """`rope_theta` and `rope_scaling`; takes what it reads out of `left`."""
    config = {"rope_theta": _shortest(left.pop("rope.freq_base", 10_000.0))}
    factor = left.pop("rope.scaling.factor", left.pop("rope.scale_linear", None))
    kind = left.pop("rope.scaling.type", "linear" if factor else "none")
    longest = left.pop("rope.scaling.original_context_length", None)
    if kind not in ("none", "linear", "yarn"):
        raise _refuse(
            checkpoint,
            f"the setting 'rope.scaling.type' is {short(kind)}; zoo reads none, linear "
            "and yarn",
            "Load the model from its Hugging Face directory instead.",
        )
    if kind == "linear" and factor not in (None, 1.0):
        config["rope_scaling"] = {"rope_type": kind, "factor": _shortest(factor)}
    elif kind == "yarn":
        scaling = {"factor": factor and _shortest(factor)}
        scaling["original_max_position_embeddings"] = longest
        for name in ("beta_fast", "beta_slow"):
            scaling[name] = left.pop(f"rope.scaling.yarn_{name}", None)
        config["rope_scaling"] = {
            "rope_type": kind,
            **{name: value for name, value in scaling.items() if value is not None},
        }
    if ROPE_FACTORS in checkpoint.tensors:
        if "rope_scaling" in config:
            raise _refuse(checkpoint, f"there are {ROPE_FACTORS!r} and another scaling")
        config["rope_scaling"] = _llama3(checkpoint, config["rope_theta"])
    return config


def _llama3(checkpoint, theta):
    """The scaling of Llama 3.1, if the factors of a file are its (arXiv:2407.21783)."""
    if checkpoint.tensors[ROPE_FACTORS].size > 1 << 16:
        raise _refuse(checkpoint, f"tensor {ROPE_FACTORS!r} has too many factors")
    found = checkpoint.read(ROPE_FACTORS, np.float32).reshape(-1).astype(np.float64)
    factor = float(found.max())
    length = 2 * np.pi * float(theta) ** (np.arange(len(found)) / len(found))
    share = np.clip((ORIGINAL / length - LOW) / (HIGH - LOW), 0.0, 1.0)
    expected = 1.0 / ((1.0 - share) / factor + share)
    if not np.allclose(found, expected, rtol=1e-3):
        raise _refuse(
            checkpoint,
            f"the factors in tensor {ROPE_FACTORS!r} are not those of Llama 3.1",
            "Load the model from its Hugging Face directory instead.",
        )
    return {
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": LOW,
        "high_freq_factor": HIGH,
        "original_max_position_embeddings": ORIGINAL,
    }


def _shortest(value):
    """A number that was stored in 32 bits, as it was written before: 1e-05."""
    if not isinstance(value, int | float):
        return value
    return float(str(np.float32(value)))


_NAME = re.compile(r"(?:blk\.(0|[1-9][0-9]{0,5})\.)?([a-z0-9_]+)\.(weight|bias)")


def _names(architecture, settings, checkpoint):
    """Name of each tensor -> its name for Hugging Face, and its layout."""
    names, unknown = {}, []
    for own in checkpoint.tensors:
        if own == ROPE_FACTORS and architecture.rotary:
            continue  # config.json says it
        match = _NAME.fullmatch(own)
        number, part, ending = match.groups() if match else (None, "", "")
        known = part if number is None else f"{LAYER}.{part}"
        if known not in architecture.tensors:
            unknown.append(own)
            continue
        new = architecture.tensors[known].format(i=number)
        layout = architecture.layouts.get(known, lambda _: SAME)(settings)
        names[own] = (f"{new}.{ending}", layout)
    if unknown:
        raise _refuse(
            checkpoint,
            f"{len(unknown)} tensors are not known to this kind of model: "
            f"{', '.join(map(short, unknown[:4]))}",
            "Is it a variant with other layers? Load it from its Hugging Face "
            "directory instead.",
        )
    return names
