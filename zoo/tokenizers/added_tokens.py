"""Added tokens: found in the text before anything else, longest first, never split."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from zoo.errors import TokenizerError
from zoo.tokenizers import rows, splitting, unicode


@dataclass(frozen=True)
class AddedToken:
    """A piece of text that is one token wherever it stands.

    Attributes:
        content: The text.
        id: Its id.
        special: Left out by `decode(..., skip_special_tokens=True)`.
        single_word: Only where no letter or digit stands beside it.
        lstrip: Takes the white space before it along.
        rstrip: Takes the white space behind it along.
        normalized: Sought in the normalised text, else in the text as given.
    """

    content: str
    id: int
    special: bool = False
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = False


class AddedTokenSplitter:
    """Cuts strings around the added tokens of one group.

    Args:
        tokens: The `AddedToken`s; their contents as they stand in the text sought.
    """

    def __init__(self, tokens):
        self._tokens = sorted(tokens, key=lambda t: -len(t.content.encode()))
        contents = [t.content for t in self._tokens]
        if "" in contents:
            raise TokenizerError("an added token has no text. Remove it from the file.")
        self._strips = [t.lstrip or t.rstrip for t in self._tokens]
        for token, strips in zip(self._tokens, self._strips, strict=True):
            if strips and token.content != token.content.strip():
                raise TokenizerError(
                    f"the added token {token.content!r} begins or ends with white "
                    "space and strips it too (lstrip, rstrip). It can do one of them."
                )
        # RE2 takes the first alternative that matches: the longest stands first.
        self._pattern = f"(?:{'|'.join(map(_pattern, self._tokens))})"
        self._contents = np.array([c.encode() for c in contents], object)
        self._ids = np.array([t.id for t in self._tokens], np.int32)
        self._single = np.array([t.single_word for t in self._tokens])
        self._left = np.array([t.lstrip for t in self._tokens])

    def __call__(self, texts):
        """Cuts strings `[N]` into pieces.

        Returns:
            Strings, ragged `[N, (pieces)]`, and ids of the same form: the id of an
            added token, or -1 for text. Text pieces may be empty.
        """
        if not self._tokens:
            pieces = tf.RaggedTensor.from_uniform_row_length(texts, 1)
            return pieces, pieces.with_values(tf.fill(tf.shape(texts), -1))
        pieces = splitting.pieces(splitting.cut_around(texts, self._pattern))
        if self._single.any():
            pieces = self._without_parts_of_words(pieces)
        if self._left.any():
            pieces = self._with_space_before(pieces)
        return pieces, pieces.with_values(self._identify(pieces))

    def _identify(self, pieces):
        """The id of each piece that is an added token, -1 for the others."""
        is_token = _is_token(pieces)
        index = self._index(rows.taken(pieces.values, is_token))
        blank = tf.fill(tf.shape(is_token), -1)
        ids = tf.gather(self._ids, index)
        return tf.tensor_scatter_nd_update(blank, tf.where(is_token), ids)

    def _index(self, found):
        """Which token each matched text `[N]` is."""
        same = found[:, None] == tf.constant(self._contents)[None, :]
        if any(self._strips):
            space = unicode.one_of("space")
            bare = splitting.replace(found, rf"\A{space}+|{space}+\z", b"")
            same |= (bare[:, None] == self._contents[None, :]) & self._strips
        return tf.argmax(tf.cast(same, tf.int32), axis=1)

    def _with_space_before(self, pieces):
        """Moves white space from the end of a text to a token that takes it along."""
        texts = pieces.values
        is_token = _is_token(pieces)
        index = self._index(tf.where(is_token, texts, self._contents[0]))
        takes = is_token & tf.gather(self._left, index)
        gives = tf.concat([takes[1:], [False]], 0)[: tf.size(takes)]
        bare = splitting.replace(texts, rf"{unicode.one_of('space')}+\z", b"")
        bare = tf.where(gives, bare, texts)
        size = tf.strings.length(bare)
        space = tf.strings.substr(texts, size, tf.strings.length(texts) - size)
        space = tf.concat([[""], space[:-1]], 0)[: tf.size(texts)]
        return pieces.with_values(tf.where(takes, tf.strings.join([space, bare]), bare))

    def _without_parts_of_words(self, pieces):
        """Puts tokens that must be whole words, and are not, back into the text."""
        texts = pieces.values
        is_token = _is_token(pieces)
        first = rows.firsts(pieces.row_splits)
        last = tf.concat([first[1:], [True]], 0)[: tf.size(texts)]
        # An empty text piece between two tokens lets the token behind it decide.
        before = tf.concat([[""], texts[:-1]], 0)[: tf.size(texts)]
        after = tf.concat([texts[1:], [""]], 0)[: tf.size(texts)]
        before2 = tf.concat([["", ""], texts[:-2]], 0)[: tf.size(texts)]
        after2 = tf.concat([texts[2:], ["", ""]], 0)[: tf.size(texts)]
        before = tf.where(before == "", tf.where(_shift(first), "", before2), before)
        after = tf.where(after == "", tf.where(_back(last), "", after2), after)
        word = unicode.one_of("word")
        inside = tf.strings.regex_full_match(before, rf"(?s).*{word}")
        inside |= tf.strings.regex_full_match(after, rf"(?s){word}.*")
        index = self._index(tf.where(is_token, texts, self._contents[0]))
        fails = inside & tf.gather(self._single, index)
        marked = tf.strings.join([splitting.SEPARATOR, texts, splitting.SEPARATOR])
        texts = tf.where(is_token & ~fails, marked, texts)
        row = rows.row_ids(pieces.row_splits)
        joined = tf.strings.unsorted_segment_join(texts, row, pieces.nrows())
        return splitting.pieces(joined)


def _pattern(token):
    space = f"{unicode.one_of('space')}*" if token.rstrip else ""
    return unicode.literal(token.content) + space


def _is_token(pieces):
    """Text and token alternate in each row: what stands at odd places is a token."""
    starts = tf.gather(pieces.row_splits, rows.row_ids(pieces.row_splits))
    return (tf.range(tf.size(pieces.values, tf.int64)) - starts) % 2 == 1


def _shift(flags):
    """For each piece, whether the one before it is the first of its row."""
    return tf.concat([[True], flags[:-1]], 0)[: tf.size(flags)]


def _back(flags):
    """For each piece, whether the one behind it is the last of its row."""
    return tf.concat([flags[1:], [True]], 0)[: tf.size(flags)]
