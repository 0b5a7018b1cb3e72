"""Assisted generation: a small model drafts what greedy search writes.

Speculative decoding (Leviathan et al. 2023, arXiv:2211.17192; Chen et al. 2023,
arXiv:2302.01318) for greedy search. An assistant writes N tokens, one by one; one pass
of the model over all of them says which token it would have taken behind each. Those
that agree are kept, and the model's own token behind them: at least one in each pass,
and N + 1 at most. What is written is what greedy search writes, whatever is drafted.

The rows of a batch stay in step: all of them go on by as many tokens as the row that
agrees least, of those that do not end.
"""

import logging
from typing import Any, NamedTuple

import tensorflow as tf

from zoo.generation.loop import Choice, is_end, start_of, stopping_after
from zoo.generation.state import State
from zoo.layers.cache import size_of

logger = logging.getLogger(__name__)


class Drafts(NamedTuple):
    """What is kept between passes besides the Carry.

    Attributes:
        cache: The assistant's.
        passes: Passes of the model so far, int32 scalar.
        drafted, accepted: Tokens for each row, int32 scalars.
    """

    cache: Any
    passes: tf.Tensor
    drafted: tf.Tensor
    accepted: tf.Tensor


class Checked(NamedTuple):
    """What one pass of the model says of a draft, `N + 1` tokens at most.

    Attributes:
        count: Tokens looked at so far, int32 scalar.
        tokens: What the model takes, int32 `[R, N + 1]`.
        logprobs: Of these tokens, float32 `[R, N + 1]`.
        kept: How many of them follow tokens that agree, int32 `[R]`.
        going: Whether the next one does, bool `[R]`.
        over: Whether the last one that is kept ends the row, bool `[R]`.
        state: With regard to stop strings behind them, int32 `[R]`, or ().
        states: The same behind each of them, int32 `[R, N + 1]`, or ().
    """

    count: tf.Tensor
    tokens: tf.Tensor
    logprobs: tf.Tensor
    kept: tf.Tensor
    going: tf.Tensor
    over: tf.Tensor
    state: Any
    states: Any


class Assisted(Choice):
    """Greedy search whose tokens an assistant drafts.

    Args:
        config: GenerationConfig; `num_assistant_tokens` is N.
        vocab_size: V, of both models.
        assistant: What has `prefill` and `advance`, as the model.
    """

    def __init__(self, config, *, vocab_size, assistant):
        super().__init__(config, vocab_size=vocab_size)
        self.assistant = assistant
        self.slack = config.num_assistant_tokens

    def begin(self, request, logits, cache, tokens, mask):
        carry = super().begin(request, logits, cache, tokens, mask)
        _, cache = self.assistant.prefill(
            {**request.inputs, "padding": request.padding},
            length=size_of(tokens, 1) + self.slack,
            slack=self.slack,
        )
        none = tf.constant(0)
        return carry._replace(own=Drafts(cache, none, none, none))

    def step(self, model, request, carry):
        # What is drafted beyond the limit is not asked for.
        most = tf.reduce_max(request.limits) - carry.step - 1
        most = tf.clip_by_value(most, 0, self.slack)
        draft, drafting = self._draft(request, carry, most)
        logits, cache = model.advance(draft, carry.cache)
        checked = self._check(request, carry, draft, logits, most)
        return self._keep(request, carry, checked, cache, drafting, most)

    def results(self, request, carry):
        passes, drafted, accepted = (int(x) for x in carry.own[1:])
        logger.debug(
            "%d tokens a row in %d passes: %d of %d drafted tokens were accepted",
            int(carry.step),
            passes + 1,
            accepted,
            drafted,
        )
        return super().results(request, carry)

    def _draft(self, request, carry, most):
        """The last token and `most` that the assistant puts behind it.

        Returns:
            int32 `[R, N + 1]`, and the assistant's cache.
        """
        last = start_of(request) + carry.step - 1
        # If all was accepted, the assistant has not read the token before the last.
        pair = tf.gather(carry.tokens, last - 1 + tf.range(2), axis=1)
        logits, cache = self.assistant.advance(pair, carry.own.cache.rewound(last - 1))
        draft = tf.pad(pair[:, 1:], [[0, 0], [0, self.slack]])

        def longer(draft, logits, count):
            state = self._state(request, carry, draft, count)
            _, chosen = self._chosen(request, logits, state)
            return tf.where(
                tf.range(self.slack + 1) == count + 1, chosen[:, None], draft
            )

        def more(count, draft, cache):
            return count < most

        def step(count, draft, cache):
            logits, cache = self.assistant.advance(
                tf.gather(draft, count[None], axis=1), cache
            )
            return count + 1, longer(draft, logits[:, 0], count), cache

        first = longer(draft, logits[:, 1], tf.constant(0))
        _, draft, cache = tf.while_loop(
            more, step, [tf.constant(1), first, cache], parallel_iterations=1
        )
        return draft, cache

    def _check(self, request, carry, draft, logits, most):
        """Checked, of a draft and the logits behind each of its tokens."""
        places = tf.range(self.slack + 1)

        def more(checked):
            # Nothing is kept behind the first row that neither agrees nor ends.
            stays = checked.going | checked.over | carry.ended
            return tf.reduce_any(checked.going) & tf.reduce_all(stays)

        def step(checked):
            count = checked.count
            state = self._state(request, carry, draft, count)
            scores, chosen = self._chosen(
                request, tf.gather(logits, count, axis=1), state
            )
            here = places == count
            logprobs = checked.logprobs
            if self.config.output_logprobs:
                found = tf.gather(tf.nn.log_softmax(scores), chosen, batch_dims=1)
                logprobs = tf.where(here, found[:, None], logprobs)
            ends = is_end(chosen, self.config)
            ends |= carry.step + count + 1 >= request.limits
            state, stopped = stopping_after(request, checked.state, chosen)
            ends |= stopped
            states = checked.states
            if request.stops:
                states = tf.where(here, state[:, None], states)
            following = tf.gather(draft, tf.minimum(count + 1, self.slack), axis=1)
            agrees = (chosen == following) & (count < most)
            checked = Checked(
                count=count + 1,
                tokens=tf.where(here, chosen[:, None], checked.tokens),
                logprobs=logprobs,
                kept=tf.where(checked.going, count + 1, checked.kept),
                going=checked.going & agrees & ~ends,
                over=checked.over | (checked.going & ends),
                state=state,
                states=states,
            )
            return (checked,)

        nothing = Checked(
            count=tf.constant(0),
            tokens=tf.zeros_like(draft),
            logprobs=tf.zeros_like(draft, tf.float32),
            kept=tf.zeros_like(draft[:, 0]),
            going=~carry.ended,
            over=tf.zeros_like(carry.ended),
            state=carry.stopping,
            states=tf.zeros_like(draft) if request.stops else (),
        )
        return tf.while_loop(more, step, [nothing], parallel_iterations=1)[0]

    def _keep(self, request, carry, checked, cache, drafting, most):
        """The carry with the tokens that all rows can go on by."""
        start, step = start_of(request), carry.step
        on = ~(carry.ended | checked.over)
        count = tf.reduce_min(tf.where(on, checked.kept, self.slack + 1))
        count = tf.minimum(count, tf.reduce_max(checked.kept))

        def written(old, new, begin, fill):
            """`old` with the new tokens of each row, and where they stand."""
            place = tf.range(size_of(old, 1)) - begin - step
            new = tf.gather(new, tf.clip_by_value(place, 0, self.slack), axis=1)
            here = (place >= 0) & (place < count)
            there = here & (place < checked.kept[:, None])
            return tf.where(here, tf.where(there, new, fill), old), there

        tokens, there = written(
            carry.tokens, checked.tokens, start, self.config.pad_token_id or 0
        )
        logprobs = carry.logprobs
        if self.config.output_logprobs:
            logprobs, _ = written(logprobs, checked.logprobs, 0, 0.0)
        stopping = carry.stopping
        if request.stops:
            stopping = tf.gather(checked.states, count - 1, axis=1)
        own = carry.own
        return carry._replace(
            tokens=tokens,
            mask=carry.mask | there,
            step=step + count,
            ended=carry.ended | (checked.over & (checked.kept <= count)),
            # The last token is read with the next draft.
            cache=cache.rewound(start + step + count - 1),
            logprobs=logprobs,
            stopping=stopping,
            own=Drafts(
                drafting, own.passes + 1, own.drafted + most, own.accepted + count - 1
            ),
        )

    def _state(self, request, carry, draft, count):
        """What processors see behind `count` tokens of a draft: a State."""
        start = start_of(request)
        place = tf.range(size_of(carry.tokens, 1)) - start - carry.step
        drafted = tf.gather(draft, tf.clip_by_value(place + 1, 0, self.slack), axis=1)
        here = (place >= 0) & (place < count)
        return State(
            tokens=tf.where(here, drafted, carry.tokens),
            mask=carry.mask | (here & ~carry.ended[:, None]),
            start=start,
            step=carry.step + count,
        )
