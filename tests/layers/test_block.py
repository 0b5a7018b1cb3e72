"""Blocks of every kind against plain numpy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.layers import reference
from zoo.config import TransformerConfig
from zoo.layers.block import Block
from zoo.layers.masks import attention_bias, visible_keys
from zoo.layers.positions import rotary_angles
from zoo.layers.precision import finite

SMALL = {
    "hidden_size": 12,
    "num_attention_heads": 4,
    "num_hidden_layers": 1,
    "intermediate_size": 14,
    "position": "none",
}
KINDS = {
    "pre": {},
    "post": {"norm_place": "post"},
    "sandwich": {"norm_place": "sandwich"},
    "parallel": {"norm_place": "parallel"},
    "parallel, gated, rms, multi-query": {
        "norm_place": "parallel",
        "norm": "rms",
        "feedforward": "gated",
        "num_key_value_heads": 1,
    },
    "sandwich, rms, gated, soft cap, grouped": {
        "norm_place": "sandwich",
        "norm": "rms",
        "feedforward": "gated",
        "num_key_value_heads": 2,
        "attn_logit_softcapping": 0.7,
    },
    "rotary, query and key norms": {
        "position": "rotary",
        "qk_norm": "rms",
        "head_dim": 6,
    },
    "layer query and key norms, scale, no biases": {
        "qk_norm": "layer",
        "attention_scale": 0.9,
        "attention_bias": False,
        "mlp_bias": False,
        "norm_bias": False,
        "layer_norm_eps": 0.1,
    },
    "window": {"sliding_window": 2},
    "output bias alone": {"attention_bias": False, "attention_output_bias": True},
}


def randomized(layer, seed=0):
    """The layer with weights in which nothing is one or zero."""
    layer.build()
    random = np.random.default_rng(seed)
    for weight in layer.trainable_weights:
        weight.assign(random.normal(0.3, 0.5, weight.shape))
    return layer


def vectors(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 0, 1, 1, 1], [0, 0, 0, 0, 0]])


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_block_is_its_formula(kind, causal):
    config = TransformerConfig(**{**SMALL, **KINDS[kind]})
    layer = randomized(Block(config))
    x, at = vectors(4, 5, 12), np.arange(5)
    window = config.sliding_window
    visible = np.broadcast_to(MASK[:, None, :] == 1, (4, 5, 5)).copy()
    if causal:
        visible &= at[None, :] <= at[:, None]
    if window:
        visible &= np.abs(at[None, :] - at[:, None]) < window
    pattern = visible_keys(tf.range(5), tf.range(5), causal=causal, window=window)
    angles, theta = None, None
    if config.position == "rotary":
        angles, theta = rotary_angles(config, tf.range(5)[None]), config.rope_theta
    found = layer(x, bias=attention_bias(pattern, MASK), angles=angles)
    expected = reference.block(layer, x.astype(np.float64), visible, theta=theta)
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-4)


def test_a_cross_block_is_its_formula():
    config = TransformerConfig(**SMALL, num_key_value_heads=2)
    layer = randomized(Block(config, cross=True))
    x, states = vectors(4, 3, 12), vectors(4, 5, 12, seed=2)
    visible = np.ones((4, 3, 3), bool)
    across = np.broadcast_to(MASK[:, None, :] == 1, (4, 3, 5))
    found = layer(x, states=states, states_bias=attention_bias(None, MASK))
    expected = reference.block(layer, x.astype(np.float64), visible, states, across)
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-4)


def test_a_query_that_sees_no_key_gets_zeros_from_the_heads():
    layer = randomized(Block(TransformerConfig(**SMALL))).attention
    context = layer.attend(
        *layer.project(tf.constant(vectors(4, 5, 12))), attention_bias(None, MASK)
    )
    assert not np.any(context[3])
    assert np.any(context[:3])
    with tf.GradientTape() as tape:
        x = tf.Variable(vectors(4, 5, 12))
        y = tf.reduce_sum(layer(x, bias=attention_bias(None, MASK)) ** 2)
    gradients = tape.gradient(y, [x, *(w.value for w in layer.trainable_weights)])
    assert all(np.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize("place", ["pre", "post", "sandwich", "parallel"])
def test_the_first_outputs_alone_are_those_of_all(place):
    config = TransformerConfig(
        **{**SMALL, "position": "rotary", "head_dim": 6}, norm_place=place
    )
    layer = randomized(Block(config))
    x, bias = vectors(4, 5, 12), attention_bias(None, MASK)
    angles = rotary_angles(config, tf.range(5)[None])
    whole = layer(x, bias=bias, angles=angles)
    part = layer(x, bias=bias, angles=angles, first=2)
    np.testing.assert_allclose(part, whole[:, :2], rtol=1e-5, atol=1e-5)


def test_dropout_drops_in_training_alone_and_where_it_is_asked_to():
    for name in (
        "hidden_dropout_prob",
        "attention_probs_dropout_prob",
        "feedforward_dropout_prob",
    ):
        keras.utils.set_random_seed(0)
        layer = randomized(Block(TransformerConfig(**SMALL, **{name: 0.5})))
        x = vectors(2, 5, 12)
        plain = layer(x)
        np.testing.assert_array_equal(plain, layer(x, training=False))
        assert np.abs(layer(x, training=True) - plain).max() > 0.01


def test_float16_streams_are_clamped_as_in_the_reference_of_t5():
    x = tf.constant([1.0, -2.0, 65504.0], tf.float16)
    np.testing.assert_array_equal(finite(x), x)
    x = tf.constant([1.0, float("inf"), float("-inf"), 65504.0], tf.float16)
    np.testing.assert_array_equal(finite(x), np.float16([1, 64504, -64504, 64504]))
    x = tf.constant([1.0, float("inf")], tf.float32)
    np.testing.assert_array_equal(finite(x), x)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "mixed_float16"])
@pytest.mark.parametrize("place", ["pre", "sandwich", "parallel", "post"])
@pytest.mark.parametrize("norm", ["layer", "rms"])
def test_half_precision_is_finite_up_to_the_limit_of_the_type(dtype, place, norm):
    config = TransformerConfig(
        **SMALL, norm_place=place, norm=norm, feedforward="gated", attention_scale=1.0
    )
    layer = randomized(Block(config, dtype=dtype))
    limit = float(tf.as_dtype(layer.compute_dtype).max)
    if place == "post":  # what comes into these blocks has been normed
        limit = 200.0
    for size in (limit, limit / 3, 100.0, 1e-4, 0.0):
        for sign in (np.ones(12), np.resize([1, -1], 12), np.eye(12)[0]):
            x = tf.cast(tf.fill([4, 5, 12], 1.0) * size * sign, layer.compute_dtype)
            y = layer(x, bias=attention_bias(None, MASK))
            assert y.dtype == x.dtype
            assert np.isfinite(tf.cast(y, tf.float32)).all(), (size, sign)
