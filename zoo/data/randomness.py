"""Random choices that are functions of (seed, step), and of nothing else."""

import tensorflow as tf

from zoo.data.batches import plain
from zoo.errors import InputError

# Label of a token that is not to be predicted, as `zoo.training.labels` has it; rooms
# of one floor do not import each other.
IGNORED = -100


def at_each_step(batches, change, *, seed, first_step):
    """Changes batches of a dataset, each with random numbers of its own.

    Args:
        batches: Dataset of dictionaries with `input_ids`, or of tuples of one.
        change: Function of the dictionary and of seeds, int64 `[2]`; gives the new one.
        seed: Same seed and step, same random numbers.
        first_step: The step of the first batch.

    Returns:
        Dataset of dictionaries.

    Raises:
        InputError: if the dataset yields something else.
    """
    spec = batches.element_spec
    if isinstance(spec, tuple) and len(spec) == 1:
        batches, spec = batches.map(plain(lambda inputs: inputs)), spec[0]
    ids = spec.get("input_ids") if isinstance(spec, dict) else None
    if not isinstance(ids, tf.TensorSpec) or ids.shape.rank != 2:
        raise InputError(
            f"the dataset yields {spec}; expected dictionaries with input_ids [B, T], "
            "as packed_batches and budget_batches give."
        )
    if "labels" in spec:
        raise InputError("the dataset yields labels already; expected inputs alone.")

    def numbered(step, inputs):
        return change(inputs, tf.stack([tf.cast(seed, tf.int64), step]))

    found = batches.enumerate(first_step).map(plain(numbered), tf.data.AUTOTUNE)
    return found.prefetch(tf.data.AUTOTUNE)


def valid_tokens(inputs):
    """Which places of a batch hold tokens and not padding, bool `[B, T]`."""
    for name in ("document_ids", "attention_mask"):
        if name in inputs:
            return inputs[name] > 0
    return tf.ones_like(inputs["input_ids"], tf.bool)


def draw_places(counts, wanted, width, seeds):
    """Draws without replacement: for each row some of its first places, all alike.

    Args:
        counts: How many places each row has to draw from, int32 `[N]`, up to `width`.
        wanted: How many of them are drawn, int32 `[N]`.
        width: Places in a row, W.
        seeds: int64 `[2]`.

    Returns:
        bool `[N, W]`, true at those drawn.
    """
    keys = tf.random.stateless_uniform([tf.size(counts), width], seeds)
    exists = tf.range(width) < counts[:, None]
    order = tf.argsort(tf.where(exists, keys, 2.0), stable=True)
    rank = tf.argsort(order)  # of each place among those of its row
    return (rank < wanted[:, None]) & exists
