"""Asking for the first tokens alone gives what asking for all gives, cut."""

import numpy as np
import pytest
import tensorflow as tf

from zoo.config import TransformerConfig
from zoo.layers import Stack

MECHANISMS = {
    "post": {"norm_place": "post"},
    "pre, rotary, grouped": {"position": "rotary", "num_key_value_heads": 2},
    "sandwich, window": {"norm_place": "sandwich", "sliding_window": 3},
    "parallel, alibi": {"norm_place": "parallel", "position": "alibi"},
    "relative": {"position": "relative", "attention_bias": False},
}


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("causal", [False, True])
def test_the_first_tokens_are_those_of_the_whole(mechanism, causal):
    config = TransformerConfig(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        **MECHANISMS[mechanism],
    )
    stack = Stack(config, causal=causal)
    stack.build()
    for weight in stack.weights:
        if weight.dtype == "float32":
            weight.assign(tf.random.stateless_normal(weight.shape, [1, 2]) * 0.3)
    x = tf.random.stateless_normal([3, 7, 24], [3, 4])
    mask = np.array([[1] * 7, [0, 0, 1, 1, 1, 1, 1], [0] * 7])
    options = {"attention_mask": mask, "position_ids": tf.range(7)}
    whole = stack(x, **options)
    np.testing.assert_allclose(
        stack(x, first=2, **options), whole[:, :2], atol=1e-5, rtol=1e-5
    )


def test_gradients_are_those_of_the_whole():
    config = TransformerConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=4, norm_place="post"
    )
    stack = Stack(config)
    stack.build()
    x = tf.random.stateless_normal([3, 7, 24], [3, 4])

    def gradients(first):
        with tf.GradientTape() as tape:
            y = stack(x, first=first, position_ids=tf.range(7))[:, :1]
            loss = tf.reduce_sum(y * tf.range(24.0))
        return tape.gradient(loss, [w.value for w in stack.trainable_weights])

    for short, whole in zip(gradients(1), gradients(None), strict=True):
        np.testing.assert_allclose(short, whole, atol=1e-4, rtol=1e-4)
