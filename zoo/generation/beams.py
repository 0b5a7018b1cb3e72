"""Beam search, beam sampling and diverse beam search, inside the compiled loop.

Beam search and beam sampling find what transformers 5.23 finds, diverse beam search
(Vijayakumar et al. 2016, arXiv:1610.02424) what its release 4.49 found, the last one to
have it. One difference: what cannot be continued has the score -inf and never becomes a
hypothesis, where the reference counts with -1e9.

A group of beams has k open ones, which are rows of the model, and the k best hypotheses
that have ended. Each step extends every beam by every token and looks at the best of
these candidates: those that end become hypotheses if they are among the best k, and the
best k that do not end are the open beams of the next step.

Letters: B prompts, G groups of beams that are searched apart (one but for diverse beam
search), k beams of a group, C candidates, N tokens that there is room for; R = B G k.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from zoo.generation import processors, sampling
from zoo.generation.loop import (
    Carry,
    is_end,
    last_tokens,
    repeated_rows,
    start_of,
    stopping_after,
    stopping_of,
)
from zoo.generation.results import Sequence
from zoo.generation.state import State

NONE = -float("inf")  # score of what does not exist


class Hypotheses(NamedTuple):
    """Sequences that have ended, the best k of each group in descending order.

    Attributes:
        scores: Log-probability / length ** length_penalty, float32 `[B G, k]`; -inf
            where there is none.
        lengths: How many tokens they have, int32 `[B G, k]`.
        tokens: int32 `[B G, k, N]`, without the prompt.
        logprobs: Log-probabilities of the tokens, float32 `[B G, k, N]`, or ().
    """

    scores: tf.Tensor
    lengths: tf.Tensor
    tokens: tf.Tensor
    logprobs: Any = ()


class Beams(NamedTuple):
    """What a search keeps between steps besides the Carry.

    Attributes:
        sums: Log-probabilities of the open beams, float32 `[B G, k]`, best first.
        parents: The row that each open beam continues, int32 `[R]`: its cache.
        hypotheses: What has ended.
    """

    sums: tf.Tensor
    parents: tf.Tensor
    hypotheses: Hypotheses


class Candidates(NamedTuple):
    """Continuations of the beams of each group, all `[B G, C]`.

    Attributes:
        sums: Their log-probabilities; -inf where there is none.
        parents: The beams that they continue, 0 to k - 1.
        tokens: What they add.
        logprobs: Log-probabilities of these tokens alone, or ().
    """

    sums: tf.Tensor
    parents: tf.Tensor
    tokens: tf.Tensor
    logprobs: Any = ()

    def where(self, wanted):
        """Those that are wanted, bool `[B G, C]`; the others are none."""
        return self._replace(sums=tf.where(wanted, self.sums, NONE))

    def best(self, count):
        """The `count` best in descending order."""
        sums, places = tf.math.top_k(self.sums, count)
        return Candidates(sums, *_at(tuple(self[1:]), places))


class BeamSearch:
    """Beam search and, with `do_sample`, beam sampling.

    Args:
        config: GenerationConfig.
        vocab_size: V.
    """

    slack = 0
    needs_states = False

    def __init__(self, config, *, vocab_size):
        self.config = config
        self.vocab_size = vocab_size
        self.groups = config.num_beam_groups
        self.size = config.num_beams // self.groups
        # So many that k go on, however many end.
        looked_at = self.size * max(2, 1 + len(config.eos_token_ids))
        self.looked_at = min(looked_at, self.size * vocab_size)

    def done(self, request, carry):
        return tf.reduce_all(carry.ended)

    def begin(self, request, logits, cache, tokens, mask):
        prompts = tf.shape(tokens)[0]
        rows = repeated_rows(prompts, self.config.num_beams)
        logits, tokens, mask = (tf.gather(x, rows) for x in (logits, tokens, mask))
        groups, room = prompts * self.groups, tf.shape(tokens)[1] - start_of(request)
        with_logprobs = self.config.output_logprobs
        hypotheses = Hypotheses(
            scores=tf.fill([groups, self.size], NONE),
            lengths=tf.zeros([groups, self.size], tf.int32),
            tokens=tf.zeros([groups, self.size, room], tf.int32),
            logprobs=tf.zeros([groups, self.size, room]) if with_logprobs else (),
        )
        # The beams of a group are still the same: only the first is continued.
        sums = tf.constant([[0.0] + [NONE] * (self.size - 1)])
        own = Beams(tf.tile(sums, [groups, 1]), tf.range(tf.size(rows)), hypotheses)
        carry = Carry(
            tokens,
            mask,
            step=tf.constant(0),
            ended=tf.gather(request.limits <= 0, rows),
            cache=cache.of_rows(rows),
            logprobs=tf.zeros([tf.size(rows), room]) if with_logprobs else (),
            own=own,
            stopping=stopping_of(request, tokens, mask),
        )
        return self._write(request, logits, carry)

    def step(self, model, request, carry):
        start, length = start_of(request), carry.tokens.shape[1]
        cache = carry.cache.of_beams(carry.own.parents, start=start, length=length)
        logits, cache = model.advance(last_tokens(carry, start), cache)
        return self._write(request, logits[:, 0], carry._replace(cache=cache))

    def results(self, request, carry):
        """For each prompt its best hypotheses: lists of Sequences."""
        found = tf.nest.map_structure(lambda x: x.numpy(), self._wanted(carry))
        results = []
        for row in range(len(found.scores)):
            results.append([])
            for i in range(self.config.num_return_sequences):
                length, logprobs = found.lengths[row, i], None
                ids = found.tokens[row, i, :length].tolist()
                if self.config.output_logprobs:
                    logprobs = found.logprobs[row, i, :length].tolist()
                score = float(found.scores[row, i])
                results[-1].append(Sequence(None, ids, "", score, logprobs))
        return results

    def written(self, request, carry):
        """The same as tensors: ragged int32 `[B num_return_sequences, (tokens)]`."""
        found = self._wanted(carry)
        return tf.RaggedTensor.from_tensor(
            tf.reshape(found.tokens, [-1, tf.shape(found.tokens)[2]]),
            lengths=tf.reshape(found.lengths, [-1]),
        )

    def _wanted(self, carry):
        """The best hypotheses of all groups of each prompt, `[B, n, ...]`."""

        def together(x):
            shape = [-1, self.config.num_beams]
            return tf.reshape(x, tf.concat([shape, tf.shape(x)[2:]], 0))

        every = tf.nest.map_structure(together, carry.own.hypotheses)
        scores, places = tf.math.top_k(every.scores, self.config.num_return_sequences)
        return Hypotheses(scores, *_at(tuple(every[1:]), places))

    def _write(self, request, logits, carry):
        """The carry after another token, chosen by the logits `[R, V]`."""
        logits = tf.cast(logits, tf.float32)
        candidates = self._candidates(request, tf.nn.log_softmax(logits), carry)
        last = tf.repeat(carry.step + 1 >= request.limits, self.groups)
        states = tf.reshape(carry.stopping, [-1, self.size]) if request.stops else ()
        _, stopped = self._stopping(request, states, candidates)
        ends = self._ends(candidates.tokens, last) | stopped
        going_on = candidates.where(~ends).best(self.size)
        among_first = tf.range(self.looked_at) < self.size
        ending = candidates.where(ends & among_first).best(self.size)

        closed = carry.ended[:: self.size]  # their hypotheses are final
        hypotheses = self._joined(
            request, carry, carry.own.hypotheses, ending.where(~closed[:, None])
        )
        lengths = carry.step + 1
        if self.config.early_stopping == "never":
            limits = tf.repeat(request.limits, self.groups)
            lengths = tf.where(self._length_penalty(request) > 0, limits, lengths)
        attainable = self._best_sum(candidates, going_on)
        attainable /= self._divisor(request, lengths)
        worst = hypotheses.scores[:, -1]
        closed |= attainable <= worst
        if self.config.early_stopping is True:
            closed |= worst > NONE
        hypotheses = self._finally(
            request, carry, hypotheses, going_on.where((last & ~closed)[:, None])
        )

        rows = tf.range(tf.shape(closed)[0])[:, None] * self.size + going_on.parents
        rows = tf.reshape(rows, [-1])
        chosen = tf.reshape(going_on.tokens, [-1, 1])
        stopping, _ = self._stopping(request, states, going_on)
        if request.stops:
            stopping = tf.reshape(stopping, [-1])
        column = tf.range(tf.shape(carry.tokens)[1]) == start_of(request) + carry.step
        logprobs = carry.logprobs
        if self.config.output_logprobs:
            place = tf.range(tf.shape(logprobs)[1]) == carry.step
            chosen_logprobs = tf.reshape(going_on.logprobs, [-1, 1])
            logprobs = tf.where(place, chosen_logprobs, tf.gather(logprobs, rows))
        return carry._replace(
            tokens=tf.where(column, chosen, tf.gather(carry.tokens, rows)),
            mask=carry.mask | column,
            step=carry.step + 1,
            ended=tf.repeat(closed | last, self.size),
            logprobs=logprobs,
            own=Beams(going_on.sums, rows, hypotheses),
            stopping=stopping,
        )

    def _candidates(self, request, log_probs, carry):
        """What is looked at, of the log-probabilities of the next tokens `[R, V]`."""
        scores = self._processed(request, log_probs, carry)
        scores = tf.reshape(scores, [-1, self.size, self.vocab_size])
        return self._chosen(request, scores, carry.own.sums, carry.step)

    def _processed(self, request, log_probs, carry):
        steps = processors.of(
            self.config, vocab_size=self.vocab_size, values=request.values
        )
        state = State(carry.tokens, carry.mask, start_of(request), carry.step)
        return processors.apply(steps, log_probs, state)

    def _chosen(self, request, scores, sums, step):
        """The best C continuations, or C that are drawn in turn without replacement.

        Args:
            scores: Of the next tokens, float32 `[B, k, V]`.
            sums: Of the beams, float32 `[B, k]`.
        """
        totals = sums[:, :, None] + scores
        flat = tf.reshape(totals, [-1, self.size * self.vocab_size])
        if self.config.do_sample:
            seed, rows = request.seed, None
            if seed.shape.rank:  # each prompt draws as if it were alone
                rows = tf.zeros_like(seed, tf.int32)
            places = sampling.draw_several(
                flat, self.looked_at, seed, step=step, rows=rows
            )
        else:
            places = best_places(totals, self.looked_at)
        logprobs = ()
        if self.config.output_logprobs:
            logprobs = tf.gather(
                tf.reshape(scores, tf.shape(flat)), places, batch_dims=1
            )
        return Candidates(
            sums=tf.gather(flat, places, batch_dims=1),
            parents=places // self.vocab_size,
            tokens=places % self.vocab_size,
            logprobs=logprobs,
        )

    def _stopping(self, request, states, candidates):
        """States of candidates with regard to stop strings, and which complete one.

        Args:
            states: Those of the open beams, int32 `[B G, k]`, or ().
        """
        if request.stops:
            states = tf.gather(states, candidates.parents, batch_dims=1)
        return stopping_after(request, states, candidates.tokens)

    def _ends(self, tokens, last):
        """Which candidates are not continued, bool `[B G, C]`."""
        return is_end(tokens, self.config) | last[:, None]

    def _best_sum(self, candidates, going_on):
        """What hypotheses to come are judged by, float32 `[B G]`."""
        return going_on.sums[:, 0]

    def _finally(self, request, carry, hypotheses, still_open):
        """The hypotheses, once beams that are open at the limit are looked at."""
        return hypotheses

    def _joined(self, request, carry, hypotheses, candidates):
        """The best of what has ended and of k candidates that end now."""

        def rows(history, new):
            """Those of the candidates' parents, and a new element in each, [.., N]."""
            room = tf.shape(history)[1]
            history = tf.reshape(history, [-1, self.size, room])
            history = tf.gather(history, candidates.parents, batch_dims=1)
            return tf.where(tf.range(room) == carry.step, new[:, :, None], history)

        length = carry.step + 1
        logprobs = ()
        if self.config.output_logprobs:
            logprobs = rows(carry.logprobs, candidates.logprobs)
        new = Hypotheses(
            scores=candidates.sums / self._divisor(request, length),
            lengths=tf.fill(tf.shape(candidates.tokens), length),
            tokens=rows(carry.tokens[:, start_of(request) :], candidates.tokens),
            logprobs=logprobs,
        )
        both = tf.nest.map_structure(lambda *pair: tf.concat(pair, 1), hypotheses, new)
        scores, places = tf.math.top_k(both.scores, self.size)
        return Hypotheses(scores, *_at(tuple(both[1:]), places))

    def _length_penalty(self, request):
        return request.values.get("length_penalty", self.config.length_penalty)

    def _divisor(self, request, length):
        return tf.cast(length, tf.float32) ** self._length_penalty(request)


class DiverseBeamSearch(BeamSearch):
    """Groups of beams that are searched in turn, each away from those before it.

    What a group chooses costs the later groups `diversity_penalty`, token by token. As
    in the reference, a group that is done chooses padding, and the beams of the others
    that are open at the limit of tokens are hypotheses too.
    """

    def _candidates(self, request, log_probs, carry):
        penalty = request.values.get("diversity_penalty", self.config.diversity_penalty)
        shape = [-1, self.groups, self.size]
        sums = tf.reshape(carry.own.sums, shape)
        closed = tf.reshape(carry.ended, shape)[:, :, :1]
        ends = self.config.eos_token_ids
        padding = self.config.pad_token_id
        if padding is None:
            padding = ends[0] if ends else 0
        taken = tf.zeros([tf.shape(sums)[0], self.vocab_size])
        found = []
        for group in range(self.groups):
            away = log_probs - penalty * tf.repeat(taken, self.config.num_beams, 0)
            scores = self._processed(request, away, carry)
            scores = tf.reshape(scores, [*shape, self.vocab_size])[:, group]
            chosen = self._chosen(request, scores, sums[:, group], carry.step)
            found.append(chosen)
            states = ()
            if request.stops:
                states = tf.reshape(carry.stopping, shape)[:, group]
            _, stopped = self._stopping(request, states, chosen)
            going_on = ~(is_end(chosen.tokens, self.config) | stopped)
            tokens = chosen.where(going_on).best(self.size)
            tokens = tf.where(closed[:, group], padding, tokens.tokens)
            taken += tf.reduce_sum(tf.one_hot(tokens, self.vocab_size), 1)
        return tf.nest.map_structure(
            lambda *x: tf.reshape(tf.stack(x, 1), [-1, self.looked_at]), *found
        )

    def _ends(self, tokens, last):
        return is_end(tokens, self.config)

    def _best_sum(self, candidates, going_on):
        return candidates.sums[:, 0]

    def _finally(self, request, carry, hypotheses, still_open):
        return self._joined(request, carry, hypotheses, still_open)


def best_places(totals, count):
    """Where the largest of all k V totals are, `[B, k, V]` -> int32 `[B, count]`.

    In descending order; of equal ones the first.
    """
    size, vocab_size = totals.shape[1:]
    # Of each beam first: rows of V are sorted, and none of k V is made.
    values, tokens = tf.math.top_k(totals, min(count, vocab_size))
    each = values.shape[-1]
    values = tf.reshape(values, [-1, size * each])
    tokens += tf.range(size)[:, None] * vocab_size
    _, places = tf.math.top_k(values, count)
    return tf.gather(tf.reshape(tokens, [-1, size * each]), places, batch_dims=1)


def _at(structure, places):
    """The parts of `[B, C, ...]` tensors that stand at these places, `[B, n]`."""
    return tf.nest.map_structure(
        lambda x: tf.gather(x, places, batch_dims=1), structure
    )
