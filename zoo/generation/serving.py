"""Generation as one graph, from texts to texts: what a SavedModel of a model serves."""

from typing import Any

import tensorflow as tf

from zoo.errors import ConfigError
from zoo.generation.generator import strategy_of
from zoo.generation.loop import Loop, Request, repeated_rows, start_of
from zoo.generation.prompts import first_token, has_sources
from zoo.generation.stopping import StopTable


class Server:
    """Texts in, texts out, by ops that TF Serving links; without XLA, of any length.

    It gives what `model.generate` gives. Nothing is padded to a bucket, because nothing
    is compiled for a length.

    Args:
        model: See `zoo.generation.loop`; besides `prompt_name`, `room_after`,
            `longest_prompt`, `tokenizer` and `encode_prompts`.
        config: GenerationConfig.
        vocab_size: V.
        assistant: The model that drafts, or None.

    Raises:
        ConfigError: if an option needs Python between the steps.
    """

    def __init__(self, model, config, *, vocab_size, assistant=None):
        config.check(vocab_size)
        if config.needs_python:
            raise ConfigError(
                f"prefix_allowed_tokens_fn={config.prefix_allowed_tokens_fn!r} needs "
                "Python between the steps, which a SavedModel does not have. Leave it "
                "out."
            )
        strategy = strategy_of(config, vocab_size=vocab_size, assistant=assistant)
        if not hasattr(strategy, "written"):
            raise ConfigError(
                f"{config!r} asks for {config.strategy!r}, which a SavedModel does not "
                "do."
            )
        self.model = model
        self.config = config
        self.strategy: Any = strategy
        self.stops: Any = ()
        if config.stop_strings:
            self.stops = StopTable.of(
                config.stop_strings, model.tokenizer.spelling, vocab_size=vocab_size
            )

    def __call__(self, text, seed=None):
        """Answers texts.

        Args:
            text: string `[B]`.
            seed: int64 `[B]`: each row draws what `model.generate` draws for its text
                alone with this seed. None: the configuration's, or a fresh one.

        Returns:
            string `[B]`; with `num_return_sequences` N above 1 `[B, N]`, best first.
        """
        rows = self._rows(text)
        if seed is None:
            seed = self._seeds(tf.shape(text))
        request, prompts = self._request(rows, seed)
        # One column at least: the strategies look at it even if nothing is written.
        limit = tf.maximum(tf.reduce_max(tf.concat([request.limits, [1]], 0)), 1)
        loop = Loop(self.model, self.strategy, length=start_of(request) + limit)
        carry = loop.go(request, loop.begin(request), limit)
        texts = self._texts(prompts, self.strategy.written(request, carry))
        count = self.config.num_return_sequences
        return texts if count == 1 else tf.reshape(texts, [-1, count])

    def _rows(self, text):
        """Ids, ragged int32 `[B, (tokens)]`, no row empty."""
        rows = self.model.encode_prompts(text)
        empty = rows.row_lengths() == 0
        if self.config.bos_token_id is None:
            return _required(
                ~tf.reduce_any(empty),
                "a prompt is empty, and the model has no bos_token_id to begin with.",
                rows,
            )
        begin = tf.fill(
            [tf.math.count_nonzero(empty, dtype=tf.int32)], self.config.bos_token_id
        )
        begin = tf.RaggedTensor.from_row_lengths(begin, tf.cast(empty, tf.int64))
        return tf.concat([begin, rows], 1)

    def _seeds(self, shape):
        if self.config.seed is not None:
            return tf.fill(shape, tf.constant(self.config.seed, tf.int64))
        # Not tf.random: it would write the seed of this process into the graph, and
        # every server would draw the same.
        low, high = tf.constant(0, tf.int64), tf.constant(2**62, tf.int64)
        return tf.raw_ops.RandomUniformInt(shape=shape, minval=low, maxval=high)

    def _request(self, rows, seed):
        """A Request, and the rows that answers continue, or None."""
        fill = self.config.pad_token_id or 0
        prompts = rows = self._checked(rows)
        lengths = tf.cast(rows.row_lengths(), tf.int32)
        if not has_sources(self.model):
            tokens, padding = padded_left(rows, fill)
            inputs = {"input_ids": tokens}
        else:
            inputs = {
                "input_ids": rows.to_tensor(fill),
                "attention_mask": tf.sequence_mask(lengths, dtype=tf.int32),
            }
            prompts, padding = None, tf.zeros_like(lengths)
            first = first_token(self.config.decoder_start_token_id)
            tokens = tf.fill([tf.shape(lengths)[0], 1], first)
            inputs["decoder_input_ids"] = tokens
            lengths = tf.ones_like(lengths)
        places = self.model.room_after(lengths) - int(self.strategy.needs_states)
        limits = tf.minimum(self._limits(lengths), places)
        return Request(inputs, tokens, padding, limits, seed, {}, self.stops), prompts

    def _checked(self, rows):
        """The same rows, once it is known that there are positions for them."""
        limit = self.model.longest_prompt
        if limit is None:
            return rows
        return _required(
            tf.reduce_all(rows.row_lengths() <= limit),
            "a prompt has more tokens than the model has positions for "
            "(max_position_embeddings).",
            rows,
        )

    def _limits(self, lengths):
        if self.config.max_length is not None:
            return tf.maximum(self.config.max_length - lengths, 0)
        return tf.fill(tf.shape(lengths), self.config.new_tokens(0))

    def _texts(self, prompts, ids):
        """As `zoo.generation.results.continuations`, string `[B * N]`."""
        if prompts is None:
            return self._decode(ids)
        count = self.config.num_return_sequences
        rows = tf.cast(prompts.nrows(), tf.int32)
        prompts = tf.gather(prompts, repeated_rows(rows, count))
        # In one pass, so that the graph has the vocabulary once.
        every = tf.concat([prompts, tf.concat([prompts, ids], 1), ids], 0)
        before, whole, alone = tf.split(self._decode(every), 3)
        size, all_of_it = tf.strings.length(before), tf.strings.length(whole)
        common = tf.strings.substr(whole, tf.zeros_like(size), size)
        there = tf.minimum(size, all_of_it)
        rest = tf.strings.substr(whole, there, all_of_it - there)
        return tf.where(common == before, rest, alone)

    def _decode(self, rows):
        return self.model.tokenizer.decode(rows, skip_special_tokens=True)


def padded_left(rows, fill):
    """Ragged int32 rows as `[B, T]`, and how much of each row is padding, `[B]`."""
    lengths = tf.cast(rows.row_lengths(), tf.int32)
    width = tf.reduce_max(tf.concat([lengths, [1]], 0))
    padding = width - lengths
    place = tf.range(width)[None] - padding[:, None]
    starts = tf.cast(rows.row_starts(), tf.int32)[:, None]
    tokens = tf.gather(rows.values, tf.where(place >= 0, starts + place, 0))
    return tf.where(place >= 0, tokens, fill), padding


def _required(condition, said, value):
    """`value`, where the condition holds; else what calls the server is told."""
    with tf.control_dependencies([tf.debugging.Assert(condition, [said])]):
        return tf.nest.map_structure(tf.identity, value, expand_composites=True)
