"""Unigram language model (Kudo 2018, arXiv:1804.10959) on SentencePiece's Viterbi."""

import tensorflow as tf

from zoo.errors import TokenizerError
from zoo.tokenizers import fields, rows
from zoo.tokenizers import sentencepiece_model as spm
from zoo.tokenizers.formats import LARGEST_VOCABULARY
from zoo.tokenizers.sentencepiece_bpe import BYTE_TOKENS
from zoo.tokenizers.tables import captured
from zoo.tokenizers.viterbi import Viterbi
from zoo.tokenizers.whole_words import WholeWords

WHERE = "tokenizer.json: model"


class Unigram(tf.Module):
    """Words to ids.

    Args:
        pieces: `(text, score)` by id.
        unknown: Id for characters that no piece has.
        byte_fallback: Whether these become the pieces of their bytes instead.
        prepare: Words `[N]` to the words that are looked up, `[N]`, or None.
    """

    def __init__(self, pieces, *, unknown, byte_fallback=False, prepare=None):
        super().__init__(name="unigram")
        self._prepare = prepare
        table = [_piece(i, *piece) for i, piece in enumerate(pieces)]
        table[unknown] = spm.Piece(table[unknown].text, kind=spm.UNKNOWN)
        self._back = None
        self._viterbi = None if byte_fallback else Viterbi(pieces, unknown)
        if byte_fallback:
            places = {text: i for i, (text, _) in enumerate(pieces)}
            missing = [t for t in BYTE_TOKENS if t not in places]
            if missing:
                raise TokenizerError(
                    f"{WHERE}: byte_fallback needs the piece {missing[0]!r}."
                )
            # A piece is found in text or stands for a byte; these here are both.
            back = [*range(len(table)), *(places[t] for t in BYTE_TOKENS)]
            self._back = captured(back, tf.int32)
            table += [spm.Piece(t, kind=spm.BYTE) for t in BYTE_TOKENS]
        self._processor = spm.processor(
            spm.written(table, model_type=spm.UNIGRAM, byte_fallback=byte_fallback)
        )

        self._whole = WholeWords(self._alone([text for text, _ in pieces]))

    def _alone(self, texts):
        """Text -> id of the pieces that are the best spelling of their own text."""
        ids = self._search(tf.constant(texts))
        lengths, first = ids.row_lengths().numpy(), ids.row_starts().numpy()
        values = ids.values.numpy()
        return {
            text: i
            for i, text in enumerate(texts)
            if lengths[i] == 1 and values[first[i]] == i
        }

    def __call__(self, words):
        """Words `[N]`, UTF-8, to ids: ragged int32 `[N, (pieces)]`."""
        if self._prepare is not None:
            words = self._prepare(words)
        return self._whole(words, self._search)

    def _search(self, words):
        ids = self._processor.tokenize(words)
        if self._back is not None:
            return ids.with_values(tf.gather(self._back, ids.values))
        needed = self._viterbi.is_needed(ids)

        def exactly():
            exact, _ = self._viterbi(rows.taken(words, needed))
            both = tf.gather(rows.stacked([ids, exact]), _merged(needed))
            return both.values, both.row_splits

        values, splits = tf.cond(
            tf.reduce_any(needed), exactly, lambda: (ids.values, ids.row_splits)
        )
        return rows.ragged(values, splits)

    def spans(self, words):
        """Ids of words `[N]` that are prepared, with the bytes of each piece.

        Returns:
            Ragged int32 `[N, (pieces)]`, and int32 `[pieces, 2]`.
        """
        ids, spans = spm.spans(self._processor, words)
        if self._back is not None:
            return ids.with_values(tf.gather(self._back, ids.values)), spans
        needed = self._viterbi.is_needed(ids)

        def exactly():
            exact, where = self._viterbi(tf.boolean_mask(words, needed))
            order = _merged(needed)
            both = tf.gather(tf.concat([ids, exact], axis=0), order)
            beside = [ids.with_values(spans), exact.with_values(where)]
            beside = tf.gather(tf.concat(beside, axis=0), order)
            return both.values, both.row_splits, beside.values

        values, splits, spans = tf.cond(
            tf.reduce_any(needed), exactly, lambda: (ids.values, ids.row_splits, spans)
        )
        return rows.ragged(values, splits), spans


def _merged(needed):
    """Rows of two tables, one behind the other: the second where `needed` `[N]`."""
    rank = tf.cumsum(tf.cast(needed, tf.int32), exclusive=True)
    size = tf.size(needed)
    return tf.where(needed, size + rank, tf.range(size))


def read(vocab):
    """Checks the "vocab" of a Unigram model: list of [text, score].

    Raises:
        TokenizerError: naming the row.
    """
    if not vocab or len(vocab) > LARGEST_VOCABULARY:
        raise TokenizerError(f"{WHERE}.vocab: {len(vocab):,} pieces.")
    seen: dict[str, int] = {}
    for i, row in enumerate(vocab):
        where = f"{WHERE}.vocab[{i}]"
        if not isinstance(row, list) or len(row) != 2:
            raise TokenizerError(f"{where}: {fields.shown(row)} is not [text, score].")
        text, score = fields.text(row[0], where), row[1]
        number = isinstance(score, int | float) and not isinstance(score, bool)
        if not number or not abs(score) < 1e30:
            raise TokenizerError(
                f"{where}: the score {fields.shown(score)} is no number."
            )
        if text in seen:
            raise TokenizerError(f"{where}: {text!r} has the id {seen[text]} already.")
        seen[text] = i
    return seen


def _piece(i, text, score):
    """A piece; one without text, or with NUL, is never found in text."""
    if not text or "\0" in text:
        return spm.Piece(f"<id {i}>", kind=spm.CONTROL)
    return spm.Piece(text, score)
