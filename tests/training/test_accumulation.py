"""Sums over the parts of a batch, the last of which may be smaller."""

import numpy as np
import pytest
import tensorflow as tf

from zoo.training.accumulation import in_parts

ROWS = np.arange(10, dtype=np.float32)


def sums(x, y, size):
    def compute(part):
        x, y = part
        assert len(x.shape) == len(y.shape)
        return [tf.reduce_sum(x * y), tf.cast(tf.shape(x)[0], tf.int32) ** 2]

    return in_parts(compute, (x, y), size, [tf.constant(0.0), tf.constant(0)])


@pytest.mark.parametrize(
    ("size", "squares"),
    [(1, 10), (4, 4**2 + 4**2 + 2**2), (5, 50), (10, 100), (11, 100)],
)
def test_every_row_counts_once_whether_or_not_the_number_of_rows_is_known(
    size, squares
):
    expected = float((ROWS * ROWS).sum())
    for rows in (None, 10):
        spec = tf.TensorSpec([rows], tf.float32)
        compiled = tf.function(lambda x, y: sums(x, y, size), [spec, spec])
        total, found = compiled(ROWS, ROWS)
        assert (float(total), int(found)) == (expected, squares)


def test_xla_compiles_it():
    compiled = tf.function(lambda x, y: sums(x, y, 4), jit_compile=True)
    assert [float(x) for x in compiled(ROWS, ROWS)] == [285.0, 36.0]
