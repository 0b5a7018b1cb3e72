"""Batches of like length that hold at most so many tokens, padding included.

Short texts come many at a time and long ones few, so that each step does about the same
work. How many batches there are of each length is known from the lengths of the texts;
so any step can be entered at once.
"""

import numpy as np
import tensorflow as tf

from zoo.data.batches import LENGTHS, bucket_lengths
from zoo.errors import InputError


class TokenBudget:
    """Which texts share a batch.

    Args:
        lengths: Tokens of each text, `[texts]`.
        tokens: Most tokens in a batch, padding included.
        buckets: Lengths that texts are padded to; longer ones get further buckets.

    Attributes:
        steps: Batches in one pass.
        padding: Share of the places that hold no token.
    """

    def __init__(self, lengths, tokens, *, buckets=LENGTHS):
        lengths = np.asarray(lengths, np.int64)
        if not len(lengths):
            raise InputError("There are no texts.")
        longest = max(int(lengths.max()), 1)
        if longest > tokens:
            raise InputError(
                f"tokens={tokens}: the longest text has {longest:,}, and a batch holds "
                "at least one text whole. Allow more tokens, or cut the texts."
            )
        widths = np.array(bucket_lengths(longest, buckets))
        bucket = np.searchsorted(widths, lengths)
        self.order = np.argsort(bucket, kind="stable")  # texts, by bucket
        counts = np.bincount(bucket, minlength=len(widths))
        self.widths, self.counts = widths[counts > 0], counts[counts > 0]
        self.rows = np.maximum(tokens // self.widths, 1)
        batches = -(-self.counts // self.rows)
        self.ends = np.cumsum(batches)
        self.steps = int(self.ends[-1])
        places = int((self.widths * self.counts).sum())
        self.padding = 1 - int(lengths.sum()) / places

    def report(self):
        """One line that says how large the batches are."""
        sizes = ", ".join(
            f"{rows} x {width}"
            for rows, width in zip(self.rows, self.widths, strict=True)
        )
        return f"{self.steps:,} batches, {self.padding:.2%} padding: {sizes}"


def budget_batches(
    texts,
    tokens,
    *,
    buckets=LENGTHS,
    rest=(),
    pad=0,
    seed=0,
    shuffle=True,
    first_step=0,
):
    """Endless batches of at most so many tokens; their number is `TokenBudget.steps`.

    Args:
        texts: EncodedTexts.
        tokens, buckets: As of `TokenBudget`.
        rest: Further arrays `[texts, ...]`, such as labels.
        pad: Id that stands in padding.
        seed: The order is a function of (seed, step): same seed, same batches.
        shuffle: Whether texts and batches come in a random order, a new one each pass;
            else shortest first.
        first_step: Step to begin with, as if those before had been taken.

    Returns:
        Endless dataset of `(inputs, *rest)`; `inputs` are `input_ids` and
        `attention_mask`, int32 `[B, T]`, B and T of the bucket.
    """
    plan = TokenBudget(texts.lengths, tokens, buckets=buckets)
    rest = tuple(map(tf.convert_to_tensor, rest))
    widths, counts, rows, ends, order = (
        tf.constant(x, tf.int64)
        for x in (plan.widths, plan.counts, plan.rows, plan.ends, plan.order)
    )
    first_batch, first_text = ends - -(-counts // rows), tf.cumsum(counts) - counts
    seed = tf.cast(seed, tf.int64)

    def shuffled(index, stream, size):
        if not shuffle:
            return index
        seeds = tf.stack([seed, stream])
        return tf.random.experimental.index_shuffle(index, seeds, size - 1)

    def read(numbers, width):
        ids = np.full([len(numbers), width], pad, np.int32)
        mask = np.zeros_like(ids)
        for i, number in enumerate(numbers):
            text = texts[number]
            ids[i, : len(text)] = text
            mask[i, : len(text)] = 1
        return ids, mask

    @tf.autograph.experimental.do_not_convert
    def batch(step):
        number_of_pass, place = step // plan.steps, step % plan.steps
        # One stream of random numbers for the batches, and one for each bucket.
        stream = number_of_pass * (len(plan.widths) + 1)
        place = shuffled(place, stream, plan.steps)
        bucket = tf.searchsorted(ends, place[None], side="right")[0]
        count, size = counts[bucket], rows[bucket]
        start = (place - first_batch[bucket]) * size
        index = tf.range(start, tf.minimum(start + size, count))
        index = shuffled(index, stream + 1 + tf.cast(bucket, tf.int64), count)
        numbers = tf.gather(order, first_text[bucket] + index)
        ids, mask = tf.numpy_function(
            read, [numbers, widths[bucket]], [tf.int32, tf.int32]
        )
        inputs = {
            "input_ids": tf.ensure_shape(ids, [None, None]),
            "attention_mask": tf.ensure_shape(mask, [None, None]),
        }
        return inputs, *(tf.gather(x, numbers) for x in rest)

    found = tf.data.Dataset.counter(first_step).map(batch)
    return found.prefetch(tf.data.AUTOTUNE)
