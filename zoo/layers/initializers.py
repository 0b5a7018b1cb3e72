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
    before = getattr(_state, "skip", False)
    _state.skip = True
    try:
        yield
    finally:
        _state.skip = before


@keras.saving.register_keras_serializable(package="zoo")
class Normal(keras.initializers.Initializer):
    """Normal numbers of mean 0 and standard deviation `stddev`, as BERT and GPT begin.

    Draws are seeded by `keras.utils.set_random_seed`.
    """

    def __init__(self, stddev=0.02):
        self.stddev = stddev

    def __call__(self, shape, dtype=None):
        if getattr(_state, "skip", False):
            return as_tensor(aligned_zeros(shape, tf.as_dtype(dtype or "float32")))
        return keras.random.normal(shape, stddev=self.stddev, dtype=dtype or "float32")

    def get_config(self):
        return {"stddev": self.stddev}
