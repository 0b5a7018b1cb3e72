"""Viterbi's search in float64, as `tokenizers` does it, for the few words that need it.

SentencePiece adds in float32. The two differ where two spellings have one score, which
is where neighbouring pieces can change places: in runs such as "-----".
"""

import numpy as np
import tensorflow as tf

from zoo.tokenizers import rows
from zoo.tokenizers.tables import captured

_BASE = 1_000_003
_AREA = 1 << 16  # characters in one table
_PENALTY = 10.0  # of an unknown character, below the lowest score


class Viterbi:
    """Exact search.

    Args:
        pieces: `(text, score)` by id.
        unknown: Id for characters that no piece has.
    """

    def __init__(self, pieces, unknown):
        texts = [(text, i) for i, (text, _) in enumerate(pieces)]
        keys = {_hash(text): i for text, i in texts if text and "\0" not in text}
        order = sorted(keys)
        self._keys = captured(order, tf.int64)
        self._ids = captured([keys[k] for k in order], tf.int32)
        scores = np.array([score for _, score in pieces], np.float64)
        self._scores = captured(scores, tf.float64)
        self._unknown = unknown
        self._lowest = float(scores.min()) - _PENALTY
        self._longest = max(len(text) for text, _ in pieces)
        powers = [pow(_BASE, n, 1 << 64) for n in reversed(range(self._longest))]
        self._powers = captured([_signed(p) for p in powers], tf.int64)
        numbers: dict[str, int] = {}
        roots = [numbers.setdefault(_root(t), len(numbers)) for t, _ in pieces]
        self._roots = captured(roots, tf.int32)

    def is_needed(self, ids):
        """Whether pieces of each word could change places: bool `[N]`, ids ragged."""
        root = tf.gather(self._roots, ids.values)
        same = (root[1:] == root[:-1]) & (ids.values[1:] != ids.values[:-1])
        same &= ~rows.firsts(ids.row_splits)[1:]
        count = tf.concat([[0, 0], tf.cumsum(tf.cast(same, tf.int32))], 0)
        bounds = tf.minimum(ids.row_splits, tf.size(count, tf.int64) - 1)
        found = tf.gather(count, bounds)
        return found[1:] > found[:-1]

    def __call__(self, words):
        """Searches words `[N]`.

        Returns:
            Ids, ragged int32 `[N, (pieces)]`, and the bytes of each piece, int32
            `[pieces, 2]`.
        """
        # One after the other, in groups of like length: the tables are rectangles.
        sizes = tf.strings.length(words)
        order = tf.argsort(sizes, stable=True)
        words, sizes = tf.gather(words, order), tf.gather(sizes, order)
        shapes = [tf.TensorShape([None])] * 2 + [tf.TensorShape([None, 2])]
        blank = tf.zeros([0], tf.int32)

        def more(place, *found):
            return place < tf.size(words)

        def group(place, values, counts, spans):
            # As many words as fit into a table of so many places.
            area = sizes * tf.maximum(tf.range(tf.size(sizes)) - place + 1, 0)
            fit = tf.searchsorted(area, [_AREA])
            end = tf.maximum(fit[0], place + 1)
            ids, where = self._search(words[place:end])
            lengths = tf.cast(ids.row_lengths(), tf.int32)
            return (
                end,
                tf.concat([values, ids.values], 0),
                tf.concat([counts, lengths], 0),
                tf.concat([spans, where], 0),
            )

        start = (tf.constant(0), blank, blank, tf.zeros([0, 2], tf.int32))
        _, values, counts, spans = tf.while_loop(
            more, group, start, shape_invariants=(tf.TensorShape([]), *shapes)
        )
        found = rows.ragged(values, rows.splits_of(counts))
        back = tf.argsort(order)
        return tf.gather(found, back), tf.gather(found.with_values(spans), back).values

    def _search(self, words):
        ragged = tf.strings.unicode_decode(words, "UTF-8")
        lengths = tf.cast(ragged.row_lengths(), tf.int32)
        characters = tf.transpose(ragged.to_tensor())  # [T, N]
        ids = self._lookup(characters)
        size = self._forward(ids)  # [T, N]: length of the best piece that ends here
        mask = tf.transpose(self._backward(size, lengths))  # [N, T]: pieces end here
        ids = tf.transpose(ids, [2, 0, 1])
        chosen = tf.gather(ids, self._longest - tf.transpose(size), batch_dims=2)
        chosen = tf.where(chosen < 0, self._unknown, chosen)
        counts = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
        found = rows.ragged(tf.boolean_mask(chosen, mask), rows.splits_of(counts))
        start = tf.range(tf.shape(size)[0])[:, None] - size + 1
        return self._fused(found, self._bytes(characters, start, mask))

    def _lookup(self, characters):
        """Pieces by where they end, longest first: int32 `[T, longest, N]`, -1: none.

        Args:
            characters: int32 `[T, N]`; behind the end of a word stand zeros.
        """
        # Before the start stand zeros too: no piece has NUL.
        padded = tf.pad(tf.cast(characters, tf.int64), [[self._longest - 1, 0], [0, 0]])
        places = tf.range(tf.shape(characters)[0])[:, None] + tf.range(self._longest)
        parts = (tf.gather(padded, places) + 1) * self._powers[:, None]
        keys = tf.cumsum(parts, axis=1, reverse=True)
        place = tf.searchsorted(self._keys, tf.reshape(keys, [-1]))
        place = tf.reshape(place, tf.shape(keys))
        place = tf.minimum(place, tf.size(self._keys) - 1)
        same = tf.gather(self._keys, place) == keys
        return tf.where(same, tf.gather(self._ids, place), -1)

    def _forward(self, ids):
        """The length of the best piece that ends at each place: int32 `[T, N]`."""
        scores = tf.gather(self._scores, tf.maximum(ids, 0))
        # A character without a piece is a piece of its own; nothing longer is.
        least = np.full([self._longest, 1], -np.inf)
        least[-1] = self._lowest
        scores = tf.where(ids < 0, tf.constant(least, tf.float64), scores)
        best = tf.fill(tf.shape(ids)[1:], tf.constant(-np.inf, tf.float64))
        best = tf.concat([best[1:], tf.zeros_like(best[:1])], axis=0)

        def step(state, score):
            # Longest first: the earliest start wins a tie.
            total = state[0] + score
            length = self._longest - tf.argmax(total, axis=0, output_type=tf.int32)
            top = tf.reduce_max(total, axis=0, keepdims=True)
            return tf.concat([state[0][1:], top], axis=0), length

        return tf.scan(step, scores, (best, tf.zeros(tf.shape(ids)[2:], tf.int32)))[1]

    def _backward(self, size, lengths):
        places = tf.range(tf.shape(size)[0])

        def step(end, at):
            place, length = at
            here = end == place
            return tf.where(here, place - length, end)

        after = tf.scan(step, (places, size), lengths - 1, reverse=True)
        before = tf.concat([after[1:], [lengths - 1]], 0)
        return before == places[:, None]

    def _bytes(self, characters, start, mask):
        width = 1 + tf.add_n(
            [tf.cast(characters >= bound, tf.int32) for bound in (0x80, 0x800, 0x10000)]
        )
        ends = tf.cumsum(width, axis=0)
        columns = tf.broadcast_to(
            tf.range(tf.shape(width)[1])[None, :], tf.shape(start)
        )
        begin = tf.gather_nd(
            ends - width, tf.stack([tf.maximum(start, 0), columns], -1)
        )
        spans = tf.transpose(tf.stack([begin, ends], axis=-1), [1, 0, 2])
        return tf.boolean_mask(spans, mask)

    def _fused(self, ids, spans):
        """Unknown characters side by side as one piece."""
        unknown = ids.values == self._unknown
        first = rows.firsts(ids.row_splits)
        joins = unknown[1:] & unknown[:-1] & ~first[1:]
        kept = tf.concat([[True], ~joins], 0)[: tf.size(unknown)]
        last = tf.concat([~joins, [True]], 0)[: tf.size(unknown)]
        spans = tf.stack(
            [rows.taken(spans[:, 0], kept), rows.taken(spans[:, 1], last)], 1
        )
        return rows.keep(ids, kept), spans


def _hash(text):
    key = 0
    for character in text:
        key = (key * _BASE + ord(character) + 1) & (1 << 64) - 1
    return _signed(key)


def _signed(key):
    return key - (1 << 64) if key >> 63 else key


def _root(text):
    """The shortest text that `text` is a repetition of."""
    return text[: (text + text).find(text, 1)] if text else ""
