"""The options of generation: what values each takes, and which belong together."""

import difflib
import math
import numbers
import operator
from collections.abc import Callable, Mapping
from reprlib import repr as short
from typing import NamedTuple

from zoo.errors import ConfigError

# Options that only draws read, and options that only beams read.
OF_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "typical_p")
OF_BEAMS = ("length_penalty", "early_stopping", "num_beam_groups", "diversity_penalty")


class Form(NamedTuple):
    """What values an option takes.

    `read` gives the value in its one form, or raises ValueError or TypeError.
    """

    read: Callable
    words: str


def _integer(least, most=2**31 - 1):
    def read(value):
        if isinstance(value, bool):
            raise TypeError
        value = operator.index(value)
        if not least <= value <= most:
            raise ValueError
        return value

    return Form(read, f"an integer from {least} to {most}")


def _number(within, words):
    def read(value):
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise TypeError
        value = float(value)
        if not (math.isfinite(value) and within(value)):
            raise ValueError
        return value

    return Form(read, words)


def _of(kind, words):
    def read(value):
        if not isinstance(value, kind):
            raise TypeError
        return value

    return Form(read, words)


def _or_none(form):
    def read(value):
        return None if value is None else form.read(value)

    return Form(read, f"{form.words}, or None")


def _listed(form, words, *, alone=False, empty=True):
    """Any number of values of a form; None is none. `alone`: one may stand for itself.

    Sets are taken in ascending order, so that equal sets are equal options.
    """

    def read(value):
        if value is None and empty:
            return ()
        if alone and (isinstance(value, str) or callable(value)):
            return (form.read(value),)
        if isinstance(value, set | frozenset):
            value = sorted(value)
        if isinstance(value, str | bytes | Mapping) or (not empty and not len(value)):
            raise TypeError
        return tuple(form.read(each) for each in value)

    return Form(read, words)


def _either(first, second, words):
    def read(value):
        try:
            return first.read(value)
        except (TypeError, ValueError):
            return second.read(value)

    return Form(read, words)


def _stop_string(value):
    if not isinstance(value, str) or not value:
        raise TypeError
    return value


def _early_stopping(value):
    if isinstance(value, bool) or value == "never":
        return value
    raise ValueError


ID = _integer(0)
IDS = _listed(ID, "a list of token ids")
ID_OR_IDS = _or_none(
    _either(
        ID,
        _listed(ID, "", empty=False),
        "a token id or a list of at least one token id",
    )
)
COUNT = _integer(1)
SWITCH = _of(bool, "True or False")
SHARE = _number(lambda value: 0 <= value <= 1, "a number in [0, 1]")
ANY_NUMBER = _number(lambda value: True, "a finite number")
POSITIVE = _number(lambda value: value > 0, "a positive number")
FUNCTION = _of(Callable, "a function")

# option -> what it takes
FORMS = {
    "max_new_tokens": _or_none(_integer(0)),
    "max_length": _or_none(COUNT),
    "min_new_tokens": _integer(0),
    "min_length": _integer(0),
    "do_sample": SWITCH,
    "num_beams": COUNT,
    "num_return_sequences": COUNT,
    "length_penalty": ANY_NUMBER,
    "early_stopping": Form(_early_stopping, 'True, False or "never"'),
    "num_beam_groups": COUNT,
    "diversity_penalty": _number(lambda value: value >= 0, "a number of at least 0"),
    "penalty_alpha": SHARE,
    "temperature": _number(
        lambda value: value > 0,
        "a positive number (without draws, the limit of 0, generation is greedy: "
        "do_sample=False)",
    ),
    "top_k": _integer(0),
    "top_p": SHARE,
    "min_p": SHARE,
    "typical_p": _number(lambda value: 0 < value <= 1, "a number in (0, 1]"),
    "repetition_penalty": POSITIVE,
    "presence_penalty": ANY_NUMBER,
    "frequency_penalty": ANY_NUMBER,
    "no_repeat_ngram_size": _integer(0),
    "bad_words_ids": _listed(
        _listed(ID, "", empty=False), "a list of lists of at least one token id"
    ),
    "suppress_tokens": IDS,
    "begin_suppress_tokens": IDS,
    "forced_bos_token_id": _or_none(ID),
    "forced_eos_token_id": ID_OR_IDS,
    "prefix_allowed_tokens_fn": _or_none(FUNCTION),
    "processors": _listed(FUNCTION, "a function or a list of them", alone=True),
    "renormalize_logits": SWITCH,
    "eos_token_id": ID_OR_IDS,
    "pad_token_id": _or_none(ID),
    "bos_token_id": _or_none(ID),
    "decoder_start_token_id": _or_none(ID),
    "stop_strings": _listed(
        Form(_stop_string, ""), "a text or a list of texts, none empty", alone=True
    ),
    "seed": _or_none(_integer(-(2**63), 2**63 - 1)),
    "num_assistant_tokens": _or_none(COUNT),
    "return_dict_in_generate": SWITCH,
    "output_scores": SWITCH,
    "output_logprobs": SWITCH,
}
OPTIONS_OF_IDS = (
    "eos_token_id",
    "pad_token_id",
    "bos_token_id",
    "decoder_start_token_id",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "suppress_tokens",
    "begin_suppress_tokens",
    "bad_words_ids",
)


def checked(name, value, error=ConfigError, where=""):
    """The value of an option in its one form."""
    try:
        return FORMS[name].read(value)
    except (TypeError, ValueError):
        raise error(
            f"{where}{name}={short(value)}: expected {FORMS[name].words}."
        ) from None


def check_names(options):
    """Refuses an option that does not exist, naming the closest."""
    for name in options:
        if name not in FORMS:
            close = difflib.get_close_matches(name, FORMS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ConfigError(f"generation has no option {name!r}.{hint}")


def several(value):
    """One, several or no ids as a tuple."""
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (value,)


def flat(value):
    """All ids in an option, however deep."""
    for each in several(value):
        yield from flat(each) if isinstance(each, tuple) else (each,)
