"""WordPiece: the longest piece first, by TF Text's LinMaxMatch (arXiv:2012.15524)."""

import tensorflow as tf

from zoo.errors import TokenizerError
from zoo.tokenizers import rows


class WordPiece(tf.Module):
    """Words to ids.

    Args:
        vocabulary: Piece -> id.
        unknown: Piece for a word that cannot be spelled.
        prefix: What marks a piece that continues a word.
        max_characters: Longer words are unknown.
        normalize: Words `[N]` to the words that are looked up, `[N]`, or None.
    """

    def __init__(self, vocabulary, *, unknown, prefix, max_characters, normalize=None):
        super().__init__(name="wordpiece")
        import tensorflow_text as tf_text

        if unknown not in vocabulary:
            raise TokenizerError(
                f"WordPiece: the unknown token {unknown!r} is not in the vocabulary."
            )
        self._normalize = normalize
        self._max_characters = max_characters
        self._unknown = vocabulary[unknown]
        self._stranger = _stranger(vocabulary)
        try:
            self._tokenizer = tf_text.FastWordpieceTokenizer(
                _pieces_by_id(vocabulary, self._stranger),
                suffix_indicator=prefix,
                unknown_token=unknown,
                token_out_type=tf.int32,
                max_bytes_per_word=2**30,  # counted in characters, below
                no_pretokenization=True,
            )
        except (ValueError, RuntimeError, tf.errors.OpError) as error:
            raise TokenizerError(
                f"WordPiece: this vocabulary cannot be compiled ({error})."
            ) from error

    def __call__(self, words):
        """Words `[N]`, each once, to ids: ragged int32 `[N, (pieces)]`."""
        if self._normalize is not None:
            words = self._normalize(words)
        return self._tokenizer.tokenize(self._within_limit(words))

    def spans(self, words):
        """Ids of words `[N]` that are normalised, with the bytes of each piece.

        Returns:
            Ragged int32 `[N, (pieces)]`, and int32 `[pieces, 2]`.
        """
        known = self._within_limit(words)
        ids, starts, ends = self._tokenizer.tokenize_with_offsets(known)
        # An unknown word is one piece, and the stand-in for a long one is shorter.
        whole = tf.gather(tf.strings.length(words), rows.row_ids(ids.row_splits))
        is_unknown = ids.values == self._unknown
        ends = tf.where(is_unknown, whole, tf.cast(ends.values, tf.int32))
        starts = tf.where(is_unknown, 0, tf.cast(starts.values, tf.int32))
        return ids, tf.stack([starts, ends], axis=1)

    def _within_limit(self, words):
        size = tf.strings.length(words, unit="UTF8_CHAR")
        return tf.where(size > self._max_characters, self._stranger, words)


def _pieces_by_id(vocabulary, stranger):
    """List of pieces; ids that nobody has get a text that no word can be."""
    size = max(vocabulary.values()) + 1
    pieces = [f"{stranger}{i}" for i in range(size)]
    for piece, i in vocabulary.items():
        if piece:
            pieces[i] = piece
    return pieces


def _stranger(vocabulary):
    """A character that is in no piece, so that a word of it is unknown."""
    used = set().union(*vocabulary)
    return next(c for c in map(chr, range(0x10FFFF, 0, -1)) if c not in used)
