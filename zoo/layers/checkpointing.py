"""Gradient checkpointing: a layer's inner tensors are forgotten and computed again.

Chen et al. 2016, arXiv:1604.06174. A step holds the inputs of the layers and the inside
of one of them, instead of the inside of all, for a second forward pass.
"""

import itertools

import tensorflow as tf

from zoo.layers.dropout import Draws
from zoo.layers.xla import in_xla


def recomputed(function):
    """The function, whose gradient calls it again instead of keeping what it computed.

    Equal to the function in all it gives, gradients and dropout included; in graphs,
    under XLA and eagerly.

    Args:
        function: Anything to one tensor. Gradients reach those of its arguments that
            are tensors of floats and the variables that it reads, and nothing else.
    """

    def call(*arguments):
        differentiable = [tf.is_tensor(x) and x.dtype.is_floating for x in arguments]
        present = list(itertools.compress(arguments, differentiable))

        def compute(tensors):
            tensors = iter(tensors)
            given = zip(arguments, differentiable, strict=True)
            return function(*(next(tensors) if floats else x for x, floats in given))

        @tf.custom_gradient
        def run(*tensors):
            draws = Draws()
            with draws.kept():
                y = compute(tensors)

            def gradient(upstream, variables=()):
                again = _after(upstream, tensors)
                with tf.GradientTape() as tape:
                    tape.watch(again)
                    with draws.repeated():
                        result = compute(again)
                found = tape.gradient(
                    result,
                    [*again, *variables],
                    upstream,
                    unconnected_gradients=tf.UnconnectedGradients.ZERO,
                )
                count = len(again)
                return (found[:count], found[count:]) if variables else found

            return y, gradient

        return run(*present)

    return call


def _after(upstream, tensors):
    """The tensors, of which nothing is computed before `upstream` is there.

    Without it, the second pass would be taken for the first, or run beside it.
    """
    if in_xla():  # where neither a control dependency nor, on a CPU, a barrier holds
        some = tf.reshape(upstream, [-1])[:1]
        nothing = tf.reduce_sum(tf.where(some == some, tf.zeros_like(some), some))
        return [x + tf.cast(nothing, x.dtype) for x in tensors]
    with tf.control_dependencies([upstream]):
        return [tf.identity(x) for x in tensors]
