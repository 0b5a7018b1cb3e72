"""Space: which hyperparameters a search varies, and from where to where."""

import difflib
from dataclasses import dataclass
from typing import Any

from zoo.errors import InputError

MOST_CHOICES = 100


@dataclass(frozen=True)
class Range:
    """A number from `low` to `high`, both included, drawn on a logarithmic scale."""

    low: float
    high: float

    def nearest(self, value):
        return min(max(value, self.low), self.high)


# A name -> its values, and what it is where nothing else is asked for. Sizes of the
# model are not varied unless one asks for it.
VARIED: dict[str, tuple[Range | tuple, Any]] = {
    "learning_rate": (Range(1e-5, 5e-4), 1e-4),
    "schedule": (("linear", "cosine", "constant"), "linear"),
    "warmup": ((0.0, 0.05, 0.1, 0.2), 0.1),
    "batch_size": ((16, 32, 64), 32),
    "layer_decay": ((0.8, 0.9, 0.95, 1.0), 1.0),
    "dropout": ((0.0, 0.1, 0.2), 0.1),
    "freeze": (("nothing", "embeddings", "half"), "nothing"),
}
ON_REQUEST = {"layers": int, "width": int}
KINDS: dict[str, type] = {
    "learning_rate": float,
    "schedule": str,
    "warmup": float,
    "batch_size": int,
    "layer_decay": float,
    "dropout": float,
    "freeze": str,
    **ON_REQUEST,
}
WORDS = {
    "schedule": ("linear", "cosine", "inverse_sqrt", "constant"),
    "freeze": ("nothing", "embeddings", "half"),
}


class Space:
    """What is varied.

    - `learning_rate`: the peak; `schedule`: the way down from it; `warmup`: the share
      of the steps up to it; `layer_decay`: as of `compile`, 1.0 for none;
    - `batch_size`: examples in a step;
    - `dropout`: of hidden states and of attention;
    - `freeze`: "nothing", "embeddings", or "half": embeddings and the lower half of the
      blocks keep the weights that they come with;
    - `layers`: how many blocks, the lowest ones of a checkpoint; `width`: the hidden
      size of a model that begins with new weights. Both only if they are asked for.

    Args:
        varied: Name -> a `Range`, or the values to choose from, in place of the usual
            ones; a single value is not varied.
        only: Vary nothing but these names; None: all of `VARIED`.
        defaults: Name -> value, of the first trial and of what is not varied.

    Raises:
        InputError: on a name or a value that makes no sense.
    """

    def __init__(self, varied=None, *, only=None, defaults=None):
        varied, defaults = dict(varied or {}), dict(defaults or {})
        for name in (*varied, *(only or ()), *defaults):
            _check_name(name)
        self.defaults = {name: value for name, (_, value) in VARIED.items()}
        self.defaults |= defaults
        self.values: dict[str, Range | tuple] = {
            name: values
            for name, (values, _) in VARIED.items()
            if only is None or name in only
        }
        for name, values in varied.items():
            self.values[name] = _checked(name, values)
        if "dropout" not in self.values and "dropout" not in defaults:
            self.defaults["dropout"] = None  # what the checkpoint says
        if only is not None:
            missing = [name for name in only if name not in self.values]
            if missing:
                raise InputError(f"{missing[0]}: say its values: {missing[0]}=...")

    @classmethod
    def parse(cls, texts, *, defaults=None):
        """The space that "name=1e-5:1e-3" or "name=16,32" describe.

        Args:
            texts: If there are any, nothing else is varied. A name alone stands for its
                usual values.
            defaults: As of the class.
        """
        varied, only = {}, []
        for text in texts:
            name, sign, values = text.partition("=")
            _check_name(name)
            only.append(name)
            if sign:
                varied[name] = _parse(name, values)
        return cls(varied, only=only or None, defaults=defaults)

    def draw(self, hp):
        """The values of one trial, by name.

        Args:
            hp: keras_tuner.HyperParameters.
        """
        found = dict(self.defaults)
        for name, values in self.values.items():
            default = self.defaults.get(name)
            if isinstance(values, Range):
                found[name] = hp.Float(
                    name,
                    values.low,
                    values.high,
                    sampling="log",
                    default=values.nearest(default or values.low),
                )
            elif len(values) == 1:
                found[name] = values[0]
            else:
                usual = default if default in values else values[0]
                found[name] = hp.Choice(
                    name, list(values), default=usual, ordered=KINDS[name] is not str
                )
        return found

    def first(self):
        """The values of the first trial that are varied, by name."""
        found = {}
        for name, values in self.values.items():
            default = self.defaults.get(name)
            if isinstance(values, Range):
                found[name] = values.nearest(default or values.low)
            elif len(values) > 1:
                found[name] = default if default in values else values[0]
        return found

    def to_dict(self):
        """What is varied, as JSON values."""
        return {
            name: f"{values.low:g}:{values.high:g}"
            if isinstance(values, Range)
            else list(values)
            for name, values in self.values.items()
        }


def _check_name(name):
    if name not in KINDS:
        near = difflib.get_close_matches(str(name), KINDS, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise InputError(
            f"there is no hyperparameter '{name}'.{hint} There are {', '.join(KINDS)}."
        )


def _parse(name, text):
    low, sign, high = text.partition(":")
    try:
        if sign:
            if KINDS[name] is not float:
                raise InputError(
                    f"{name}={text}: a range is for numbers with a point. Name the "
                    f"values: {name}=A,B,C."
                )
            return Range(float(low), float(high))
        return tuple(KINDS[name](part.strip()) for part in text.split(","))
    except InputError:
        raise
    except ValueError:
        raise InputError(
            f"{name}={text}: expected values of type {KINDS[name].__name__}, such as "
            f"{name}=A,B,C"
            + (f", or {name}=LOW:HIGH." if KINDS[name] is float else ".")
        ) from None


def _checked(name, values):
    if isinstance(values, Range):
        if not 0 < values.low < values.high:
            raise InputError(
                f"{name}: from {values.low:g} to {values.high:g} is no range of "
                "positive numbers."
            )
        return values
    given = tuple(values) if isinstance(values, list | tuple) else (values,)
    good = [isinstance(value, KINDS[name] | _wider(name)) for value in given]
    if name in WORDS:
        good = [value in WORDS[name] for value in given]
    elif name in ("batch_size", "layers", "width"):
        good = [isinstance(value, int) and value > 0 for value in given]
    wrong = [value for value, right in zip(given, good, strict=True) if not right]
    if wrong or not 0 < len(given) <= MOST_CHOICES or len(set(given)) < len(given):
        expected = f"{', '.join(WORDS[name])}" if name in WORDS else "numbers"
        raise InputError(
            f"{name}: {wrong[0] if wrong else given!r} will not do; expected different "
            f"values, {expected}."
        )
    return tuple(map(KINDS[name], given))


def _wider(name):
    return int if KINDS[name] is float else KINDS[name]
