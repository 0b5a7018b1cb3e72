"""Windows: a long second text cut into parts that overlap, each beside the whole first.

As BERT's run_squad cuts a context beside its question (Devlin et al. 2018).
"""

from typing import NamedTuple

import tensorflow as tf

from zoo.tokenizers import rows
from zoo.tokenizers.post_processing import Pieces


class Windows(NamedTuple):
    """W windows of B pairs, in order; the second text has n tokens.

    Attributes:
        inputs: What a tokenizer gives for a pair, W rows.
        pair: int32 `[W]`: which pair a window is of. Each has one at least.
        place: int32 `[W]`: where in the row the second text begins.
        begin: int32 `[W]`: the first of the n tokens that the window has.
        length: int32 `[W]`: how many of them it has; 0 where the second text has none.
    """

    inputs: dict
    pair: tf.Tensor
    place: tf.Tensor
    begin: tf.Tensor
    length: tf.Tensor


def cut(first, second, room, step):
    """Where the windows of each pair lie.

    Args:
        first: Tokens of the first text, int32 `[B]`; fewer than `room`.
        second: Tokens of the second, int32 `[B]`.
        room: Tokens of both that a window holds.
        step: Tokens from the beginning of a window to that of the next. Where fewer
            fit, the windows lie side by side, so that no token is left out.

    Returns:
        `(pair, begin, length)`, as in `Windows`.
    """
    fits = room - first
    step = tf.minimum(step, fits)
    count = 1 - tf.math.floordiv(-tf.maximum(second - fits, 0), step)
    splits = rows.splits_of(count)
    pair = rows.row_ids(splits)
    number = tf.range(tf.size(pair)) - tf.cast(tf.gather(splits[:-1], pair), tf.int32)
    begin = number * tf.gather(step, pair)
    length = tf.minimum(tf.gather(fits, pair), tf.gather(second, pair) - begin)
    return pair, begin, length


def taken(pieces, row, begin, length):
    """Of the pieces in `row` `[W]` those from `begin` `[W]` on, `length` `[W]`."""
    splits = rows.splits_of(length)
    starts = tf.gather(tf.cast(pieces.ids.row_starts(), tf.int32), row) + begin
    which = rows.row_ids(splits)
    index = tf.range(tf.size(which))
    index += tf.gather(starts - tf.cast(splits[:-1], tf.int32), which)
    ids = rows.ragged(tf.gather(pieces.ids.values, index), splits)
    beside = None if pieces.offsets is None else tf.gather(pieces.offsets, index)
    return Pieces(ids, beside)
