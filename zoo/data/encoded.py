"""`EncodedTexts`: the ids of many texts, one behind another, in memory or on disk.

Encoding is done once; what training reads then is a slice of one array. On disk the
array is mapped into memory, so that a corpus may be larger than that.
"""

import array
import itertools
import json
from pathlib import Path

import numpy as np

from zoo.errors import DataError, InputError
from zoo.files import read_json, staged_directory

IDS, ENDS, ABOUT = "ids.bin", "ends.npy", "encoded.json"
TEXTS_AT_ONCE = 1024  # that the tokenizer is given


class EncodedTexts:
    """Ids of texts, by number.

    Args:
        ids: int `[N]`, of all texts.
        ends: int64 `[texts]`, where each text ends in `ids`, ascending.

    Attributes:
        ids, ends: As given.
        lengths: Tokens of each text, int64 `[texts]`.
    """

    def __init__(self, ids, ends):
        self.ids = ids
        self.ends = np.asarray(ends, np.int64)
        self.lengths = np.diff(self.ends, prepend=0)
        whole = len(self.ends) and self.ends[-1] == len(ids)
        if not whole or self.lengths.min() < 0:
            raise InputError(
                f"ends do not divide {len(ids):,} ids into texts; expected ascending "
                "numbers of which the last one is the number of ids."
            )

    @classmethod
    def from_lists(cls, texts):
        """Of lists of ids."""
        texts = [np.asarray(text, np.int32) for text in texts]
        if not texts:
            raise InputError("There are no texts.")
        return cls(np.concatenate(texts), np.cumsum([len(text) for text in texts]))

    @classmethod
    def load(cls, directory):
        """What `encode_texts` wrote into a directory; the ids stay on disk.

        Raises:
            DataError: if the directory lacks a file, or they do not fit together.
        """
        directory = Path(directory).expanduser()
        about = read_json(directory / ABOUT, error=DataError)
        try:
            dtype, tokens = np.dtype(about["dtype"]), about["tokens"]
            ends = np.load(directory / ENDS, allow_pickle=False)
            ids = np.memmap(directory / IDS, dtype, "r") if tokens else np.empty(0)
            if len(ids) != tokens or len(ends) != about["texts"]:
                raise ValueError("the numbers of ids or texts differ")
            return cls(ids, ends)
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{directory} does not hold encoded texts as they were written "
                f"({error}). Encode them again."
            ) from error

    def __len__(self):
        return len(self.ends)

    def __getitem__(self, number):
        """The ids of a text, an array."""
        end = self.ends[number]
        return self.ids[end - self.lengths[number] : end]


def encode_texts(
    texts, tokenizer, *, directory=None, end=None, add_special_tokens=True
):
    """Encodes texts once and for all.

    Args:
        texts: Iterable of str, or of rows with one value such as
            `Records(..., columns=["text"])`. It is streamed.
        tokenizer: zoo.Tokenizer.
        directory: Where the ids are written; None keeps them in memory.
        end: Token, or its id, that is put behind each text, such as
            `tokenizer.eos_token`; or None.
        add_special_tokens: As of the tokenizer.

    Returns:
        EncodedTexts. Texts are not cut.

    Raises:
        InputError: if there are no texts, or the tokenizer does not know `end`.
    """
    end = _end_id(end, tokenizer)
    dtype = np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.int32
    lengths = array.array("q")

    def encoded():
        batches = iter(map(_as_text, texts))
        while batch := list(itertools.islice(batches, TEXTS_AT_ONCE)):
            rows = tokenizer(
                batch,
                padding=None,
                truncation=None,
                add_special_tokens=add_special_tokens,
            )["input_ids"]
            if end is not None:
                rows = _with_end(rows, end)
            lengths.extend(rows.row_lengths().numpy().tolist())
            yield rows.values.numpy().astype(dtype)

    if directory is None:
        ids = list(encoded())
        _check_some(lengths)
        return EncodedTexts(np.concatenate(ids), np.cumsum(lengths))
    with staged_directory(directory, error=DataError) as stage:
        with open(stage / IDS, "wb") as file:
            for ids in encoded():
                file.write(ids.tobytes())
        _check_some(lengths)
        ends = np.cumsum(lengths)
        np.save(stage / ENDS, ends)
        about = {
            "dtype": np.dtype(dtype).name,
            "texts": len(ends),
            "tokens": int(ends[-1]),
        }
        (stage / ABOUT).write_text(f"{json.dumps(about)}\n")
    return EncodedTexts.load(directory)


def _check_some(lengths):
    if not lengths:
        raise InputError("There are no texts to encode.")


def _as_text(row):
    if isinstance(row, dict) and len(row) == 1:
        [row] = row.values()
    if not isinstance(row, str):
        kind = f"{len(row)} columns" if isinstance(row, dict) else type(row).__name__
        raise InputError(
            f"texts: expected str, or rows of one column, got {kind}. Records take "
            'columns=["text"].'
        )
    return row


def _end_id(end, tokenizer):
    if not isinstance(end, str):
        return end
    found = tokenizer.token_to_id(end)
    if found is None:
        raise InputError(f"end={end!r} is not a token of this tokenizer.")
    return found


def _with_end(rows, end):
    import tensorflow as tf

    ends = tf.fill([rows.nrows(), 1], tf.cast(end, rows.dtype))
    return tf.concat([rows, ends], 1)
