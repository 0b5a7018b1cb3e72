"""Layer norm and root-mean-square norm; statistics are always taken in float32."""

import keras
import tensorflow as tf

from zoo.layers.precision import widened


@keras.saving.register_keras_serializable(package="zoo")
class Norm(keras.layers.Layer):
    """Normalises the last axis.

    Args:
        kind: "layer" (Ba et al. 2016, arXiv:1607.06450) or "rms" (Zhang and Sennrich
            2019, arXiv:1910.07467).
        epsilon: Added to the variance (or mean square) before the root.
        use_bias: Whether a layer norm adds a bias; an RMS norm never does.

    Input and output `[..., D]`, in the compute dtype.
    """

    def __init__(self, kind="layer", *, epsilon=1e-5, use_bias=True, **kwargs):
        super().__init__(**kwargs)
        self.kind = kind
        self.epsilon = epsilon
        self.use_bias = use_bias
        self.bias = None

    @classmethod
    def of(cls, config, **kwargs):
        """The norm that a TransformerConfig names."""
        return cls(
            config.norm,
            epsilon=config.layer_norm_eps,
            use_bias=config.norm_bias and config.norm == "layer",
            **kwargs,
        )

    def build(self, input_shape):
        if self.built:
            return
        shape = (input_shape[-1],)
        self.weight = self.add_weight(name="weight", shape=shape, initializer="ones")
        if self.use_bias and self.kind == "layer":
            self.bias = self.add_weight(name="bias", shape=shape, initializer="zeros")
        self.built = True

    def call(self, x):
        wide = widened(x, squared=True)
        wide = normalize(wide, self.epsilon, self.kind == "layer")
        y = tf.cast(wide, x.dtype) * self.weight
        return y if self.bias is None else y + self.bias

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "kind": self.kind,
            "epsilon": self.epsilon,
            "use_bias": self.use_bias,
        }


def normalize(x, epsilon, center):
    """Scales the last axis to mean square 1, after taking its mean off if `center`.

    The gradient is written out: it costs half of what automatic differentiation does.
    """

    def mean(y):
        return tf.reduce_mean(y, -1, keepdims=True)

    @tf.custom_gradient
    def forward(x):
        y = x - mean(x) if center else x
        scale = tf.math.rsqrt(mean(tf.square(y)) + epsilon)
        y *= scale

        def gradient(upstream):
            inner = upstream - y * mean(upstream * y)
            return scale * (inner - mean(upstream) if center else inner)

        return y, gradient

    return forward(x)
