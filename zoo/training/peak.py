"""The machine's peak: how fast it multiplies matrices, measured once."""

import functools
import time

import tensorflow as tf

LARGEST = 8192  # rows; three such matrices take 805 MB in float32
LONG_ENOUGH = 0.04  # seconds, beside which starting a product takes no time
TIMES = 5


@functools.cache
def measured_peak(dtype="float32"):
    """Floating-point operations per second of one device in a product of matrices.

    Square matrices are made larger until a product takes long enough to be measured,
    and then the fastest of a few counts. That takes under a second, once in a
    process.

    Args:
        dtype: In which it is computed: "float32", "bfloat16" or "float16".
    """
    rows, seconds = 256, _seconds(256, dtype)
    while seconds < LONG_ENOUGH and rows < LARGEST:
        rows *= 2
        seconds = _seconds(rows, dtype)
    fastest = min(seconds, *(_seconds(rows, dtype) for _ in range(TIMES)))
    return 2 * rows**3 / fastest


def _seconds(rows, dtype):
    one, other = _matrices(rows, dtype)
    began = time.perf_counter()
    # An element is asked for, since an accelerator answers before it has multiplied.
    float(tf.matmul(one, other)[0, 0])
    return time.perf_counter() - began


@functools.lru_cache(maxsize=1)
def _matrices(rows, dtype):
    one = tf.cast(tf.random.stateless_uniform([rows, rows], [1, rows]), dtype)
    float(tf.matmul(one, one)[0, 0])  # kernels are chosen, memory is had
    return one, one
