"""Sampling: what the next token is drawn from, and the draw.

Filters give transformers' distributions (its release 5.23): temperature, top-k (Fan et
al. 2018), top-p (Holtzman et al. 2019), min-p (arXiv:2407.01082) and typical sampling
(arXiv:2202.00666). A filtered token has the logit -inf.

Draws are functions of (seed, row, step) alone: the same in eager mode, in a graph and
under XLA, and whatever else stands in the batch. TensorFlow's stateless generators
give none of the three at once (the streams of `alg="auto_select"` depend on the device,
those of its ThreeFry on the shape), so the generator is spelled out here.
"""

import random

import tensorflow as tf

# The draw sums probabilities in blocks of so many: a running sum over a vocabulary is
# slow under XLA.
BLOCK = 256


def temperature(value):
    """Processor that divides the logits by `value`."""
    return lambda logits, state: logits / value


def top_k(count, *, keep=1):
    """Processor that keeps the `count` largest logits, and what equals the last.

    Args:
        count: Python integer; all where the vocabulary has no more.
        keep: Keeps at least so many.
    """

    def process(logits, state):
        _, least = _largest(logits, max(count, keep))
        return _only(logits >= least, logits)

    return process


def top_p(mass, *, keep=1, among=None):
    """Processor that keeps the fewest most probable tokens that have this mass.

    A token stays if those before it have less than `mass`. Of equal tokens the last
    in the vocabulary stay, as in the reference.

    Args:
        mass: In [0, 1], a number or a scalar tensor.
        keep: Keeps at least so many.
        among: Where a top-k filter came before, its k: then less is searched.
    """

    def process(logits, state):
        values, share, _ = _candidates(logits, among)
        limit = -_boundary(-values, share, mass)
        above, equal = logits > limit, logits == limit
        # Equal tokens stand at the boundary: as many stay as reach the mass.
        before = tf.reduce_sum(tf.where(values > limit, share, 0.0), -1, keepdims=True)
        group = tf.reduce_sum(tf.where(values == limit, share, 0.0), -1, keepdims=True)
        ties = _count(equal)
        each = tf.math.divide_no_nan(group, tf.cast(ties, tf.float32))
        staying = tf.math.ceil(tf.math.divide_no_nan(mass - before, each))
        staying = tf.clip_by_value(tf.cast(staying, tf.int32), 1, tf.maximum(ties, 1))
        kept = above | _last_of(equal, staying)
        return _only(_at_least(keep, kept, logits), logits)

    return process


def min_p(share, *, keep=1):
    """Processor that keeps tokens at least `share` times as probable as the best.

    Args:
        share: In [0, 1], a number or a scalar tensor.
        keep: Keeps at least so many.
    """

    def process(logits, state):
        best = tf.reduce_max(logits, -1, keepdims=True)
        kept = logits >= best + tf.math.log(tf.cast(share, logits.dtype))
        return _only(_at_least(keep, kept, logits), logits)

    return process


def typical_p(mass, *, keep=1, among=None):
    """Processor that keeps the most typical tokens that have this mass.

    Typical is a token whose information is near the entropy of the distribution.

    Args:
        mass: In (0, 1], a number or a scalar tensor.
        keep: Keeps at least so many.
        among: Where a top-k filter came before, its k: then less is searched.
    """

    def process(logits, state):
        values, share, total = _candidates(logits, among)
        information = total - values
        entropy = tf.reduce_sum(
            tf.math.multiply_no_nan(information, share), -1, keepdims=True
        )
        limit = _boundary(tf.abs(information - entropy), share, mass)
        distance = tf.abs(total - logits - entropy)
        return _only(_at_least(keep, distance <= limit, -distance), logits)

    return process


def draw(logits, seed, *, step, rows=None):
    """One token for every row, with the probabilities softmax(logits).

    Inverts the cumulative distribution at one uniform number a row, in float64.

    Args:
        logits: float32 `[B, V]`. -inf is never drawn unless there is nothing else.
        seed: Integer, or int64 scalar.
        step: Integer, or scalar: tokens generated so far.
        rows: int32 `[B]`, the stream that each row draws from; None: 0, 1, ...

    Returns:
        int32 `[B]`.
    """
    rows = _rows(logits, rows)
    size = logits.shape[-1]
    best = tf.reduce_max(logits, -1, keepdims=True)
    best = tf.where(tf.math.is_finite(best), best, 0.0)

    def weights(some, best):
        return tf.cast(tf.exp(some - best), tf.float64)

    # Whole blocks and the rest apart: padding costs XLA a copy of everything.
    whole = size // BLOCK
    blocks = tf.reshape(logits[:, : whole * BLOCK], [tf.shape(rows)[0], whole, BLOCK])
    rest = logits[:, None, whole * BLOCK :]
    sums = [weights(some, best[:, None]) for some in (blocks, rest)]
    sums = tf.concat([tf.reduce_sum(some, -1) for some in sums], -1)
    point = uniform(seed, step=step, rows=rows) * tf.reduce_sum(sums, -1)
    block, point = _invert(sums, point)

    places = block[:, None] * BLOCK + tf.range(BLOCK)
    inside = tf.gather(logits, tf.minimum(places, size - 1), batch_dims=1)
    inside = tf.where(places < size, weights(inside, best), 0)
    return block * BLOCK + _invert(inside, point)[0]


def draw_several(logits, count, seed, *, step, rows=None):
    """`count` different tokens for every row, drawn one after the other.

    Takes the largest of logits plus Gumbel noise (arXiv:1903.06059), which is to draw
    without replacement.

    Args:
        logits: float32 `[B, V]`.
        count: Python integer, at most V.
        seed, step, rows: As of `draw`.

    Returns:
        int32 `[B, count]`, in the order in which they are drawn.
    """
    noise = gumbel(logits.shape[-1], seed, step=step, rows=_rows(logits, rows))
    return tf.math.top_k(logits + noise, count).indices


def uniform(seed, *, step, rows):
    """A float64 in [0, 1) for every row, `[B]`: a function of (seed, row, step)."""
    high, low = _row_keys(seed, step, rows)
    bits = tf.cast(high, tf.float64) * 2.0**32 + tf.cast(low, tf.float64)
    return tf.minimum(bits * 2.0**-64, 1 - 2.0**-53)


def gumbel(size, seed, *, step, rows):
    """Standard Gumbel noise, float32 `[B, size]`: a function of (seed, row, step)."""
    key = [word[:, None] for word in _row_keys(seed, step, rows)]
    high, _ = threefry(key, (tf.cast(tf.range(size), tf.uint32)[None], tf.uint32.min))
    # In the middle of its 2^-32: neither 0 nor, in float64, 1.
    number = (tf.cast(high, tf.float64) + 0.5) * 2.0**-32
    return tf.cast(-tf.math.log(-tf.math.log(number)), tf.float32)


def fresh_seed():
    """A seed for a call that names none.

    From Python's own generator, so that `keras.utils.set_random_seed` fixes it.
    """
    return random.getrandbits(62)


def threefry(key, counter):
    """Threefry 2x32 with 20 rounds (Salmon et al. 2011), the field's counter hash.

    Args:
        key: Two uint32 tensors.
        counter: Two uint32 tensors, which broadcast with the key's.

    Returns:
        Two uint32 tensors of random bits.
    """
    first, second = (tf.convert_to_tensor(word, tf.uint32) for word in key)
    schedule = (first, second, first ^ second ^ tf.constant(0x1BD11BDA, tf.uint32))
    x, y = (tf.convert_to_tensor(word, tf.uint32) for word in counter)
    x, y = x + schedule[0], y + schedule[1]
    for group in range(5):
        for turn in ((13, 15, 26, 6), (17, 29, 16, 24))[group % 2]:
            x = x + y
            y = _rotated(y, turn) ^ x
        x = x + schedule[(group + 1) % 3]
        y = y + schedule[(group + 2) % 3] + tf.constant(group + 1, tf.uint32)
    return x, y


def _rotated(word, turn):
    left = tf.bitwise.left_shift(word, tf.constant(turn, tf.uint32))
    return left | tf.bitwise.right_shift(word, tf.constant(32 - turn, tf.uint32))


def _row_keys(seed, step, rows):
    """Two uint32 `[B]` that no other (seed, row, step) has, as far as anyone knows."""
    seed = tf.cast(seed, tf.int64)
    key = (
        tf.cast(tf.bitwise.right_shift(seed, 32) & 0xFFFFFFFF, tf.uint32),
        tf.cast(seed & 0xFFFFFFFF, tf.uint32),
    )
    step = tf.fill(tf.shape(rows), tf.cast(step, tf.uint32))
    return threefry(key, (tf.cast(rows, tf.uint32), step))


def _rows(logits, rows):
    return tf.range(tf.shape(logits)[0]) if rows is None else rows


def _invert(weights, point):
    """Where a running sum passes a point: index and rest, `[B]`.

    Never an index without weight, whatever rounding did, unless there is no weight.
    """
    running = tf.cumsum(weights, axis=-1)
    index = _count(running <= point[:, None])[:, 0]
    places = tf.range(weights.shape[-1])
    last = tf.reduce_max(tf.where(weights > 0, places, 0), -1)
    index = tf.minimum(index, last)
    before = tf.gather(running - weights, index, batch_dims=1)
    return index, point - before


def _largest(values, count):
    """The largest values in descending order, `[B, count]`, and the least of them.

    The least is not read as the last: XLA would then sort the whole vocabulary, which
    takes a hundred times as long.
    """
    largest = tf.math.top_k(values, min(count, values.shape[-1])).values
    return largest, tf.reduce_min(largest, -1, keepdims=True)


def _candidates(logits, among):
    """Logits that a filter searches, their probabilities, and the log of their sum.

    Those are all, or where at most `among` are left, and what equals the last of them,
    the largest: further ties then count in the probability of the last.
    """
    total = tf.reduce_logsumexp(logits, -1, keepdims=True)
    if among is None or among >= logits.shape[-1]:
        return logits, tf.exp(logits - total), total
    values, least = _largest(logits, among)
    further = _count(logits == least) - _count(values == least)
    further = tf.where(tf.math.is_finite(least), further, 0)
    weight = 1 + further * tf.one_hot(among - 1, among, dtype=tf.int32)
    share = tf.exp(values - total) * tf.cast(weight, tf.float32)
    return values, share, total


def _boundary(values, share, mass):
    """The least value up to which the shares add up to `mass`.

    A search through the bits of float32, whose 32 sums take a tenth of what sorting a
    vocabulary takes under XLA.

    Args:
        values, share: float32 `[B, N]`.
        mass: A number or a scalar tensor.

    Returns:
        float32 `[B, 1]`, one of the values.
    """
    keys = _ordered_bits(values)
    lowest = tf.fill([tf.shape(values)[0], 1], tf.int32.min)

    def halve(low, high):
        middle = (low & high) + tf.bitwise.right_shift(low ^ high, 1)
        found = tf.reduce_sum(tf.where(keys <= middle, share, 0.0), -1, keepdims=True)
        enough = found >= mass
        return tf.where(enough, low, middle + 1), tf.where(enough, middle, high)

    _, bits = tf.while_loop(
        lambda low, high: True,
        halve,
        (lowest, tf.fill(tf.shape(lowest), tf.int32.max)),
        maximum_iterations=32,
    )
    # No mass is reached before the first value; and rounding may leave the sum of all
    # below it, or a row without any token.
    bits = tf.maximum(bits, tf.reduce_min(keys, -1, keepdims=True))
    bits = tf.minimum(bits, tf.reduce_max(keys, -1, keepdims=True))
    return tf.bitcast(_ordered_bits(tf.bitcast(bits, tf.float32)), tf.float32)


def _ordered_bits(values):
    """The bits of float32 as int32 in the same order; twice gives them back."""
    bits = tf.bitcast(values, tf.int32)
    return tf.where(bits < 0, bits ^ tf.int32.max, bits)


def _at_least(count, kept, values):
    """What a filter keeps, which is one in any case, and the `count` largest values."""
    return kept if count == 1 else kept | (values >= _largest(values, count)[1])


def _last_of(where, count):
    """The last `count` places, int32 `[B, 1]`, of those marked."""
    marked = tf.cast(where, tf.int32)
    rank = tf.cumsum(marked, axis=-1)
    return where & (rank > tf.reduce_max(rank, -1, keepdims=True) - count)


def _count(where):
    return tf.reduce_sum(tf.cast(where, tf.int32), -1, keepdims=True)


def _only(kept, logits):
    return tf.where(kept, logits, -float("inf"))
