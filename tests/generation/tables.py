"""A model whose logits are a table: what it writes can be worked out by hand."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from zoo.generation.generator import Generator
from zoo.generation.stopping import FIRST, MATCHED

PLACES = 997  # a prime, so that histories rarely fall together


class History(NamedTuple):
    """The cache of the table: a number for all tokens that a row has."""

    numbers: tf.Tensor

    def of_rows(self, rows):
        return History(tf.gather(self.numbers, rows))

    def of_beams(self, rows, *, start, length):
        return self.of_rows(rows)


class TableModel:
    """Logits that depend on every token before, in order.

    Args:
        vocab_size: V.
        seed: Of the table.
        spread: Standard deviation of the logits.
        favoured: Token -> what its logits have more.
    """

    prompt_name = "input_ids"
    spelling = None

    def __init__(self, vocab_size, *, seed=0, spread=2.0, favoured=None):
        rng = np.random.default_rng(seed)
        self.vocab_size = vocab_size
        self.table = rng.normal(size=(PLACES, vocab_size)).astype(np.float32) * spread
        for token, more in (favoured or {}).items():
            self.table[:, token] += more

    def generator(self, jit_compile=False):
        made = Generator(self, vocab_size=self.vocab_size)
        made.jit_compile = jit_compile
        return made

    def check_prompts(self, rows):
        pass

    def room_after(self, length):
        return 2**31 - 1

    def cache_bytes(self, length):
        return 4

    def prefill(self, inputs, *, length, slack=0):
        ids, padding = inputs["input_ids"], inputs["padding"]
        numbers = tf.zeros_like(padding)
        for i in range(ids.shape[1]):
            numbers = tf.where(i >= padding, after(numbers, ids[:, i]), numbers)
        return tf.gather(self.table, numbers), History(numbers)

    def advance(self, ids, cache):
        numbers = after(cache.numbers, ids[:, 0])
        return tf.gather(self.table, numbers)[:, None], History(numbers)

    def log_probs(self, ids):
        """Of the token after these, float64 `[V]`."""
        number = 0
        for token in ids:
            number = int(after(number, token))
        row = self.table[number].astype(np.float64)
        return row - np.log(np.exp(row - row.max()).sum()) - row.max()


def after(number, token):
    return (number * 31 + token + 1) % PLACES


def ends_at(table, tokens, state=FIRST):
    """How many tokens a StopTable reads until a stop string is complete, or None."""
    for i, token in enumerate(tokens):
        state = int(table.following[state, table.kinds[token]])
        if state == MATCHED:
            return i + 1
    return None


def prompts(rng, count, vocab_size, longest=8):
    """Lists of ids of mixed length."""
    lengths = rng.integers(1, longest + 1, count)
    return [rng.integers(0, vocab_size, n).tolist() for n in lengths]
