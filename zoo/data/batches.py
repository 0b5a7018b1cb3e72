"""Batches of like length: strings are encoded inside tf.data, padded to few lengths.

Examples are shuffled over the whole epoch, taken in groups of many batches, encoded
group by group, ordered by length inside the group and cut into batches; the batches of
a group then come in random order. So a batch pads little, every epoch has the same
number of steps, nothing is dropped, and all of it is a function of (seed, step).
"""

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import tensorflow as tf

from zoo.data.records import Records
from zoo.errors import InputError

# Each length is one more program to compile under XLA, hence few; close together where
# most texts are.
LENGTHS = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512)

# Nothing here branches on tensors, and rewriting what is called takes seconds.
plain = tf.autograph.experimental.do_not_convert


def bucket_lengths(longest, lengths=LENGTHS):
    """The lengths that batches are padded to, ascending; the last is `longest`.

    Args:
        longest: Tokens of the longest input that there can be.
        lengths: Wanted lengths. Above them it goes on in steps of half the length.
    """
    found = sorted({length for length in lengths if length < longest})
    while found and found[-1] * 3 // 2 < longest and found[-1] >= max(lengths):
        found.append(found[-1] * 3 // 2)
    return (*found, longest)


@dataclass(frozen=True)
class Batching:
    """How examples become batches.

    Attributes:
        encode: Graph function from a dictionary of string columns `[N]` to a
            dictionary of ragged int32 `[N, (tokens)]`, all with the same row lengths
            but for those of `others`.
        fill: What stands in the padding, for each name that `encode` gives.
        lengths: What batches are padded to, ascending; nothing is longer than the last.
        batch_size: Examples in a batch; the last one of an epoch may have fewer.
        group: Batches that are ordered by length together.
        others: Names whose rows have lengths of their own, such as those of targets,
            and what they are padded to. The first name of `encode` is not among them.
    """

    encode: Callable[[Mapping], Mapping]
    fill: Mapping[str, int]
    lengths: Sequence[int] = LENGTHS
    batch_size: int = 32
    group: int = 32
    others: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def __post_init__(self):
        if not isinstance(self.batch_size, numbers.Integral) or self.batch_size < 1:
            raise InputError(
                f"batch_size={self.batch_size!r}: expected a positive integer."
            )

    def steps(self, examples):
        """Batches in one epoch of so many examples."""
        return math.ceil(examples / self.batch_size)


def epoch(columns, batching, *, rest=()):
    """One pass over examples in memory, each batch of like lengths; not shuffled.

    Args:
        columns: Dictionary of string tensors `[N]`.
        batching: Batching.
        rest: Further tensors or arrays `[N, ...]`, such as labels or row numbers.

    Returns:
        Dataset of `(inputs, *rest)` of known length; `inputs` are int32 `[B, T]`.
    """
    size, rest = _size(columns), tuple(map(tf.convert_to_tensor, rest))
    starts = tf.data.Dataset.range(0, size, batching.batch_size * batching.group)

    @plain
    def group(start):
        stop = tf.minimum(start + batching.batch_size * batching.group, size)
        return _take((columns, rest), slice(start, stop))

    return _cut(starts.map(group), batching, steps=batching.steps(size))


def epochs(columns, batching, *, rest=(), seed=0, shuffle=True, first_step=0):
    """Endless passes over examples, in a new order each time.

    Args:
        columns: As of `epoch`; or `records.Records` with columns, which are then read
            from their files as they are needed.
        batching: Batching.
        rest: As of `epoch`; of `Records` names of columns too, such as that of the
            labels, whose values come as strings `[B]` and are not encoded.
        seed: The order is a function of (seed, step): same seed, same batches.
        shuffle: Whether the order is random; else that of `epoch`, again and again.
        first_step: Step to begin with, as if those before had been taken.

    Returns:
        Endless dataset of `(inputs, *rest)`.

    Raises:
        InputError: if a name in `rest` is that of no column.
    """
    _check_names(columns, rest)
    rest = tuple(x if isinstance(x, str) else tf.convert_to_tensor(x) for x in rest)
    size = columns.size if isinstance(columns, Records) else _size(columns)
    steps = batching.steps(size)
    rows = batching.batch_size * batching.group
    groups = math.ceil(size / rows)
    done, inside = divmod(first_step, steps)
    first_group, first_batch = divmod(inside, batching.group)

    @plain
    def group(number):
        number_of_epoch, start = number // groups, number % groups * rows
        index = tf.range(start, tf.minimum(start + rows, size))
        if shuffle:
            seeds = tf.stack([tf.cast(seed, tf.int64), number_of_epoch])
            index = tf.random.experimental.index_shuffle(
                index, seeds, tf.cast(size - 1, tf.int64)
            )
        tensors = tuple(x for x in rest if not isinstance(x, str))
        found, others = _gather((columns, tensors), index)
        others = iter(others)
        behind = tuple(found[x] if isinstance(x, str) else next(others) for x in rest)
        return {name: found[name] for name in found if name not in names}, behind

    names = {x for x in rest if isinstance(x, str)}
    numbers = tf.data.Dataset.counter(done * groups + first_group)
    batches = _cut(
        numbers.map(group), batching, seed=seed if shuffle else None, first=numbers
    )
    return batches.skip(first_batch) if first_batch else batches


def stream(examples, batching, *, seed=None):
    """Batches of like length from a dataset of single examples.

    Args:
        examples: Dataset of `(columns, *rest)`; a column is a scalar string.
        batching: Batching.
        seed: Of the order of batches inside a group; None: shortest first.

    Returns:
        Dataset of `(inputs, *rest)`, of known length where that of `examples` is.
    """
    size = int(examples.cardinality())
    groups = examples.batch(batching.batch_size * batching.group)
    groups = groups.map(plain(lambda columns, *rest: (columns, rest)))
    steps = batching.steps(size) if size >= 0 else None
    return _cut(groups, batching, steps=steps, seed=seed)


def encode_batches(batches, batching):
    """Encodes and pads the batches of a dataset, which stay what and where they are.

    Args:
        batches: Dataset of `(columns, *rest)`; a column is a string tensor `[B]`.
        batching: Batching; its `batch_size` and `group` have no say here.
    """

    @plain
    def encode(columns, *rest):
        return _padded(batching.encode(columns), batching), *rest

    return batches.map(encode, num_parallel_calls=tf.data.AUTOTUNE).prefetch(
        tf.data.AUTOTUNE
    )


def _padded(rows, batching):
    """The inputs of a batch."""
    own = {name: x for name, x in rows.items() if name in batching.others}
    rows = {name: x for name, x in rows.items() if name not in batching.others}
    inputs = pad(rows, batching.fill, batching.lengths)
    for name, x in own.items():
        inputs[name] = pad({name: x}, batching.fill, batching.others[name])[name]
    return inputs


def pad(rows, fill, lengths=None):
    """Ragged rows made rectangular, as long as the first of `lengths` that holds all.

    Args:
        rows: Dictionary of ragged int32 `[B, (tokens)]` with the same row lengths.
        fill: What stands in the padding, on the right, by name.
        lengths: Ascending; None: exactly as long as the longest row.

    Returns:
        Dictionary of int32 `[B, T]`, and `attention_mask`, 1 at what was there.
    """
    any_row = next(iter(rows.values()))
    width = tf.maximum(tf.cast(any_row.bounding_shape()[1], tf.int32), 1)
    if lengths is not None:
        lengths = tf.constant(lengths, tf.int32)
        width = tf.gather(lengths, tf.searchsorted(lengths, width[None])[0])
    shape = tf.stack([tf.cast(any_row.nrows(), tf.int32), width])
    padded = {
        name: row.to_tensor(fill[name], shape=shape) for name, row in rows.items()
    }
    padded["attention_mask"] = tf.sequence_mask(any_row.row_lengths(), width, tf.int32)
    return {name: tf.ensure_shape(x, [None, None]) for name, x in padded.items()}


def _cut(groups, batching, *, steps=None, seed=None, first=None):
    """From groups `(columns, rest)` of many rows to batches `(inputs, *rest)`."""
    size = batching.batch_size

    @plain
    def encode(columns, rest):
        rows = batching.encode(columns)
        lengths = next(iter(rows.values())).row_lengths()
        for name in rows.keys() & batching.others.keys():
            # Rows that are padded alike are ordered by their other lengths.
            steps = tf.constant(batching.lengths, lengths.dtype)
            lengths = tf.searchsorted(steps, lengths, out_type=tf.int64)
            lengths = lengths * (1 << 32) + rows[name].row_lengths()
        order = tf.argsort(lengths, stable=True)
        return tf.nest.map_structure(
            lambda x: tf.gather(x, order), (dict(rows), rest), expand_composites=False
        )

    @plain
    def batches(number, group):
        rows, rest = group
        count = next(iter(rows.values())).nrows()
        count = -(-count // size)
        numbers = tf.data.Dataset.range(count)

        @plain
        def batch(place):
            if seed is not None:
                seeds = tf.stack([tf.cast(seed, tf.int64), number])
                place = tf.random.experimental.index_shuffle(place, seeds, count - 1)
            taken, others = _take((rows, rest), slice(place * size, (place + 1) * size))
            return _padded(taken, batching), *others

        return numbers.map(batch)

    encoded = groups.map(encode, num_parallel_calls=tf.data.AUTOTUNE)
    if first is None:
        first = tf.data.Dataset.counter()
    cut = tf.data.Dataset.zip(first, encoded).flat_map(batches)
    if steps is not None:
        cut = cut.apply(tf.data.experimental.assert_cardinality(steps))
    return cut.prefetch(tf.data.AUTOTUNE)


def _check_names(columns, rest):
    known = getattr(columns, "columns", None) if isinstance(columns, Records) else ()
    for name in rest:
        if isinstance(name, str) and name not in (known or ()):
            raise InputError(
                f"rest={name!r}: expected a tensor, or a column of Records("
                f"columns={known!r})."
            )


def _take(structure, where):
    return tf.nest.map_structure(lambda x: x[where], structure, expand_composites=False)


def _gather(structure, index):
    return tf.nest.map_structure(
        lambda x: x.gather(index) if isinstance(x, Records) else tf.gather(x, index),
        structure,
    )


def _size(columns):
    return int(next(iter(columns.values())).shape[0])
