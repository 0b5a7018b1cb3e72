"""From text to words: the pre-tokenisers, as separators set by RE2."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from zoo.tokenizers import rewrites, rows, splitting, unicode
from zoo.tokenizers.alignment import AlignedText


@dataclass(frozen=True)
class Cut:
    """Cuts at every match of a pattern.

    Attributes:
        pattern: RE2 pattern without groups that capture.
        where: "before", "after" or "around" a match; "instead" drops the match;
            "between" cuts between the two groups that the pattern then has.
    """

    pattern: str
    where: str


@dataclass(frozen=True)
class Prefix:
    """Puts a text before every piece that does not begin with it.

    Attributes:
        text: The text.
        only_first: Only for the piece with which the whole input begins.
    """

    text: str
    only_first: bool = False


@dataclass(frozen=True)
class Change:
    """Replaces every match of a pattern by a text."""

    pattern: str
    text: str


_REWRITES = {
    "before": splitting.SEPARATOR + b"\\0",
    "after": b"\\0" + splitting.SEPARATOR,
    "around": splitting.SEPARATOR + b"\\0" + splitting.SEPARATOR,
    "between": b"\\1" + splitting.SEPARATOR + b"\\2",
    "instead": splitting.SEPARATOR,
}


class Words:
    """Cuts text by a list of steps; with none, a text is one word.

    Args:
        steps: `Cut`s, `Prefix`es and `Change`s, each of which works on the pieces that
            the ones before it left.
    """

    def __init__(self, steps):
        self._steps = tuple(steps)

    def __call__(self, texts, begins):
        """Cuts texts.

        Args:
            texts: Strings `[N]`.
            begins: bool `[N]`, True where a text begins the whole input.

        Returns:
            Words, ragged `[N, (words)]`; empty ones mean nothing.
        """
        outer = None
        for step in self._steps:
            if isinstance(step, Cut):
                texts = splitting.replace(texts, step.pattern, _REWRITES[step.where])
            elif isinstance(step, Change):
                texts = splitting.replace(texts, step.pattern, step.text)
            else:
                words = splitting.pieces(texts)
                outer = _inner(outer, words)
                texts = words.values
                needs = _needs(
                    texts, tf.gather(begins, rows.row_ids(outer.row_splits)), step
                )
                texts = tf.where(needs, tf.strings.join([step.text, texts]), texts)
        return _inner(outer, splitting.pieces(texts))

    def aligned(self, text, begins):
        """As `__call__`, for an `AlignedText`.

        Returns:
            The words as an `AlignedText`, and their row splits `[N + 1]`.
        """
        outer = None
        for step in self._steps:
            texts = text.texts
            if isinstance(step, Change):
                text = text.replaced(step.pattern, step.text)
                continue
            if isinstance(step, Prefix):
                row = None if outer is None else rows.row_ids(outer.row_splits)
                begin = begins if row is None else tf.gather(begins, row)
                text = text.prefixed(step.text, _needs(texts, begin, step))
                continue
            where = "around" if step.where == "instead" else step.where
            words = splitting.pieces(
                splitting.replace(texts, step.pattern, _REWRITES[where])
            )
            outer = _inner(outer, words)
            text = AlignedText(words.values, text.spans)
            if step.where == "instead":
                dropped = tf.strings.regex_full_match(words.values, step.pattern)
                text = text.only(~dropped)
        if outer is None:
            outer = tf.RaggedTensor.from_uniform_row_length(text.texts, 1)
        return text, outer.row_splits


def _inner(outer, words):
    return words if outer is None else rows.joined(outer.row_splits, words)


def _needs(texts, begins, step):
    """Where a prefix is put: before what is not empty and has none."""
    size = len(step.text.encode())
    needs = tf.strings.length(texts) > 0
    needs &= tf.strings.substr(texts, 0, size) != step.text
    return needs & begins if step.only_first else needs


class BertWords:
    """BERT's words, cut out of the text before its characters are normalised.

    Cutting first lets the normaliser see each different word once. It is the same as
    normalising first, since each character's part in the cutting is known beforehand:
    it is looked up by what the character becomes.

    Args:
        table: `Rewrites`: what the normaliser makes of each character.
        isolated: Code points `[N]` that are words of their own before they are
            normalised.
    """

    def __init__(self, table, isolated):
        punctuation, spaces = unicode.points("punctuation"), unicode.points("space")
        points = rewrites.union(punctuation, spaces, table.points)
        lengths, values = table.apply(points)
        is_mark = rewrites.any_in(lengths, values, punctuation)
        is_space = rewrites.any_in(lengths, values, spaces) & ~is_mark
        # What tf.strings.split takes for white space needs no pass of its own.
        is_space &= ~np.isin(points, [*b" \t\n\v\f\r"])
        is_gone = (lengths == 0) & np.isin(points, unicode.points("bert_control"))
        marks = np.concatenate([points[is_mark], isolated])
        self._gone, self._marks, self._spaces = (
            unicode.one_of(unicode.as_ranges(found))
            for found in (points[is_gone], marks, points[is_space])
        )

    def __call__(self, texts, begins):
        """As `Words.__call__`."""
        texts = splitting.replace(texts, self._gone, b"")
        texts = splitting.replace(texts, self._spaces, b" ")
        texts = splitting.replace(texts, self._marks, b" \\0 ")
        return splitting.between_spaces(texts)


class MarkedWords:
    """What stands between white space, each word with a mark before it, as T5 has it.

    The text is cut at white space first, and the mark is put before each different word
    once, by `marked`: a pass of RE2 costs 0.2 microseconds for each match.

    Args:
        mark: The mark, one character.
    """

    def __init__(self, mark):
        self._mark = mark
        # What is ASCII white space needs no pass of its own.
        wide = unicode.members("space") - set(b" \t\n\v\f\r")
        self._spaces = unicode.one_of(unicode.as_ranges(wide))

    @classmethod
    def of(cls, steps):
        """The same as `Words(steps)`, or None where the steps are others."""
        prefix = [step for step in steps if isinstance(step, Prefix)]
        mark = prefix[0].text if prefix else ""
        if len(mark) != 1 or list(steps) != cls._steps(mark):
            return None
        return cls(mark)

    @staticmethod
    def _steps(mark):
        return [
            Cut(unicode.one_of("space") + "+", "instead"),
            Change(" ", mark),
            Prefix(mark),
            Cut(unicode.literal(mark), "before"),
        ]

    def __call__(self, texts, begins):
        """As `Words.__call__`, without the marks."""
        texts = splitting.replace(texts, self._spaces, b" ")
        # A mark in the text begins a word, which then has it.
        texts = splitting.replace(texts, unicode.literal(self._mark), b" \\0")
        return splitting.between_spaces(texts)

    def marked(self, words):
        """Words `[N]` with the mark before them."""
        size = len(self._mark.encode())
        needs = tf.strings.substr(words, 0, size) != self._mark
        return tf.where(needs, tf.strings.join([self._mark, words]), words)
