"""Attention in blocks, whose memory grows linearly with the length.

Scores `[B, H, T, S]` are never there as a whole. Blocks of keys pass by each block of
queries, whose softmax is corrected as they come (Rabe and Staats 2021,
arXiv:2112.05682); the gradient computes the weights once more from what a row of them
was divided by (Dao et al. 2022, arXiv:2205.14135). Blocks in which no query may see a
key are left out: half of all in a causal model, most of them with a window.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import tensorflow as tf

from zoo.layers.masks import Order
from zoo.layers.precision import widened

# Tokens a side. With 12 heads the scores of a block are 3 MB, which a CPU's caches
# hold: blocks of 512 were 10 to 20 % slower at 2,048 and 4,096 tokens.
BLOCK = 256
# Above so many tokens causal attention goes by blocks: from there on that is faster, in
# training and without (0.8 times the time at 2,048). Where no block can be left out it
# is slower (1.4 times), and spares memory above twice as many: docs/performance.md.
LONG = 1024
FAR = 1 << 30  # where tokens stand that fill up a block
LOWEST, LARGEST = tf.float32.min, tf.float32.max


def in_blocks(queries, keys, *, causal):
    """Whether attention of so many queries over so many keys goes by blocks.

    Args:
        queries, keys: Numbers of tokens: ints, or tensors where they are not known.
        causal: Whether queries see no key behind them.
    """
    limit = LONG if causal else 2 * LONG
    return queries * keys > limit * limit


@dataclass(frozen=True)  # as a named tuple, Keras would look into it
class BlockBias:
    """What an AttentionBias says, made for one block at a time.

    Attributes:
        order: Order of all queries and keys.
        make: `(order, *learnt) -> AttentionBias`.
        learnt: Weights of which `make` makes a bias, and which get gradients.
        causal: Whether queries see no key behind them.
        window: Keys that a query sees, as of `visible_keys`, or None.
    """

    order: Order
    make: Callable
    learnt: tuple = ()
    causal: bool = False
    window: int | None = None

    @property
    def tensors(self):
        """The tensors that gradients reach."""
        return self.learnt

    def with_tensors(self, tensors):
        return replace(self, learnt=tuple(tensors))

    def of_first(self, count):
        """The AttentionBias of the first `count` queries."""
        return self.make(self.order.of_first(count), *self.learnt)


def attend_in_blocks(
    queries, keys, values, bias, *, cap=None, factors=None, block=BLOCK
):
    """Softmax-weighted sums of values, `[B, H, T, d]`.

    Args:
        queries: `[B, H, T, d]`, scaled. `keys`, `values`: `[B, K, S, d]`.
        bias: BlockBias.
        cap: What bounds scores, `x -> x`, or None.
        factors: What attention weights are multiplied by: a function of the shape of a
            block and its number, which gives the same for the same number; or None.
        block: Tokens a side.

    Returns:
        Zeros for a query that sees no key.
    """

    @tf.custom_gradient
    def attend(queries, keys, values, *learnt):
        blocks = _Blocks(bias, learnt, cap, factors, block)
        context, divisors = blocks.forward(queries, keys, values)

        def gradient(upstream):
            return blocks.backward(queries, keys, values, context, divisors, upstream)

        return context, gradient

    return attend(queries, keys, values, *bias.learnt)


class _Blocks:
    """The blocks of one attention; B, H, K and d as everywhere, R and C its sides."""

    def __init__(self, bias, learnt, cap, factors, size):
        self.bias, self.learnt, self.cap, self.factors = bias, learnt, cap, factors
        self.size = size
        self.order = _cut_order(bias, size)
        seen = _within_reach(self.order, bias.causal, bias.window)
        # The blocks of keys that a block of queries looks at come first.
        self.columns = tf.argsort(tf.cast(~seen, tf.int32), stable=True)
        self.counts = tf.reduce_sum(tf.cast(seen, tf.int32), 1)

    def forward(self, queries, keys, values):
        """Sums `[B, H, T, d]`, and the logarithms of what weights are divided by."""
        shape = tf.shape(queries)
        cut_queries, cut_keys, cut_values = map(self._cut, (queries, keys, values))
        row = tf.shape(cut_queries)[1:]
        single = tf.concat([row[:-1], [1]], 0)

        def of_queries(i, sums, divisors):
            def of_keys(step, highest, divisor, found):
                j = self.columns[i, step]
                products = _product(cut_queries[i], cut_keys[j], transpose=True)
                scores = self._scores(products, self.learnt, i, j)
                top = tf.maximum(highest, tf.reduce_max(scores, -1, keepdims=True))
                weights, kept = tf.exp(scores - top), tf.exp(highest - top)
                divisor = divisor * kept + tf.reduce_sum(weights, -1, keepdims=True)
                weights = tf.cast(self._dropped(weights, i, j), values.dtype)
                new = tf.cast(_product(weights, cut_values[j]), tf.float32)
                return step + 1, top, divisor, found * kept + new

            _, highest, divisor, found = _loop(
                self.counts[i],
                of_keys,
                [tf.fill(single, LOWEST), tf.zeros(single), tf.zeros(row)],
            )
            seen = highest > LOWEST / 2
            found = tf.cast(tf.where(seen, found / divisor, 0.0), values.dtype)
            # Weights that are computed from the largest divisor are zeros.
            divisor = tf.where(seen, highest + tf.math.log(divisor), LARGEST)
            return i + 1, sums.write(i, found), divisors.write(i, divisor)

        count = tf.shape(cut_queries)[0]
        _, sums, divisors = _loop(
            count,
            of_queries,
            [
                _array(count, row, queries.shape[1:2], values.dtype),
                _array(count, single, queries.shape[1:2], tf.float32),
            ],
        )
        context = _joined(sums.stack(), shape)
        context.set_shape(queries.shape)
        return context, divisors.stack()

    def backward(self, queries, keys, values, context, divisors, upstream):
        """Gradients by queries, keys, values and what is learnt."""
        # What a weight's gradient would change all weights of its row by.
        common = tf.cast(upstream, tf.float32) * tf.cast(context, tf.float32)
        common = self._cut(tf.reduce_sum(common, -1, keepdims=True))
        cut_queries, cut_keys, cut_values = map(self._cut, (queries, keys, values))
        upstream = self._cut(upstream)
        row = tf.shape(cut_queries)[1:]

        def of_queries(i, by_queries, *others):
            def of_keys(step, by_row, by_keys, by_values, *by_learnt):
                j = self.columns[i, step]
                products = _product(cut_queries[i], cut_keys[j], transpose=True)
                with tf.GradientTape(watch_accessed_variables=False) as tape:
                    tape.watch([products, *self.learnt])
                    scores = self._scores(products, self.learnt, i, j)
                weights = tf.exp(scores - divisors[i])
                slopes = _product(upstream[i], cut_values[j], transpose=True)
                slopes = self._dropped(tf.cast(slopes, tf.float32), i, j)
                slopes = weights * (slopes - common[i])
                weights = tf.cast(self._dropped(weights, i, j), values.dtype)
                slopes, *new = tape.gradient(
                    scores,
                    [products, *self.learnt],
                    slopes,
                    unconnected_gradients=tf.UnconnectedGradients.ZERO,
                )
                return (
                    step + 1,
                    by_row + _wide(_product(slopes, cut_keys[j])),
                    _add(by_keys, j, _product_of_rows(slopes, cut_queries[i], keys)),
                    _add(by_values, j, _product_of_rows(weights, upstream[i], values)),
                    *map(tf.add, by_learnt, new),
                )

            _, by_row, *others = _loop(
                self.counts[i], of_keys, [tf.zeros(row), *others]
            )
            by_row = tf.cast(by_row, queries.dtype)
            return i + 1, by_queries.write(i, by_row), *others

        count = tf.shape(cut_queries)[0]
        _, by_queries, by_keys, by_values, *by_learnt = _loop(
            count,
            of_queries,
            [
                _array(count, row, queries.shape[1:2], queries.dtype),
                _zeros_like(cut_keys),
                _zeros_like(cut_values),
                *(tf.zeros_like(x) for x in self.learnt),
            ],
        )
        return [
            _joined(by_queries.stack(), tf.shape(queries)),
            tf.cast(_joined(by_keys.stack(), tf.shape(keys)), keys.dtype),
            tf.cast(_joined(by_values.stack(), tf.shape(values)), values.dtype),
            *by_learnt,
        ]

    def _scores(self, products, learnt, i, j):
        """Scores of a block in float32, with what hides keys from queries."""
        scores = widened(products)
        if self.cap is not None:
            scores = self.cap(scores)
        bias = self.bias.make(self.order.of_block(i, j), *learnt).scores
        return scores if bias is None else scores + bias

    def _dropped(self, x, i, j):
        if self.factors is None:
            return x
        number = i * tf.shape(self.columns)[1] + j
        return x * self.factors(tf.shape(x), number)

    def _cut(self, x):
        """`[B, H, T, d]` as `[N, B, H, R, d]`."""
        return _cut(x, 2, self.size)


def _product(x, y, *, transpose=False):
    """x `[B, H, R, ...]` times y `[B, K, ...]`, or its transpose; H is a multiple of K.

    The queries of a group stand below each other: no key is copied.
    """
    shape, group = tf.shape(x), x.shape[1] // y.shape[1]
    if group > 1:
        x = tf.reshape(x, [shape[0], y.shape[1], group * x.shape[2], x.shape[3]])
    z = tf.matmul(x, y, transpose_b=transpose)
    if group > 1:
        z = tf.reshape(z, tf.concat([shape[:3], tf.shape(z)[3:]], 0))
    return z


def _product_of_rows(x, y, like):
    """`x^T y`, `[B, K, C, d]` float32, for x `[B, H, R, C]` and y `[B, H, R, d]`."""
    heads, group = like.shape[1], x.shape[1] // like.shape[1]
    if group > 1:
        batch, rows = tf.shape(x)[0], group * y.shape[2]
        x = tf.reshape(x, [batch, heads, rows, -1])
        y = tf.reshape(y, [batch, heads, rows, y.shape[3]])
    return _wide(tf.matmul(x, y, transpose_a=True))


def _wide(x):
    return tf.cast(x, tf.float32)


def _loop(count, body, state):
    """Runs `body(i, *state)` for i from 0 on; two blocks in flight would hold both."""
    return tf.while_loop(
        lambda i, *_: i < count, body, [tf.constant(0), *state], parallel_iterations=1
    )


def _array(count, shape, heads, dtype):
    """A TensorArray that is to be written, for blocks `[B, H, R, ...]`."""
    # From zeros, for XLA has to know the shape of what comes.
    zeros = tf.zeros(tf.concat([[count], shape], 0), dtype)
    array = tf.TensorArray(dtype, count, clear_after_read=False)
    return array.unstack(zeros)


def _zeros_like(x):
    array = tf.TensorArray(tf.float32, tf.shape(x)[0], clear_after_read=False)
    return array.unstack(tf.zeros(tf.shape(x)))


def _add(array, j, x):
    return array.write(j, array.read(j) + x)


def _cut(x, axis, size, fill=0):
    """The tensor in blocks along an axis, their number first; None of None."""
    if x is None:
        return None
    count = tf.shape(x)[axis] if x.shape[axis] is None else x.shape[axis]
    missing = -count % size
    if not isinstance(missing, int) or missing:
        widths = [[0, 0]] * x.shape.rank
        widths[axis] = [0, missing]
        x = tf.pad(x, widths, constant_values=tf.cast(fill, x.dtype))
    shape, known = tf.shape(x), x.shape.as_list()
    number = (count + missing) // size
    whole = [shape[i] if n is None else n for i, n in enumerate(known)]
    x = tf.reshape(x, [*whole[:axis], number, size, *whole[axis + 1 :]])
    rank = x.shape.rank
    return tf.transpose(x, [axis, *range(axis), *range(axis + 1, rank)])


def _joined(blocks, shape):
    """`[N, B, H, R, d]` as `[B, H, T, d]` of a shape; what fills up is cut off."""
    x = tf.transpose(blocks, [1, 2, 0, 3, 4])
    x = tf.reshape(x, [shape[0], shape[1], -1, shape[3]])
    return x[:, :, : shape[2]]


def _cut_order(bias, size):
    """The Order in blocks; tokens that fill up the last are far, and no key for all."""
    order = bias.order
    mask = order.mask
    if mask is None and not bias.causal and order.keys.shape[0] != size:
        mask = tf.ones([1, tf.shape(order.keys)[0]], tf.bool)
    documents = order.documents
    if documents is not None:
        documents = tuple(_cut(x, 1, size) for x in documents)
    return Order(
        _cut(order.queries, 0, size, FAR),
        _cut(order.keys, 0, size, FAR),
        _cut(order.query_positions, 1, size),
        _cut(order.key_positions, 1, size),
        None if mask is None else _cut(tf.cast(mask, tf.bool), 1, size),
        documents,
    )


def _within_reach(order, causal, window):
    """Which blocks of keys some query of a block may see, bool `[N, M]`."""
    first, last = (f(order.queries, 1)[:, None] for f in (tf.reduce_min, tf.reduce_max))
    near, far = (f(order.keys, 1)[None] for f in (tf.reduce_min, tf.reduce_max))
    seen = tf.ones([tf.shape(first)[0], tf.shape(near)[1]], tf.bool)
    if causal:
        seen &= near <= last
    if window is not None:
        seen &= far > first - window
        if not causal:
            seen &= near < last + window
    if order.mask is not None:
        seen &= tf.reduce_any(order.mask, [1, 2])[None]
    if order.documents is not None:
        queries, keys = order.documents  # [N, B, R], [M, B, C]
        lowest, highest = tf.reduce_min(queries, 2)[:, None], tf.reduce_max(queries, 2)
        own = lowest <= tf.reduce_max(keys, 2)[None]
        own &= highest[:, None] >= tf.reduce_min(keys, 2)[None]
        own &= (tf.reduce_max(keys, 2) > 0)[None]
        seen &= tf.reduce_any(own, 2)
    return seen
