"""From text to words: the pre-tokenisers, as separators set by RE2."""

from dataclasses import dataclass

import tensorflow as tf

from zoo.tokenizers import splitting, unicode


@dataclass(frozen=True)
class Cut:
    """One pass over the text.

    Attributes:
        pattern: RE2 pattern without groups that capture.
        where: "before", "after" or "around" a match; "instead" drops the match.
    """

    pattern: str
    where: str


_REWRITES = {
    "before": splitting.SEPARATOR + b"\\0",
    "after": b"\\0" + splitting.SEPARATOR,
    "around": splitting.SEPARATOR + b"\\0" + splitting.SEPARATOR,
    "instead": splitting.SEPARATOR,
}


class Words:
    """Cuts text by a list of passes; with none, a text is one word.

    Args:
        cuts: `Cut`s, each of which cuts what the ones before it left whole.
    """

    def __init__(self, cuts):
        self._cuts = tuple(cuts)

    def __call__(self, texts):
        """Strings `[N]` to words, ragged `[N, (words)]`; empty words mean nothing."""
        for cut in self._cuts:
            texts = splitting.replace(texts, cut.pattern, _REWRITES[cut.where])
        return splitting.pieces(texts)

    def lossless(self, texts):
        """As `__call__`, with what is dropped kept as words of its own.

        Returns:
            The words, and True for each one that is to be dropped: both ragged
            `[N, (words)]`.
        """
        dropped = [cut.pattern for cut in self._cuts if cut.where == "instead"]
        for cut in self._cuts:
            where = "around" if cut.where == "instead" else cut.where
            texts = splitting.replace(texts, cut.pattern, _REWRITES[where])
        words = splitting.pieces(texts)
        drop = tf.fill(tf.shape(words.values), False)
        for pattern in dropped:
            drop |= tf.strings.regex_full_match(words.values, pattern)
        return words, words.with_values(drop)


class BertWords:
    """BERT's words, cut out of the text before its characters are normalised.

    Cutting first lets the normaliser see each different word once. It is the same as
    normalising first, since each character's part in the cutting is known beforehand:
    it is looked up by what the character becomes.

    Args:
        table: What the normaliser makes of each character.
        isolated: Code points that are words of their own before they are normalised.
    """

    def __init__(self, table, isolated=frozenset()):
        punctuation, spaces = unicode.members("punctuation"), unicode.members("space")
        becomes_mark, becomes_space, gone = set(isolated), set(), set()
        controls = unicode.members("bert_control")
        for c in punctuation | spaces | set(table):
            new = table.get(c, (c,))
            if not new and c in controls:
                gone.add(c)
            elif any(n in punctuation for n in new):
                becomes_mark.add(c)
            elif any(n in spaces for n in new):
                becomes_space.add(c)
        self._gone = unicode.one_of(unicode.as_ranges(gone))
        self._marks = unicode.one_of(unicode.as_ranges(becomes_mark))
        # What tf.strings.split takes for white space needs no pass of its own.
        native = set(b" \t\n\v\f\r")
        self._spaces = unicode.one_of(unicode.as_ranges(becomes_space - native))
        self._all_spaces = unicode.one_of(unicode.as_ranges(becomes_space)) + "+"

    def __call__(self, texts):
        """As `Words.__call__`."""
        texts = splitting.replace(texts, self._gone, b"")
        texts = splitting.replace(texts, self._spaces, b" ")
        texts = splitting.replace(texts, self._marks, b" \\0 ")
        return tf.strings.split(texts)

    def lossless(self, texts):
        """As `Words.lossless`; characters that vanish are left to the normaliser."""
        cuts = [Cut(self._all_spaces, "instead"), Cut(self._marks, "around")]
        return Words(cuts).lossless(texts)
