"""Linear: the one layer that multiplies by a weight, stored [out, in] as in HF."""

import keras
import tensorflow as tf

from zoo.layers.initializers import Normal
from zoo.layers.lora import Lora
from zoo.layers.xla import barrier, in_xla

# Tokens a row up to which the weight is the left operand in XLA: with 6, a pass of
# GPT-2 on a CPU took 9.6 times as long as with one the other way, and 2.1 times so.
FEW = 16


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

    _lora: Lora | None = None  # hidden, for a checkpoint's table knows nothing of it

    def __init__(self, units, *, use_bias=True, stddev=0.02, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.use_bias = use_bias
        self.stddev = stddev
        self.bias = None

    @classmethod
    def of(cls, config, units, **kwargs):
        """One whose new weight is drawn as a TransformerConfig says."""
        return cls(units, stddev=config.initializer_range, **kwargs)

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
        y = multiply(x, self.weight, self.bias)
        return y if self._lora is None else self._lora(x, y)

    def part(self, x, start, stop=None):
        """Only the outputs from `start` to `stop`, `[..., stop - start]`."""
        if self._lora is not None:
            return self(x)[..., start:stop]
        bias = None if self.bias is None else self.bias[start:stop]
        return multiply(x, self.weight[start:stop], bias)

    @property
    def adapted(self):
        """Whether LoRA changes what the weight alone gives."""
        return self._lora is not None

    def whole_weight(self):
        """The weight `[out, in]` with what LoRA adds to it, which gradients reach.

        None where LoRA drops some of its inputs: no weight says that.
        """
        weight = tf.convert_to_tensor(self.weight)
        if self._lora is None:
            return weight
        return None if self._lora.rate else self._lora.added(weight)

    def add_lora(self, parts, *, rank, scale, rate=0.0):
        """Gives the layer a `Lora`, in place of one that it may have."""
        self.remove_lora()
        lora = Lora(
            parts,
            rank=rank,
            scale=scale,
            rate=rate,
            dtype=self.dtype_policy,
            name=f"{self.path.replace('/', '.')}.lora",  # its weights tell their layer
        )
        lora.build((None, self.weight.shape[1]))
        self._tracker.unlock()  # Keras locks layers that are built
        self._lora = lora
        self._tracker.lock()

    def remove_lora(self):
        """Takes it away again."""
        if self._lora is not None:
            self._tracker.unlock()
            self._tracker.untrack(self._lora)
            self._lora = None
            self._tracker.lock()

    def merge_lora(self):
        """Adds its product to the weight, and takes it away."""
        if self._lora is None:
            return
        weight = tf.cast(self.weight, tf.float64).numpy()
        for start, stop, change in self._lora.changes():
            weight[start:stop] += change
        self.weight.assign(tf.cast(weight, self.weight.dtype))
        self.remove_lora()

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "use_bias": self.use_bias,
            "stddev": self.stddev,
        }


def multiply(x, weight, bias=None):
    """`x W^T + b` for x `[..., in]`, W `[out, in]` and b `[out]`, in the dtype of x.

    One matrix product over all leading dimensions: TensorFlow's batched product with a
    broadcast weight is several times slower. The bias is added before the result takes
    its shape, where TensorFlow makes one kernel of both.

    Where W narrows, that kernel is slow on a CPU: the product of a batch of one matrix
    is up to 1.1 times as fast at 2,048 rows, 1.5 at 128 and 5 at 16 (in 3,072, out
    768). Single tokens, as decoding has them, are read faster by the plain one.
    """
    weight, flat = tf.cast(weight, x.dtype), x
    if x.shape.rank != 2:
        flat = tf.reshape(x, [-1, x.shape[-1]])
    single = x.shape.rank == 3 and x.shape[1] == 1
    if few_tokens(x) and in_xla():
        y = tf.transpose(barrier(tf.matmul(weight, flat, transpose_b=True)))
    elif x.shape.rank == 3 and not single and weight.shape[0] < weight.shape[1]:
        # Not by indexing: the gradient of an index is a copy among zeros.
        batch, weights = tf.expand_dims(flat, 0), tf.expand_dims(weight, 0)
        y = tf.squeeze(tf.matmul(batch, weights, transpose_b=True), [0])
    else:
        y = tf.matmul(flat, weight, transpose_b=True)
    if bias is not None:
        y = tf.nn.bias_add(y, tf.cast(bias, x.dtype))
    if x.shape.rank == 2:
        return y
    y = tf.reshape(y, tf.concat([tf.shape(x)[:-1], [weight.shape[0]]], 0))
    y.set_shape([*x.shape[:-1], weight.shape[0]])
    return y


def few_tokens(x):
    """Whether `[B, T, D]` has as few tokens a row as passes of decoding have."""
    if x.shape.rank != 3 or x.shape[1] is None:
        return False
    return x.shape[1] <= (FEW if in_xla() else 1)
