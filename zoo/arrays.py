"""Memory that a file is read into once and that TensorFlow then adopts as it is.

TensorFlow keeps tensors on 64-byte boundaries. An array that NumPy allocates is not on
one, and `tf.convert_to_tensor` copies in any case. An array from `aligned_zeros` goes
through DLPack instead and is shared: 500 MB in 2 ms.
"""

import math

import ml_dtypes  # noqa: F401  registers "bfloat16" as a NumPy dtype name
import numpy as np

ALIGNMENT = 64


def as_dtype(dtype):
    """A NumPy dtype from its name or class, "bfloat16" included."""
    return np.dtype(getattr(dtype, "as_numpy_dtype", dtype))


def aligned_zeros(shape, dtype):
    """Zeros whose memory starts on a 64-byte boundary.

    The system hands out zeroed pages as they are touched, so what a file is read into
    at once costs nothing to clear.
    """
    dtype = as_dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    memory = np.zeros(size + ALIGNMENT, np.uint8)
    first = -memory.ctypes.data % ALIGNMENT
    return memory[first : first + size].view(dtype).reshape(shape)


def as_tensor(array):
    """A TensorFlow tensor of the same values, in the same memory where possible.

    Contiguous arrays on a 64-byte boundary are shared, others are copied. Do not write
    to the array afterwards: the tensor would change with it. A variable that the tensor
    is assigned to takes the memory over as well.
    """
    import tensorflow as tf  # 4 s, and only needed here

    shared = (
        array.flags.c_contiguous
        and array.flags.writeable
        and array.ctypes.data % ALIGNMENT == 0  # TensorFlow would abort the process
        and array.dtype.kind != "b"  # which DLPack and bitcast do not know
    )
    if not shared:
        return tf.convert_to_tensor(array)
    # DLPack in NumPy does not know bfloat16: pass the bits, and name the type after.
    bits = array.view(f"u{array.itemsize}")
    tensor = tf.experimental.dlpack.from_dlpack(bits.__dlpack__())
    return tf.bitcast(tensor, tf.as_dtype(array.dtype))
