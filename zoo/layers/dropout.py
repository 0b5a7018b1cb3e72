"""Dropout that draws 16 random bits for each number instead of a 32-bit float.

On a CPU the random numbers of attention dropout cost more than the attention: half the
bits take half the time, and a rate is still met to within 1 / 65,536.
"""

import contextlib
import threading

import keras
import numpy as np
import tensorflow as tf


@keras.saving.register_keras_serializable(package="zoo")
class Dropout(keras.layers.Layer):
    """Sets numbers to 0 with probability `rate` in training and scales up the others.

    Srivastava et al. 2014. Draws are seeded by `seed`, or by
    `keras.utils.set_random_seed`; the state of the generator is a variable, so that a
    checkpoint of all variables resumes the same sequence.

    Input and output of any shape.
    """

    def __init__(self, rate, *, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.seed = seed
        self.supports_masking = True
        self.generator = keras.random.SeedGenerator(seed) if rate > 0 else None
        self.built = True

    def call(self, x, training=False):
        if not training or self.generator is None:
            return x
        return x * self.factors(tf.shape(x), self.draw(), x.dtype)

    def draw(self):
        """A seed, int32 `[2]`."""
        return tf.cast(next_seed(self.generator), tf.int32)

    def factors(self, shape, seed, dtype):
        """What numbers are multiplied by: 0, or the same number above 1."""
        dropped = min(round(self.rate * 65_536), 65_535)
        kept = tf.cast(random_bits(shape, seed) >= np.uint16(dropped), dtype)
        return kept * tf.cast(65_536 / (65_536 - dropped), dtype)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


class Draws:
    """The seeds that dropout takes in a computation, for the same computation again."""

    def __init__(self):
        self.seeds = []
        self.again = None

    @contextlib.contextmanager
    def kept(self):
        """Inside, dropout draws as ever, and its seeds are remembered."""
        before, _place.draws = getattr(_place, "draws", None), self
        try:
            yield
        finally:
            _place.draws = before

    @contextlib.contextmanager
    def repeated(self):
        """Inside, dropout takes the remembered seeds in their order."""
        self.again = iter(self.seeds)
        try:
            with self.kept():
                yield
        finally:
            self.again = None

    def seed(self, generator):
        if self.again is not None:
            return next(self.again)
        self.seeds.append(generator.next())
        return self.seeds[-1]


_place = threading.local()  # which Draws the computation of a thread belongs to


def next_seed(generator):
    """The next seed of a generator, or of the Draws that are open."""
    draws = getattr(_place, "draws", None)
    return generator.next() if draws is None else draws.seed(generator)


def random_bits(shape, seed):
    """Uniform uint16 numbers of this shape; `seed` is int32 `[2]`."""
    size = tf.reduce_prod(shape)
    pairs = tf.random.stateless_uniform(
        [(size + 1) // 2], seed, minval=None, maxval=None, dtype=tf.int32
    )
    return tf.reshape(tf.reshape(tf.bitcast(pairs, tf.uint16), [-1])[:size], shape)
