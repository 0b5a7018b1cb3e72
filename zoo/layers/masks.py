"""Which keys a query may see, and the additive form of it that no dtype overflows."""

from typing import NamedTuple

import tensorflow as tf


class AttentionBias(NamedTuple):
    """What is added to attention scores, and which queries see any key at all.

    Attributes:
        scores: float32, broadcasts to `[B, H, T, S]`, or None for nothing.
        seen: Broadcasts to `[B, T, 1]`, 1 where a query sees some key and else 0, in
            float32; None where every query does.
    """

    scores: tf.Tensor | None = None
    seen: tf.Tensor | None = None

    @property
    def tensors(self):
        """The tensors that gradients may reach."""
        return tuple(self)

    def with_tensors(self, tensors):
        return AttentionBias(*tensors)

    def plus(self, bias):
        """The same with another float32 bias on the scores."""
        return self._replace(scores=bias if self.scores is None else self.scores + bias)

    def of_first(self, count):
        """The same for the first `count` queries."""
        scores, seen = self.scores, self.seen
        if scores is not None and scores.shape[2] != 1:
            scores = scores[:, :, :count]
        if seen is not None and seen.shape[1] != 1:
            seen = seen[:, :count]
        return AttentionBias(scores, seen)

    def of_first_keys(self, count):
        """The same for the first `count` keys, where no query sees others."""
        scores = self.scores
        if scores is not None and scores.shape[3] != 1:
            scores = scores[..., :count]
        return self._replace(scores=scores)


class Order(NamedTuple):
    """Where the queries and the keys of a pass stand.

    Attributes:
        queries, keys: Their places in the row, int32 `[T]` and `[S]`.
        query_positions, key_positions: Their positions, int32 `[B or 1, T or S]`, or
            None where nothing is made of them.
        mask: `[B, S]`, non-zero at valid keys, or None.
        documents: Which packed document each query and each key is of, int32 `[B, T]`
            and `[B, S]`, or None.
        visible: Keys that a query may see where order and window let it, bool
            `[T, S]`; None: all.

    The same in blocks has the number of the block as its first dimension everywhere.
    """

    queries: tf.Tensor
    keys: tf.Tensor
    query_positions: tf.Tensor | None
    key_positions: tf.Tensor | None
    mask: tf.Tensor | None
    documents: tuple[tf.Tensor, tf.Tensor] | None = None
    visible: tf.Tensor | None = None

    def of_first(self, count):
        """The same for the first `count` queries."""
        return self._of_queries(
            lambda x, axis: x[:count] if axis == 0 else x[:, :count]
        )

    def of_block(self, i, j):
        """Of an Order in blocks, the queries of block i and the keys of block j."""
        part = self._of_queries(lambda x, _: x[i])
        documents = part.documents
        if documents is not None:
            documents = documents[0], documents[1][j]
        return part._replace(
            keys=self.keys[j],
            key_positions=None if self.key_positions is None else self.key_positions[j],
            mask=None if self.mask is None else self.mask[j],
            documents=documents,
        )

    def _of_queries(self, cut):
        """The same with `cut(x, axis)` of all that is of queries, along its axis."""
        positions, documents, visible = (
            self.query_positions,
            self.documents,
            self.visible,
        )
        return self._replace(
            queries=cut(self.queries, 0),
            query_positions=None if positions is None else cut(positions, 1),
            documents=documents and (cut(documents[0], 1), documents[1]),
            visible=None if visible is None else cut(visible, 0),
        )


def visible_keys(query_index, key_index, *, causal, window=None):
    """The pattern that the order of tokens allows, bool `[T, S]`, or None for all.

    Args:
        query_index, key_index: Places in the sequence, int32 `[T]` and `[S]`.
        causal: Whether keys after the query are hidden.
        window: Keys that a query sees, itself included; in an encoder, to each side.
    """
    ahead = key_index[None, :] - query_index[:, None]
    pattern = ahead <= 0 if causal else None
    if window is not None:
        near = ahead > -window
        near = near if causal else near & (ahead < window)
        pattern = near if pattern is None else pattern & near
    return pattern


def attention_bias(pattern=None, key_mask=None, documents=None):
    """Combines an order pattern with a padding mask and the borders of documents.

    Hidden keys get float32's lowest number: after the softmax, which runs in float32,
    their weight is exactly 0, so that nothing in padding can reach a valid position.

    Args:
        pattern: bool `[T, S]` or None.
        key_mask: `[B, S]`, non-zero at valid keys, or None.
        documents: Which of the documents packed into a row each query and each key
            belongs to, int32 `[B, T]` and `[B, S]`, 0 in padding; or None. A query
            sees keys of its own document alone.
    """
    allowed = None if pattern is None else pattern[None]
    if key_mask is not None:
        keys = tf.cast(key_mask, tf.bool)[:, None, :]
        allowed = keys if allowed is None else allowed & keys
    if documents is not None:
        queries, keys = documents
        own = (queries[:, :, None] == keys[:, None, :]) & (keys > 0)[:, None, :]
        allowed = own if allowed is None else allowed & own
    if allowed is None:
        return AttentionBias()
    scores = tf.where(allowed, 0.0, tf.float32.min)[:, None]
    if key_mask is None and documents is None:  # so every query sees itself
        return AttentionBias(scores)
    seen = tf.cast(tf.reduce_any(allowed, -1, keepdims=True), tf.float32)
    return AttentionBias(scores, seen)


def positions_in_documents(documents):
    """Position of each token in its document, from 0 on, int32 `[B, T]`.

    Args:
        documents: int32 `[B, T]`; a document begins where the number changes.
    """
    changes = tf.cast(documents[:, 1:] != documents[:, :-1], tf.int32)
    runs = tf.pad(tf.cumsum(changes, 1), [[0, 0], [1, 0]])
    return tf.range(tf.shape(documents)[1]) - tf.searchsorted(runs, runs)
