"""From pieces to model inputs: truncation, special tokens, types, padding."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from zoo.tokenizers import rows, unicode
from zoo.tokenizers.byte_alphabet import CHARACTER_OF

STRATEGIES = ("longest_first", "only_first", "only_second")


@dataclass(frozen=True)
class Part:
    """One place in a template.

    Attributes:
        source: "A" or "B" for the first or second text, or "" for special tokens.
        ids: Ids of the special tokens.
        type_id: What `token_type_ids` says here.
    """

    source: str
    ids: tuple[int, ...]
    type_id: int


@dataclass(frozen=True)
class Template:
    """What stands around one text, and around two.

    Attributes:
        single: Parts for one text.
        pair: Parts for two.
        second_type: Type of the second text when no special tokens are added, or None
            for the one in `pair`.
    """

    single: tuple[Part, ...] = (Part("A", (), 0),)
    pair: tuple[Part, ...] = (Part("A", (), 0), Part("B", (), 1))
    second_type: int | None = 1

    def parts(self, *, pair, special):
        """The parts for one text or two; without special tokens, the texts alone."""
        parts = self.pair if pair else self.single
        if special:
            return parts
        bare = tuple(part for part in parts if part.source)
        if pair and self.second_type is not None:
            bare = (Part("A", (), 0), Part("B", (), self.second_type))
        return bare


@dataclass(frozen=True)
class Pieces:
    """The pieces of a batch of texts.

    Attributes:
        ids: Ragged int32 `[B, (pieces)]`.
        offsets: int32 `[total, 2]` beside `ids.values`, or None.
    """

    ids: tf.RaggedTensor
    offsets: tf.Tensor | None = None

    def lengths(self):
        return tf.cast(self.ids.row_lengths(), tf.int32)

    def halves(self):
        """The first and the second half of an even number of texts."""
        splits = self.ids.row_splits
        middle = tf.size(splits) // 2
        place = splits[middle]
        ids = (self.ids.values[:place], self.ids.values[place:])
        splits = (splits[: middle + 1], splits[middle:] - place)
        offsets = (None, None)
        if self.offsets is not None:
            offsets = (self.offsets[:place], self.offsets[place:])
        one, two = (
            Pieces(rows.ragged(*parts), beside)
            for *parts, beside in zip(ids, splits, offsets, strict=True)
        )
        return one, two

    def cut(self, lengths, side):
        """The first ("right" is cut) or last `lengths` [B] pieces of each text."""
        had = self.lengths()
        starts = tf.cast(self.ids.row_starts(), tf.int32)
        if side == "left":
            starts += had - lengths
        splits = rows.splits_of(lengths)
        shift = starts - tf.cast(splits[:-1], tf.int32)
        row = rows.row_ids(splits)
        index = tf.range(tf.size(row)) + tf.gather(shift, row)
        ids = rows.ragged(tf.gather(self.ids.values, index), splits)
        taken = None if self.offsets is None else tf.gather(self.offsets, index)
        return Pieces(ids, taken)


def truncate(first, second, room, strategy, side):
    """Cuts the pieces of one text or a pair down to `room`, as `tokenizers` does.

    Args:
        first: `Pieces`.
        second: `Pieces` or None.
        room: How many pieces a row may have, special tokens not counted.
        strategy: One of `STRATEGIES`.
        side: "left" or "right": where pieces are taken away.

    Returns:
        The two, cut.
    """
    room = max(room, 0)
    one = first.lengths()
    two = tf.zeros_like(one) if second is None else second.lengths()
    over = tf.maximum(one + two - room, 0)
    if strategy == "longest_first":
        one, two = _longest_first(one, two, over, room)
    elif strategy == "only_first" or second is None:
        one = _shortened(one, over)
    else:
        two = _shortened(two, over)
    cut = None if second is None else second.cut(two, side)
    return first.cut(one, side), cut


def _longest_first(one, two, over, room):
    """Lengths that take from the longer one until both are alike, then from both."""
    short, long = tf.minimum(one, two), tf.maximum(one, two)
    new_long = tf.where(short > room, short, tf.maximum(short, room - short))
    halved = short + new_long > room
    new_short = tf.where(halved, room // 2, short)
    new_long = tf.where(halved, room // 2 + room % 2, new_long)
    new_long = tf.minimum(new_long, long)
    new_one = tf.where(one > two, new_long, new_short)
    new_two = tf.where(one > two, new_short, new_long)
    return tf.where(over > 0, new_one, one), tf.where(over > 0, new_two, two)


def _shortened(lengths, over):
    check = tf.debugging.Assert(
        tf.reduce_all((over == 0) | (lengths > over)),
        ["the text to be truncated is too short to make room: use 'longest_first'"],
    )
    with tf.control_dependencies([check] if check is not None else []):
        return lengths - over


def assemble(first, second, parts):
    """Puts texts and special tokens in order.

    Args:
        first: `Pieces`.
        second: `Pieces` or None.
        parts: `Part`s.

    Returns:
        dict with ragged int32 `input_ids` and `token_type_ids` `[B, (tokens)]`, and
        `offsets` `[B, (tokens), 2]` if the pieces have them.
    """
    size = first.ids.nrows(out_type=tf.int32)
    texts = {"A": first, "B": second}
    ids, types, offsets = [], [], []
    for part in parts:
        pieces = texts[part.source] if part.source else _constant(part.ids, size)
        ids.append(pieces.ids)
        types.append(
            pieces.ids.with_values(tf.fill(tf.shape(pieces.ids.values), part.type_id))
        )
        if first.offsets is not None:
            beside = pieces.offsets
            if beside is None:
                beside = tf.zeros([tf.size(pieces.ids.values), 2], tf.int32)
            offsets.append(pieces.ids.with_values(beside))
    found = {"input_ids": ids, "token_type_ids": types}
    if offsets:
        found["offsets"] = offsets
    return {name: rows.beside(list_) for name, list_ in found.items()}


def _constant(ids, size):
    values = tf.tile(tf.constant(ids, tf.int32), [size])
    splits = tf.cast(tf.range(size + 1), tf.int64) * len(ids)
    return Pieces(rows.ragged(values, splits))


def pad(ragged, fill, *, side, length=None):
    """A ragged tensor made rectangular.

    Args:
        ragged: `[B, (tokens), ...]`.
        fill: What stands in the padding.
        side: "left" or "right": where the padding stands.
        length: Least number of columns, or None for that of the longest row.

    Returns:
        `[B, T, ...]`, T the longest row or `length`, whichever is more.
    """
    lengths = tf.cast(ragged.row_lengths(), tf.int32)
    columns = tf.reduce_max(tf.concat([lengths, [length or 0]], 0))
    place = tf.range(columns)[None, :]
    if side == "left":
        place -= columns - lengths[:, None]
    valid = (place >= 0) & (place < lengths[:, None])
    starts = tf.cast(ragged.row_starts(), tf.int32)[:, None]
    # One value behind the others stands for all padding.
    blank = tf.fill(tf.concat([[1], tf.shape(ragged.values)[1:]], 0), fill)
    values = tf.concat([ragged.values, tf.cast(blank, ragged.dtype)], 0)
    last = tf.shape(values)[0] - 1
    return tf.gather(values, tf.where(valid, starts + place, last))


def blanks(tokens):
    """How many white-space characters each token begins and ends with.

    Args:
        tokens: Texts by id, in GPT-2's alphabet, or None.

    Returns:
        int32 `[V, 2]`.
    """
    space = CHARACTER_OF[0x20]
    found = np.zeros([len(tokens), 2], np.int32)
    for i, token in enumerate(tokens):
        flags = [c == space or ord(c) in unicode.members("space") for c in token or ""]
        found[i] = _leading(flags), _leading(flags[::-1])
    return found


def _leading(flags):
    return flags.index(False) if False in flags else len(flags)


def trimmed(pieces, counts, *, lenient):
    """Offsets without the white space at the ends of a piece, as ByteLevel has them.

    Args:
        pieces: `Pieces` with offsets.
        counts: As `blanks` gives them.
        lenient: Whether a single space before the text stays: it may have been added.

    Returns:
        `Pieces`.
    """
    start, end = pieces.offsets[:, 0], pieces.offsets[:, 1]
    lead, trail = tf.unstack(tf.gather(counts, pieces.ids.values), axis=1)
    if lenient:
        is_first = (start == 0) | rows.firsts(pieces.ids.row_splits)
        lead = tf.where(is_first & (lead == 1), 0, lead)
    start = tf.minimum(start + lead, end)
    cut = (trail > 0) & (end >= trail)
    end = tf.where(cut, tf.maximum(end - trail, start), end)
    return Pieces(pieces.ids, tf.stack([start, end], axis=1))
