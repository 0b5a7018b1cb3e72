"""How new weights begin: normal, or left out where a checkpoint will fill them."""

import contextlib
import threading

import keras
import tensorflow as tf

from zoo.arrays import aligned_zeros, as_tensor

_state = threading.local()


@contextlib.contextmanager
def uninitialized():
    """Within this scope `Normal` hands out untouched zero pages instead of numbers.

    A model that a checkpoint fills at once is then built without drawing, and without
    touching, as much memory as it has weights.
    """
    with _beginning("zero pages"):
        yield


@contextlib.contextmanager
def outline():
    """Within this scope weights have a shape and a dtype, but no values and no memory.

    Of layers that are all alike a stack makes one. Thus a checkpoint can be compared
    with a model of any size before memory is taken for it.
    """
    with tf.Graph().as_default(), _beginning("outline"):
        yield


def in_outline():
    """Whether weights are made that have a shape only."""
    return getattr(_state, "beginning", "") == "outline"


@contextlib.contextmanager
def _beginning(kind):
    before = getattr(_state, "beginning", "")
    _state.beginning = kind
    try:
        yield
    finally:
        _state.beginning = before


@keras.saving.register_keras_serializable(package="zoo")
class Normal(keras.initializers.Initializer):
    """Normal numbers of mean 0 and standard deviation `stddev`, as BERT and GPT begin.

    Draws are seeded by `keras.utils.set_random_seed`.
    """

    def __init__(self, stddev=0.02):
        self.stddev = stddev

    def __call__(self, shape, dtype=None):
        dtype = dtype or "float32"
        if in_outline():
            return tf.zeros(shape, dtype)
        if getattr(_state, "beginning", "") == "zero pages":
            return as_tensor(aligned_zeros(shape, tf.as_dtype(dtype)))
        return keras.random.normal(shape, stddev=self.stddev, dtype=dtype)

    def get_config(self):
        return {"stddev": self.stddev}
