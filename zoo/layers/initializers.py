"""How new weights begin: normal, or left out while a checkpoint is about to fill them."""

import contextlib
import threading

import keras
import numpy as np
import tensorflow as tf

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
            return zero_pages(shape, dtype)
        return keras.random.normal(shape, stddev=self.stddev, dtype=dtype or "float32")

    def get_config(self):
        return {"stddev": self.stddev}


def zero_pages(shape, dtype):
    """Zeros that cost address space only: the system maps each page when it is written.

    The array begins on a 64-byte boundary, where TensorFlow adopts it without a copy.
    """
    dtype = tf.as_dtype(dtype or "float32").as_numpy_dtype
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    pages = np.zeros(size + 64, np.uint8)
    start = -pages.ctypes.data % 64
    return tf.convert_to_tensor(pages[start : start + size].view(dtype).reshape(shape))
