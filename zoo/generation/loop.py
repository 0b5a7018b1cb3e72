"""The one compiled loop: prompts are read once, then a strategy writes token by token.

A model is known by its protocol alone: `prefill(inputs, length=..., slack=...)` gives
logits `[B, V]` and a cache, `advance(ids [B, T], cache)` logits `[B, T, V]` and a
cache. For strategies that look at hidden states, `prefill_states` and `advance_states`
give these, `[B, T, D]`, and `logits` makes logits of them.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from zoo.generation import processors
from zoo.generation.results import Sequence
from zoo.generation.state import State
from zoo.generation.stopping import MATCHED


class Carry(NamedTuple):
    """What goes from one step to the next. R rows: prompts times beams or draws.

    Attributes:
        tokens: int32 `[R, S]`, prompts and what was written.
        mask: bool `[R, S]`, where tokens stand.
        step: Tokens written so far, int32 scalar.
        ended: Whether a row has ended, bool `[R]`.
        cache: The model's.
        logprobs: float32 `[R, S - start]`, log-probabilities of the written tokens, or
            () where nobody asked for them.
        own: What the strategy keeps besides.
        stopping: State of each row with regard to stop strings, int32 `[R]`, or ().
    """

    tokens: tf.Tensor
    mask: tf.Tensor
    step: tf.Tensor
    ended: tf.Tensor
    cache: Any
    logprobs: Any = ()
    own: Any = ()
    stopping: Any = ()


class Request(NamedTuple):
    """What varies between calls of one compiled program.

    Attributes:
        inputs: The model's, by name.
        tokens: int32 `[B, P]`, prompts of the decoder, padded on the left.
        padding: How much of it in each row, int32 `[B]`.
        limits: Tokens that each prompt may be given, int32 `[B]`.
        seed: int64, a scalar; or `[B]`, then each prompt draws as if it were alone.
        values: Numbers of the configuration, by name, as scalars.
        stops: StopTable, or () without stop strings.
    """

    inputs: dict
    tokens: tf.Tensor
    padding: tf.Tensor
    limits: tf.Tensor
    seed: tf.Tensor
    values: dict
    stops: Any = ()


class Loop:
    """How a model writes, traced for one configuration and one room.

    Args:
        model: What has `prefill` and `advance`.
        strategy: What chooses tokens, such as `Choice`.
        length: S, columns of the buffer of tokens: an int, or a tensor outside XLA.
    """

    def __init__(self, model, strategy, *, length):
        self.model = model
        self.strategy = strategy
        self.length = length

    def begin(self, request):
        """Reads the prompts and writes the first token: a Carry."""
        slack, needs_states = self.strategy.slack, self.strategy.needs_states
        read = self.model.prefill_states if needs_states else self.model.prefill
        found, cache = read(
            {**request.inputs, "padding": request.padding},
            length=self.length + slack,
            slack=slack,
        )
        start = start_of(request)
        room = [[0, 0], [0, self.length - start]]
        valid = tf.range(start)[None] >= request.padding[:, None]
        tokens, mask = tf.pad(request.tokens, room), tf.pad(valid, room)
        if not needs_states:
            return self.strategy.begin(request, found, cache, tokens, mask)
        logits = self.model.logits(found[:, -1])
        return self.strategy.begin(request, logits, cache, tokens, mask, found)

    def go(self, request, carry, limit):
        """Writes until all have ended, or `limit` tokens are written."""

        def more(carry):
            return (carry.step < limit) & ~self.strategy.done(request, carry)

        def step(carry):
            return (self.strategy.step(self.model, request, carry),)

        return tf.while_loop(more, step, [carry], parallel_iterations=1)[0]


class Choice:
    """Greedy search and sampling: every row takes its best token, or draws one.

    Args:
        config: GenerationConfig.
        vocab_size: V.
    """

    slack = 0
    needs_states = False  # whether it looks at the hidden states of what is written

    def __init__(self, config, *, vocab_size):
        self.config = config
        self.vocab_size = vocab_size
        self.copies = config.num_return_sequences

    def done(self, request, carry):
        return tf.reduce_all(carry.ended)

    def begin(self, request, logits, cache, tokens, mask):
        if self.copies > 1:
            rows = repeated_rows(tf.shape(tokens)[0], self.copies)
            logits, tokens, mask = (tf.gather(x, rows) for x in (logits, tokens, mask))
            cache = cache.of_rows(rows)
        carry = self._carry(request, cache, tokens, mask)
        return self._write(request, logits, carry)

    def _carry(self, request, cache, tokens, mask):
        """The Carry before the first token."""
        ended = tf.repeat(request.limits, self.copies) < 1
        logprobs = ()
        if self.config.output_logprobs:
            room = tf.shape(tokens)[1] - tf.shape(request.tokens)[1]
            logprobs = tf.zeros([tf.shape(tokens)[0], room])
        stopping = stopping_of(request, tokens, mask)
        return Carry(
            tokens, mask, tf.constant(0), ended, cache, logprobs, stopping=stopping
        )

    def step(self, model, request, carry):
        last = last_tokens(carry, start_of(request))
        logits, cache = model.advance(last, carry.cache)
        return self._write(request, logits[:, 0], carry._replace(cache=cache))

    def results(self, request, carry):
        """For each prompt what was written in its rows: lists of Sequences."""
        start = request.tokens.shape[1]
        tokens, mask = carry.tokens.numpy()[:, start:], carry.mask.numpy()[:, start:]
        found = []
        for i, row in enumerate(tokens):
            ids = row[mask[i]].tolist()
            logprobs = score = None
            if self.config.output_logprobs:
                logprobs = carry.logprobs.numpy()[i, : len(ids)].tolist()
                score = sum(logprobs)
            found.append(Sequence(None, ids, "", score, logprobs))
        return [found[i : i + self.copies] for i in range(0, len(found), self.copies)]

    def written(self, request, carry):
        """The same as tensors: ragged int32 `[R, (tokens)]`."""
        start = start_of(request)
        return tf.ragged.boolean_mask(carry.tokens[:, start:], carry.mask[:, start:])

    def _write(self, request, logits, carry):
        state = State(carry.tokens, carry.mask, start_of(request), carry.step)
        logits, chosen = self._chosen(request, logits, state)
        return self._append(request, carry, logits, chosen)

    def _append(self, request, carry, logits, chosen):
        """The carry with a chosen token in each row that goes on, int32 `[R]`."""
        start, written = start_of(request), ~carry.ended
        chosen = tf.where(written, chosen, self.config.pad_token_id or 0)
        column = tf.range(tf.shape(carry.tokens)[1])[None] == start + carry.step
        tokens = tf.where(column, chosen[:, None], carry.tokens)
        logprobs = carry.logprobs
        if self.config.output_logprobs:
            found = tf.gather(tf.nn.log_softmax(logits), chosen, batch_dims=1)
            found = tf.where(written, found, 0.0)
            place = tf.range(tf.shape(logprobs)[1])[None] == carry.step
            logprobs = tf.where(place, found[:, None], logprobs)
        limits = tf.repeat(request.limits, self.copies)
        ended = carry.ended | is_end(chosen, self.config) | (carry.step + 1 >= limits)
        stopping, stopped = stopping_after(request, carry.stopping, chosen)
        return carry._replace(
            tokens=tokens,
            mask=carry.mask | (column & written[:, None]),
            step=carry.step + 1,
            ended=ended | stopped,
            logprobs=logprobs,
            stopping=stopping,
        )

    def _chosen(self, request, logits, state):
        """The processed logits `[R, V]`, and the token that each row takes, `[R]`."""
        logits = self._processed(request, logits, state)
        if not self.config.do_sample:
            return logits, tf.argmax(logits, -1, output_type=tf.int32)
        seed, rows = streams(request.seed, tf.shape(logits)[0], self.copies)
        return logits, processors.sampling.draw(
            logits, seed, step=state.step, rows=rows
        )

    def _processed(self, request, logits, state):
        steps = processors.of(
            self.config, vocab_size=self.vocab_size, values=request.values
        )
        return processors.apply(steps, tf.cast(logits, tf.float32), state)


def start_of(request):
    """Column of the first written token: an int where it is known."""
    start = request.tokens.shape[1]
    return tf.shape(request.tokens)[1] if start is None else start


def streams(seed, count, copies):
    """Seeds and row numbers that `count` rows draw from; `copies` rows a prompt."""
    rows = tf.range(count)
    if seed.shape.rank == 0:
        return seed, rows
    return tf.repeat(seed, copies), rows % copies


def last_tokens(carry, start):
    """The tokens written last, `[R, 1]`."""
    return carry.tokens[:, start + carry.step - 1][:, None]


def stopping_of(request, tokens, mask):
    """States of rows with regard to stop strings, nothing written yet; or ()."""
    return request.stops.begin(tokens, mask) if request.stops else ()


def stopping_after(request, states, tokens):
    """States behind one more token, and whether a stop string is complete, bool."""
    if not request.stops:
        return (), tf.zeros_like(tokens, tf.bool)
    states = request.stops.after(states, tokens)
    return states, states == MATCHED


def is_end(tokens, config):
    """Whether each token ends its row, bool of the same shape."""
    ends = tf.constant(config.eos_token_ids, tf.int32)
    return tf.reduce_any(tokens[..., None] == ends, -1)


def repeated_rows(count, copies):
    """0, 0, 1, 1, ... for two copies of each of `count` rows."""
    return tf.repeat(tf.range(count), copies)
