"""Processors: penalties and prohibitions that change logits before a token is chosen.

A processor is a function `(logits [B, V] float32, state) -> logits`. What is forbidden
gets -inf. Values and order are those of transformers 5.23, with one difference: padding
is no token. There, padding on the left can be part of an n-gram, of the prefix of a bad
word, of a minimal or maximal length, and of what `prefix_allowed_tokens_fn` is given,
so that a prompt may go on otherwise in a batch than alone. Without padding, all equal.

What was written is counted by scatters of `[B, S]`; nothing has the size B S V.
"""

from reprlib import repr as short

import numpy as np
import tensorflow as tf

from zoo.errors import InputError
from zoo.generation import sampling
from zoo.generation.config import DEFAULT_NEW_TOKENS

# n-grams up to this size are compared token by token, longer ones in a loop.
UNROLLED = 8


def of(config, *, vocab_size, values=None):
    """The processors of a configuration, in the order in which they apply.

    Filters of sampling are among them if the configuration draws; the draw is not.

    Args:
        config: GenerationConfig. Which processors there are is read from it.
        vocab_size: V.
        values: Option name -> scalar tensor that stands for the option's number, so
            that one compiled loop serves several: of `temperature`, `top_p`, `min_p`,
            `typical_p`, the three penalties, `min_new_tokens`, `min_length`,
            `max_new_tokens` and `max_length`.

    Raises:
        ConfigError: if the configuration does not fit the vocabulary.
    """
    config.check(vocab_size)
    values = values or {}

    def value(name):
        return values.get(name, getattr(config, name))

    found = []
    if config.repetition_penalty != 1:
        found.append(repetition_penalty(value("repetition_penalty")))
    if config.presence_penalty or config.frequency_penalty:
        found.append(
            count_penalties(
                presence=value("presence_penalty"), frequency=value("frequency_penalty")
            )
        )
    if config.no_repeat_ngram_size:
        found.append(no_repeated_ngrams(config.no_repeat_ngram_size))
    if config.bad_words_ids:
        found.append(no_bad_words(config.bad_words_ids, ends=config.eos_token_ids))
    if config.eos_token_ids and config.min_length:
        found.append(min_length(value("min_length"), config.eos_token_ids))
    if config.eos_token_ids and config.min_new_tokens:
        found.append(min_new_tokens(value("min_new_tokens"), config.eos_token_ids))
    if config.prefix_allowed_tokens_fn is not None:
        found.append(
            allowed_tokens(
                config.prefix_allowed_tokens_fn,
                num_beams=config.num_beams,
                ends=config.eos_token_ids,
            )
        )
    if config.forced_bos_token_id is not None:
        found.append(forced_first(config.forced_bos_token_id))
    if config.forced_eos_token_id is not None:
        most = value("max_new_tokens")
        if most is None and config.max_length is None:
            most = DEFAULT_NEW_TOKENS
        found.append(
            forced_last(
                config.forced_eos_token_id,
                max_new_tokens=most,
                max_length=value("max_length"),
            )
        )
    if config.suppress_tokens:
        found.append(suppressed(config.suppress_tokens))
    if config.begin_suppress_tokens:
        found.append(
            suppressed_first(
                config.begin_suppress_tokens,
                after_forced=config.forced_bos_token_id is not None,
            )
        )
    found.extend(own(function) for function in config.processors)
    if config.do_sample:
        found.extend(_filters(config, value))
    if config.renormalize_logits:
        found.append(lambda logits, state: tf.nn.log_softmax(logits))
    return found


def _filters(config, value):
    """Filters of sampling, where they are not neutral."""
    keep, among = config.min_tokens_to_keep, None
    if config.temperature != 1:
        yield sampling.temperature(value("temperature"))
    if config.top_k:
        among = max(config.top_k, keep)
        yield sampling.top_k(config.top_k, keep=keep)
    if config.top_p < 1:
        yield sampling.top_p(value("top_p"), keep=keep, among=among)
    if config.min_p:
        yield sampling.min_p(value("min_p"), keep=keep)
    if config.typical_p < 1:
        yield sampling.typical_p(value("typical_p"), keep=keep, among=among)


def apply(processors, logits, state):
    """`logits` after all processors, in turn."""
    for process in processors:
        logits = process(logits, state)
    return logits


def repetition_penalty(penalty):
    """Divides logits of tokens that have occurred, multiplies them if negative.

    Keskar et al. 2019, arXiv:1909.05858. The prompt counts.
    """

    def process(logits, state):
        seen = occurrences(state.tokens, state.mask, logits.shape[-1]) > 0
        changed = tf.where(logits < 0, logits * penalty, logits / penalty)
        return tf.where(seen, changed, logits)

    return process


def count_penalties(*, presence=0.0, frequency=0.0):
    """Subtracts `presence` and, for each time it was written, `frequency`.

    OpenAI's definition: logit - count * frequency - (count > 0) * presence, where the
    prompt does not count.
    """

    def process(logits, state):
        written = state.mask & (tf.range(_columns(state)) >= state.start)
        count = occurrences(state.tokens, written, logits.shape[-1])
        return logits - count * frequency - tf.cast(count > 0, logits.dtype) * presence

    return process


def no_repeated_ngrams(size):
    """Forbids tokens that would complete an n-gram that has occurred.

    Paulus et al. 2018, arXiv:1705.04304. The prompt counts.

    Args:
        size: n, a Python integer of at least 1.
    """

    def process(logits, state):
        columns = _columns(state)
        if isinstance(columns, int) and size > columns:
            return logits  # nothing is that long
        before = size - 1 if isinstance(columns, int) else tf.minimum(size - 1, columns)
        windows = columns - before
        # The last tokens of the windows are written, and so are all before them.
        matches = state.mask[:, :windows] & state.mask[:, before:]
        prefix, _ = _tail(state, before)

        def compared(i, matches):
            some = tf.slice(state.tokens, [0, i], [tf.shape(state.tokens)[0], windows])
            return i + 1, matches & (some == tf.gather(prefix, [i], axis=1))

        if size <= UNROLLED:
            for i in range(size - 1):
                matches &= state.tokens[:, i : i + windows] == prefix[:, i : i + 1]
        else:
            _, matches = tf.while_loop(
                lambda i, _: i < before, compared, (tf.constant(0), matches)
            )
        last = state.tokens[:, before:]
        return _forbid(occurrences(last, matches, logits.shape[-1]) > 0, logits)

    return process


def no_bad_words(words, *, ends=()):
    """Forbids the last token of each sequence where the others were just written.

    Args:
        words: Sequences of ids. A sequence that is one of `ends` alone is passed over,
            as in the reference: forbid it with `min_new_tokens` or `suppress_tokens`.
        ends: Ids that end a sequence.
    """
    alone = sorted({word[0] for word in words if len(word) == 1} - set(ends))
    longer = {}
    for word in words:
        if len(word) > 1:
            longer.setdefault(len(word) - 1, []).append(word)

    def process(logits, state):
        size = logits.shape[-1]
        if alone:
            logits = _forbid(_marked(alone, size), logits)
        for length, group in longer.items():
            prefix, written = _tail(state, length)
            ids = tf.constant(group, tf.int32)
            matches = tf.reduce_all(prefix[:, None] == ids[:, :-1], -1)
            matches &= tf.reduce_all(written, -1, keepdims=True)
            last = tf.broadcast_to(ids[:, -1], tf.shape(matches))
            logits = _forbid(occurrences(last, matches, size) > 0, logits)
        return logits

    return process


def min_length(count, ends):
    """Forbids to end before the row has `count` tokens, its prompt included."""

    def process(logits, state):
        early = _lengths(state) < count
        return _forbid(early & _marked(ends, logits.shape[-1]), logits)

    return process


def min_new_tokens(count, ends):
    """Forbids to end before `count` tokens were written."""

    def process(logits, state):
        early = state.step < count
        return _forbid(early & _marked(ends, logits.shape[-1]), logits)

    return process


def forced_first(token):
    """Forces the second token of a row: the first written if the prompt is one token.

    So it is in the reference, where the option serves encoder-decoders, whose prompt is
    their start token. Longer prompts are left alone.
    """

    def process(logits, state):
        return _forced((_lengths(state) == 1), (token,), logits)

    return process


def forced_last(tokens, *, max_new_tokens=None, max_length=None):
    """Forces one of `tokens` where the row has one token left.

    Args:
        tokens: An id, or ids; between several the draw or beam decides.
        max_new_tokens, max_length: The limit; one of them.
    """
    tokens = tokens if isinstance(tokens, tuple) else (tokens,)

    def process(logits, state):
        if max_new_tokens is not None:
            last = state.step == max_new_tokens - 1
        else:
            last = _lengths(state) == max_length - 1
        return _forced(last, tokens, logits)

    return process


def suppressed(tokens):
    """Forbids these ids."""
    return lambda logits, state: _forbid(_marked(tokens, logits.shape[-1]), logits)


def suppressed_first(tokens, *, after_forced=False):
    """Forbids these ids as the first token that is written.

    Args:
        after_forced: Whether a first token is forced (see `forced_first`): then, in
            rows where it is, the token after it is the first.
    """

    def process(logits, state):
        first = tf.zeros_like(_lengths(state))
        if after_forced:
            first += tf.cast(_lengths(state) - state.step == 1, tf.int32)
        here = state.step == first
        return _forbid(here & _marked(tokens, logits.shape[-1]), logits)

    return process


def allowed_tokens(function, *, num_beams=1, ends=()):
    """Allows only what a Python function allows (De Cao et al. 2020, arXiv:2010.00904).

    It runs in Python and so outside XLA and outside an exported model. Where nothing it
    allows is left in any beam of a prompt, the allowed tokens get the logit 0, as in
    the reference, so that the constraint holds.

    Args:
        function: `(batch_id, ids) -> allowed ids`, with the prompt's number and the
            row's tokens so far as int32 array, without padding.
        num_beams: Rows for each prompt.
        ends: Ids that end a row; the function is not asked about rows that have ended.

    Raises:
        InputError: if the function fails, or allows nothing or an id outside the
            vocabulary. In a graph TensorFlow wraps it, with the same message among
            others: tf.errors.OpError.
    """

    def asked(tokens, mask, start, size):
        allowed = np.ones((len(tokens), size), bool)
        for row, (ids, there) in enumerate(zip(tokens, mask, strict=True)):
            if np.isin(ids[start:][there[start:]], ends).any():
                continue
            number = row // num_beams
            some = _answer(function, number, ids[there])
            if not some.size or some.min() < 0 or some.max() >= size:
                raise InputError(
                    f"prefix_allowed_tokens_fn allows {some.tolist()[:8]} for prompt "
                    f"{number}: expected at least one id, all below {size}."
                )
            allowed[row] = False
            allowed[row, some] = True
        return allowed

    def process(logits, state):
        size = logits.shape[-1]
        allowed = tf.numpy_function(
            asked, (state.tokens, state.mask, state.start, size), tf.bool
        )
        allowed.set_shape(logits.shape)
        found = _forbid(~allowed, logits)
        best = tf.reshape(tf.reduce_max(found, -1), [-1, num_beams])
        none_left = tf.reduce_all(best == -float("inf"), -1)
        none_left = tf.repeat(none_left, num_beams)[:, None]
        return tf.where(none_left, _forbid(~allowed, tf.zeros_like(logits)), found)

    return process


def _answer(function, number, ids):
    """The ids that a function allows, int64 `[N]`."""
    try:
        given = function(number, ids)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"prefix_allowed_tokens_fn failed for prompt {number} with "
            f"{type(error).__name__}: {error}"
        ) from error
    try:
        return np.asarray(given, np.int64).reshape(-1)
    except (TypeError, ValueError):
        raise InputError(
            f"prefix_allowed_tokens_fn gave {short(given)} for prompt {number}: "
            "expected a list of ids."
        ) from None


def own(function):
    """A user's function, whose result is checked where it is traced."""

    def process(logits, state):
        result = function(logits, state)
        found = type(result).__name__
        if result is not None:
            result = tf.convert_to_tensor(result)
            found = f"{result.dtype.name} {result.shape}"
        if not (
            tf.is_tensor(result)
            and result.dtype.is_floating
            and logits.shape.is_compatible_with(result.shape)
        ):
            name = getattr(function, "__name__", type(function).__name__)
            raise InputError(
                f"the processor {name} gave {found}: expected logits of the shape "
                f"that it was given, {logits.shape}."
            )
        result = tf.cast(result, logits.dtype)
        result.set_shape(logits.shape)
        return result

    return process


def occurrences(tokens, mask, vocab_size):
    """How often each token stands where the mask is set, float32 `[B, V]`.

    Args:
        tokens: int32 `[B, N]`. Ids beyond the vocabulary, which a prompt may have where
            the head has fewer rows than the token table, are not counted.
        mask: bool `[B, N]`.
    """
    rows = tf.shape(tokens)[0]
    counted = tf.cast(mask & (tokens < vocab_size), tf.float32)
    columns = tf.clip_by_value(tokens, 0, vocab_size - 1)
    places = tf.stack(
        [tf.broadcast_to(tf.range(rows)[:, None], tf.shape(tokens)), columns], axis=-1
    )
    return tf.tensor_scatter_nd_add(tf.zeros([rows, vocab_size]), places, counted)


def _columns(state):
    """S, a Python integer where it is known: in an exported model it is not."""
    size = state.tokens.shape[-1]
    return tf.shape(state.tokens)[-1] if size is None else size


def _tail(state, count):
    """The last `count` tokens of each row and whether they are tokens, `[B, count]`."""
    columns = state.start + state.step - count + tf.range(count)
    there = tf.maximum(columns, 0)
    tokens = tf.gather(state.tokens, there, axis=1)
    return tokens, tf.gather(state.mask, there, axis=1) & (columns >= 0)


def _lengths(state):
    """Tokens of each row, its prompt included, int32 `[B, 1]`."""
    return tf.reduce_sum(tf.cast(state.mask, tf.int32), -1, keepdims=True)


def _marked(tokens, vocab_size):
    """Where these ids stand in the vocabulary, bool `[V]`, a constant."""
    marks = np.zeros(vocab_size, bool)
    marks[list(tokens)] = True
    return tf.constant(marks)


def _forbid(where, logits):
    return tf.where(where, -float("inf"), logits)


def _forced(where, tokens, logits):
    marks = _marked(tokens, logits.shape[-1])
    return tf.where(where, tf.where(marks, 0.0, -float("inf")), logits)
