"""GenerationConfig: every option of generation, under the names of Hugging Face.

An option that would change nothing is a contradiction and not a hint: temperature=0.7
without do_sample=True is refused, where the person says it. What a checkpoint's
generation_config.json says is a default: what does not apply to the call is passed over
there, as in transformers 5.23, whose semantics and defaults these are.
"""

import dataclasses
import types
from collections.abc import Callable, Mapping
from reprlib import repr as short
from typing import Any

from zoo.errors import ConfigError
from zoo.generation.checkpoint_defaults import (
    inherited_options,
    not_applicable,
    refuse_what_is_not_honoured,
)
from zoo.generation.forms import (
    FORMS,
    OF_BEAMS,
    OF_SAMPLING,
    OPTIONS_OF_IDS,
    check_names,
    checked,
    flat,
    several,
)

# The reference stops after 20 tokens in all, prompt included, which cuts most answers.
DEFAULT_NEW_TOKENS = 128
# Tokens that an assistant drafts at a time, where num_assistant_tokens does not say.
DEFAULT_ASSISTANT_TOKENS = 5


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class GenerationConfig:
    """How to generate. Lengths count tokens; ids are those of the tokenizer.

    Two configurations are equal, and share what was compiled, if all options are equal;
    functions are compared by identity.

    Attributes:
        max_new_tokens: Tokens to write at most; None: 128, unless `max_length` is
            given. 0 writes none.
        max_length: Length at most, prompt included (of an encoder-decoder: its start
            token included). Padding does not count.
        min_new_tokens: No end-of-sequence token before so many were written.
            `min_length`: the same with the prompt included.
        do_sample: Whether tokens are drawn rather than the best taken.
        num_beams: Beams; 1: no beam search.
        num_return_sequences: Sequences that come back for a prompt: of the beams the
            best, without beams independent draws.
        length_penalty: p in score = log-probability / length^p.
        early_stopping: When beam search stops. True: at `num_beams` ended sequences.
            False: when the best open beam, at its present length, is not better than
            the worst ended. "never": when it can no longer become better.
        num_beam_groups, diversity_penalty: Diverse beam search (arXiv:1610.02424).
            The penalty is subtracted from the score of a token for every earlier group
            that took it at this step.
        penalty_alpha: Weight of the degeneration penalty of contrastive search
            (arXiv:2202.06417) over `top_k` candidates; 0: off.
        temperature: Divides the logits before a draw.
        top_k: Tokens that a draw is taken from; 0: all. 50 as in the reference.
        top_p: Mass of the most probable tokens that a draw is taken from; 1: all.
        min_p: Least probability, in units of that of the best token; 0: off.
        typical_p: Mass of the locally typical tokens (arXiv:2202.00666); 1: all.
        repetition_penalty: Logits of tokens in the prompt or written so far are divided
            by it, or multiplied if negative (arXiv:1909.05858); 1: off.
        presence_penalty, frequency_penalty: Subtracted from the logits of tokens
            written so far, once and once for each occurrence (OpenAI's definition: the
            prompt does not count).
        no_repeat_ngram_size: No n-gram of this size is written twice; 0: off. The
            prompt counts.
        bad_words_ids: Sequences of ids that are not written.
        suppress_tokens: Ids that are not written. `begin_suppress_tokens`: not as the
            first token.
        forced_bos_token_id: First token, where the prompt is a single token (as of an
            encoder-decoder).
        forced_eos_token_id: Token, or tokens to choose from, at the length limit.
        prefix_allowed_tokens_fn: `(batch_id, ids) -> allowed ids`, in Python, asked
            for every row and step: generation then runs without XLA.
        processors: Functions `(logits [B, V], state) -> logits [B, V]` that run inside
            the compiled loop, after all processors named above and before sampling.
        renormalize_logits: Whether the processed logits of a beam search are made
            log-probabilities again.
        eos_token_id: Id or ids that end a sequence; None: nothing does.
        pad_token_id: What fills rows that have ended; None: the first `eos_token_id`.
        bos_token_id: What stands for an empty prompt.
        decoder_start_token_id: First token of an encoder-decoder's decoder.
        stop_strings: Texts that end a sequence.
        seed: Of the draws; None: a fresh one for every call.
        num_assistant_tokens: Tokens that an assistant drafts before they are checked;
            None: 5 where there is an assistant.
        return_dict_in_generate: Whether an object comes back, with ids, texts, finish
            reasons and scores. `output_scores` (of the sequences) and `output_logprobs`
            (of the tokens) ask for it too.

    Raises:
        ConfigError: if a value is not one an option takes, or two options contradict
            each other.
    """

    max_new_tokens: int | None = None
    max_length: int | None = None
    min_new_tokens: int = 0
    min_length: int = 0

    do_sample: bool = False
    num_beams: int = 1
    num_return_sequences: int = 1
    length_penalty: float = 1.0
    early_stopping: bool | str = False
    num_beam_groups: int = 1
    diversity_penalty: float = 0.0
    penalty_alpha: float = 0.0

    temperature: float = 1.0
    top_k: int = 50
    top_p: float = 1.0
    min_p: float = 0.0
    typical_p: float = 1.0

    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    no_repeat_ngram_size: int = 0
    bad_words_ids: tuple[tuple[int, ...], ...] = ()
    suppress_tokens: tuple[int, ...] = ()
    begin_suppress_tokens: tuple[int, ...] = ()
    forced_bos_token_id: int | None = None
    forced_eos_token_id: int | tuple[int, ...] | None = None
    prefix_allowed_tokens_fn: Callable | None = None
    processors: tuple[Callable, ...] = ()
    renormalize_logits: bool = False

    eos_token_id: int | tuple[int, ...] | None = None
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    decoder_start_token_id: int | None = None
    stop_strings: tuple[str, ...] = ()

    seed: int | None = None
    num_assistant_tokens: int | None = None

    return_dict_in_generate: bool = False
    output_scores: bool = False
    output_logprobs: bool = False

    def __post_init__(self):
        for name in FORMS:
            value = checked(name, getattr(self, name))
            object.__setattr__(self, name, value)
        self._check_lengths()
        self._check_contrastive_and_assisted()
        self._check_sampling()
        self._check_beams()
        self._check_forced()

    def _check_lengths(self):
        most = self.max_new_tokens
        if most is not None and self.max_length is not None:
            raise ConfigError(
                f"max_new_tokens={most} and max_length={self.max_length} are both "
                "given. max_new_tokens counts what is written, max_length the prompt "
                "too: give one."
            )
        limits = (
            ("min_new_tokens", "max_new_tokens", most),
            ("min_new_tokens", "max_length", self.max_length),
            ("min_length", "max_length", self.max_length),
        )
        for least, name, limit in limits:
            if limit is not None and getattr(self, least) > limit:
                raise ConfigError(
                    f"{least}={getattr(self, least)} is above {name}={limit}."
                )
        if most is self.max_length is None and self.min_new_tokens > DEFAULT_NEW_TOKENS:
            raise ConfigError(
                f"min_new_tokens={self.min_new_tokens} is above max_new_tokens, which "
                f"is {DEFAULT_NEW_TOKENS} where it is not given. Give it too."
            )

    def _check_sampling(self):
        if self.do_sample:
            return
        for name in OF_SAMPLING:
            if self._default(name) or (name == "top_k" and self.penalty_alpha):
                continue
            raise ConfigError(
                f"{name}={getattr(self, name)!r} needs do_sample=True, but do_sample="
                "False takes the best token whatever it is. Pass do_sample=True, or "
                f"leave {name} out."
            )

    def _check_beams(self):
        beams, groups = self.num_beams, self.num_beam_groups
        if beams == 1:
            for name in OF_BEAMS:
                if not self._default(name):
                    raise ConfigError(
                        f"{name}={getattr(self, name)!r} is an option of beam search, "
                        f"but num_beams=1. Pass num_beams above 1, or leave {name} out."
                    )
        if beams % groups:
            raise ConfigError(
                f"num_beams={beams} is not a multiple of num_beam_groups={groups}."
            )
        if groups > 1 and self.do_sample:
            raise ConfigError(
                f"num_beam_groups={groups} and do_sample=True contradict each other: "
                "diverse beam search does not draw."
            )
        if (groups > 1) != (self.diversity_penalty > 0):
            raise ConfigError(
                f"num_beam_groups={groups} with diversity_penalty="
                f"{self.diversity_penalty!r}: diverse beam search needs several groups "
                "and a positive penalty, without which all groups find the same."
            )
        wanted = self.num_return_sequences
        if beams > 1 and wanted > beams:
            raise ConfigError(
                f"num_return_sequences={wanted} is above num_beams={beams}."
            )
        if wanted > 1 and beams == 1 and not self.do_sample:
            raise ConfigError(
                f"num_return_sequences={wanted}, but num_beams=1 and do_sample=False "
                "find one sequence. Pass do_sample=True or num_beams of at least "
                f"{wanted}."
            )
        if self.renormalize_logits and beams == 1:
            raise ConfigError(
                "renormalize_logits=True changes scores of beams only, but num_beams=1."
            )

    def _check_contrastive_and_assisted(self):
        several = (
            ("num_beams", self.num_beams, 1),
            ("do_sample", self.do_sample, False),
        )
        if self.penalty_alpha:
            sequences = ("num_return_sequences", self.num_return_sequences, 1)
            for name, value, needed in (*several, sequences):
                if value != needed:
                    raise ConfigError(
                        f"penalty_alpha={self.penalty_alpha!r} asks for contrastive "
                        "search, which finds one sequence without draws or beams, but "
                        f"{name}={value}. Leave one out."
                    )
            if self.top_k == 0:
                raise ConfigError(
                    f"penalty_alpha={self.penalty_alpha!r} with top_k=0: contrastive "
                    "search needs a number of candidates, 4 to 8 as a rule."
                )
        if self.num_assistant_tokens is not None:
            for name, value, needed in (
                *several,
                ("penalty_alpha", self.penalty_alpha, 0),
                ("num_return_sequences", self.num_return_sequences, 1),
            ):
                if value != needed:
                    raise ConfigError(
                        "assistant_model with num_assistant_tokens="
                        f"{self.num_assistant_tokens} asks for assisted generation, "
                        f"which is greedy, but {name}={value!r}. Leave one out."
                    )

    def _check_forced(self):
        for forced in ("forced_bos_token_id", "forced_eos_token_id"):
            ids = several(getattr(self, forced))
            if ids and set(ids) <= set(self.suppress_tokens):
                raise ConfigError(
                    f"{forced}={getattr(self, forced)} is forbidden by suppress_tokens."
                )

    def check(self, vocab_size) -> "GenerationConfig":
        """This configuration, once it is known to fit a vocabulary of V tokens.

        Raises:
            ConfigError: if an id is not in the vocabulary, if there are more beams than
                tokens, or if no token is left to be written.
        """
        for name in OPTIONS_OF_IDS:
            for each in flat(getattr(self, name)):
                if each >= vocab_size:
                    raise ConfigError(
                        f"{name}={short(getattr(self, name))}: the model's vocabulary "
                        f"has {vocab_size} tokens, so ids end at {vocab_size - 1}."
                    )
        if self.num_beams > vocab_size:
            raise ConfigError(
                f"num_beams={self.num_beams} is above the vocabulary of {vocab_size} "
                "tokens, so beams cannot all differ. Pass fewer."
            )
        words = {word[0] for word in self.bad_words_ids if len(word) == 1}
        never = set(self.suppress_tokens) | (words - set(self.eos_token_ids))
        for first in ((), self.begin_suppress_tokens):
            if len(never.union(first)) == vocab_size:
                raise ConfigError(
                    f"suppress_tokens{', begin_suppress_tokens' if first else ''} and "
                    "bad_words_ids forbid every token of the vocabulary "
                    f"({vocab_size})."
                )
        return self

    @property
    def strategy(self) -> str:
        """ "greedy", "sample", "beam", "beam_sample", "diverse_beam", "contrastive" or
        "assisted"."""
        if self.num_assistant_tokens is not None:
            return "assisted"
        if self.penalty_alpha:
            return "contrastive"
        if self.num_beam_groups > 1:
            return "diverse_beam"
        if self.num_beams > 1:
            return "beam_sample" if self.do_sample else "beam"
        return "sample" if self.do_sample else "greedy"

    @property
    def eos_token_ids(self) -> tuple[int, ...]:
        """The ids that end a sequence; none, one or several."""
        return several(self.eos_token_id)

    @property
    def min_tokens_to_keep(self) -> int:
        """Tokens that no filter of sampling may remove.

        Beams need one token more than can end them, or a search could end with none
        open.
        """
        if self.num_beams == 1:
            return 1
        return 1 + (len(self.eos_token_ids) or 1)

    @property
    def needs_python(self) -> bool:
        """Whether every step asks a Python function, which XLA cannot."""
        return self.prefix_allowed_tokens_fn is not None

    @property
    def returns_dict(self) -> bool:
        """Whether an object with scores comes back, and not plain text or ids."""
        return (
            self.return_dict_in_generate or self.output_scores or self.output_logprobs
        )

    def new_tokens(self, prompt_length) -> int:
        """Tokens that a row with a prompt of this length may write, at least 0."""
        if self.max_length is not None:
            return max(0, self.max_length - prompt_length)
        if self.max_new_tokens is not None:
            return self.max_new_tokens
        return DEFAULT_NEW_TOKENS

    def replace(self, **changes) -> "GenerationConfig":
        """A copy with these options changed."""
        check_names(changes)
        return dataclasses.replace(self, **changes)

    @classmethod
    def from_checkpoint(cls, values: Mapping[str, Any], **options):
        """The options of a call, over the defaults that a checkpoint brings along.

        A default of the checkpoint that does not apply to the call is passed over:
        its temperature where nothing is drawn, its max_length where max_new_tokens is
        given. What the caller gives is held to the rules of this class.

        Args:
            values: What its generation_config.json says.
            **options: What the caller says.

        Raises:
            CheckpointError: if the file asks for what would change tokens and zoo does
                not have, or has a value that an option does not take.
            ConfigError: if the caller's options do not exist or contradict.
        """
        check_names(options)
        options = {name: checked(name, value) for name, value in options.items()}
        inherited = inherited_options(values)
        for name in not_applicable(inherited, options, DEFAULTS):
            inherited.pop(name, None)
        config = cls(**{**inherited, **options})
        refuse_what_is_not_honoured(values, config.do_sample)
        return config

    def __repr__(self):
        said = (f"{k}={getattr(self, k)!r}" for k in DEFAULTS if not self._default(k))
        return f"GenerationConfig({', '.join(said)})"

    def _default(self, name):
        return getattr(self, name) == DEFAULTS[name]

    def key_without(self, names):
        """What the other options come to, hashable."""
        return tuple(
            _comparable(getattr(self, name)) for name in DEFAULTS if name not in names
        )

    def _key(self):
        return self.key_without(())

    def __eq__(self, other):
        if not isinstance(other, GenerationConfig):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self):
        return hash(self._key())


DEFAULTS = {field.name: field.default for field in dataclasses.fields(GenerationConfig)}


def _comparable(value):
    """What a value is compared and hashed by: functions by identity.

    A method is made anew each time it is named, so its object and function count.
    """
    if isinstance(value, tuple):
        return tuple(_comparable(each) for each in value)
    if isinstance(value, types.MethodType):
        return id(value.__self__), id(value.__func__)
    return id(value) if callable(value) else value
