"""Ragged rows without the dense detour of TensorFlow's own functions.

`tf.repeat`, `value_rowids` and what stands on them lay rows out as a rectangle of rows
times the longest row: one word of 100,000 characters among short ones fills the memory.
Others (`tf.boolean_mask`, `tf.concat` of ragged tensors) are 30 to 90 nodes of a graph
each; here they are few, since a `tf.data` pipeline optimises its graphs in every epoch.
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


def taken(values, mask):
    """The values `[total, ...]` where `mask` `[total]` is True."""
    return tf.gather(values, tf.reshape(tf.where(mask), [-1]))


def stacked(tables):
    """Ragged `[N, (values)]`, one below the other."""
    splits = [tables[0].row_splits]
    end = splits[0][-1]
    for table in tables[1:]:
        later = table.row_splits + end
        splits.append(later[1:])
        end = later[-1]
    return ragged(tf.concat([t.values for t in tables], 0), tf.concat(splits, 0))


def beside(tables):
    """Ragged `[N, (values)]` of one N: the rows of all, each behind the one before."""
    if len(tables) == 1:
        return tables[0]
    count = len(tables)
    both = stacked(tables)
    places = tf.range(tf.size(both.row_splits) - 1)
    order = tf.reshape(tf.transpose(tf.reshape(places, [count, -1])), [-1])
    found = tf.gather(both, order)
    return ragged(found.values, found.row_splits[::count])


def keep(rows, mask):
    """Ragged `[N, (values)]` with only the values where `mask` `[total]` is True."""
    count = tf.concat([[0], tf.cumsum(tf.cast(mask, tf.int64))], 0)
    return ragged(taken(rows.values, mask), tf.gather(count, rows.row_splits))


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
    starts = taken(splits[:-1], splits[1:] > splits[:-1])[:, None]
    marks = tf.scatter_nd(starts, tf.ones_like(starts[:, 0], tf.int32), [total])
    return marks > 0
