"""From prompts to results: rooms of tokens, compiled programs, texts."""

import functools
import logging
import os
import re
from reprlib import repr as short
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.compile_policy import accelerated, jit_compile
from zoo.errors import ConfigError, InputError
from zoo.generation.assisted import Assisted
from zoo.generation.beams import BeamSearch, DiverseBeamSearch
from zoo.generation.config import DEFAULTS
from zoo.generation.contrastive import ContrastiveSearch
from zoo.generation.loop import Choice, Loop, Request
from zoo.generation.prompts import first_token, has_sources, room, stacked
from zoo.generation.results import Sequence, continuations, finish_reason
from zoo.generation.sampling import fresh_seed
from zoo.generation.stopping import StopTable
from zoo.generation.streaming import chunk_size, pieces

logger = logging.getLogger(__name__)

# Options that a compiled program takes as numbers: another value compiles nothing.
NUMBERS = {
    **dict.fromkeys(("temperature", "top_p", "min_p", "typical_p"), tf.float32),
    "repetition_penalty": tf.float32,
    "presence_penalty": tf.float32,
    "frequency_penalty": tf.float32,
    **dict.fromkeys(("length_penalty", "diversity_penalty"), tf.float32),
    "penalty_alpha": tf.float32,
    **dict.fromkeys(("min_new_tokens", "min_length"), tf.int32),
    **dict.fromkeys(("max_new_tokens", "max_length"), tf.int32),
}
# Options that only the Python around a program reads.
OUTSIDE = ("seed", "stop_strings", "return_dict_in_generate", "output_scores")
# Tables of stop strings that are kept, the ones used last.
STOP_TABLES = 8
# The message of an InputError in that of TensorFlow, which has the traceback below it.
SAID_BY_PYTHON = re.compile(r"^InputError: (.*)\nTraceback ", re.MULTILINE)
# New tokens are given room by multiples of this.
STEP = 32
# Steps after which Python looks whether somebody pressed Ctrl-C.
LONGEST_RUN = 256

STRATEGIES: dict[str, Any] = {
    "greedy": Choice,
    "sample": Choice,
    "beam": BeamSearch,
    "beam_sample": BeamSearch,
    "diverse_beam": DiverseBeamSearch,
    "contrastive": ContrastiveSearch,
    "assisted": Assisted,
}


class Generator:
    """Writes for one model, and keeps what was compiled for it.

    Args:
        model: See `zoo.generation.loop`. Besides, `prompt_name` says which input the
            loop continues, `check_prompts(rows)` refuses what is too long,
            `cache_bytes(length)` says what the caches of a row take, and `spelling`
            what tokens write (`zoo.tokenizers.decoders.Spelling`), or is None.
        vocab_size: V.

    Attributes:
        jit_compile: "auto", True or False: see `zoo.compile_policy`.
        programs: What was compiled, by configuration and room.
    """

    def __init__(self, model, *, vocab_size):
        self.model = model
        self.vocab_size = vocab_size
        self.jit_compile = "auto"
        self.programs = {}
        self._stop_tables = {}

    def __call__(self, rows, config, *, decode=None, assistant=None):
        """Continues prompts.

        Args:
            rows: Lists of ids.
            config: GenerationConfig.
            decode: Lists of ids -> list of texts, or None.
            assistant: The model that drafts, for assisted generation; as the model.

        Returns:
            For each prompt a list of `num_return_sequences` Sequences, best first.
        """
        config.check(self.vocab_size)
        if not rows:
            return []
        request, length = self._request(rows, config, assistant)
        if not int(tf.reduce_max(request.limits)):
            nothing = Sequence("" if decode else None, [], "length")
            return [[nothing] * config.num_return_sequences for _ in rows]
        program = self._program(config, length, assistant)
        for carry in self._chunks(program, request, LONGEST_RUN):
            last = carry
        found = program.strategy.results(request, last)
        return self._sequences(found, rows, config, decode)

    def stream(self, row, config, *, decode=None, assistant=None):
        """Continues one prompt, and yields what is written while it is written.

        Yields:
            Pieces of text that never cut a character; lists of ids without `decode`.

        Raises:
            ConfigError: if the configuration has beams, or asks for several sequences
                or for what is known of a whole one.
        """
        config.check(self.vocab_size)
        if config.num_beams > 1:
            raise ConfigError(
                f"stream=True and num_beams={config.num_beams}: which beam is the best "
                "is known at the end, so nothing can be shown before. Leave one out."
            )
        for name in (
            "num_return_sequences",
            "return_dict_in_generate",
            "output_scores",
            "output_logprobs",
        ):
            if getattr(config, name) != DEFAULTS[name]:
                raise ConfigError(
                    f"stream=True and {name}={getattr(config, name)!r}: a stream is "
                    "the pieces of one sequence, and nothing else. Leave one out."
                )
        request, length = self._request([row], config, assistant)
        if not int(request.limits[0]):
            return
        program = self._program(config, length, assistant)
        written = (
            program.strategy.results(request, carry)[0][0].ids
            for carry in self._chunks(program, request, chunk_size(length))
        )
        yield from pieces(written, row, decode, stops=config.stop_strings)

    def _chunks(self, program, request, chunk):
        """Carries, `chunk` steps apart, until all rows have ended."""
        limit = int(tf.reduce_max(request.limits))
        carry = program.begin(request)
        while True:
            yield carry
            step = int(carry.step)
            if step >= limit or bool(program.strategy.done(request, carry)):
                return
            carry = program.go(request, carry, min(step + chunk, limit))

    def _stop_table(self, stops):
        """The StopTable of stop strings, or ()."""
        if not stops:
            return ()
        spelling = self.model.spelling
        if spelling is None:
            raise InputError(
                f"stop_strings={short(stops)} need a tokenizer, and this model has "
                "none. Set model.tokenizer, or pass eos_token_id."
            )
        known, table = self._stop_tables.pop(stops, (None, None))
        if known is not spelling:  # the tokenizer may have been changed
            table = StopTable.of(stops, spelling, vocab_size=self.vocab_size)
            table = tf.nest.map_structure(tf.constant, table)
        self._stop_tables[stops] = spelling, table
        if len(self._stop_tables) > STOP_TABLES:
            del self._stop_tables[next(iter(self._stop_tables))]
        return table

    def _request(self, rows, config, assistant=None):
        """A Request, and the columns that its loop needs."""
        self.model.check_prompts(rows)
        if assistant is not None:
            try:
                assistant.check_prompts(rows)
            except InputError as error:
                raise InputError(f"assistant_model: {error}") from None
        inputs, prompts = {}, rows
        sources = has_sources(self.model)
        if sources:
            ids, padding = stacked(rows, side="right", fill=config.pad_token_id or 0)
            mask = np.arange(ids.shape[1]) < ids.shape[1] - padding[:, None]
            inputs = {"input_ids": ids, "attention_mask": mask.astype(np.int32)}
            prompts = [[first_token(config.decoder_start_token_id)]] * len(rows)
        tokens, padding = stacked(
            prompts,
            side="left",
            fill=config.pad_token_id or 0,
            exact=sources,
        )
        # The last token needs a position only where its state is looked at.
        last = STRATEGIES[config.strategy].needs_states
        limits = [
            min(config.new_tokens(len(row)), self.model.room_after(len(row)) - last)
            for row in prompts
        ]
        inputs[self.model.prompt_name] = tokens
        length = tokens.shape[1] + room(max(limits), STEP)
        if max(limits):
            self._check_memory(len(rows), length, config)
        seed = fresh_seed() if config.seed is None else config.seed
        request = Request(
            inputs={name: tf.constant(x, tf.int32) for name, x in inputs.items()},
            tokens=tf.constant(tokens),
            padding=tf.constant(padding),
            limits=tf.constant(limits, tf.int32),
            seed=tf.constant(seed, tf.int64),
            values={
                name: tf.constant(getattr(config, name), dtype)
                for name, dtype in NUMBERS.items()
                if getattr(config, name) != DEFAULTS[name]
            },
            stops=self._stop_table(config.stop_strings),
        )
        return request, length

    def _check_memory(self, count, length, config):
        """Refuses caches that the machine cannot hold: Linux would kill the process.

        An accelerator says so by itself.
        """
        if accelerated():
            return
        rows = count * max(config.num_beams, config.num_return_sequences)
        needed = rows * (self.model.cache_bytes(length) + 5 * length)  # tokens, mask
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if needed > there:
            limit = "max_new_tokens" if config.max_length is None else "max_length"
            raise ConfigError(
                f"caches of {length:,} tokens in {rows:,} rows take "
                f"{needed / 1e9:,.0f} GB, and this machine has {there / 1e9:,.0f} GB. "
                f"Pass a smaller {limit}, or fewer prompts, beams or sequences at once."
            )

    def _program(self, config, length, assistant=None):
        drafted = config.num_assistant_tokens
        if drafted is not None:  # there is no room for more anyway
            config = config.replace(num_assistant_tokens=min(drafted, length))
        jit = not config.needs_python and jit_compile(self.jit_compile, work="decoding")
        key = (program_key(config), length, jit, assistant)
        if key not in self.programs:
            strategy = strategy_of(
                config, vocab_size=self.vocab_size, assistant=assistant
            )
            self.programs[key] = Program(
                self.model, strategy, length=length, steps_jit=jit
            )
        return self.programs[key]

    def _sequences(self, found, rows, config, decode):
        texts, sources = None, has_sources(self.model)
        if decode is not None:
            texts = iter(
                continuations(
                    [
                        ([] if sources else row, each.ids)
                        for row, group in zip(rows, found, strict=True)
                        for each in group
                    ],
                    decode,
                )
            )
        results = []
        for group in found:
            results.append([])
            for each in group:
                text = None if texts is None else next(texts)
                reason = finish_reason(each.ids, text, config)
                results[-1].append(each._replace(text=text, finish_reason=reason))
        return results


class Program:
    """A Loop, compiled: XLA where it pays, on a CPU for the steps and not the prompts.

    Args:
        steps_jit: Whether XLA compiles the steps.
    """

    def __init__(self, model, strategy, *, length, steps_jit):
        self.strategy = strategy
        loop = Loop(model, strategy, length=length)
        # Prompts are large products, as training is.
        prompts_jit = steps_jit and jit_compile("auto")
        # As partials, or TensorFlow would count the traces of all programs as those of
        # one function, and warn.
        self._begin, self._go = (
            tf.function(
                functools.partial(_traced, method), jit_compile=jit, autograph=False
            )
            for method, jit in ((loop.begin, prompts_jit), (loop.go, steps_jit))
        )

    def begin(self, request):
        """The Carry after the first token."""
        return self._run(self._begin, request)

    def go(self, request, carry, limit):
        """The Carry after `limit` tokens, or when all rows have ended."""
        if int(carry.step) >= limit or bool(self.strategy.done(request, carry)):
            return carry
        # The steps know the prompts from the carry.
        request = request._replace(inputs={})
        return self._run(self._go, request, carry, tf.constant(limit))

    def _run(self, function, *given):
        try:
            return function(*given)
        except tf.errors.OpError as error:
            # What a Python function said is amid what TensorFlow says of its graph.
            said = SAID_BY_PYTHON.search(error.message)
            if said is None:
                raise
            raise InputError(said[1]) from error

    @property
    def traces(self):
        """How often its functions were traced."""
        functions = self._begin, self._go
        return sum(f.experimental_get_tracing_count() for f in functions)


def strategy_of(config, *, vocab_size, assistant=None):
    """The strategy that a configuration asks for.

    Raises:
        ConfigError: if there is none, or if it needs an assistant and has none.
    """
    if config.strategy not in STRATEGIES:
        raise ConfigError(
            f"{config!r} asks for {config.strategy!r}, which generate does not do; it "
            f"does {', '.join(STRATEGIES)}."
        )
    options = {}
    if config.strategy == "assisted":
        if assistant is None:
            raise ConfigError(
                f"num_assistant_tokens={config.num_assistant_tokens} says how much an "
                "assistant drafts, but there is none. Pass assistant_model= a smaller "
                "zoo model with the same vocabulary, or leave it out."
            )
        options["assistant"] = assistant
    return STRATEGIES[config.strategy](config, vocab_size=vocab_size, **options)


def _traced(method, request, *rest):
    """A method of a Loop; it runs in Python only while it is traced, which is said."""
    rows, columns = request.tokens.shape
    logger.info("compiling %s for %s x %s tokens", method.__name__, rows, columns)
    return method(request, *rest)


def program_key(config):
    """What a compiled program depends on: not numbers that it takes as inputs."""
    given = tuple(getattr(config, name) != DEFAULTS[name] for name in NUMBERS)
    return given, config.key_without((*NUMBERS, *OUTSIDE))
