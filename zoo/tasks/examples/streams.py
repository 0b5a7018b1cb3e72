"""Datasets of strings that are read whole: of long texts one example is several rows.

A tagger and a question answerer cut windows, whose number is known only when they are
cut, and shuffle them; so what a `tf.data.Dataset` yields is taken into memory first.
"""

from collections.abc import Mapping

import tensorflow as tf

from zoo.errors import DataError, InputError

QUESTIONS = (
    "{'question': ..., 'context': ..., 'answers': {'text': [...], 'answer_start': "
    "[...]}}, or the answers as y"
)


def read_questions(dataset):
    """Questions and contexts out of a dataset, or None if it holds no strings.

    Args:
        dataset: Yields QUESTIONS, batched or not.

    Returns:
        `(x, y, weights)`: lists, the last two None where there are none.

    Raises:
        InputError: if strings come in another form, or have no end.
    """
    inputs = _inputs(dataset)
    if not _has_strings(inputs):
        return None
    names = {"question", "context"}
    if not isinstance(inputs, Mapping) or not names <= set(inputs):
        raise InputError(
            f"the dataset yields {inputs}; expected dictionaries {QUESTIONS}."
        )
    return _columns(dataset, batched=inputs["question"].shape.rank == 1)


def read_sentences(dataset):
    """Texts and entities, or words and tags, out of a dataset; None without strings.

    Args:
        dataset: Yields words and their tags, ragged; or a text and its entities, a
            dictionary of "start", "end" and "entity"; batched or not. What x is may
            stand under "words" or "text".

    Returns:
        As of `read_questions`; of entities, a list of dictionaries for each text.

    Raises:
        InputError: if strings have no end, or their form is not known.
    """
    inputs = _inputs(dataset)
    if not _has_strings(inputs):
        return None
    name = next(iter(inputs)) if isinstance(inputs, Mapping) else None
    if name not in (None, "words", "text") or (name and len(inputs) > 1):
        raise InputError(
            f"the dataset yields {inputs}; expected words and tags, or texts and "
            "entities, under 'words' or 'text' or without a name."
        )
    spec = inputs[name] if name else inputs
    parts = dataset.element_spec
    marked = isinstance(parts, tuple) and len(parts) > 1
    marked = marked and isinstance(parts[1], Mapping)
    batched = spec.shape.rank - (0 if marked or name == "text" else 1)
    x, y, weights = _columns(dataset, batched=batched > 0)
    if name:
        x = [each[name] for each in x]
    if marked:
        y = [
            [
                dict(zip(each, row, strict=True))
                for row in zip(*each.values(), strict=True)
            ]
            for each in y
        ]
    return x, y, weights


def _inputs(dataset):
    spec = dataset.element_spec
    return spec[0] if isinstance(spec, tuple) else spec


def _has_strings(spec):
    return any(part.dtype == tf.string for part in tf.nest.flatten(spec))


def _columns(dataset, *, batched):
    """The elements of a dataset in plain Python, as `(x, y, weights)`."""
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise InputError(
            "the dataset has no end. What it yields is read whole, since a long text "
            "becomes several windows: cut it with dataset.take(n)."
        )
    rows = []
    for element in dataset.unbatch() if batched else dataset:
        element = tf.nest.map_structure(_plain, element)
        rows.append(element if isinstance(element, tuple) else (element,))
    if not rows:
        raise DataError("x is an empty dataset: there is no example.")
    columns = [list(column) for column in zip(*rows, strict=True)]
    return (*columns, None, None)[:3]


def _plain(value):
    """A tensor as str, numbers, or lists of these."""
    if isinstance(value, tf.RaggedTensor):
        return _as_text(value.to_list())
    return _as_text(value.numpy().tolist() if value.shape.rank else value.numpy())


def _as_text(value):
    if isinstance(value, list):
        return [_as_text(each) for each in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
