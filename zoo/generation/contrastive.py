"""Contrastive search: probable tokens, away from what is written already.

Su et al. 2022, arXiv:2202.06417. Of the k most probable tokens each step takes the one
with the highest `(1 - alpha) * probability - alpha * similarity`: the similarity is the
largest cosine between its last hidden state and those of all tokens before it. Tokens
are those of transformers 4.49, the last release but for a few to have it; one thing
differs: what a processor forbids is never taken, where the reference gives it the
probability 0 and may take it for being unlike the rest.
"""

from typing import NamedTuple

import tensorflow as tf

from zoo.generation.loop import Choice, start_of
from zoo.generation.state import State
from zoo.layers.cache import size_of


class Ahead(NamedTuple):
    """What is known of the tokens written so far.

    Attributes:
        logits: Of the next token, `[B, V]`.
        states: Last hidden states of length 1, float32 `[B, S, D]`; 0 at columns that
            are not written yet.
    """

    logits: tf.Tensor
    states: tf.Tensor


class ContrastiveSearch(Choice):
    """Each row reads its k candidates in one pass, and keeps one of them.

    Args:
        config: GenerationConfig.
        vocab_size: V.
    """

    needs_states = True

    def __init__(self, config, *, vocab_size):
        super().__init__(config, vocab_size=vocab_size)
        self.count = min(config.top_k, vocab_size)
        self.slack = self.count - 1

    def begin(self, request, logits, cache, tokens, mask, states=None):
        # The first token is written by the first step: it needs a pass of the model.
        room = size_of(tokens, 1) - size_of(states, 1)
        states = tf.pad(_of_length_one(states), [[0, 0], [0, room], [0, 0]])
        carry = self._carry(request, cache, tokens, mask)
        return carry._replace(own=Ahead(logits, states))

    def step(self, model, request, carry):
        state = State(carry.tokens, carry.mask, start_of(request), carry.step)
        scores = self._processed(request, carry.own.logits, state)
        probabilities, candidates = tf.math.top_k(tf.nn.softmax(scores), self.count)
        states, cache = model.advance_states(candidates, carry.cache, alternatives=True)
        unit = _of_length_one(states)
        similar = self._similarity(carry, unit)
        alpha = request.values.get("penalty_alpha", self.config.penalty_alpha)
        worth = (1 - alpha) * probabilities - alpha * similar
        allowed = tf.gather(scores, candidates, batch_dims=1) > -float("inf")
        choice = tf.argmax(
            tf.where(allowed, worth, -float("inf")), -1, output_type=tf.int32
        )

        def chosen(x):
            return tf.gather(x, choice, batch_dims=1)

        column = tf.range(size_of(carry.tokens, 1)) == start_of(request) + carry.step
        kept = tf.where(column[:, None], chosen(unit)[:, None], carry.own.states)
        ahead = Ahead(model.logits(chosen(states)), kept)
        carry = carry._replace(cache=cache.with_choice(choice, self.count), own=ahead)
        return self._append(request, carry, scores, chosen(candidates))

    def _similarity(self, carry, unit):
        """The largest cosine to a token before, `[B, k]`, of states `[B, k, D]`."""
        cosines = tf.matmul(unit, carry.own.states, transpose_b=True)
        cosines = tf.where(carry.mask[:, None], cosines, -float("inf"))
        return tf.reduce_max(cosines, -1)


def _of_length_one(states):
    states = tf.cast(states, tf.float32)
    return tf.math.divide_no_nan(states, tf.norm(states, axis=-1, keepdims=True))
