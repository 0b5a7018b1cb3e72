"""States and ways to run, for tests of processors and sampling."""

import numpy as np
import tensorflow as tf

from zoo.generation.state import State

MODES = ("eager", "graph", "XLA")


def state_of(rows, *, prompt=None, size=None, pad=0):
    """The state in which these rows are written, padded on the left to one length.

    Args:
        rows: Lists of ids.
        prompt: How many tokens of the longest row are the prompt; None: all.
        size: Columns of the buffer; None: two more than are written.
        pad: Id that stands where no token is.
    """
    longest = max(len(row) for row in rows)
    size = longest + 2 if size is None else size
    tokens = np.full((len(rows), size), pad, np.int32)
    mask = np.zeros((len(rows), size), bool)
    for i, row in enumerate(rows):
        tokens[i, longest - len(row) : longest] = row
        mask[i, longest - len(row) : longest] = True
    start = longest if prompt is None else prompt
    return State(
        tf.constant(tokens), tf.constant(mask), start, tf.constant(longest - start)
    )


def run(process, logits, state=None, mode="eager"):
    """What a processor makes of logits, as an array."""
    logits = tf.constant(logits, tf.float32)

    def step(logits, tokens, mask, step):
        start = None if state is None else state.start
        return process(logits, State(tokens, mask, start, step))

    dynamic = (0, 0, 0) if state is None else (state.tokens, state.mask, state.step)
    if mode != "eager":
        step = tf.function(step, jit_compile=mode == "XLA")
    return step(logits, *(tf.convert_to_tensor(each) for each in dynamic)).numpy()


def random_logits(rng, rows, size, spread=3.0):
    return (rng.normal(size=(rows, size)) * spread).astype(np.float32)
