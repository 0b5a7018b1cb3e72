"""Gradients of several replicas: their norm, and what all agree on."""

import keras
import tensorflow as tf


def gradient_norm(gradients, optimizer):
    """Norm of the gradient of the whole batch, as it is before it is clipped.

    Args:
        gradients: Tensors, `tf.IndexedSlices` or None, of this replica's part of it.
        optimizer: Keras's, which may have scaled the loss.

    Returns:
        float32 scalar.
    """
    # Rows of a table that came several times are added up; float16 would overflow in a
    # square.
    present = [
        tf.cast(tf.convert_to_tensor(g), tf.float32) for g in gradients if g is not None
    ]
    replica = tf.distribute.get_replica_context()
    if replica is not None and replica.num_replicas_in_sync > 1:
        present = replica.all_reduce(tf.distribute.ReduceOp.SUM, present)
    norm = tf.linalg.global_norm(present)
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        norm /= optimizer.scale_loss(1.0)
    return norm


def agreed(gradients, optimizer):
    """Gradients, with infinity on all replicas where one of them has it.

    Keras's loss scaling (3.15) looks at the first replica alone, and what another one
    overflowed to would reach the weights. Without that scaling they are as given.
    """
    replica = tf.distribute.get_replica_context()
    scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    if not scaled or replica is None or replica.num_replicas_in_sync == 1:
        return gradients
    dense = [None if g is None else tf.convert_to_tensor(g) for g in gradients]
    first = next(i for i, g in enumerate(dense) if g is not None)
    finite = [tf.reduce_all(tf.math.is_finite(g)) for g in dense if g is not None]
    bad = tf.cast(~tf.reduce_all(finite), tf.int32)
    bad = replica.all_reduce(tf.distribute.ReduceOp.SUM, bad) > 0
    infinity = tf.cast(float("inf"), dense[first].dtype)
    dense[first] = tf.where(bad, infinity, dense[first])
    return dense
