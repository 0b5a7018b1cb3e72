"""Ragged rows without the dense detour of TensorFlow's own functions.

`tf.repeat`, `value_rowids` and what stands on them lay rows out as a rectangle of rows
times the longest row: one word of 100,000 characters among short ones fills the memory.
"""

import tensorflow as tf


def row_ids(splits):
    """The row of each value, int32 `[total]`, from row splits `[N + 1]`."""
    total = splits[-1]
    marks = tf.zeros([total + 1], tf.int32)
    inner = splits[1:-1, None]
    marks = tf.tensor_scatter_nd_add(marks, inner, tf.ones_like(inner[:, 0], tf.int32))
    return tf.cumsum(marks[:-1])


def splits_of(lengths):
    """Row splits int64 `[N + 1]` from lengths `[N]`."""
    return tf.concat([[0], tf.cumsum(tf.cast(lengths, tf.int64))], 0)


def ragged(values, splits):
    """Ragged `[N, (values)]`."""
    return tf.RaggedTensor.from_row_splits(values, splits, validate=False)


def keep(rows, mask):
    """Ragged `[N, (values)]` with only the values where `mask` `[total]` is True."""
    count = tf.concat([[0], tf.cumsum(tf.cast(mask, tf.int64))], 0)
    return ragged(tf.boolean_mask(rows.values, mask), tf.gather(count, rows.row_splits))


def joined(outer_splits, rows):
    """Rows put together, as the splits of an outer level group them."""
    return ragged(rows.values, tf.gather(rows.row_splits, outer_splits))


def partitioned(mask):
    """Where each row went when those of `mask` `[N]` were put behind the others."""
    ones = tf.cast(mask, tf.int32)
    behind = tf.size(ones) - tf.reduce_sum(ones) + tf.cumsum(ones) - 1
    return tf.where(mask, behind, tf.cumsum(1 - ones) - 1)


def firsts(splits):
    """True for each value that is the first of its row, `[total]`."""
    total = splits[-1]
    starts = tf.boolean_mask(splits[:-1], splits[1:] > splits[:-1])[:, None]
    marks = tf.scatter_nd(starts, tf.ones_like(starts[:, 0], tf.int32), [total])
    return marks > 0
