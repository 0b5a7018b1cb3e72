"""Labels of tokens: which of them count, and how they are shifted for a decoder."""

import tensorflow as tf

from zoo.errors import InputError

IGNORED = -100  # label of a token that is not to be predicted, as HF has it


def counted(labels):
    """Whether each label counts: a bool tensor of the shape of `labels`."""
    return tf.not_equal(labels, tf.cast(IGNORED, labels.dtype))


def next_tokens(rows, fill):
    """`rows` `[B, T]` one place to the left, so that a place holds what follows it."""
    last = tf.fill([tf.shape(rows)[0], 1], tf.cast(fill, rows.dtype))
    moved = tf.concat([rows[:, 1:], last], 1)
    moved.set_shape(rows.shape)
    return moved


def causal_labels(ids, labels=None, mask=None, documents=None):
    """The token that each place is to predict, `[B, T]`; `IGNORED` where none counts.

    What is padding by `mask` neither predicts nor, where no labels are given, is
    predicted.

    Args:
        ids: int `[B, T]`.
        labels: int `[B, T]`, of the places where the tokens stand; None: the tokens.
        mask: `[B, T]`, non-zero at valid tokens, or None.
        documents: `[B, T]`, the document of each token where a row has several, 0 in
            padding; none predicts the first token of another. Or None.
    """
    derived = labels is None
    labels = ids if derived else labels
    if labels.shape.rank != 2 or not labels.shape.is_compatible_with(ids.shape):
        raise InputError(
            f"labels have shape {tuple(labels.shape)}; expected one for each token, "
            f"{tuple(ids.shape)} as input_ids, {IGNORED} where it does not count. They "
            "are shifted inside."
        )
    if mask is not None:
        valid = tf.cast(mask, tf.bool)
        if derived:
            labels = tf.where(valid, labels, IGNORED)
    labels = next_tokens(labels, IGNORED)
    if mask is not None:
        labels = tf.where(valid, labels, IGNORED)
    if documents is not None:
        same = tf.equal(documents, next_tokens(documents, 0)) & (documents > 0)
        labels = tf.where(same, labels, IGNORED)
    return labels


def decoder_inputs(labels, *, start, pad, documents=None):
    """`labels` `[B, T]` one place to the right, `start` first, `pad` for `IGNORED`.

    Args:
        documents: `[B, T]`, the document of each label where a row has several, each of
            which then begins with `start`; or None.
    """
    first = tf.fill([tf.shape(labels)[0], 1], tf.cast(start, labels.dtype))
    moved = tf.concat([first, labels[:, :-1]], 1)
    moved.set_shape(labels.shape)
    if documents is not None:
        begins = tf.not_equal(documents[:, 1:], documents[:, :-1])
        begins = tf.concat([tf.ones_like(begins[:, :1]), begins], 1)
        moved = tf.where(begins, first, moved)
    return tf.where(counted(moved), moved, tf.cast(pad, moved.dtype))
