"""Byte-level BPE (GPT-2) on SentencePiece's BPE: bytes stand as latin-1 characters."""

import numpy as np
import tensorflow as tf

from zoo.errors import TokenizerError
from zoo.tokenizers import merges as merging
from zoo.tokenizers import rows, splitting, unicode
from zoo.tokenizers import sentencepiece_model as spm
from zoo.tokenizers.byte_alphabet import BYTE_OF, CHARACTER_OF
from zoo.tokenizers.tables import captured
from zoo.tokenizers.whole_words import WholeWords


class ByteLevelBpe(tf.Module):
    """Words to ids.

    Args:
        vocabulary: Piece, in GPT-2's alphabet, -> id.
        merges: As `merges.read` gives them.
        unknown: Piece for a byte that is none, or None to drop it.
        whole_words: Whether a word that is a piece is taken without merging
            ("ignore_merges").
    """

    def __init__(self, vocabulary, merges, *, unknown=None, whole_words=False):
        super().__init__(name="byte_level_bpe")
        symbols = {b: vocabulary.get(c) for b, c in CHARACTER_OF.items()}
        absent = [b for b, i in symbols.items() if i is None]
        if absent and unknown is not None:
            raise TokenizerError(
                f"the vocabulary has no piece for the byte 0x{absent[0]:02X}, and the "
                f"unknown token {unknown!r} for it is not supported in byte-level BPE."
            )
        self._absent = unicode.one_of(unicode.as_ranges(absent)) if absent else None
        texts = {i: _bytes(piece) for piece, i in vocabulary.items()}
        spellings = {
            i: tuple(symbols[b] for b in text)
            for i, text in texts.items()
            if text is not None and len(text) > 1 and symbols.keys() >= set(text)
        }
        spellings = {i: s for i, s in spellings.items() if None not in s}
        ranks = merging.ranks(spellings, merges)
        model = spm.written(
            _pieces(max(vocabulary.values()) + 1, symbols, texts, ranks),
            model_type=spm.BPE,
        )
        self._processor = spm.processor(model)
        sizes = np.zeros(max(vocabulary.values()) + 1, np.int32)
        for i, text in texts.items():
            sizes[i] = len(text or b"")
        self._sizes = captured(sizes, tf.int32)
        whole = texts if whole_words else ranks
        self._whole = WholeWords({texts[i]: i for i in whole if texts[i]})

    def __call__(self, words):
        """Words `[N]`, of any bytes, to ids: ragged int32 `[N, (pieces)]`."""
        return self._whole(words, self._merged)

    def _merged(self, words):
        text = tf.strings.unicode_transcode(words, "ISO-8859-1", "UTF-8")
        if self._absent is not None:
            text = splitting.replace(text, self._absent, b"")
        return self._processor.tokenize(text)

    def spans(self, words):
        """As `__call__`, with the bytes of each piece, int32 `[pieces, 2]`."""
        if self._absent is not None:
            raise TokenizerError("return_offsets: not where bytes have no piece.")
        ids = self(words)
        sizes = tf.gather(self._sizes, ids.values)
        # The pieces of a word cover it, so that positions start anew with each word.
        before = tf.cumsum(tf.strings.length(words), exclusive=True)
        ends = tf.cumsum(sizes) - tf.gather(before, rows.row_ids(ids.row_splits))
        return ids, tf.stack([ends - sizes, ends], axis=1)


def _bytes(piece):
    """The bytes that a piece stands for, or None if it is not in the alphabet."""
    try:
        return bytes(BYTE_OF[c] for c in piece)
    except KeyError:
        return None


def _pieces(size, symbols, texts, ranks):
    """`Piece`s by id, and the unknown one behind them, which no byte ever needs."""
    pieces = [spm.Piece(f"<id {i}>", kind=spm.CONTROL) for i in range(size)]
    for b, i in symbols.items():
        if i is not None:
            pieces[i] = spm.Piece(chr(b))
    for i, rank in ranks.items():
        pieces[i] = spm.Piece(texts[i].decode("latin-1"), -float(rank))
    return [*pieces, spm.Piece("<unknown>", kind=spm.UNKNOWN)]
