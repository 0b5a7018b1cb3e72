"""What a layer does differently where XLA compiles it."""

import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla
from tensorflow.python.framework import ops
from tensorflow.python.ops import control_flow_util


def in_xla():
    """Whether what is being traced now is for XLA (`jit_compile=True`)."""
    return control_flow_util.GraphOrParentsInXlaContext(ops.get_default_graph())


@tf.custom_gradient
def barrier(x):
    """`x`, over which XLA moves no operation. Only where `in_xla()`."""
    return xla.optimization_barrier(x)[0], lambda upstream: upstream


def write_slice(x, update, place):
    """`x [..., S, d]` with `update [..., T, d]` at the places from `place` on.

    In place wherever the old `x` is not used again. XLA has an operation for it, which
    TF Serving lacks; there single rows are scattered.
    """
    if in_xla():
        start = [0] * (x.shape.rank - 2) + [place, 0]
        return xla.dynamic_update_slice(x, update, tf.stack(start))
    shape, count = tf.shape(x), tf.shape(update)[-2]
    rows = tf.range(tf.reduce_prod(shape[:-2]))[:, None] * shape[-2]
    rows += place + tf.range(count)[None]
    flat = tf.tensor_scatter_nd_update(
        tf.reshape(x, [-1, x.shape[-1]]),
        tf.reshape(rows, [-1, 1]),
        tf.reshape(update, [-1, x.shape[-1]]),
    )
    return tf.ensure_shape(tf.reshape(flat, shape), x.shape)
