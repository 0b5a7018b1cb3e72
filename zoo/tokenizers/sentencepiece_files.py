"""Files of SentencePiece (spiece.model, tokenizer.model), checked, then run as is."""

import struct

import tensorflow as tf

from zoo.errors import TokenizerError
from zoo.tokenizers import sentencepiece_model as spm

BPE = spm.BPE
# Pieces that no text becomes.
UNSEEN = (spm.UNKNOWN, spm.CONTROL)


class NativeSentencePiece(tf.Module):
    """Texts to ids, by the model's own normaliser and algorithm.

    Args:
        data: The file.
    """

    def __init__(self, data):
        super().__init__(name="sentencepiece")
        self._processor = spm.processor(data)

    def __call__(self, texts):
        """Texts `[N]` to ids: ragged int32 `[N, (pieces)]`."""
        return self._processor.tokenize(texts)

    def spans(self, texts):
        """As `__call__`, with the bytes of each piece, int32 `[pieces, 2]`."""
        return spm.spans(self._processor, texts)


def read(data, where):
    """What a model file says, as far as it is needed outside of SentencePiece.

    Args:
        data: The file.
        where: How errors call it.

    Returns:
        `(pieces, trainer)`: list of `Piece`, and dict field number -> last value.

    Raises:
        TokenizerError: if it is damaged, repeats a piece, or has another model type.
    """
    pieces, trainer = [], {}
    for number, value in _fields(data, where):
        if number == 1:
            pieces.append(_piece(value, f"{where}: piece {len(pieces)}"))
        elif number == 2:
            trainer.update(_fields(value, where))
    kind = trainer.get(3, spm.UNIGRAM)
    if kind not in (spm.UNIGRAM, spm.BPE):
        raise TokenizerError(
            f"{where}: model type {kind}, expected Unigram (1) or BPE (2)."
        )
    seen: dict[str, int] = {}
    for i, piece in enumerate(pieces):
        if not piece.text or seen.setdefault(piece.text, i) != i:
            raise TokenizerError(
                f"{where}: piece {i}, {piece.text!r}, is empty or repeated."
            )
    if sum(piece.kind == spm.UNKNOWN for piece in pieces) != 1:
        raise TokenizerError(f"{where}: expected one unknown piece.")
    return pieces, trainer


def _piece(data, where):
    found = dict(_fields(data, where))
    text, kind = found.get(1, b""), found.get(3, spm.NORMAL)
    score = struct.unpack("<f", found.get(2, b"\0\0\0\0"))[0]
    if not isinstance(text, bytes) or kind not in range(1, 7):
        raise TokenizerError(f"{where} is damaged.")
    if not abs(score) < 1e30:
        raise TokenizerError(f"{where}: the score {score} is no number.")
    try:
        return spm.Piece(text.decode(), score, kind)
    except UnicodeDecodeError as error:
        raise TokenizerError(f"{where} is not UTF-8.") from error


def _fields(data, where):
    """`(number, value)` of a protocol buffer message: int, or bytes, in file order."""
    if not isinstance(data, bytes):
        raise TokenizerError(f"{where} is damaged: a message was expected.")
    place = 0
    try:
        while place < len(data):
            tag, place = _varint(data, place)
            kind = tag & 7
            if kind == 0:
                value, place = _varint(data, place)
            elif kind in (1, 2, 5):
                size, place = (
                    (8 if kind == 1 else 4, place)
                    if kind != 2
                    else _varint(data, place)
                )
                value, place = data[place : place + size], place + size
            else:
                raise IndexError
            if place > len(data):
                raise IndexError
            yield tag >> 3, value
    except IndexError:
        raise TokenizerError(
            f"{where} is damaged at byte {place}, or no SentencePiece model."
        ) from None


def _varint(data, place):
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, place
        if shift > 63:
            raise IndexError
