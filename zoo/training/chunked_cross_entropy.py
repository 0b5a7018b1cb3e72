"""Cross-entropy over a vocabulary that never holds the logits of all tokens.

Logits `[N, V]` are the largest thing of a step: 823 MB for 4,096 tokens and 50,257
words, with as much again for their gradient. Here the tokens come in chunks. The loss
of a chunk and its gradient are computed together, so that only the gradients of hidden
states and weight outlive it, and nothing is computed twice (as Hsu et al. 2024,
arXiv:2410.10989, do in one kernel).
"""

from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf

from zoo.layers.xla import in_xla
from zoo.training.losses import token_losses

# Logits that are held at once, as long as that leaves 64 tokens a chunk. Fewer, larger
# chunks: each of them reads and writes the sum of the weight's gradients once.
CHUNK = 1 << 25
PIECE = 1 << 22  # numbers of a chunk's gradient by the weight that are held at once


class Head(NamedTuple):
    """How logits come from hidden states: `cap(x W^T + b)`.

    Attributes:
        weight: `[V, D]`.
        bias: `[V]`, or None.
        cap: What bounds logits, `x -> x`, or None.
    """

    weight: tf.Tensor
    bias: tf.Tensor | None = None
    cap: object = None


@dataclass(frozen=True)  # a named tuple would be three outputs to Keras's metrics
class Assessed:
    """What is known of N tokens once their logits are gone; metrics take it for them.

    Attributes:
        loss: Weighted sum of the losses, a float32 scalar; the only one with gradients.
        losses: `-log p(label)`, float32 `[N]`, without label smoothing.
        correct: Whether the label is the likeliest token, bool `[N]`.
    """

    loss: tf.Tensor
    losses: tf.Tensor
    correct: tf.Tensor

    def of_shape(self, shape):
        """The same of tokens in another order of dimensions, such as `[B, T]`."""
        return Assessed(
            self.loss, tf.reshape(self.losses, shape), tf.reshape(self.correct, shape)
        )


def chunked_cross_entropy(
    states,
    head,
    *,
    labels,
    weights,
    label_smoothing=0.0,
    scale=1.0,
    rows=None,
    training=True,
):
    """The loss of tokens from their last hidden states.

    Args:
        states: `[N, D]`.
        head: Head.
        labels: int `[N]`.
        weights: float32 `[N]`, by which the losses are summed. Tokens of weight 0 cost
            no product of matrices (but under XLA), and have neither loss nor hit.
        label_smoothing: As of `CrossEntropy`.
        scale: What the loss will be multiplied by, so that gradients which are kept in
            float16 have it from their beginning.
        rows: Most tokens of a chunk; None: by the size of the vocabulary.
        training: Whether gradients will be asked for; without them a step is cheaper.

    Returns:
        Assessed.
    """
    rows = rows or max(CHUNK // head.weight.shape[0] // 64 * 64, 64)
    bias = head.bias
    arguments = [states, head.weight] + ([] if bias is None else [bias])

    @tf.custom_gradient
    def assess(states, weight, bias=None):
        count = tf.shape(states)[0]
        kept = tf.range(count)
        if not in_xla():
            kept = tf.where(weights != 0)[:, 0]
        size = rows if in_xla() else _even(tf.size(kept), rows)
        chunks = [
            _cut(tf.gather(x, kept) if not in_xla() else x, size)
            for x in (states, labels, weights)
        ]
        made = _Chunks(
            head._replace(weight=tf.cast(weight, states.dtype), bias=bias),
            *chunks,
            label_smoothing=label_smoothing,
            scale=scale,
            training=training,
        ).run()
        loss, losses, correct, gradients = made

        def whole(x):
            x = tf.reshape(x, [-1, *x.shape[2:]])[: tf.size(kept)]
            if in_xla():
                return x
            shape = tf.concat([[count], tf.shape(x)[1:]], 0)
            return tf.scatter_nd(tf.cast(kept, tf.int32)[:, None], x, shape)

        def gradient(upstream, *_):
            by_states, *others = gradients
            found = [whole(by_states), *others]
            return [x * tf.cast(upstream / scale, x.dtype) for x in found]

        found = whole(losses), whole(tf.cast(correct, tf.float32)) > 0
        return (loss, *found), gradient

    return Assessed(*assess(*arguments))


class _Chunks:
    """Chunks of tokens: states `[C, R, D]`, labels and weights `[C, R]`."""

    def __init__(
        self, head, states, labels, weights, *, label_smoothing, scale, training
    ):
        self.head = head
        self.states, self.labels, self.weights = states, labels, weights
        self.label_smoothing = label_smoothing
        self.scale = scale
        self.training = training

    def run(self):
        """Loss; losses and hits `[C, R]`; gradients by states, weight and bias."""
        count, weight = tf.shape(self.states)[0], self.head.weight
        rows = self.states.shape[1:]
        kept = [(rows[:1], tf.float32), (rows[:1], tf.bool)]
        sums = [tf.constant(0.0)]
        if self.training:
            kept.append((rows, self.states.dtype))
            sums.append(_zeros(weight.shape))
            if self.head.bias is not None:
                sums.append(tf.zeros([weight.shape[0]]))
        arrays = [
            tf.TensorArray(dtype, count, element_shape=shape) for shape, dtype in kept
        ]

        def chunk(i, sums, arrays):
            added, made = self._one(i)
            loss, *others = sums
            sums = [loss + added[0]]
            if others:
                sums += self._add_gradients(others, *added[1:])
            written = [x.write(i, y) for x, y in zip(arrays, made, strict=True)]
            return i + 1, sums, written

        # One after another: two chunks in flight would hold the logits of both.
        _, sums, arrays = tf.while_loop(
            lambda i, *_: i < count,
            chunk,
            [tf.constant(0), sums, arrays],
            parallel_iterations=1,
        )
        losses, correct, *by_states = (x.stack() for x in arrays)
        loss, *others = sums
        return loss, losses, correct, by_states + others

    def _one(self, i):
        """What a chunk adds to the loss, and what it has for itself.

        With training also the gradient by its products, and the states that made them.
        """
        states, labels, weights = self.states[i], self.labels[i], self.weights[i]
        head = self.head
        products = tf.matmul(states, head.weight, transpose_b=True)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(products)
            logits = products
            if head.bias is not None:
                logits += tf.cast(head.bias, logits.dtype)
            if head.cap is not None:
                logits = head.cap(logits)
            likeliest = tf.argmax(logits, -1, output_type=labels.dtype)
            with tf.control_dependencies([likeliest]):  # the last to read the logits:
                losses = token_losses(labels, logits)  # their memory gets the gradient
                loss = losses
                if self.label_smoothing:
                    options = {"label_smoothing": self.label_smoothing}
                    loss = token_losses(labels, logits, **options)
            loss = tf.reduce_sum(tf.where(weights != 0, loss * weights, 0.0))
            scaled = loss * self.scale
        kept = [losses, likeliest == labels]
        if not self.training:
            return [loss], kept
        slopes = tape.gradient(scaled, products)
        kept.append(tf.matmul(slopes, head.weight))
        return [loss, slopes, states], kept

    def _add_gradients(self, sums, slopes, states):
        """The gradients by weight and bias so far, with those of a chunk.

        A product of the weight's size is never made beside the sum, but pieces of it,
        which are added in place.
        """
        by_weight, *by_bias = sums
        if by_bias:
            by_bias = [by_bias[0] + tf.reduce_sum(tf.cast(slopes, tf.float32), 0)]
        if in_xla():
            product = tf.matmul(slopes, states, transpose_a=True)
            return [by_weight + tf.cast(product, tf.float32), *by_bias]
        vocabulary, width = by_weight.shape
        rows = max(PIECE // width, 1)
        for begin in range(0, vocabulary, rows):
            end = min(begin + rows, vocabulary)
            with tf.control_dependencies([by_weight]):  # one piece after another
                piece = tf.matmul(slopes[:, begin:end], states, transpose_a=True)
            by_weight = tf.raw_ops.InplaceAdd(
                x=by_weight, i=tf.range(begin, end), v=tf.cast(piece, tf.float32)
            )
        return [by_weight, *by_bias]


def _even(count, most):
    """Rows of chunks that are about alike: the last is not filled up from a few."""
    chunks = tf.maximum(-(-count // most), 1)
    rows = -(-count // chunks)
    return tf.clip_by_value(-(-rows // 16) * 16, 1, most)


def _cut(x, rows):
    """`[N, ...]` as `[C, rows, ...]`, filled up with zeros; C is at least 1."""
    count = tf.shape(x)[0]
    missing = -(-tf.maximum(count, 1) // rows) * rows - count
    x = tf.pad(x, [[0, missing], *[[0, 0]] * (x.shape.rank - 1)])
    return tf.reshape(x, [(count + missing) // rows, rows, *x.shape[1:]])


def _zeros(shape):
    """Zeros that a loop adds to in place.

    Those of `tf.zeros` stay in memory besides the sum: for a vocabulary of 50,257 words
    154 MB (TensorFlow 2.20).
    """
    if in_xla():
        return tf.zeros(shape)
    return tf.raw_ops.Empty(shape=shape, dtype=tf.float32, init=True)
