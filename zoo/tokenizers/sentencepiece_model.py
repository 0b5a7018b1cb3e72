"""SentencePiece models as bytes: read without the library, written for TF's op.

The format is sentencepiece_model.proto of github.com/google/sentencepiece; only the
fields that decide about ids are known here.
"""

import functools
import hashlib
import struct
from dataclasses import dataclass

import tensorflow as tf

from zoo.errors import TokenizerError

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
UNIGRAM, BPE = 1, 2


@dataclass(frozen=True)
class Piece:
    """One row of the vocabulary: its text, its score and its kind."""

    text: str
    score: float = 0.0
    kind: int = NORMAL


def written(pieces, *, model_type, byte_fallback=False):
    """A model with an identity normaliser, which leaves white space as it is.

    Args:
        pieces: `Piece`s by id, one of them `UNKNOWN`.
        model_type: `UNIGRAM` or `BPE`.
        byte_fallback: Whether unknown characters become `BYTE` pieces.

    Returns:
        bytes.
    """
    rows = [
        _field(
            1,
            _field(1, p.text.encode())
            + b"\x15"
            + struct.pack("<f", p.score)
            + _number(3, p.kind),
        )
        for p in pieces
    ]
    unknown = next(i for i, p in enumerate(pieces) if p.kind == UNKNOWN)
    trainer = _number(3, model_type) + _number(35, int(byte_fallback))
    # No begin, end or padding pieces: they are put around later.
    trainer += _number(40, unknown) + b"".join(_number(n, -1) for n in (41, 42, 43))
    normalizer = _field(1, b"identity") + b"".join(_number(n, 0) for n in (3, 4, 5))
    return b"".join(rows) + _field(2, trainer) + _field(3, normalizer)


def processor(model):
    """The TF Text tokenizer of a serialised model, which TensorFlow can track.

    Raises:
        TokenizerError: if SentencePiece does not accept the model.
    """
    import tensorflow_text as tf_text
    from tensorflow_text.python.ops import sentencepiece_tokenizer as text

    # TF Text's own resource (2.20) belongs to an op in TensorFlow's cache of kernels,
    # which `tf.random.set_seed` empties: no tokenizer would outlive a seed. One with a
    # name of its own stays, and models of the same bytes share it.
    class Model(text._SentencepieceModelResource):
        def _create_resource(self):
            return text.gen_sentencepiece_tokenizer.sentencepiece_op(
                model=self._model, shared_name=self._name, name=self._name
            )

    try:
        # In a SavedModel the op's name is the resource's: two models of one name would
        # be one, and every tokenizer would use the first.
        name = f"sentencepiece_{hashlib.sha256(model).hexdigest()[:24]}"
        made = tf_text.SentencepieceTokenizer(_smallest(), tf.int32, name="unused")
        made._model_resource = Model(model, name)
        return made
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        raise TokenizerError(
            f"SentencePiece does not accept the model: {error}"
        ) from error


@functools.cache
def _smallest():
    """What a TF Text tokenizer is made with before it is given its model."""
    return written([Piece("?", kind=UNKNOWN), Piece("a")], model_type=UNIGRAM)


def spans(processor, words):
    """Ids of words `[N]`, ragged, with the bytes of each piece, int32 `[pieces, 2]`."""
    ids, starts, ends = processor.tokenize_with_offsets(words)
    return ids, tf.cast(tf.stack([starts.values, ends.values], axis=1), tf.int32)


def _field(number, data):
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _number(number, value):
    return _varint(number << 3) + _varint(value & (1 << 64) - 1)


def _varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
