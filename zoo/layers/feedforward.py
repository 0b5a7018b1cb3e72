"""The feed-forward layer, plain or gated, and activations by HF's names for them."""

import difflib
import functools
import math

import keras
import tensorflow as tf

from zoo.config import TransformerConfig
from zoo.errors import ConfigError
from zoo.layers.dropout import Dropout
from zoo.layers.linear import Linear, few_tokens
from zoo.layers.precision import finite

# Gradients of the two gelus are written out: what automatic differentiation makes of
# them costs about twice as many passes over the largest activations of a model.


@tf.custom_gradient
def gelu(x):
    """Gaussian error linear unit, exact (Hendrycks and Gimpel, arXiv:1606.08415)."""
    below = 0.5 + 0.5 * tf.math.erf(x * tf.cast(0.5**0.5, x.dtype))

    def gradient(upstream):
        density = tf.exp(-0.5 * x * x) * tf.cast((2 * math.pi) ** -0.5, x.dtype)
        return upstream * (below + x * density)

    return x * below, gradient


@tf.custom_gradient
def gelu_tanh(x):
    """The same through tanh, as GPT-2 has it."""
    root, cubic = tf.cast((2 / math.pi) ** 0.5, x.dtype), tf.cast(0.044715, x.dtype)
    square = x * x
    below = 0.5 + 0.5 * tf.tanh(root * x * (1 + cubic * square))

    def gradient(upstream):
        density = 2 * below * (1 - below) * root * (1 + 3 * cubic * square)
        return upstream * (below + x * density)

    return x * below, gradient


def quick_gelu(x):
    return x * tf.sigmoid(1.702 * x)


def laplace(x):
    """Normal distribution nearest to a squared ReLU (Ma et al., arXiv:2209.10655)."""
    return 0.5 + 0.5 * tf.math.erf((x - 0.707107) / (0.282095 * 2**0.5))


# Behind a product TensorFlow finds these, and makes one kernel of both.
IN_INFERENCE = {
    gelu: functools.partial(tf.nn.gelu, approximate=False),
    gelu_tanh: functools.partial(tf.nn.gelu, approximate=True),
}
# All that `transformers` has, but prelu and xielu: these have weights of their own.
ACTIVATIONS = {
    "gelu": gelu,
    "gelu_python": gelu,
    "gelu_new": gelu_tanh,
    "gelu_fast": gelu_tanh,
    "gelu_pytorch_tanh": gelu_tanh,
    "gelu_python_tanh": gelu_tanh,
    "gelu_accurate": gelu_tanh,
    "gelu_10": lambda x: tf.clip_by_value(gelu(x), -10, 10),
    "quick_gelu": quick_gelu,
    "relu": tf.nn.relu,
    "relu2": lambda x: tf.square(tf.nn.relu(x)),
    "relu6": tf.nn.relu6,
    "silu": tf.nn.silu,
    "swish": tf.nn.silu,
    "mish": lambda x: x * tf.tanh(tf.nn.softplus(x)),
    "leaky_relu": lambda x: tf.nn.leaky_relu(x, 0.01),
    "hardswish": lambda x: x * (tf.nn.relu6(x + 3) / 6),
    "laplace": laplace,
    "sqrtsoftplus": lambda x: tf.sqrt(tf.nn.softplus(x)),
    "tanh": tf.tanh,
    "sigmoid": tf.sigmoid,
    "linear": tf.identity,
}


def activation(name):
    """The function that HF's config.json calls `name`; elementwise, keeps the dtype.

    Raises:
        ConfigError: if there is none, naming the closest.
    """
    if name not in ACTIVATIONS:
        close = difflib.get_close_matches(str(name), ACTIVATIONS, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        raise ConfigError(
            f"hidden_act={name!r} is unknown. {hint}Known: {', '.join(ACTIVATIONS)}."
        )
    return ACTIVATIONS[name]


@keras.saving.register_keras_serializable(package="zoo")
class FeedForward(keras.layers.Layer):
    """`down(act(up(x)))`, or gated `down(act(gate) * up)` (Shazeer, arXiv:2002.05202).

    A gated layer makes gate and up in one product: their rows are stacked in this
    order in the weight of `up`.

    Args:
        config: TransformerConfig, or the dictionary of one.

    Input and output `[B, T, D]`.
    """

    def __init__(self, config, **kwargs):
        super().__init__(**kwargs)
        self.config = config = TransformerConfig.of(config)
        self.gated = config.feedforward == "gated"
        self.activation = activation(config.hidden_act)
        options = {"dtype": self.dtype_policy}
        biased = {"use_bias": config.mlp_bias, **options}
        units = config.intermediate_size * (1 + self.gated)
        self.up = Linear.of(config, units, name="up", **biased)
        self.down = Linear.of(config, config.hidden_size, name="down", **biased)
        self.dropout = Dropout(config.feedforward_dropout_prob, **options)

    def build(self, input_shape=None):
        if self.built:
            return
        self.up.build((None, None, self.config.hidden_size))
        self.down.build((None, None, self.config.intermediate_size))
        self.built = True

    def call(self, x, training=None):
        shape = tf.shape(x)
        act = self.activation
        if not training:
            act = IN_INFERENCE.get(act, act)
        # All tokens in one matrix: nothing stands between product and activation, so
        # that TensorFlow makes one kernel of them where it can.
        flat = x if few_tokens(x) else tf.reshape(x, [-1, x.shape[-1]])
        y = finite(self.up(flat))
        if self.gated:
            gate, y = tf.split(y, 2, -1)
            y = finite(y * act(gate))
        else:
            y = act(y)
        y = tf.reshape(y, [shape[0], shape[1], y.shape[-1]])
        y.set_shape([*x.shape[:-1], y.shape[-1]])
        return self.down(self.dropout(y, training=training))

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "config": self.config.to_dict()}
