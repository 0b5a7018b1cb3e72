"""Gradient checkpointing: the same outputs, draws and gradients for less memory."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.config import TransformerConfig
from zoo.layers.checkpointing import recomputed
from zoo.layers.stack import Stack

SMALL = {
    "vocab_size": 20,
    "hidden_size": 16,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "intermediate_size": 24,
    "attention_probs_dropout_prob": 0.2,
    "hidden_dropout_prob": 0.2,
}
KINDS = {
    "encoder": ({}, {}),
    "rotary": ({"position": "rotary", "norm": "rms"}, {"causal": True}),
    "relative, across": (
        {"position": "relative", "relative_attention_num_buckets": 8},
        {"causal": True, "cross": True},
    ),
    "one block for all": ({"num_hidden_groups": 1}, {}),
}
X = np.random.default_rng(0).normal(size=(2, 5, 16)).astype("float32")
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


@functools.cache
def stack_of(kind):
    keras.utils.set_random_seed(1)
    config, options = KINDS[kind]
    stack = Stack(TransformerConfig(**{**SMALL, **config}), **options)
    stack.build()
    return stack


def gradients(stack, how, checkpointing):
    """Output, gradients, and what dropout draws from afterwards."""
    generators = [v for v in stack.variables if "seed" in v.path]
    for i, generator in enumerate(generators):
        generator.assign([i, 7])
    states = tf.constant(X[:, ::-1]) if stack.cross else None
    watched = [w.value for w in stack.trainable_weights]

    def step(x, states):
        with tf.GradientTape() as tape:
            tape.watch([x] if states is None else [x, states])
            y = stack(
                x,
                attention_mask=MASK,
                position_ids=tf.range(5)[None],
                states=states,
                states_mask=None if states is None else MASK,
                training=True,
            )
            loss = tf.reduce_sum(y * tf.sin(tf.range(16.0)))
        found = tape.gradient(loss, [x, *watched])
        return y, *(tf.convert_to_tensor(g) for g in found)

    stack.gradient_checkpointing = checkpointing
    try:
        if how != "eager":
            step = tf.function(step, jit_compile=how == "XLA")
        found = step(tf.constant(X), states)
    finally:
        stack.gradient_checkpointing = False
    return [x.numpy() for x in (*found, *generators)]


@pytest.mark.parametrize(
    ("kind", "how"),
    [*((kind, "graph") for kind in KINDS), ("encoder", "eager"), ("encoder", "XLA")],
)
def test_outputs_draws_and_gradients_are_the_same(kind, how):
    stack = stack_of(kind)
    plain, again = (gradients(stack, how, c) for c in (False, True))
    for expected, found in zip(plain, again, strict=True):
        size = max(1, np.abs(expected).max())
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * size)


def test_the_inside_is_computed_again_and_only_for_a_gradient():
    calls, weight = [], tf.Variable([2.0, 3.0])

    def inside(x, nothing, y):
        assert nothing is None
        calls.append(x)
        return weight * x * x + y

    run = recomputed(inside)
    x, y = tf.constant([1.0, 2.0]), tf.constant([5.0, 5.0])
    np.testing.assert_array_equal(run(x, None, y), [7, 17])
    assert len(calls) == 1
    with tf.GradientTape() as tape:
        tape.watch([x, y])
        result = run(x, None, y)
    by_x, by_y, by_weight = tape.gradient(result, [x, y, weight])
    assert len(calls) == 3
    np.testing.assert_array_equal(by_x, [4, 12])
    np.testing.assert_array_equal(by_y, [1, 1])
    np.testing.assert_array_equal(by_weight, [1, 4])
