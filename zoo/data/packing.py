"""Packing: several texts in each row of fixed length, none of which sees another.

A packed batch is `input_ids` and `document_ids`, by which a model keeps the attention
and the positions of each document to itself. Every token of every text stands in
exactly one place. A text longer than a row is cut into pieces, each a document.

Best fit after Ding et al. 2024, arXiv:2404.10830.
"""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from zoo.data.records import checked_shard
from zoo.errors import InputError

METHODS = ("best_fit", "in_order", "cut")


@dataclass(frozen=True, eq=False)
class Packing:
    """Which pieces of which texts stand in which row.

    Attributes:
        length: Tokens of a row, T.
        texts, starts, lengths: Of each piece its text, its first token in that text,
            and its tokens, int64 `[pieces]`; the pieces of a row follow one another.
        ends: Where the pieces of each row end, int64 `[rows]`.
    """

    length: int
    texts: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    ends: np.ndarray

    @property
    def rows(self):
        """How many rows there are."""
        return len(self.ends)

    @property
    def padding(self):
        """Share of the places that hold no token."""
        return 1 - int(self.lengths.sum()) / (self.rows * self.length)

    @property
    def cut(self):
        """How many texts stand in more than one piece."""
        return int((np.unique(self.texts, return_counts=True)[1] > 1).sum())

    def steps(self, batch_size):
        """Batches in one pass."""
        return -(-self.rows // batch_size)

    def report(self):
        """One line that says how full the rows are."""
        return (
            f"{self.rows:,} rows of {self.length}: {self.padding:.2%} padding, "
            f"{len(self.texts) / self.rows:.1f} documents a row, {self.cut:,} texts cut"
        )

    def pieces(self, row):
        """`(text, start, length)` of each piece in a row."""
        part = slice(self.ends[row - 1] if row else 0, self.ends[row])
        return zip(self.texts[part], self.starts[part], self.lengths[part], strict=True)


def pack(lengths, length, *, method="best_fit"):
    """Plans which texts share a row.

    Args:
        lengths: Tokens of each text, `[texts]`; one of 0 is left out.
        length: Tokens of a row, T.
        method: "best_fit" puts the longest first, each into the fullest row that has
            room: least padding without cutting what fits into a row. "in_order" keeps
            the order and begins a row when the next text does not fit. "cut" fills each
            row to its end and goes on with the rest in the next: no padding but in the
            last row, and the most cuts.

    Returns:
        Packing; the same for the same arguments.
    """
    if method not in METHODS:
        raise InputError(f"method={method!r}: expected one of {', '.join(METHODS)}.")
    if length < 1:
        raise InputError(f"length={length}: expected a positive number of tokens.")
    lengths = np.asarray(lengths, np.int64)
    if not lengths.sum():
        raise InputError("There is no token to pack.")
    if method == "cut":
        first = np.cumsum(lengths) - lengths  # in all that is packed
        texts, starts = _pieces(lengths, length, first % length)
        rows = (first[texts] + starts) // length
    else:
        texts, starts = _pieces(lengths, length, np.zeros_like(lengths))
    # Where the next piece of the text begins, or the text ends.
    stops = np.append(starts[1:], 0)
    last = np.append(texts[1:] != texts[:-1], True)
    sizes = np.where(last, lengths[texts], stops) - starts
    if method == "in_order":
        rows = _next_fit(sizes, length)
    elif method == "best_fit":
        rows = _best_fit(sizes, length)
    order = np.argsort(rows, kind="stable")
    ends = np.cumsum(np.bincount(rows))
    return Packing(int(length), texts[order], starts[order], sizes[order], ends)


def _pieces(lengths, length, offsets):
    """Text and first token of each piece, where a row begins at `-offset` of a text."""
    counts = np.where(lengths > 0, -(-(lengths + offsets) // length), 0)
    texts = np.repeat(np.arange(len(lengths)), counts)
    number = np.arange(len(texts)) - np.repeat(np.cumsum(counts) - counts, counts)
    return texts, np.maximum(number * length - offsets[texts], 0)


def _next_fit(sizes, length):
    rows, row, used = np.empty(len(sizes), np.int64), 0, 0
    for i, size in enumerate(sizes.tolist()):
        if used + size > length:
            row, used = row + 1, 0
        rows[i] = row
        used += size
    return rows


def _best_fit(sizes, length):
    rows = np.empty(len(sizes), np.int64)
    # Rows by the room they have left, and the bits of those rooms that some row has.
    having: list[list[int]] = [[] for _ in range(length + 1)]
    rooms, count = 0, 0
    for i in np.argsort(-sizes, kind="stable").tolist():
        size = int(sizes[i])
        fitting = rooms >> size
        if fitting:
            room = size + (fitting & -fitting).bit_length() - 1
            row = having[room].pop()
            if not having[room]:
                rooms ^= 1 << room
        else:
            room, row, count = length, count, count + 1
        rows[i] = row
        having[room - size].append(row)
        rooms |= 1 << (room - size)
    return rows


def packed_rows(texts, packing, rows, *, pad=0):
    """Rows of a packing.

    Args:
        texts: EncodedTexts.
        packing: Packing of its lengths.
        rows: Numbers of rows `[B]`; a negative one is a row of padding.
        pad: Id that stands in padding.

    Returns:
        `input_ids` and `document_ids`, int32 `[B, T]`: 1, 2, ... for the documents of a
        row and 0 in padding.
    """
    ids = np.full([len(rows), packing.length], pad, np.int32)
    documents = np.zeros_like(ids)
    for i, row in enumerate(rows):
        if row < 0:
            continue
        place = 0
        for number, (text, start, size) in enumerate(packing.pieces(row), 1):
            ids[i, place : place + size] = texts[text][start : start + size]
            documents[i, place : place + size] = number
            place += size
    return {"input_ids": ids, "document_ids": documents}


def packed_batches(
    texts,
    packing,
    *,
    batch_size,
    pad=0,
    seed=0,
    shuffle=True,
    first_step=0,
    shard=(0, 1),
):
    """Endless batches of packed rows, the rows in a new order in each pass.

    Args:
        texts: EncodedTexts.
        packing: Packing of its lengths.
        batch_size: Rows in a batch, of all workers together, B. Rows of padding fill
            the last one of a pass, so that all have one shape.
        pad: Id that stands in padding.
        seed: The order is a function of (seed, step): same seed, same batches.
        shuffle: Whether the order is random.
        first_step: Step to begin with, as if those before had been taken.
        shard: `(index, count)`: every count-th row of a batch from the index-th one on,
            for worker `index` of `count`, by which the batch size is divisible.

    Returns:
        Endless dataset of dictionaries as of `packed_rows`, all `[B / count, T]`.
    """
    index, count = checked_shard(shard)
    if batch_size < 1 or batch_size % count:
        raise InputError(
            f"batch_size={batch_size}: expected a positive number of rows that "
            f"{count} worker{'s' * (count > 1)} can share evenly."
        )
    rows, steps = packing.rows, packing.steps(batch_size)

    def read(numbers):
        found = packed_rows(texts, packing, numbers, pad=pad)
        return found["input_ids"], found["document_ids"]

    @tf.autograph.experimental.do_not_convert
    def batch(step):
        start = step % steps * batch_size
        places = start + tf.range(index, batch_size, count, dtype=tf.int64)
        numbers = tf.minimum(places, rows - 1)
        if shuffle:
            seeds = tf.stack([tf.cast(seed, tf.int64), step // steps])
            numbers = tf.random.experimental.index_shuffle(
                numbers, seeds, tf.constant(rows - 1, tf.int64)
            )
        numbers = tf.where(places < rows, numbers, -1)
        ids, documents = tf.numpy_function(read, [numbers], [tf.int32, tf.int32])
        shape = [batch_size // count, packing.length]
        return {
            "input_ids": tf.ensure_shape(ids, shape),
            "document_ids": tf.ensure_shape(documents, shape),
        }

    found = tf.data.Dataset.counter(first_step).map(batch)
    return found.prefetch(tf.data.AUTOTUNE)
