"""Dropout: how many fall, what becomes of the others, and whether draws repeat."""

import keras
import numpy as np
import pytest

from zoo.layers.dropout import Dropout


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_rate_falls_and_the_others_grow(rate):
    y = Dropout(rate, seed=1)(np.ones((100, 1001), np.float32), training=True).numpy()
    assert abs((y == 0).mean() - rate) < 0.01
    np.testing.assert_allclose(y[y != 0], 1 / (1 - rate), rtol=1e-4)


def test_draws_differ_from_call_to_call_and_repeat_with_the_seed():
    x = np.ones((4, 50), np.float32)
    one, other = Dropout(0.5, seed=3), Dropout(0.5, seed=3)
    first, second = one(x, training=True).numpy(), one(x, training=True).numpy()
    assert (first != second).any()
    np.testing.assert_array_equal(first, other(x, training=True))
    keras.utils.set_random_seed(5)
    third = Dropout(0.5)(x, training=True).numpy()
    keras.utils.set_random_seed(5)
    np.testing.assert_array_equal(third, Dropout(0.5)(x, training=True))


@pytest.mark.parametrize("rate", [0.0, 1e-9, 0.999999])
def test_extreme_rates_stay_finite(rate):
    x = np.ones((2, 3), np.float32)
    assert np.isfinite(Dropout(rate)(x, training=True)).all()
    np.testing.assert_array_equal(Dropout(rate)(x), x)
