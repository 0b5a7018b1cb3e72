"""BPE on characters, as Llama 2 and Mistral have it, on SentencePiece's BPE."""

import tensorflow as tf

from zoo.errors import TokenizerError
from zoo.tokenizers import merges as merging
from zoo.tokenizers import sentencepiece_model as spm
from zoo.tokenizers import splitting, unicode
from zoo.tokenizers.words import Cut

BYTE_TOKENS = [f"<0x{b:02X}>" for b in range(256)]
MARK = "\u2581"


class SentencePieceBpe(tf.Module):
    """Words to ids.

    Args:
        vocabulary: Piece -> id.
        merges: As `merges.read` gives them.
        unknown: Piece for a character that is none, or None to drop it.
        byte_fallback: Whether such characters become the pieces of their bytes.
        fuse_unknown: Whether unknown characters side by side are one piece.
    """

    def __init__(self, vocabulary, merges, *, unknown, byte_fallback, fuse_unknown):
        super().__init__(name="sentencepiece_bpe")
        present = [t for t in BYTE_TOKENS if t in vocabulary]
        if byte_fallback and 0 < len(present) < 256:
            raise TokenizerError(
                "byte_fallback needs 256 byte pieces; this vocabulary has "
                f"{len(present)}."
            )
        falls_back = byte_fallback and len(present) == 256
        if unknown is not None and unknown not in vocabulary:
            raise TokenizerError(
                f"the unknown token {unknown!r} is not in the vocabulary."
            )
        symbols = {p: i for p, i in vocabulary.items() if len(p) == 1}
        spellings = {
            i: tuple(symbols[c] for c in piece)
            for piece, i in vocabulary.items()
            if len(piece) > 1 and symbols.keys() >= set(piece)
        }
        ranks = merging.ranks(spellings, merges)
        size = max(vocabulary.values()) + 1
        self._unknown = size if unknown is None else vocabulary[unknown]
        self._drop = unknown is None and not falls_back
        pieces = _pieces(size, vocabulary, ranks, self._unknown, falls_back)
        model = spm.written(pieces, model_type=spm.BPE, byte_fallback=falls_back)
        self._processor = spm.processor(model)
        self._known = unicode.as_ranges(map(ord, symbols))
        self.cuts = self._cuts(vocabulary, ranks, falls_back or fuse_unknown)

    def __call__(self, words):
        """Words `[N]`, UTF-8, to ids: ragged int32 `[N, (pieces)]`."""
        if self._drop:
            words = splitting.replace(words, unicode.none_of(self._known), b"")
        return self._processor.tokenize(words)

    def spans(self, words):
        """As `__call__`, with the bytes of each piece, int32 `[pieces, 2]`."""
        if self._drop:
            raise TokenizerError("return_offsets: not where characters have no piece.")
        return spm.spans(self._processor, words)

    def _cuts(self, vocabulary, ranks, may_fuse):
        """Where text can be cut without a change: the same word is met more often."""
        cuts = []
        texts = {i: piece for piece, i in vocabulary.items()}
        reached = (texts[i] for i in ranks)
        if (
            all(MARK not in text.lstrip(MARK) for text in reached)
            and MARK in vocabulary
        ):
            other = unicode.none_of(unicode.as_ranges([ord(MARK)]))
            cuts.append(Cut(f"{other}+", "after"))
        if not (may_fuse or self._drop):
            cuts.append(Cut(unicode.none_of(self._known), "around"))
        return cuts


def _pieces(size, vocabulary, ranks, unknown, falls_back):
    pieces = [spm.Piece(f"<id {i}>", kind=spm.CONTROL) for i in range(size)]
    for text, i in vocabulary.items():
        if len(text) == 1:
            pieces[i] = spm.Piece(text)
        elif i in ranks:
            pieces[i] = spm.Piece(text, -float(ranks[i]))
    for text in BYTE_TOKENS if falls_back else ():
        pieces[vocabulary[text]] = spm.Piece(text, kind=spm.BYTE)
    row = spm.Piece("<unknown>", kind=spm.UNKNOWN)
    if unknown == size:
        return [*pieces, row]
    pieces[unknown] = row
    return pieces
