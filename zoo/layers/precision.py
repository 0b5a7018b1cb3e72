"""Keeps half-precision numbers finite where float32 would have room for them."""

import tensorflow as tf

LARGEST = 65_504.0  # of float16
# Squares of larger numbers, summed over D, leave float32.
LARGEST_TO_SQUARE = 1e17


def finite(x):
    """Keeps float16 below infinity, as T5's reference does with its residual stream.

    Nothing changes unless something overflowed; other dtypes pass as they are.
    """
    if x.dtype != tf.float16:
        return x
    overflowed = tf.reduce_any(tf.math.is_inf(x))
    limit = tf.cast(tf.where(overflowed, LARGEST - 1000, LARGEST), tf.float16)
    return tf.clip_by_value(x, -limit, limit)


def widened(x, *, squared=False):
    """`x` in float32, without the infinities that float16 overflowed to.

    Args:
        squared: Whether its squares are to be summed. bfloat16 reaches as far as
            float32 does, so that these would overflow: they are kept from it.
    """
    wide = tf.cast(x, tf.float32)
    if x.dtype == tf.float16 and not squared:
        return tf.clip_by_value(wide, -LARGEST, LARGEST)
    if x.dtype == tf.bfloat16 and squared:
        return tf.clip_by_value(wide, -LARGEST_TO_SQUARE, LARGEST_TO_SQUARE)
    return wide
