"""Words of texts, the pieces that stand for them, and windows over long texts.

A tagger gives one label to a word, at the first of its pieces (Devlin et al. 2018). So
three things are counted here, all as graph ops: characters, in Unicode code points;
pieces, as the tokenizer cuts them and says where they come from; and units: a unit is a
word, or several that share their first piece.
"""

import functools
import unicodedata
from typing import NamedTuple

import tensorflow as tf

from zoo.tokenizers import post_processing, rows, splitting, windows
from zoo.tokenizers.character_map import lookup, paged

# Part of a long text that a window shares with the next one, so that no unit is read
# without an eighth of a window on either side.
OVERLAP = 4

SPACE, LETTER, DIGIT, KATAKANA, FLAG, MARK, INNER, COMMA, OTHER = range(9)
# Categories of Unicode; what has none yet may be a new emoji, a word of its own.
LETTERS = frozenset("Lu Ll Lt Lm Lo Nl No Pc".split())
SPACES = frozenset("Zs Zl Zp Cc Cs".split())
MARKS = frozenset("Mn Mc Me Cf".split())
JOINER = 0x200D  # of emoji
# Written without spaces: each character is a word, and so are the syllables that its
# marks make of it.
ALONE = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3040, 0x309F),  # Hiragana
    (0x3400, 0x4DBF),  # Han, and its extensions
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)


class Spans(NamedTuple):
    """W words of B texts: row splits int64 `[B + 1]`, and int32 `[W]` code points."""

    splits: tf.Tensor
    start: tf.Tensor
    end: tf.Tensor


class Reading(NamedTuple):
    """B texts as a model reads them: R windows, and in them U units.

    Attributes:
        inputs: Ragged int32 `[R, (tokens)]` by name, special tokens included.
        text: int32 `[R]`: of which text a window is.
        window, column: int32 `[U]`: where the first piece of each unit stands.
        row: int32 `[U]`: its text. `start`, `end`: its code points there.
        unit: int32 `[W]`: the unit of each word, -1 where no piece stands for it.
        words: Words, a `Spans`.
    """

    inputs: dict
    text: tf.Tensor
    window: tf.Tensor
    column: tf.Tensor
    row: tf.Tensor
    start: tf.Tensor
    end: tf.Tensor
    unit: tf.Tensor
    words: Spans


def read(tokenizer, texts, words=None, *, max_length):
    """Texts as a model reads them.

    Args:
        tokenizer: zoo.Tokenizer.
        texts: Strings `[B]`.
        words: Their words, a `Spans`; None: `words_of` them.
        max_length: Most tokens in a window, special tokens included. Of a longer text,
            windows overlap by a quarter, and a unit stands where most is around it.
    """
    texts = splitting.repair(texts)
    if words is None:
        words = words_of(texts)
    found = tokenizer(
        texts,
        padding=None,
        truncation=None,
        add_special_tokens=False,
        return_offsets=True,
    )
    ids, offsets = found["input_ids"], found["offsets"].values
    if isinstance(offsets, tf.RaggedTensor):
        offsets = offsets.to_tensor(shape=[None, 2])
    piece = first_pieces(words, ids.row_splits, offsets)
    unit, kept, begins = _units(piece)
    row = tf.gather(rows.row_ids(words.splits), kept)
    start, end = tf.gather(words.start, kept), tf.gather(words.end, kept)
    firsts = tf.reshape(tf.where(begins), [-1])
    lasts = tf.concat([firsts[1:], tf.shape(begins, tf.int64)[:1]], 0) - 1
    lasts = lasts[: tf.size(firsts)]
    row, start = tf.gather(row, firsts), tf.gather(start, firsts)
    place = tf.gather(piece, tf.gather(kept, firsts))
    place -= tf.gather(tf.cast(ids.row_starts(), tf.int32), row)
    end = tf.gather(end, lasts)
    inputs, text, window, column = _windows(tokenizer, ids, row, place, max_length)
    return Reading(inputs, text, window, column, row, start, end, unit, words)


def words_of(texts):
    """The words of texts, by the rules of Unicode (UAX 29), a little simplified.

    Letters, digits and underscores that stand together are a word; so are those with a
    single apostrophe or full stop between them, and digits with a comma. Every other
    character is a word of its own, and so is each of Chinese, Japanese Hiragana, Thai,
    Lao, Khmer and Burmese. Marks and joiners belong to what they follow.

    Args:
        texts: Strings `[B]` in UTF-8.
    """
    ragged = tf.strings.unicode_decode(texts, "UTF-8")
    points, splits = ragged.values, ragged.row_splits
    pages, slots = _classes()
    kind = lookup(pages, slots, points)
    row = rows.row_ids(splits)
    place = tf.range(tf.size(row))
    place -= tf.gather(tf.cast(splits[:-1], tf.int32), row)
    first, last = rows.firsts(splits), tf.concat([rows.firsts(splits)[1:], [True]], 0)
    last = last[: tf.size(first)]

    def moved(x, by, fill):
        """What stands one place before (1) or behind (-1), `fill` beyond the row."""
        edge = tf.fill([1], tf.cast(fill, x.dtype))
        other = tf.concat([edge, x[:-1]] if by == 1 else [x[1:], edge], 0)
        return tf.where(first if by == 1 else last, edge, other[: tf.size(x)])

    mark = (kind == MARK) & (moved(kind, 1, SPACE) != SPACE)
    # The class of what a mark follows, marks before it passed over.
    bases = tf.cumsum(tf.cast(~mark, tf.int32)) - 1
    base = tf.gather(tf.gather(kind, tf.reshape(tf.where(~mark), [-1])), bases)
    before, behind = moved(base, 1, SPACE), moved(kind, -1, SPACE)

    def inside(kinds, letters):
        """Where one of `kinds` stands between `letters`."""
        return _any(kind, kinds) & _any(before, letters) & _any(behind, letters) & ~mark

    inner = inside([INNER], [LETTER, DIGIT]) | inside([COMMA], [DIGIT])
    same = _any(kind, [LETTER, DIGIT]) & _any(before, [LETTER, DIGIT])
    for each in (KATAKANA, FLAG):
        same |= (kind == each) & (before == each)
    joined = mark | inner | same | (moved(inner, 1, False) & (kind != SPACE))
    joined |= (moved(points, 1, 0) == JOINER) & (kind == OTHER)
    begins = (kind != SPACE) & ~joined
    ends = (kind != SPACE) & ~moved(joined, -1, False)
    count = tf.concat([[0], tf.cumsum(tf.cast(begins, tf.int64))], 0)
    return Spans(
        tf.gather(count, splits),
        rows.taken(place, begins),
        rows.taken(place, ends) + 1,
    )


def first_pieces(words, splits, offsets):
    """The first piece that stands for a part of each word.

    Args:
        words: A `Spans`.
        splits: Row splits of the pieces, int64 `[B + 1]`.
        offsets: int32 `[pieces, 2]`, first character and the one behind the last.

    Returns:
        Its number among all pieces, int32 `[W]`; -1 where there is none.
    """
    word_row, piece_row = rows.row_ids(words.splits), rows.row_ids(splits)
    longest = 1 + tf.maximum(_largest(words.end), _largest(offsets[:, 1]))

    def keys(row, place):
        return tf.cast(row, tf.int64) * tf.cast(longest, tf.int64) + tf.cast(
            place, tf.int64
        )

    found = tf.searchsorted(
        keys(piece_row, offsets[:, 1]), keys(word_row, words.start), side="right"
    )
    # A row behind the last, for words behind the last piece.
    starts = tf.concat([offsets[:, 0], [0]], 0)
    piece_row = tf.concat([piece_row, [-1]], 0)
    right = tf.gather(piece_row, found) == word_row
    return tf.where(right & (tf.gather(starts, found) < words.end), found, -1)


def _units(piece):
    """Words with one first piece are one unit.

    Returns:
        The unit of each word, the words that have one, and which of these begin one.
    """
    has = piece >= 0
    kept = tf.cast(tf.reshape(tf.where(has), [-1]), tf.int32)
    first = tf.gather(piece, kept)
    begins = tf.concat([[True], first[1:] != first[:-1]], 0)[: tf.size(first)]
    number = tf.cumsum(tf.cast(begins, tf.int32)) - 1
    unit = tf.tensor_scatter_nd_update(
        tf.fill(tf.shape(piece), -1), kept[:, None], number
    )
    return unit, kept, begins


def _windows(tokenizer, ids, row, place, max_length):
    """Windows over rows of pieces, and where in them units stand.

    Args:
        ids: Ragged `[B, (pieces)]`.
        row, place: int32 `[U]`, the first piece of each unit.
    """
    before, behind = tokenizer.special_around
    room = max_length - len(before) - len(behind)
    lengths = tf.cast(ids.row_lengths(), tf.int32)
    of, begin, length = windows.cut(
        tf.zeros_like(lengths), lengths, room, max(room - room // OVERLAP, 1)
    )
    pieces = windows.taken(post_processing.Pieces(ids), of, begin, length)
    end = begin + length
    # A unit is the next window's from the middle of what both have.
    other = tf.concat([[-1], of[:-1]], 0)[: tf.size(of)]
    earlier = tf.concat([[0], end[:-1]], 0)[: tf.size(of)]
    first = tf.where(of == other, (begin + earlier + 1) // 2, 0)
    longest = tf.cast(1 + _largest(lengths), tf.int64)

    def keys(row, place):
        return tf.cast(row, tf.int64) * longest + tf.cast(place, tf.int64)

    window = tf.searchsorted(keys(of, first), keys(row, place), side="right") - 1
    column = place - tf.gather(begin, window) + len(before)
    return tokenizer.with_special_tokens(pieces.ids), of, window, column


def _largest(x):
    return tf.reduce_max(tf.concat([[0], x], 0))


def _any(x, values):
    return functools.reduce(tf.logical_or, [x == value for value in values])


@functools.cache
def _classes():
    """A table of code points as of `character_map.paged`."""
    points = (*range(0x30000), *range(0xE0000, 0xE0200))  # all with names but rare Han
    alone = {point for first, last in ALONE for point in range(first, last + 1)}
    found = {}
    for point in points:
        category = unicodedata.category(chr(point))
        kind = _class(point, category)
        if kind in (LETTER, DIGIT) and point in alone:
            kind = OTHER
        if kind != SPACE:
            found[point] = kind
    found.update((point, OTHER) for point in range(0x30000, 0x33480))
    return paged(found)


def _class(point, category):
    if category in LETTERS:
        return KATAKANA if 0x30A0 <= point <= 0x31FF else LETTER
    if category in SPACES or point == 0x200B:
        return SPACE
    if category in MARKS or 0x1F3FB <= point <= 0x1F3FF:  # tones of skin
        return MARK
    if category == "Nd":
        return DIGIT
    if 0x1F1E6 <= point <= 0x1F1FF:
        return FLAG
    if point in (0x27, 0x2019, 0x2E, 0xB7):  # ' ’ . ·
        return INNER
    return COMMA if point == 0x2C else OTHER
