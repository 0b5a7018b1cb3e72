"""Evaluation of language models: perplexity of texts, likelihood of continuations.

A model is known by its protocol: called with `input_ids` (and of an encoder-decoder
`decoder_input_ids`) it gives `logits` `[B, T, V]` of the next token; `prompt_name`,
`tokenizer` and `config` are those of `zoo.models`.
"""

import functools
import math
import numbers

import numpy as np
import tensorflow as tf

from zoo.compile_policy import jit_compile
from zoo.errors import InputError
from zoo.generation.prompts import (
    begun,
    bucket,
    first_token,
    has_sources,
    read_rows,
    stacked,
)

IGNORED = -1  # what is no target


def perplexity(model, texts, *, stride=None, max_length=None, batch_size=1):
    """The exponential of the mean loss per token, over all texts.

    A text longer than the model's window is read by windows that begin `stride` tokens
    apart. Each token is scored once, in the first window that has it, given what stands
    before it there: a smaller stride gives more context, and takes longer. A token
    without any context, as the first of a text, is not scored. So does
    huggingface.co/docs/transformers/perplexity, but that every scored token has the
    same weight here.

    Args:
        model: A decoder-only model.
        texts: A text, a list of texts, or ids in the same forms. Each text is read by
            itself; special tokens that its tokenizer adds belong to it.
        stride: Tokens between the beginnings of two windows, at most `max_length`;
            None: half of it.
        max_length: Tokens of a window, at least 2; None: `max_position_embeddings`.
        batch_size: Windows at a time. `[batch_size, max_length, V]` float32 must fit
            into memory.

    Returns:
        float.

    Raises:
        InputError: if the model has no perplexity, if no token can be scored, or if
            lengths make no sense.
    """
    _check_model(model)
    if has_sources(model):
        raise InputError(
            f"{type(model).__name__} writes answers to sources, and has no perplexity "
            "of texts alone. Use zoo.log_likelihood(model, sources, targets)."
        )
    limit = model.config.max_position_embeddings
    if max_length is None:
        max_length = limit
    if not _is_count(max_length, 2, limit):
        raise InputError(
            f"max_length={max_length!r}: expected a number of tokens from 2 to {limit} "
            "(max_position_embeddings)."
        )
    if stride is None:
        stride = max_length // 2
    if not _is_count(stride, 1, max_length):
        raise InputError(
            f"stride={stride!r}: expected a number of tokens from 1 to "
            f"max_length={max_length}."
        )
    examples = [
        window
        for row in _read(model, texts, "texts")
        for window in windows(row, stride=stride, max_length=max_length)
    ]
    count = sum(int(np.sum(targets != IGNORED)) for _, targets in examples)
    if not count:
        raise InputError(
            "texts have no token to score: the first of each has no context. Give at "
            "least one text of two tokens."
        )
    inputs = [({"input_ids": ids}, targets) for ids, targets in examples]
    scores = _scores(model, inputs, batch_size)
    return math.exp(-math.fsum(scores) / count)


def log_likelihood(model, prompts, continuations, *, batch_size=8):
    """log p(continuation | prompt) of each pair, in nats.

    A prompt and its continuation are tokenized each by itself and put together; of an
    encoder-decoder the prompt is the source.

    Args:
        model: A model that writes.
        prompts: A list of texts, or of lists of ids.
        continuations: As many, of the same kind, none empty.
        batch_size: Pairs at a time.

    Returns:
        list of float.

    Raises:
        InputError: if there are not as many continuations as prompts, or one is empty,
            or a pair has more tokens than the model has positions for.
    """
    _check_model(model)
    prompts = _read(model, prompts, "prompts")
    continuations = _read(
        model, continuations, "continuations", special=has_sources(model)
    )
    if len(prompts) != len(continuations):
        raise InputError(
            f"there are {len(prompts)} prompts and {len(continuations)} continuations; "
            "expected one continuation for each prompt."
        )
    examples = []
    for prompt, following in zip(prompts, continuations, strict=True):
        if not following:
            raise InputError("a continuation is empty: it has no token to score.")
        examples.append(_pair(model, prompt, following))
    return _scores(model, examples, batch_size)


def windows(row, *, stride, max_length):
    """Windows over a row of ids: `(ids, targets)` for each, both `[T]`.

    A target is the token that follows, or IGNORED where it was scored before.
    """
    row, scored = np.asarray(row), 1
    for begin in range(0, len(row), stride):
        end = min(begin + max_length, len(row))
        if end > max(scored, begin + 1):
            targets = row[begin + 1 : end].copy()
            targets[: max(scored - begin - 1, 0)] = IGNORED
            yield row[begin : end - 1], targets
        scored = max(scored, end)
        if end == len(row):
            return


def _is_count(value, least, most):
    """Whether it is an integer, of Python or NumPy, in this range."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return whole and least <= value <= most


def _check_model(model):
    if not hasattr(model, "prompt_name"):
        raise InputError(
            f"model is {type(model).__name__}; expected a zoo model that writes, such "
            "as GPTModel.from_pretrained(...)."
        )


def _pair(model, prompt, following):
    """Inputs of the model by name, and targets `[T]`."""
    if has_sources(model):
        first = first_token(model.config.decoder_start_token_id)
        inputs = {"input_ids": prompt, "decoder_input_ids": [first, *following[:-1]]}
        return inputs, np.asarray(following)
    prompt = begun(prompt, model.config.bos_token_id)
    model.check_prompts([[*prompt, *following[:-1]]])
    targets = np.array([*[IGNORED] * (len(prompt) - 1), *following])
    return {"input_ids": [*prompt, *following[:-1]]}, targets


def _read(model, texts, name, *, special=True):
    """Rows of ids from a text, texts, ids or rows of ids."""

    def encode(texts):
        found = model.tokenizer(
            texts, padding=None, truncation=None, add_special_tokens=special
        )
        return found["input_ids"].to_list()

    size = model.config.vocab_size
    return read_rows(texts, name=name, encode=encode, vocab_size=size)[0]


def _scores(model, examples, batch_size):
    """Summed log-probabilities of the targets of each example, list of float.

    Long ones are batched with long ones; lengths are padded to buckets, so that few
    shapes are compiled.
    """
    if not _is_count(batch_size, 1, math.inf):
        raise InputError(f"batch_size={batch_size!r}: expected a number from 1 on.")
    total = tf.function(
        functools.partial(_summed, model),
        jit_compile=jit_compile("auto"),
        autograph=False,
    )
    order = sorted(range(len(examples)), key=lambda i: -len(examples[i][1]))
    scores = [0.0] * len(examples)
    for start in range(0, len(order), batch_size):
        some = order[start : start + batch_size]
        inputs, targets = _batch([examples[i] for i in some])
        width = targets.shape[1]
        if width > model.config.max_position_embeddings:
            inputs, targets = _cut(inputs, targets, model.config)
        for i, score in zip(some, total(inputs, targets).numpy(), strict=True):
            scores[i] = float(score)
    return scores


def _summed(model, inputs, targets):
    logits = tf.cast(model(inputs, training=False), tf.float32)
    valid = targets != IGNORED
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(
        tf.where(valid, targets, 0), logits
    )
    return -tf.reduce_sum(tf.where(valid, loss, 0.0), -1)


def _batch(examples):
    """Inputs by name, int32 `[B, T]` padded on the right, and targets `[B, T]`."""
    inputs = {}
    for name in examples[0][0]:
        ids, padding = stacked([given[name] for given, _ in examples], side="right")
        mask = np.arange(ids.shape[1]) < ids.shape[1] - padding[:, None]
        inputs[name] = tf.constant(ids)
        inputs[name.replace("input_ids", "attention_mask")] = tf.constant(
            mask.astype(np.int32)
        )
    width = bucket(max(len(targets) for _, targets in examples))
    rows = np.full((len(examples), width), IGNORED, np.int32)
    for row, (_, targets) in zip(rows, examples, strict=True):
        row[: len(targets)] = targets
    return inputs, tf.constant(rows)


def _cut(inputs, targets, config):
    """The same without the padding that learned positions have no place for."""
    limit = config.max_position_embeddings
    if config.position not in ("learned", "sinusoidal"):
        return inputs, targets
    return {name: x[:, :limit] for name, x in inputs.items()}, targets[:, :limit]
