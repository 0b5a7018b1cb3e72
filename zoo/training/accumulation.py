"""A batch computed in parts, so that less of it is in memory at a time."""

import tensorflow as tf


def in_parts(compute, batch, size, zeros):
    """The sums of what `compute` gives for the parts of a batch.

    Args:
        compute: Function of a part, of the structure of `batch`, that gives a list of
            tensors. It is traced once, or twice where the batch has a known number of
            rows that is no multiple of `size`.
        batch: Tensors `[B, ...]` in any structure of `tf.nest`.
        size: Rows of a part; the last one may have fewer.
        zeros: What the sums begin with.

    Returns:
        The sums, a list like `zeros`.
    """
    flat = tf.nest.flatten(batch)
    known = flat[0].shape[0]
    rows = tf.shape(flat[0])[0] if known is None else known
    # XLA needs a size that it knows: parts are whole, and a rest is apart.
    looped = rows if known is None else known - known % size

    def add(place, sums, count):
        parts = [
            tf.slice(x, [place, *[0] * (x.shape.rank - 1)], [count, *_all(x)])
            for x in flat
        ]
        found = compute(tf.nest.pack_sequence_as(batch, parts))
        return [a + b for a, b in zip(sums, found, strict=True)]

    def step(place, sums):
        count = size if known is not None else tf.minimum(size, rows - place)
        return place + size, add(place, sums, count)

    sums = list(zeros)
    if known is None or looped:
        _, sums = tf.while_loop(
            lambda place, sums: place < looped,
            step,
            (tf.constant(0), sums),
            parallel_iterations=1,  # several would be in memory at once
        )
    if known is not None and looped < known:
        sums = add(looped, sums, known - looped)
    return list(sums)


def _all(x):
    return [-1] * (x.shape.rank - 1)
