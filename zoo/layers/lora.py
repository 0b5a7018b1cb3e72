"""LoRA: what a low-rank product adds to a Linear layer (Hu et al. 2021, 2106.09685)."""

import keras
import tensorflow as tf

from zoo.layers.dropout import Dropout


@keras.saving.register_keras_serializable(package="zoo")
class Lora(keras.layers.Layer):
    """`y + s B A dropout(x)`, for some of the features of y.

    A layer that stacks several projections, such as queries, keys and values, has a
    pair of A and B for each that is adapted, as if they were layers of their own.

    Args:
        parts: Pairs (first, last + 1) of features of y, ascending and disjoint; each
            has an A `[rank, in]` and a B `[features, rank]`.
        rank: Rows of A.
        scale: The number s, which peft calls scaling.
        rate: Of dropout on x, in training.
    """

    def __init__(self, parts, *, rank, scale, rate=0.0, **kwargs):
        super().__init__(**kwargs)
        self.parts = tuple(tuple(part) for part in parts)
        self.rank = rank
        self.scale = scale
        self.rate = rate
        self.dropout = Dropout(rate, dtype=self.dtype_policy)

    def build(self, input_shape):
        if self.built:
            return
        width = input_shape[-1]
        # As `torch.nn.Linear` begins, and so peft: uniform to 1 / sqrt(in).
        uniform = keras.initializers.RandomUniform(-(width**-0.5), width**-0.5)
        self.downs, self.ups = [], []
        for start, stop in self.parts:
            self.downs.append(
                self.add_weight(
                    name=f"lora_A_{start}",
                    shape=(self.rank, width),
                    initializer=uniform,
                )
            )
            self.ups.append(
                self.add_weight(
                    name=f"lora_B_{start}",
                    shape=(stop - start, self.rank),
                    initializer="zeros",
                )
            )
        self.built = True

    def call(self, x, y, training=None):
        """Adds to y.

        Args:
            x: What came into the layer, `[..., in]`.
            y: What came out of it, `[..., units]`.
        """
        dtype, whole = y.dtype, tf.shape(y)
        flat = tf.reshape(self.dropout(x, training=training), [-1, x.shape[-1]])
        rows = tf.reshape(y, [-1, y.shape[-1]])
        below = tf.concat([tf.cast(down, dtype) for down in self.downs], 0)
        low = tf.matmul(tf.cast(flat, dtype), below, transpose_b=True)
        lows = tf.split(low * tf.cast(self.scale, dtype), len(self.parts), -1)
        pieces, at = [], 0
        for (start, stop), low, up in zip(self.parts, lows, self.ups, strict=True):
            if start > at:
                pieces.append(rows[:, at:start])
            change = tf.matmul(low, tf.cast(up, dtype), transpose_b=True)
            pieces.append(rows[:, start:stop] + change)
            at = stop
        if at < y.shape[-1]:
            pieces.append(rows[:, at:])
        rows = pieces[0] if len(pieces) == 1 else tf.concat(pieces, -1)
        return tf.ensure_shape(tf.reshape(rows, whole), y.shape)

    def added(self, weight):
        """The weight `[units, in]` and what is added to it, with gradients for both."""
        pieces, at = [], 0
        for (start, stop), down, up in zip(
            self.parts, self.downs, self.ups, strict=True
        ):
            change = tf.matmul(up.value, down.value) * self.scale
            pieces += [weight[at:start], weight[start:stop] + change]
            at = stop
        return tf.concat([*pieces, weight[at:]], 0)

    def changes(self):
        """What is added to the weight: triples (first row, last + 1, `s B A`)."""
        for (start, stop), down, up in zip(
            self.parts, self.downs, self.ups, strict=True
        ):
            # In double precision: the one rounding is that of the merged weight.
            product = tf.matmul(tf.cast(up, tf.float64), tf.cast(down, tf.float64))
            yield start, stop, product * self.scale

    def get_config(self):
        return {
            **super().get_config(),
            "parts": self.parts,
            "rank": self.rank,
            "scale": self.scale,
            "rate": self.rate,
        }
