"""Activations by HF's names, against plain Python in float64."""

import math

import numpy as np
import pytest
import tensorflow as tf

from zoo.errors import ConfigError
from zoo.layers.feedforward import ACTIVATIONS, activation

X = [-9.5, -3.5, -3.0, -1.25, -0.5, -1e-3, 0.0, 1e-3, 0.4, 1.0, 2.5, 3.0, 5.75, 20.0]


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def softplus(x):
    return math.log1p(math.exp(x))


def gelu(x):
    return x * 0.5 * (1 + math.erf(x / math.sqrt(2)))


def gelu_tanh(x):
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


FORMULAS = {
    "gelu": gelu,
    "gelu_python": gelu,
    "gelu_10": lambda x: min(max(gelu(x), -10), 10),
    "gelu_new": gelu_tanh,
    "gelu_fast": gelu_tanh,
    "gelu_pytorch_tanh": gelu_tanh,
    "gelu_python_tanh": gelu_tanh,
    "gelu_accurate": gelu_tanh,
    "quick_gelu": lambda x: x * sigmoid(1.702 * x),
    "relu": lambda x: max(x, 0),
    "relu2": lambda x: max(x, 0) ** 2,
    "relu6": lambda x: min(max(x, 0), 6),
    "leaky_relu": lambda x: x if x > 0 else 0.01 * x,
    "silu": lambda x: x * sigmoid(x),
    "swish": lambda x: x * sigmoid(x),
    "mish": lambda x: x * math.tanh(softplus(x)),
    "hardswish": lambda x: x * min(max(x + 3, 0), 6) / 6,
    "laplace": lambda x: (
        0.5 * (1 + math.erf((x - 0.707107) / (0.282095 * math.sqrt(2))))
    ),
    "sqrtsoftplus": lambda x: math.sqrt(softplus(x)),
    "sigmoid": sigmoid,
    "tanh": math.tanh,
    "linear": lambda x: x,
}


def test_every_activation_has_a_formula_here():
    assert ACTIVATIONS.keys() == FORMULAS.keys()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_its_formula(name):
    found = activation(name)(tf.constant(X, tf.float32))
    expected = [FORMULAS[name](x) for x in X]
    # float32 loses the small difference of 1 and erf or tanh at the far left.
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=3e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_gradient_of_an_activation_is_that_of_its_formula(name):
    places = [-4.1, -1.25, -0.3, 0.4, 1.1, 2.5]
    x = tf.constant(places)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = activation(name)(x)
    step, formula = 1e-6, FORMULAS[name]
    expected = [(formula(v + step) - formula(v - step)) / (2 * step) for v in places]
    np.testing.assert_allclose(tape.gradient(y, x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_keeps_the_dtype(name, dtype):
    assert activation(name)(tf.constant(X, dtype)).dtype.name == dtype


def test_an_activation_with_weights_of_its_own_is_refused():
    with pytest.raises(ConfigError, match="'prelu' is unknown"):
        activation("prelu")
