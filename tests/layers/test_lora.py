"""A Linear layer with LoRA adds low-rank products to the features that are adapted."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.layers.linear import Linear

X = np.random.default_rng(0).normal(size=(2, 3, 5)).astype("float32")


def adapted(parts, dtype=None, rate=0.0):
    keras.utils.set_random_seed(1)
    layer = Linear(6, stddev=0.5, dtype=dtype)
    layer.build((None, None, 5))
    layer.add_lora(parts, rank=2, scale=0.7, rate=rate)
    for weight in layer._lora.ups:
        weight.assign(np.random.default_rng(2).normal(size=weight.shape))
    return layer


def by_hand(layer, x=X):
    y = x @ layer.weight.numpy().T + layer.bias.numpy()
    lora = layer._lora
    for (start, stop), a, b in zip(lora.parts, lora.downs, lora.ups, strict=True):
        y[..., start:stop] += 0.7 * (x @ a.numpy().T) @ b.numpy().T
    return y


@pytest.mark.parametrize(
    "parts", [[(0, 6)], [(0, 2)], [(4, 6)], [(0, 2), (4, 6)], [(1, 3), (3, 5)]], ids=str
)
def test_each_part_has_its_own_product(parts):
    layer = adapted(parts)
    expected = by_hand(layer)
    np.testing.assert_allclose(layer(X), expected, atol=1e-5)
    np.testing.assert_allclose(layer(X[0]), expected[0], atol=1e-5)
    np.testing.assert_allclose(layer.part(X, 1, 5), expected[..., 1:5], atol=1e-5)
    layer.merge_lora()
    assert layer._lora is None
    np.testing.assert_allclose(layer(X), expected, atol=1e-5)
    assert len(layer.weights) == 2


def test_it_begins_as_if_it_were_not_there():
    layer = Linear(6, stddev=0.5)
    plain = layer(X).numpy()
    layer.add_lora([(0, 6)], rank=2, scale=3.0)
    np.testing.assert_array_equal(layer(X), plain)
    a = layer._lora.downs[0].numpy()
    assert 0.0 < np.abs(a).max() <= 5**-0.5


def test_a_plain_layer_says_nothing_of_it():
    layer = Linear(6)
    layer.build((None, 5))
    before, paths = layer.get_config(), [w.path for w in layer.weights]
    layer.add_lora([(0, 6)], rank=2, scale=1.0)
    layer.remove_lora()
    assert layer.get_config() == before
    assert [w.path for w in layer.weights] == paths
    assert not [name for name in before if "lora" in name]


def test_dropout_is_for_what_comes_into_a_in_training_alone():
    layer = adapted([(0, 6)], rate=0.5)
    np.testing.assert_allclose(layer(X), by_hand(layer), atol=1e-5)

    class Outer(keras.Model):
        def call(self, x, training=None):
            return layer(x)

    found = Outer()(X, training=True).numpy()
    assert np.abs(found - by_hand(layer)).max() > 0.1


def test_in_half_precision_the_matrices_stay_in_float32_and_graph_and_xla_agree():
    layer = adapted([(0, 2), (4, 6)], dtype="mixed_bfloat16")
    assert {w.dtype for w in layer.weights} == {"float32"}
    found = layer(tf.cast(X, tf.bfloat16))
    assert found.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(found, tf.float32), by_hand(layer), atol=0.05)
    layer = adapted([(0, 2), (4, 6)])
    compiled = tf.function(layer, jit_compile=True)
    np.testing.assert_allclose(compiled(X), by_hand(layer), atol=1e-5)
