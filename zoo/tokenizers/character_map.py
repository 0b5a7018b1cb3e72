"""Graph ops that rewrite text one character at a time, by a table of code points."""

import numpy as np
import tensorflow as tf

from zoo.tokenizers import rows, unicode
from zoo.tokenizers.tables import captured


class CharacterMap:
    """Replaces each character by none, one or several, and says where each came from.

    The table over all 1,114,112 code points is kept as pages of 256, of which only the
    ones with an entry are stored.

    Args:
        table: `Rewrites`. What is not in it stays.
        further: Sequences of code points that no single character becomes; `slots`
            of a subclass may give them.
    """

    def __init__(self, table, further=()):
        slots = np.arange(1, len(table) + 1)
        self._pages, self._slots = paged_points(table.points, slots)
        # Position 0 is a stand-in for what stays.
        lengths = np.concatenate([[1], table.lengths, [len(new) for new in further]])
        lengths = lengths.astype(np.int32)
        values = np.concatenate([[0], table.values, *further])
        self._lengths = captured(lengths, tf.int32)
        self._starts = captured(np.cumsum(lengths) - lengths, tf.int32)
        self._values = captured(values.astype(np.int32), tf.int32)

    def __call__(self, characters):
        """Maps code points.

        Args:
            characters: Ragged int32 `[N, (chars)]`.

        Returns:
            Ragged int32 `[N, (new chars)]`, and for each new character the index of
            the one it came from among `characters.values`, int32.
        """
        old = characters.values
        slot = self.slots(characters)
        length = tf.gather(self._lengths, slot)
        splits = rows.splits_of(length)
        source = rows.row_ids(splits)
        starts = tf.cast(splits[:-1], tf.int32)
        within = tf.range(tf.size(source)) - tf.gather(starts, source)
        slot = tf.gather(slot, source)
        # Position 0 of the values is a stand-in: slot 0 keeps the character.
        new = tf.gather(self._values, tf.gather(self._starts, slot) + within)
        new = tf.where(slot == 0, tf.gather(old, source), new)
        return rows.ragged(new, tf.gather(splits, characters.row_splits)), source

    def slots(self, characters):
        """The row of the table for each character, 0 where it stays; int32."""
        return lookup(self._pages, self._slots, characters.values)


class CanonicalOrder:
    """Sorts runs of combining marks by their class, as the last step of NFD does."""

    def __init__(self):
        self._pages, self._slots = paged(unicode.combining_classes())

    def __call__(self, characters):
        """As `CharacterMap.__call__`.

        A mark that changes its place takes over the origin of the one that was there,
        as in the offsets of `tokenizers`.
        """
        values = characters.values
        places = order = tf.range(tf.size(values))
        classes = lookup(self._pages, self._slots, values)
        wrong = (classes[1:] > 0) & (classes[:-1] > classes[1:])
        order = tf.cond(
            tf.reduce_any(wrong),
            lambda: _stable_order(classes, characters.row_splits),
            lambda: order,
        )
        return characters.with_values(tf.gather(values, order)), places


def rewrite(texts, steps, plain):
    """Applies character steps to strings.

    Args:
        texts: Strings `[N]`, valid UTF-8.
        steps: `CharacterMap`s and `CanonicalOrder`s.
        plain: What does the same to strings `[N]` of ASCII alone, in less time.

    Returns:
        Strings `[N]`.
    """
    size = tf.strings.length(texts)
    wide = size > tf.strings.length(texts, unit="UTF8_CHAR")

    def rewritten():
        characters = decode(rows.taken(texts, wide))
        for step in steps:
            characters, _ = step(characters)
        new = tf.strings.unicode_encode(characters, "UTF-8")
        places = tf.cast(tf.where(~wide)[:, 0], tf.int32)
        new_places = tf.cast(tf.where(wide)[:, 0], tf.int32)
        kept = plain(rows.taken(texts, ~wide))
        return tf.dynamic_stitch([places, new_places], [kept, new])

    return tf.cond(tf.reduce_any(wide), rewritten, lambda: plain(texts))


def decode(texts):
    """Code points of strings `[N]`: ragged int32 `[N, (chars)]`."""
    return tf.strings.unicode_decode(texts, "UTF-8")


def _stable_order(classes, splits):
    """Indices that sort by class within each run of marks, equal ones as they were."""
    starts = (classes == 0) | rows.firsts(splits)
    run = tf.cumsum(tf.cast(starts, tf.int64))
    return tf.argsort(run * 256 + tf.cast(classes, tf.int64), stable=True)


def paged(table):
    """`(pages [0x1100], slots [pages * 256])` of a table code point -> int."""
    return paged_points(np.array([*table]), [*table.values()])


def paged_points(points, values):
    """As `paged`, of code points `[N]`, each once, and their values `[N]`."""
    points = points.astype(np.int64)
    used = np.flatnonzero(np.bincount(points >> 8, minlength=0x1100))
    pages = np.zeros(0x1100, np.int32)
    pages[used] = np.arange(1, len(used) + 1)
    slots = np.zeros((len(used) + 1) * 256, np.int32)
    slots[pages[points >> 8] * 256 + (points & 255)] = values
    return captured(pages, tf.int32), captured(slots, tf.int32)


def lookup(pages, slots, code_points):
    page = tf.gather(pages, tf.bitwise.right_shift(code_points, 8))
    return tf.gather(slots, page * 256 + tf.bitwise.bitwise_and(code_points, 255))
