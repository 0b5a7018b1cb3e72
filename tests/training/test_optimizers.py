"""Biases and norms do not decay, layers have their rates, and Keras's parts work."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.errors import ConfigError
from zoo.training.optimizers import Adafactor, AdamW


def variables():
    random = np.random.default_rng(0)
    return [
        keras.Variable(random.normal(size=shape).astype("float32"), name=name)
        for name, shape in (("matrix", (4, 3)), ("bias", (4,)))
    ]


def run(optimizer, weights, steps=3):
    random = np.random.default_rng(1)
    for _ in range(steps):
        gradients = [random.normal(size=w.shape).astype("float32") for w in weights]
        optimizer.apply([tf.constant(g) for g in gradients], weights)
    return [w.numpy() for w in weights]


PAIRS = [
    (AdamW, keras.optimizers.AdamW, {"weight_decay": 0.1}),
    (AdamW, keras.optimizers.AdamW, {"weight_decay": 0.0, "global_clipnorm": 0.5}),
    (Adafactor, keras.optimizers.Adafactor, {}),
    (Adafactor, keras.optimizers.Adafactor, {"weight_decay": 0.1, "clipnorm": 0.5}),
    (AdamW, keras.optimizers.AdamW, {"use_ema": True, "ema_momentum": 0.9}),
]


@pytest.mark.parametrize(("ours", "theirs", "options"), PAIRS)
def test_steps_equal_those_of_keras_but_that_biases_do_not_decay(ours, theirs, options):
    reference = theirs(0.02, **options)
    reference.exclude_from_weight_decay(var_names=["bias"])
    expected = run(reference, variables())
    found = run(ours(0.02, **options), variables())
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-6, atol=2e-7)


def test_adafactor_keeps_a_row_and_a_column_of_a_matrix():
    optimizer = Adafactor(0.02)
    optimizer.build(variables())
    shapes = [tuple(v.shape) for v in optimizer.variables[2:]]
    assert shapes == [(4,), (3,), (4,)]  # row and column of the matrix; the bias


@pytest.mark.parametrize("kind", [AdamW, Adafactor])
def test_a_weight_whose_path_matches_has_a_rate_of_its_own(kind):
    before = [w.numpy() for w in variables()]
    same = run(kind(0.02), variables(), 1)
    slow = run(kind(0.02, rates=[("mat*", 0.5), ("*", 0.0)]), variables(), 1)
    moved = [new - old for new, old in zip(same, before, strict=True)]
    np.testing.assert_allclose(slow[0] - before[0], moved[0] / 2, rtol=2e-4)
    np.testing.assert_array_equal(slow[1], before[1])


@pytest.mark.parametrize("kind", [AdamW, Adafactor])
def test_an_optimizer_goes_through_its_configuration(kind):
    optimizer = kind(0.02, rates=[("*/embeddings/*", 0.1)], weight_decay=0.1)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(again) is kind
    assert again.rates == optimizer.rates
    with pytest.raises(ConfigError, match="factor of at least 0"):
        kind(rates=[("*", -1)])


def test_kerass_moving_average_is_one_and_replaces_the_weights_in_the_end():
    weights, average = variables(), None
    optimizer = AdamW(0.02, use_ema=True, ema_momentum=0.9)
    for _ in range(3):
        (value, _) = run(optimizer, weights, 1)
        average = value if average is None else 0.9 * average + 0.1 * value
    optimizer.finalize_variable_values(weights)
    np.testing.assert_allclose(weights[0], average, rtol=1e-6)


def test_a_row_that_comes_twice_is_clipped_by_the_sum_of_its_gradients():
    found = []
    for sparse in (False, True):
        [weight, _] = variables()
        gradient = tf.IndexedSlices(tf.ones([3, 3]), tf.constant([1, 1, 2]), [4, 3])
        if not sparse:
            gradient = tf.convert_to_tensor(gradient)
        optimizer = AdamW(0.1, global_clipnorm=1.0, epsilon=1.0)
        optimizer.apply([gradient], [weight])
        found.append(weight.numpy())
    np.testing.assert_allclose(*found, rtol=1e-6)
