"""The three models: inputs by name, sharing, caps, precision, and lengths that vary."""

import numpy as np
import pytest
import tensorflow as tf

from tests import tiny_configs
from tests.models.conftest import inputs_for, make, random_ids
from zoo.config import TransformerConfig
from zoo.errors import ConfigError, InputError
from zoo.models import BertModel, GPTModel, T5Model


def test_outputs_have_their_shapes(model):
    y = model(inputs_for(model, random_ids(2, 5)))
    assert y.shape == (2, 5, 16 if model.assembly == "encoder" else 29)
    states = model.hidden_states(inputs_for(model, random_ids(2, 5)))
    if model.assembly == "encoder_decoder":
        assert (len(states["encoder"]), len(states["decoder"])) == (3, 4)
    else:
        assert len(states) == 3
        if model.assembly == "encoder":
            np.testing.assert_array_equal(states[-1], y)


def test_attention_weights_of_every_layer_come_out(model):
    found = model.attentions(inputs_for(model, random_ids(2, 5)))
    if model.assembly == "encoder_decoder":
        assert [len(found[kind]) for kind in ("encoder", "decoder", "cross")] == [
            2,
            3,
            3,
        ]
        found = [*found["encoder"], *found["decoder"], *found["cross"]]
    else:
        assert len(found) == 2
    for weights in found:
        assert weights.shape[:2] == (2, model.config.num_attention_heads)
        np.testing.assert_allclose(tf.reduce_sum(weights, -1), 1, atol=1e-5)


def test_attention_by_blocks_has_no_weights_to_show():
    model = make("gpt2", max_position_embeddings=1100)
    with pytest.raises(InputError, match="1100 tokens"):
        model.attentions(random_ids(1, 1100))


def test_plain_ids_are_input_ids():
    model, ids = make("gpt2"), random_ids()
    np.testing.assert_array_equal(model(ids), model({"input_ids": ids}))
    np.testing.assert_array_equal(model(ids.astype(np.int64)), model(ids))
    both = model({"input_ids": ids, "attention_mask": None})
    np.testing.assert_array_equal(both, model(ids))


@pytest.mark.parametrize(
    ("kind", "inputs", "said"),
    [
        ("gpt2", {"input_ids": [[1]], "labels": [[1]]}, "labels"),
        ("gpt2", {"attention_mask": [[1]]}, "input_ids"),
        ("t5", {"input_ids": [[1]]}, "decoder_input_ids"),
        ("gpt2", {"input_ids": [1, 2]}, r"\[B, T\]"),
        ("gpt2", {"input_ids": [[1.0]]}, "float"),
        ("gpt2", {"input_ids": [["text"]]}, "tokenizer"),
        ("gpt2", {"input_ids": [[1] * 25]}, "24"),
        ("gpt2", {"input_ids": [[1]], "token_type_ids": [[0]]}, "token_type_ids"),
    ],
)
def test_inputs_that_do_not_fit_are_explained(kind, inputs, said):
    with pytest.raises(InputError, match=said):
        make(kind)({name: np.array(value) for name, value in inputs.items()})


def test_given_positions_are_used():
    for kind in ("gpt2", "llama", "parallel, alibi"):
        model, ids = make(kind), random_ids()
        at = np.broadcast_to(np.arange(8), ids.shape)
        given = model({"input_ids": ids, "position_ids": at})
        np.testing.assert_array_equal(given, model(ids))
        other = model({"input_ids": ids, "position_ids": at * 2})
        assert np.abs(other - given).max() > 1e-3


def test_shared_layers_have_one_set_of_weights_and_a_gradient_from_each_use():
    shared = make("albert", num_hidden_layers=4)
    names = [path for path in shared.weights_by_path() if ".blocks." in path]
    assert {path.split(".")[2] for path in names} == {"0"}
    # tokens 29 x 6, positions 24 x 6, norm, projection 6 -> 16; one block
    tables = (29 + 24) * 6 + 2 * 6 + 6 * 16 + 16
    block = 4 * (16 * 16 + 16) + 2 * 16 * 64 + 64 + 16 + 4 * 16
    assert shared.count_params() == tables + block
    # The same as four blocks of their own with these weights.
    alone = make("albert", num_hidden_layers=4, num_hidden_groups=None)
    theirs = shared.weights_by_path()
    for path, weight in alone.weights_by_path().items():
        parts = path.split(".")
        if parts[1] == "blocks":
            parts[2] = "0"
        weight.assign(theirs[".".join(parts)])
    ids = random_ids()
    np.testing.assert_allclose(shared(ids), alone(ids), rtol=1e-5, atol=1e-6)
    path = "attention.qkv.weight"
    one = gradient_of(shared, f"encoder.blocks.0.{path}", ids)
    four = [gradient_of(alone, f"encoder.blocks.{i}.{path}", ids) for i in range(4)]
    np.testing.assert_allclose(one, sum(four), rtol=1e-3, atol=1e-5)


def test_groups_follow_one_another():
    model = make("albert", num_hidden_layers=4, num_hidden_groups=2)
    assert [model.encoder._group(layer) for layer in range(4)] == [0, 0, 1, 1]


def test_a_tied_head_is_the_token_table():
    model, ids = make("gpt2"), random_ids()
    assert model.lm_head is None
    states = model.hidden_states(ids)[-1].numpy()
    table = model.embeddings.tokens.weight.numpy()
    np.testing.assert_allclose(model(ids), states @ table.T, rtol=1e-4, atol=1e-4)


def test_final_logits_are_capped():
    model = make("sliding, capped, query and key norms")
    assert np.abs(model(random_ids())).max() <= 3.0
    plain = make("sliding, capped, query and key norms", final_logit_softcapping=None)
    expected = 3 * np.tanh(plain(random_ids()).numpy() / 3)
    np.testing.assert_allclose(model(random_ids()), expected, rtol=1e-4, atol=1e-5)


def test_an_embedding_scale_scales_tokens_alone():
    for kind in ("gpt2", "llama"):
        model = make(kind, embedding_scale=3.0)
        plain = make(kind)
        first = model.hidden_states([[5]])[0] - plain.hidden_states([[5]])[0]
        table = plain.embeddings.tokens.weight.numpy()
        np.testing.assert_allclose(first[0, 0], 2 * table[5], rtol=1e-5, atol=1e-6)


def test_lengths_may_vary_in_one_graph(model):
    signature = {
        name: tf.TensorSpec([None, None], tf.int32)
        for name in inputs_for(model, random_ids(), random_ids())
    }
    call = tf.function(lambda inputs: model(inputs), input_signature=[signature])
    for batch, length in ((1, 1), (2, 5), (3, 8)):
        ids = tf.constant(random_ids(batch, length))
        inputs = inputs_for(model, ids, tf.ones_like(ids))
        expected = model(inputs)
        np.testing.assert_allclose(call(inputs), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "dtype", ["float16", "bfloat16", "mixed_float16", "mixed_bfloat16"]
)
@pytest.mark.parametrize("kind", ["bert", "llama", "t5"])
def test_half_precision_is_near_float32(kind, dtype):
    full, half = make(kind), make(kind, dtype=dtype)
    for weight, value in zip(half.trainable_weights, full.get_weights(), strict=True):
        weight.assign(value)
    mask = np.ones((3, 8), np.int32)
    mask[0, 4:] = mask[2] = 0
    inputs = inputs_for(full, random_ids(), mask)
    expected, found = full(inputs), half(inputs)
    assert found.dtype == half.compute_dtype
    found = tf.cast(found, tf.float32).numpy()
    assert np.isfinite(found).all()
    # 8 and 11 bits of mantissa through two layers.
    near = 0.02 if "float16" in dtype.replace("bfloat16", "") else 0.12
    unit = np.abs(expected).max()
    assert np.abs(found - expected)[:2].max() / unit < near


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("kind", ["llama", "t5", "gpt2", "alibi encoder"])
def test_half_precision_is_finite_for_activations_up_to_the_limit(kind, dtype):
    model = make(kind, dtype=dtype)
    limit = float(tf.as_dtype(dtype).max)
    table = model.embeddings.tokens.weight
    signs = np.sign(table.numpy().astype(np.float32))
    for size in (limit, limit / 4):
        table.assign(tf.cast(signs * size, dtype))
        states = model.hidden_states(inputs_for(model, random_ids()))
        if isinstance(states, dict):
            states = states["encoder"] + states["decoder"]
        for state in states:
            assert np.isfinite(tf.cast(state, tf.float32)).all()


def test_t5_in_float16_is_clamped_and_keeps_what_did_not_overflow():
    model = make("t5", dtype="float16")
    down = model.encoder.blocks[0].feedforward.down.weight
    down.assign(tf.fill(down.shape, tf.cast(30_000.0, tf.float16)))
    states = model.hidden_states(inputs_for(model, random_ids()))["encoder"]
    assert all(np.isfinite(state).all() for state in states)
    assert np.abs(states[1]).max() == 64504.0 or np.abs(states[1]).max() < 64504.0


def gradient_of(model, path, ids):
    weight = model.weights_by_path()[path].value
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(model(ids)))
    return tape.gradient(loss, weight).numpy()


def test_configurations_come_as_dictionaries_too():
    config = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1}
    for cls in (BertModel, GPTModel, T5Model):
        assert cls(config).config == TransformerConfig(**config)


@pytest.mark.parametrize(
    ("kind", "make"), [(GPTModel, tiny_configs.llama), (T5Model, tiny_configs.t5)]
)
def test_a_narrower_token_table_cannot_be_the_head_of_a_language_model(kind, make):
    with pytest.raises(ConfigError, match="embedding_size=8 and hidden_size=16"):
        kind(make(7, embedding_size=8, tie_word_embeddings=True))
