"""GGUF files of random models of `transformers`, converted as llama.cpp does it."""

import numpy as np
import pytest

from tests import gguf_files as files
from tests.families.test_gguf import GPT2_PARTS, PARTS, llama3_factors

pytestmark = pytest.mark.parity

COMMON = {
    "vocab_size": 61,
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "intermediate_size": 40,
    "max_position_embeddings": 64,
}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
CASES = {
    "llama": ("llama", COMMON),
    "llama, tied, own head size": (
        "llama",
        {**COMMON, "head_dim": 12, "tie_word_embeddings": True},
    ),
    "llama with biases": (
        "llama",
        {**COMMON, "attention_bias": True, "mlp_bias": True},
    ),
    "llama 3.1": (
        "llama",
        {**COMMON, "rope_parameters": {"rope_theta": 500_000.0, **LLAMA3}},
    ),
    "linear scaling": (
        "llama",
        {**COMMON, "rope_parameters": {"rope_type": "linear", "factor": 4.0,
                                       "rope_theta": 10_000.0}},
    ),
    "qwen2": ("qwen2", COMMON),
    "gpt2": (
        "gpt2",
        {"vocab_size": 61, "n_embd": 48, "n_layer": 2, "n_head": 6, "n_positions": 64,
         "n_inner": 80},
    ),
}  # fmt: skip


def settings_of(arch, config):
    """The settings that llama.cpp's converter writes."""
    if arch == "gpt2":
        own = {
            "context_length": config.n_positions,
            "embedding_length": config.n_embd,
            "block_count": config.n_layer,
            "feed_forward_length": config.n_inner,
            "attention.head_count": config.n_head,
            "attention.layer_norm_epsilon": config.layer_norm_epsilon,
        }
    else:
        rope = config.rope_parameters
        own = {
            "context_length": config.max_position_embeddings,
            "embedding_length": config.hidden_size,
            "block_count": config.num_hidden_layers,
            "feed_forward_length": config.intermediate_size,
            "attention.head_count": config.num_attention_heads,
            "attention.head_count_kv": config.num_key_value_heads,
            "attention.layer_norm_rms_epsilon": config.rms_norm_eps,
            "rope.freq_base": rope["rope_theta"],
            "vocab_size": config.vocab_size,
        }
        if arch == "llama" and config.head_dim is not None:
            own |= dict.fromkeys(
                ("attention.key_length", "rope.dimension_count"), config.head_dim
            )
        if rope["rope_type"] == "linear":
            own |= {"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}
    return {
        "general.architecture": arch,
        **{f"{arch}.{key}": value for key, value in own.items()},
    }


def converted(arch, model):
    """The tensors that llama.cpp's converter writes."""
    config, tensors = model.config, {}
    parts = {hf: own for own, hf in (GPT2_PARTS if arch == "gpt2" else PARTS).items()}
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        values = weight.numpy()
        whole, _, ending = name.rpartition(".")
        layer = [part for part in whole.split(".") if part.isdigit()]
        part = whole.split(f".{layer[0]}.")[1] if layer else whole
        if arch == "llama" and part.endswith(("q_proj", "k_proj")):
            heads = config.num_attention_heads
            if part.endswith("k_proj"):
                heads = config.num_key_value_heads
            values = (
                values.reshape(heads, 2, len(values) // heads // 2, *values.shape[1:])
                .swapaxes(1, 2)
                .reshape(values.shape)
            )
        if arch == "gpt2" and layer and values.ndim == 2:
            values = values.T
        own = f"blk.{layer[0]}.{parts[part]}" if layer else parts[part]
        tensors[f"{own}.{ending}"] = np.ascontiguousarray(values)
    if arch == "llama" and config.rope_parameters["rope_type"] == "llama3":
        tensors["rope_freqs.weight"] = llama3_factors(config.head_dim // 2, 500_000.0)
    return files.as_float32(tensors)


@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_the_model_that_was_converted(tmp_path, case):
    from tests.parity import reference
    from zoo.models import GPTModel

    arch, settings = CASES[case]
    model = reference.reference_model(arch, settings)
    inputs = reference.batch(arch, settings)
    path = files.write(
        tmp_path / "x.gguf", settings_of(arch, model.config), converted(arch, model)
    )
    ours = np.asarray(GPTModel.from_pretrained(path)(inputs))
    theirs = reference.output_of(model, inputs)
    valid = inputs["attention_mask"].astype(bool)
    scale = np.abs(theirs[valid]).max()
    np.testing.assert_allclose(ours[valid], theirs[valid], atol=1e-5 * max(scale, 1.0))


def test_the_rotary_pairs_matter(tmp_path):
    # Guards the test above: with the pairs as they stand in the file it would fail.
    from tests.parity import reference
    from zoo.models import GPTModel

    model = reference.reference_model("llama", COMMON)
    tensors = converted("llama", model)
    for name, (values, kind, _) in tensors.items():
        if name.endswith("attn_q.weight"):
            rows = values.reshape(6, 4, 2, -1).swapaxes(1, 2).reshape(values.shape)
            tensors[name] = (rows, kind, rows)
    path = files.write(tmp_path / "x.gguf", settings_of("llama", model.config), tensors)
    inputs = reference.batch("llama", COMMON)
    ours = np.asarray(GPTModel.from_pretrained(path)(inputs))
    theirs = reference.output_of(model, inputs)
    assert np.abs(ours - theirs)[inputs["attention_mask"] == 1].max() > 1e-2
