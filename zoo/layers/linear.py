"""Linear: the one layer that multiplies by a weight, stored [out, in] as in HF."""

import keras
import tensorflow as tf

from zoo.layers.initializers import Normal


@keras.saving.register_keras_serializable(package="zoo")
class Linear(keras.layers.Layer):
    """`y = x W^T + b`.

    The weight keeps the layout of checkpoints, so that loading is a copy and not a
    transpose, and this is the one place where the order of operands is chosen.

    Args:
        units: Features that come out.
        use_bias: Whether b exists.
        stddev: Standard deviation of a new weight.

    Input `[..., in]`, output `[..., units]`.
    """

    def __init__(self, units, *, use_bias=True, stddev=0.02, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.use_bias = use_bias
        self.stddev = stddev
        self.bias = None

    def build(self, input_shape):
        if self.built:
            return
        self.weight = self.add_weight(
            name="weight",
            shape=(self.units, input_shape[-1]),
            initializer=Normal(self.stddev),
        )
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(self.units,), initializer="zeros"
            )
        self.built = True

    def call(self, x):
        y = multiply(x, self.weight)
        return y if self.bias is None else tf.nn.bias_add(y, self.bias)

    def part(self, x, start, stop=None):
        """Only the outputs from `start` to `stop`, `[..., stop - start]`."""
        y = multiply(x, tf.cast(self.weight[start:stop], x.dtype))
        if self.bias is None:
            return y
        return tf.nn.bias_add(y, tf.cast(self.bias[start:stop], x.dtype))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "use_bias": self.use_bias,
            "stddev": self.stddev,
        }


def multiply(x, weight):
    """`x W^T` for x `[..., in]` and W `[out, in]`.

    One matrix product over all leading dimensions: TensorFlow's batched product with a
    broadcast weight is several times slower.
    """
    weight = tf.convert_to_tensor(weight)
    if x.shape.rank == 2:
        return tf.matmul(x, weight, transpose_b=True)
    leading = tf.shape(x)[:-1]
    flat = tf.reshape(x, [-1, x.shape[-1]])
    y = tf.reshape(
        tf.matmul(flat, weight, transpose_b=True),
        tf.concat([leading, [weight.shape[0]]], 0),
    )
    y.set_shape([*x.shape[:-1], weight.shape[0]])
    return y
