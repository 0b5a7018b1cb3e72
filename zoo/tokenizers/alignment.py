"""Text together with where each of its characters comes from."""

from dataclasses import dataclass

import tensorflow as tf

from zoo.tokenizers import rows, splitting


@dataclass(frozen=True)
class AlignedText:
    """Strings, and the part of the original text that each character stands for.

    Attributes:
        texts: Strings `[N]`, valid UTF-8.
        spans: int32 `[characters, 2]`, over all strings in order: first character of
            the original text, and the one behind the last.
    """

    texts: tf.Tensor
    spans: tf.Tensor

    @classmethod
    def of(cls, texts, starts):
        """Texts that are parts of the original, from character `starts` `[N]` on."""
        splits = character_splits(texts)
        row = rows.row_ids(splits)
        place = tf.range(tf.size(row)) - tf.cast(tf.gather(splits, row), tf.int32)
        first = tf.gather(starts, row) + place
        return cls(texts, tf.stack([first, first + 1], axis=1))

    def only(self, mask):
        """The same with "" where `mask` `[N]` is False."""
        row = rows.row_ids(character_splits(self.texts))
        kept = tf.boolean_mask(self.spans, tf.gather(mask, row))
        return AlignedText(tf.where(mask, self.texts, ""), kept)

    def ends_of(self, mask):
        """First and last character of the strings where `mask` `[N]`, none of them "".

        Returns:
            int32 `[strings, 2]`.
        """
        splits = character_splits(self.texts)
        first = tf.gather(self.spans[:, 0], tf.boolean_mask(splits[:-1], mask))
        last = tf.gather(self.spans[:, 1], tf.boolean_mask(splits[1:], mask) - 1)
        return tf.stack([first, last], axis=1)

    def mapped(self, step):
        """After a step of `character_map`."""
        characters, source = step(tf.strings.unicode_decode(self.texts, "UTF-8"))
        texts = tf.strings.unicode_encode(characters, "UTF-8")
        return AlignedText(texts, tf.gather(self.spans, source))

    def replaced(self, pattern, text):
        """After every match is replaced: the new text stands for its last character."""
        pieces = splitting.pieces(splitting.cut_around(self.texts, pattern))
        starts = tf.gather(pieces.row_splits, rows.row_ids(pieces.row_splits))
        places = tf.range(tf.size(pieces.values, tf.int64)) - starts
        is_match = places % 2 == 1
        old = character_splits(pieces.values)
        new = tf.where(is_match, text, pieces.values)
        splits = character_splits(new)
        row = rows.row_ids(splits)
        place = tf.range(tf.size(row, tf.int64)) - tf.gather(splits, row)
        index = tf.gather(old, row) + place
        last = tf.gather(old, row + 1) - 1
        source = tf.where(tf.gather(is_match, row), last, index)
        row = rows.row_ids(pieces.row_splits)
        texts = tf.strings.unsorted_segment_join(new, row, pieces.nrows())
        return AlignedText(texts, tf.gather(self.spans, source))

    def prefixed(self, text, needs):
        """With `text` before the strings where `needs` `[N]`: part of what follows."""
        old = character_splits(self.texts)
        texts = tf.where(needs, tf.strings.join([text, self.texts]), self.texts)
        splits = character_splits(texts)
        row = rows.row_ids(splits)
        place = tf.range(tf.size(row, tf.int64)) - tf.gather(splits, row)
        shift = tf.where(tf.gather(needs, row), len(text), 0)
        place = tf.maximum(place - tf.cast(shift, tf.int64), 0)
        return AlignedText(texts, tf.gather(self.spans, tf.gather(old, row) + place))

    def token_spans(self, row, spans):
        """Where tokens come from.

        Args:
            row: The string of each token, int32 `[tokens]`.
            spans: Its first byte there and the one behind the last, int32
                `[tokens, 2]`.

        Returns:
            int32 `[tokens, 2]`, characters of the original text.
        """
        data = tf.io.decode_raw(tf.strings.reduce_join(self.texts), tf.uint8)
        begins = tf.cast((data & 0xC0) != 0x80, tf.int32)
        character = tf.cumsum(begins) - 1
        sizes = tf.strings.length(self.texts)
        start = tf.gather(tf.cumsum(sizes, exclusive=True), row)
        first = tf.gather(character, start + spans[:, 0])
        last = tf.gather(character, start + tf.maximum(spans[:, 1] - 1, spans[:, 0]))
        return tf.stack(
            [tf.gather(self.spans[:, 0], first), tf.gather(self.spans[:, 1], last)], 1
        )


def character_splits(texts):
    """Row splits int64 `[N + 1]` of strings `[N]` into characters."""
    return rows.splits_of(tf.strings.length(texts, unit="UTF8_CHAR"))
