"""GGUF files shown as the Hugging Face checkpoints that they were converted from."""

import math

import numpy as np
import pytest

from tests import gguf_files as files
from zoo.checkpoints import GgufCheckpoint
from zoo.errors import CheckpointError
from zoo.families import family_named
from zoo.families.gguf import as_hugging_face

ARCHITECTURES = ("llama", "qwen2", "gpt2")
HEADS = {"attn_q": 4, "attn_k": 2}
PARTS = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
GPT2_PARTS = {
    "token_embd": "transformer.wte",
    "position_embd": "transformer.wpe",
    "output_norm": "transformer.ln_f",
    "output": "lm_head",
    "attn_norm": "ln_1",
    "attn_qkv": "attn.c_attn",
    "attn_output": "attn.c_proj",
    "ffn_norm": "ln_2",
    "ffn_up": "mlp.c_fc",
    "ffn_down": "mlp.c_proj",
}


def expected(arch, own, values):
    """Name and values of a tensor for Hugging Face, said another way than zoo does."""
    *block, part, ending = own.split(".")
    parts = GPT2_PARTS if arch == "gpt2" else PARTS
    layers = "transformer.h" if arch == "gpt2" else "model.layers"
    name = f"{layers}.{block[1]}.{parts[part]}" if block else parts[part]
    if arch == "llama" and part in HEADS:
        d = len(values) // HEADS[part]
        # Row j of a head is row j / 2 of its first half, or of its second.
        rows = [
            head * d + (2 * j if j < d // 2 else 2 * (j - d // 2) + 1)
            for head in range(HEADS[part])
            for j in range(d)
        ]
        values = values[rows]
    if arch == "gpt2" and block and values.ndim == 2:
        values = values.T
    return f"{name}.{ending}", values


def open_file(tmp_path, arch="llama", tensors=None, **changes):
    """A tiny file with other settings; None takes one away."""
    given = files.settings_of(arch, **changes)
    given = {key: value for key, value in given.items() if value is not None}
    if tensors is None:
        tensors = files.random_tensors(arch, layers=1)
    return GgufCheckpoint(files.write(tmp_path / "model.gguf", given, tensors))


def config_of(tmp_path, *args, **changes):
    with open_file(tmp_path, *args, **changes) as checkpoint:
        return as_hugging_face(checkpoint)


def refused(tmp_path, *said, **options):
    with pytest.raises(CheckpointError) as caught:
        config_of(tmp_path, **options)
    for part in ("model.gguf", *said):
        assert part in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("kind", files.KINDS)
def test_tensors_have_their_names_places_and_values(tmp_path, arch, kind):
    tensors = files.random_tensors(arch, kind, layers=1)
    with open_file(tmp_path, arch, tensors) as checkpoint:
        as_hugging_face(checkpoint)
        wanted = dict(expected(arch, own, v) for own, (_, _, v) in tensors.items())
        assert checkpoint.tensors.keys() == wanted.keys()
        for name, values in wanted.items():
            assert checkpoint.tensors[name].shape == values.shape
            np.testing.assert_array_equal(checkpoint.read(name, np.float32), values)


def test_the_config_of_llama_says_what_the_file_says(tmp_path):
    given = {
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "general.file_type": 3,
        "someone.quantised_with": "care",
    }
    assert config_of(tmp_path, **given) == {
        "model_type": "llama",
        "max_position_embeddings": 32,
        "hidden_size": 256,
        "num_hidden_layers": 2,
        "intermediate_size": 512,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 64,
        "rms_norm_eps": 1e-5,  # not 9.99999974e-06, as which it is stored
        "rope_theta": 10_000.0,
        "vocab_size": files.VOCABULARY,
        "tie_word_embeddings": False,
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": None,
    }


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_config_is_one_that_its_family_reads(tmp_path, arch):
    given = config_of(tmp_path, arch)
    config = family_named(given["model_type"]).translation.read(given)
    assert (config.hidden_size, config.intermediate_size) == (256, 512)
    assert config.num_key_value_heads == (4 if arch == "gpt2" else 2)
    assert config.max_position_embeddings == 32
    assert config.layer_norm_eps == 1e-5
    assert not config.tie_word_embeddings


def test_a_file_without_an_output_is_tied(tmp_path):
    tensors = files.random_tensors("llama", layers=1, tied=True)
    assert config_of(tmp_path, "llama", tensors)["tie_word_embeddings"]


def test_llama_with_a_window_is_mistral(tmp_path):
    given = config_of(tmp_path, **{"llama.attention.sliding_window": 8})
    assert given["model_type"] == "mistral"
    config = family_named("mistral").translation.read(given)
    assert (config.sliding_window, config.head_dim) == (8, 64)


def test_the_end_of_a_turn_ends_what_is_written(tmp_path):
    def ends(**named):
        named = {f"tokenizer.ggml.{k}_token_id": v for k, v in named.items()}
        config = config_of(tmp_path, **named)
        return family_named("llama").translation.read(config).eos_token_id

    assert ends(eos=2, eot=2) == 2
    assert ends(eos=2, eot=7, eom=8) == (2, 7, 8)


def test_heads_may_have_a_size_of_their_own(tmp_path):
    sizes = {"llama.attention.key_length": 32, "llama.attention.value_length": 32}
    assert config_of(tmp_path, **sizes)["head_dim"] == 32
    sizes["llama.attention.value_length"] = 48
    refused(tmp_path, "'attention.value_length' is 48", **sizes)


@pytest.mark.parametrize(
    ("changes", "scaling"),
    [
        ({"type": "none", "factor": 4.0}, None),
        ({"factor": 4.0}, {"rope_type": "linear", "factor": 4.0}),
        ({"type": "linear", "factor": 1.0}, None),
        (
            {"type": "yarn", "factor": 4.0, "original_context_length": 8},
            {
                "rope_type": "yarn",
                "factor": 4.0,
                "original_max_position_embeddings": 8,
            },
        ),
    ],
)
def test_rotary_scalings_are_honoured(tmp_path, changes, scaling):
    changes = {f"llama.rope.scaling.{key}": value for key, value in changes.items()}
    given = config_of(tmp_path, **changes)
    assert given.get("rope_scaling") == scaling
    assert family_named("llama").translation.read(given).rope_scaling == scaling


def llama3_factors(count, theta, factor=8.0):
    """As transformers computes them, frequency by frequency."""
    factors = []
    for i in range(count):
        length = 2 * math.pi * theta ** (i / count)
        if length < 8192 / 4:
            factors.append(1.0)
        elif length > 8192:
            factors.append(factor)
        else:
            smooth = (8192 / length - 1) / 3
            factors.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(factors, np.float32)


def test_the_scaling_of_llama_3_1_is_known_by_its_factors(tmp_path):
    tensors = files.random_tensors("llama", layers=1)
    theta = {"llama.rope.freq_base": 500_000.0}
    factors = llama3_factors(32, 500_000.0)
    tensors |= files.as_float32({"rope_freqs.weight": factors})
    assert config_of(tmp_path, "llama", tensors, **theta)["rope_scaling"] == {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    tensors |= files.as_float32({"rope_freqs.weight": factors[::-1].copy()})
    refused(tmp_path, "rope_freqs", "Llama 3.1", tensors=tensors, **theta)
    tensors |= files.as_float32({"rope_freqs.weight": factors})
    linear = {**theta, "llama.rope.scaling.factor": 2.0}
    refused(tmp_path, "another scaling", tensors=tensors, **linear)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"general.architecture": "mamba"}, "'mamba'"),
        ({"general.type": "adapter"}, "'adapter'"),
        ({"general.quantization_version": 1}, "quantization_version is 1"),
        ({"split.count": 3}, "gguf-split"),
        ({"llama.block_count": None}, "'block_count' is missing"),
        ({"llama.attention.head_count": 0}, "'attention.head_count' is 0"),
        ({"llama.attention.head_count": [4, 2]}, "'attention.head_count' is [4, 2]"),
        ({"llama.attention.head_count": "4"}, "'attention.head_count' is '4'"),
        ({"llama.attention.head_count_kv": 3}, "not 3 heads"),
        ({"llama.attention.head_count_kv": [2, 1]}, "head_count_kv' is [2, 1]"),
        ({"llama.embedding_length": 1 << 31}, "'embedding_length'"),
        ({"llama.vocab_size": 39}, "'vocab_size' is 39; zoo honours 40"),
        ({"llama.expert_count": 8}, "'expert_count' is 8"),
        ({"llama.rope.dimension_count": 32}, "'rope.dimension_count' is 32"),
        ({"llama.rope.scaling.type": "longrope"}, "'longrope'"),
        ({"llama.rope.scaling.attn_factor": 2.0}, "'rope.scaling.attn_factor'"),
        ({"llama.logit_scale": 2.0}, "does not know the settings 'logit_scale'"),
        ({"llama.attn_logit_softcapping": 50.0}, "'attn_logit_softcapping'"),
    ],
)
def test_what_is_not_honoured_is_named(tmp_path, changes, said):
    tensors = files.random_tensors("llama", "Q8_0", layers=1)
    arch = changes.get("general.architecture")
    if arch is not None:
        changes = {**changes, "general.type": "model"}
    refused(tmp_path, said, tensors=tensors, **changes)


@pytest.mark.parametrize(
    "name",
    [
        "blk.0.ffn_gate_exps.weight",
        "blk.0.attn_q_norm.weight",
        "blk.00.attn_q.weight",
        "blk.0.attn_q.weight.extra",
        "attn_q.weight",
        "blk.0.token_embd.weight",
        "surprise",
    ],
)
def test_unknown_tensors_are_named(tmp_path, name):
    tensors = files.random_tensors("llama", layers=1)
    tensors |= files.as_float32({name: np.zeros(4, np.float32)})
    refused(tmp_path, repr(name), tensors=tensors)


def test_a_file_without_a_token_table_is_refused(tmp_path):
    tensors = files.random_tensors("llama", layers=1)
    del tensors["token_embd.weight"]
    refused(tmp_path, "'token_embd.weight' is missing", tensors=tensors)
