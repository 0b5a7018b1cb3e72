"""Stop strings inside the compiled loop: an automaton that reads tokens.

The text of a row is the bytes of its tokens, one behind another. What has to be known
of it is how much of a stop string its end may be the beginning of: a state, as in the
algorithm of Aho and Corasick (1975). For each state and token the next state is worked
out beforehand; tokens that are the same in all states share a column, so that of a
vocabulary of V tokens some hundred columns remain, and a number for each token.

The prompt does not count: a stop string is one that was written.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from zoo.errors import InputError
from zoo.generation.prompts import bucket

# Complete, for good. Nothing is written yet, but for special tokens. No stop string is
# begun.
MATCHED, FIRST, NOTHING = 0, 1, 2
# States times tokens, while a table is made: 256 MiB.
LARGEST_TABLE = 1 << 26


class StopTable(NamedTuple):
    """The automaton. Its sizes are powers of two, so that many share a program.

    Attributes:
        kinds: The column of each token, int32 `[V]`.
        following: The next state, int32 `[states, columns]`.
    """

    kinds: tf.Tensor
    following: tf.Tensor

    @classmethod
    def of(cls, stops, spelling, *, vocab_size):
        """The table of some stop strings, in arrays of NumPy.

        Args:
            stops: Texts, none empty.
            spelling: See `zoo.tokenizers.decoders.Spelling`.
            vocab_size: V; what the tokenizer does not have writes nothing.

        Raises:
            InputError: if there are so many bytes of them that the table would be huge.
        """
        stops = [stop.encode("utf-8", "surrogatepass") for stop in stops]
        size, most = sum(map(len, stops)), LARGEST_TABLE // vocab_size
        if size > most:
            raise InputError(
                f"stop_strings have {size:,} bytes in all; with a vocabulary of "
                f"{vocab_size:,} tokens at most {most:,} are looked for. Pass fewer, "
                "or shorter ones."
            )
        steps, start = _byte_steps(stops, *spelling.stripped)
        states = np.arange(len(steps), dtype=np.int32)
        shown = np.flatnonzero(spelling.shown[:vocab_size])
        following = np.repeat(states[:, None], vocab_size, 1)
        following[:, shown] = _read(steps, states, spelling.rest[shown])
        following[FIRST] = FIRST
        start = np.array([start], np.int32)
        following[FIRST, shown] = _read(steps, start, spelling.first[shown])[0]
        columns, kinds = _columns(following)
        room = np.zeros([bucket(size) for size in columns.shape], np.int32)
        room[: columns.shape[0], : columns.shape[1]] = columns
        return cls(kinds.astype(np.int32), room)

    def begin(self, tokens, mask):
        """States behind prompts, int32 `[R]`: whether they have a text.

        Args:
            tokens: int32 `[R, S]`.
            mask: bool `[R, S]`, where tokens stand.
        """
        shown = self.after(tf.fill(tf.shape(tokens), FIRST), tokens) != FIRST
        return tf.where(tf.reduce_any(shown & mask, 1), NOTHING, FIRST)

    def after(self, states, tokens):
        """States behind one more token, of any one shape."""
        places = states * self.following.shape[1] + tf.gather(self.kinds, tokens)
        return tf.gather(tf.reshape(self.following, [-1]), places)


def _byte_steps(stops, mark, count):
    """The automaton that reads bytes.

    Args:
        stops: Stop strings, as bytes.
        mark: What a text loses at its beginning, as bytes.
        count: How often at most.

    Returns:
        The next state, int32 `[states, 256]`, and the state before the first byte.
    """
    begun = {stop[:size] for stop in stops for size in range(len(stop))}
    names = [None, None, *sorted(begun)]  # the empty one is NOTHING
    # Of a mark: how many may still be lost, and how much of one has been read.
    names += [(left, size) for left in range(1, count + 1) for size in range(len(mark))]
    number = {name: i for i, name in enumerate(names) if name is not None}
    relevant = sorted({byte for stop in stops for byte in stop})
    steps = np.full((len(names), 256), NOTHING, np.int32)
    steps[MATCHED], steps[FIRST] = MATCHED, FIRST

    def following(state, byte):
        text = state + bytes([byte])
        if any(text.endswith(stop) for stop in stops):
            return MATCHED
        return number[next(t for i in range(len(text) + 1) if (t := text[i:]) in begun)]

    for name in sorted(begun):
        for byte in relevant:
            steps[number[name], byte] = following(name, byte)
    for name in names[2 + len(begun) :]:
        left, size = name
        kept = NOTHING  # what was read of the mark belongs to the text after all
        for byte in mark[:size]:
            kept = steps[kept, byte]
        steps[number[name]] = steps[kept]
        follows = (left, size + 1) if size + 1 < len(mark) else (left - 1, 0)
        steps[number[name], mark[size]] = number.get(follows, NOTHING)
    return steps, number.get((count, 0), NOTHING)


def _read(steps, states, texts):
    """States behind texts, `[states, texts]`."""
    sizes = np.array([len(text) for text in texts], np.int64)
    order = np.argsort(-sizes, kind="stable")
    every = np.frombuffer(b"".join(texts), np.uint8)
    begins = (np.cumsum(sizes) - sizes)[order]
    longer = np.searchsorted(-sizes[order], -np.arange(sizes.max(initial=0)), "left")
    found = np.repeat(states[:, None], len(texts), 1)
    for i, count in enumerate(longer):  # of so many texts there is an i-th byte
        found[:, :count] = steps[found[:, :count], every[begins[:count] + i]]
    result = np.empty_like(found)
    result[:, order] = found
    return result


def _columns(table):
    """The columns that differ, and which of them each column is."""
    # By a number for each, because sorting columns takes seconds.
    weights = np.random.default_rng(0).integers(1, 2**62, len(table))
    _, places, kinds = np.unique(
        weights @ table.astype(np.int64), return_index=True, return_inverse=True
    )
    columns, kinds = table[:, places], kinds.reshape(-1)
    if (columns[:, kinds] == table).all():
        return columns, kinds
    columns, kinds = np.unique(table, axis=1, return_inverse=True)
    return columns, kinds.reshape(-1)
