"""Names of labels: what users pass, and when a checkpoint's head is theirs."""

import numbers
from collections.abc import Sequence

import numpy as np

from zoo.errors import DataError, InputError


def label_names(labels):
    """Labels as a tuple of strings.

    Raises:
        InputError: if there are not two different ones at least, or if they have no
            order, as a set or a dictionary.
    """
    ordered = isinstance(labels, Sequence | np.ndarray) and not isinstance(labels, str)
    given = list(labels) if ordered else []
    named = all(isinstance(label, str | numbers.Integral) for label in given)
    names = tuple(map(str, given))
    repeated = sorted({name for name in names if names.count(name) > 1})
    if len(names) < 2 or repeated or not named:
        problem = f"{repeated} twice" if repeated else f"{labels!r}"
        raise InputError(
            f"labels has {problem}; expected a list of two different names at least."
        )
    return names


def fits(had, labels):
    """Whether a head whose labels are `had` is one for `labels`, or can become one.

    Args:
        had: Names in a checkpoint; None stands for HF's two without a name.
        labels: What the user passed; None: whatever the checkpoint has.
    """
    had = had or ("LABEL_0", "LABEL_1")
    nameless = had == tuple(f"LABEL_{i}" for i in range(len(had)))
    same = labels is None or had == label_names(labels)
    return same or (nameless and len(had) == len(list(labels)))


def never_seen(name, wrong, what, hint):
    """The error of examples whose answers have labels that a model does not know.

    Args:
        name: Of the examples.
        wrong: Counter of these labels.
        what: What has them, such as "examples".
        hint: From a label to a sentence that says which there are.
    """
    label, times = wrong.most_common(1)[0]
    others = f", and {len(wrong) - 1} other such labels" * (len(wrong) > 1)
    return DataError(
        f"{name}: the label {label!r} was never seen in training, but {times:,} {what} "
        f"have it{others}. {hint(label)} Correct or leave out these examples, or train "
        "with some of them."
    )
