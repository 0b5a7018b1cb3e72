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
        # RE2 takes the first alternative that matches: the longest stands first.
        self._pattern = f"(?:{'|'.join(map(unicode.literal, contents))})"
        self._contents = np.array([c.encode() for c in contents], object)
        self._ids = np.array([t.id for t in self._tokens], np.int32)

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
        # Text and token alternate, so what stands at odd places is a token.
        starts = tf.gather(pieces.row_splits, rows.row_ids(pieces.row_splits))
        place = tf.range(tf.size(pieces.values, tf.int64)) - starts
        ids = self._identify(pieces.values, place % 2 == 1)
        return pieces, pieces.with_values(ids)

    def _identify(self, pieces, is_token):
        places = tf.where(is_token)
        found = tf.boolean_mask(pieces, is_token)
        same = found[:, None] == tf.constant(self._contents)[None, :]
        ids = tf.gather(self._ids, tf.argmax(tf.cast(same, tf.int32), axis=1))
        blank = tf.fill(tf.shape(pieces), -1)
        return tf.tensor_scatter_nd_update(blank, places, ids)
