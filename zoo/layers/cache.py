"""Keys and values of the tokens that a stack has seen: each is computed once."""

import functools
from typing import Any, NamedTuple

import tensorflow as tf

from zoo.compile_policy import accelerated
from zoo.layers.xla import in_xla, write_slice

# Attention looks at so many tokens of a cache, or at 4 times, 16 times as many.
SMALLEST_PART = 128


class Cache(NamedTuple):
    """What one pass leaves to the next; a structure of tensors for compiled loops.

    Rows are padded on the left, so that all of them are at one place.

    Attributes:
        layers: Keys and values of each layer, both `[B, K, S, d]` but for what `lean`
            leaves out. A layer with a window keeps S = window tokens and writes them in
            turn.
        across: Keys and values of an encoder's states for each layer, or ().
        across_mask: `[B, S]`, non-zero where these states are valid, or ().
        padding: How many tokens of each row are padding, int32 `[B]`.
        place: Tokens written so far, padding included: int32 scalar.
    """

    layers: tuple
    across: tuple
    across_mask: Any
    padding: tf.Tensor
    place: tf.Tensor

    def positions(self, count):
        """Positions of the next `count` tokens, int32 `[B, count]`."""
        index = self.place + tf.range(count)
        return tf.maximum(index[None] - self.padding[:, None], 0)

    def rewound(self, place):
        """The same as if the tokens from `place` on had never been written."""
        return self._replace(place=place)

    def with_choice(self, choice, count):
        """The same as if only one of several alternatives had been read.

        Args:
            choice: Which one of them, int32 `[B]`, 0 to `count` - 1.
            count: How many alternatives the last pass read.
        """
        place = self.place - count

        def kept(x):
            size = size_of(x)
            chosen = (place + choice) % size  # a window's places go round
            chosen = tf.gather(x, chosen[:, None], axis=2, batch_dims=1)
            return write_slice(x, chosen, place % size)

        layers = self._changed(kept)
        return self._replace(layers=layers, place=place + 1)

    def of_rows(self, rows):
        """The cache of other rows, int32 `[B']`."""

        def reordered(x):
            return tf.gather(x, rows)

        across, across_mask, padding = tf.nest.map_structure(
            reordered, tuple(self[1:4])
        )
        layers = self._changed(reordered)
        return Cache(layers, across, across_mask, padding, self.place)

    def of_beams(self, rows, *, start, length):
        """The cache of other rows, int32 `[B]`, each of the same prompt as before.

        What a beam search goes on with: only what was written behind the prompts is
        copied, and nothing of an encoder's states.

        Args:
            start: How many tokens the padded prompts have.
            length: S of a layer without a window; None: unknown.
        """

        def reordered(x):
            if length is None or x.shape[2] != length:  # a window's places go round
                return tf.gather(x, rows)
            return write_slice(x, tf.gather(x[:, :, start:], rows), start)

        return self._replace(layers=self._changed(reordered))

    def _changed(self, change):
        """Keys and values of each layer, of which `change` takes `[B, K, S, d]`."""
        batch = size_of(self.padding, 0)
        return tf.nest.map_structure(
            lambda x: lean(change(full(x, batch=batch))), self.layers
        )


class Memory:
    """The keys and values of one layer while a pass is traced.

    Args:
        length: Tokens that the cache shall hold, padding included.
        window: Keys that a query sees, itself included; None: all.
        slack: Tokens that a later pass may bring besides the first.
        written: Keys and values so far, or None before the first pass.
        place: How many tokens came before, padding included.
    """

    def __init__(self, *, length=None, window=None, slack=0, written=None, place=None):
        self.window = window
        self.written = written
        self.place = place
        self.filled = None  # tokens in the cache after a later pass
        self.heads = None  # K, once it is known
        if written is not None:
            self.size = size_of(written[0], -2)
        elif window is None:
            self.size = length
        else:
            self.size = least(length, window + slack)

    def extend(self, keys, values):
        """Takes in those of new tokens, `[B, K, T, d]`; gives what `look` reads."""
        if self.written is None:  # the first tokens look at each other
            self.written = self._first(keys), self._first(values)
            return keys, values
        self.filled = self.place + keys.shape[2]
        old_keys, old_values = self.written
        self.written = self._next(old_keys, keys), self._next(old_values, values)
        return self.written

    def look(self, attend, keys, values, bias):
        """`attend(keys, values, bias)` over as much of the cache as there is written.

        What is looked at has one of few sizes, each of which is compiled. On a CPU a
        step would else take as long as the cache has room: with room for 2,048 tokens
        2.4 times as long as for 128.

        Args:
            attend: Takes keys and values `[B, K, S, d]`.
            keys, values: What `extend` returned.
            bias: AttentionBias of them.
        """
        if self.filled is None:
            return attend(keys, values, bias)

        def look_at(size):  # cut inside the branch, or each step would cut them all
            parts = (x[..., :size, :] for x in (keys, values))
            both = (full(x, heads=self.heads) for x in parts)
            return attend(*both, bias.of_first_keys(size))

        sizes = self._parts()
        larger = [tf.cast(self.filled > size, tf.int32) for size in sizes[:-1]]
        if not larger:
            return look_at(self.size)
        branches = [functools.partial(look_at, size) for size in sizes]
        return tf.switch_case(tf.add_n(larger), branches)

    def _parts(self):
        """Sizes that attention may look at, the last one being the whole."""
        if not in_xla() or accelerated():
            return [self.size]
        sizes, size = [], SMALLEST_PART
        while size < self.size:
            sizes.append(size)
            size *= 4
        return [*sizes, self.size]

    def key_index(self, count):
        """Which tokens the keys of a pass of `count` tokens stand for, int32 `[S]`."""
        if self.place is None:
            return tf.range(count)
        if self.window is None:
            return tf.range(self.size)
        last = self.place + count - 1
        return last - (last - tf.range(self.size)) % self.size

    def _first(self, x):
        count, size = size_of(x), self.size
        x = tf.pad(x, [[0, 0], [0, 0], [0, most(size - count, 0)], [0, 0]])
        if self.window is not None:  # token i stands at i modulo the size
            x = tf.roll(x[:, :, -size:], most(count - size, 0) % size, axis=2)
        return lean(x)

    def _next(self, x, new):
        count, self.heads, new = new.shape[2], new.shape[1], lean(new)
        if self.window is None:
            return write_slice(x, new, self.place)
        for i in range(count):  # the ring may end between two of them
            one = new[..., i : i + 1, :]
            x = write_slice(x, one, (self.place + i) % self.size)
        return x


def lean(x):
    """`[B, K, S, d]` without B or K where it is 1.

    XLA leaves these out when it multiplies. Of a cache that has them it would write two
    in each step, one with and one without, and copy both before: 2 of 22 ms.
    """
    sizes = [size_of(x, axis) for axis in (0, 1) if x.shape[axis] != 1]
    return x if len(sizes) == 2 else tf.reshape(x, [*sizes, size_of(x), x.shape[3]])


def full(x, *, batch=-1, heads=-1):
    """What was `lean`, again `[B, K, S, d]`; one of B and K is given."""
    if x.shape.rank == 4:
        return x
    return tf.reshape(x, [batch, heads, size_of(x, -2), x.shape[-1]])


def size_of(x, axis=2):
    """The size of an axis: an int where it is known, else a tensor."""
    return tf.shape(x)[axis] if x.shape[axis] is None else x.shape[axis]


def most(a, b):
    """The larger one; an int of ints."""
    return max(a, b) if isinstance(a, int) and isinstance(b, int) else tf.maximum(a, b)


def least(a, b):
    """The smaller one; an int of ints."""
    return min(a, b) if isinstance(a, int) and isinstance(b, int) else tf.minimum(a, b)
