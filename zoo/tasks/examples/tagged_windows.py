"""Windows of ids, a label at the first piece of each word: what a tagger learns."""

import dataclasses
import logging
from typing import ClassVar

import numpy as np
import tensorflow as tf

from zoo.data import batches
from zoo.errors import InputError
from zoo.tasks.examples import forms, tagged
from zoo.training.labels import IGNORED

logger = logging.getLogger("zoo")

CHUNK = 1024  # texts that are encoded at a time


@dataclasses.dataclass(frozen=True)
class EncodedWords(forms.Memory):
    """Windows of ids in memory, ragged, their labels among the inputs."""

    @property
    def rest(self):
        return () if self.weights is None else (self.weights,)


def encode(sentences, answers, weights, *, names, read):
    """Tagged texts or words as windows; what cannot be learnt is warned of.

    Args:
        sentences: `tagged.Sentences`.
        answers: Tags of their words, or entities of their texts, as users pass them.
        weights: float32 `[N]`, or None.
        names: `tagged.Names`.
        read: From some of the sentences to their `words.Reading`.

    Returns:
        EncodedWords.

    Raises:
        InputError: if answers have another form, or name what is no label.
    """
    count = len(sentences.texts)
    if sentences.words is None:
        given, say = tagged.read_entities(answers, sentences.texts, names), _of_entities
    else:
        given, say = tagged.read_tags(answers, sentences.words, names), _of_words
    problems = _Problems()
    parts, texts = [], []
    for start in range(0, count, CHUNK):
        rows = range(start, min(start + CHUNK, count))
        part = sentences.part(rows)
        reading = read(part)
        inputs, reading = reading.inputs, as_numpy(reading._replace(inputs={}))
        some = given[start : rows.stop]
        labels = say(part, reading, some, names, problems, start)
        ids = inputs["input_ids"]
        splits = ids.row_splits.numpy()
        flat = np.full(splits[-1], IGNORED, np.int32)
        flat[splits[reading.window] + reading.column] = labels
        parts.append({**inputs, "labels": ids.with_values(flat)})
        texts.append(reading.text + start)
    problems.warn()
    columns = {name: tf.concat([part[name] for part in parts], 0) for name in parts[0]}
    if weights is not None:
        weights = weights[np.concatenate(texts)]
    return EncodedWords(columns, True, weights=weights)


def as_numpy(structure):
    """The same structure with numpy arrays in place of tensors."""
    return tf.nest.map_structure(lambda x: x.numpy(), structure)


def with_labels_apart(data, found):
    """Keras's arguments, in which labels stand among the inputs, with them as y."""
    if isinstance(found, EncodedWords):
        data["x"] = data["x"].map(batches.plain(_apart))
    return data


def _apart(inputs, *weights):
    return (
        {name: x for name, x in inputs.items() if name != "labels"},
        inputs["labels"],
        *weights,
    )


def _of_entities(sentences, reading, given, names, problems, first):
    """Labels `[U]` of the units of some texts, the first of which is x[first]."""
    bounds = np.searchsorted(reading.row, range(len(given) + 1))
    found = [np.zeros(0, np.int32)]
    for i, each in enumerate(given):
        part = slice(bounds[i], bounds[i + 1])
        if not each and names.outside is None:
            raise InputError(
                f"y[{first + i}] is empty, but the labels {names.labels} have no 'O' "
                "for words outside of entities."
            )
        marked = tagged.mark(each, reading.start[part], reading.end[part], names)
        found.append(marked.labels)
        for problem in ("missed", "widened", "overlapping"):
            for entity in getattr(marked, problem):
                text = sentences.texts[i][entity.start : entity.end]
                problems.add(
                    problem, f"x[{first + i}], {entity.start} to {entity.end}: {text!r}"
                )
    return np.concatenate(found)


def _of_words(sentences, reading, given, names, problems, first):
    """The same where each word has a label."""
    flat = np.concatenate([*given, np.zeros(0, np.int32)])
    has = reading.unit >= 0
    _, begins = np.unique(reading.unit[has], return_index=True)
    quiet = [number for number in (names.outside, IGNORED) if number is not None]
    for place in np.flatnonzero(~has & ~np.isin(flat, quiet)):
        row = int(np.searchsorted(reading.words.splits, place, side="right")) - 1
        column = place - reading.words.splits[row]
        word = sentences.words[row][column]
        problems.add("lost", f"x[{first + row}][{column}]: {word!r}")
    return flat[has][begins]


class _Problems:
    """What could not be learnt from, counted, with the first of each kind."""

    SAID: ClassVar = {
        "missed": "entities left out that match no word",
        "widened": "entities widened to whole words",
        "overlapping": "entities left out that overlap an earlier one",
        "lost": "tags left out of words that the tokenizer makes nothing of",
    }

    def __init__(self):
        self.found = {}

    def add(self, kind, where):
        self.found.setdefault(kind, []).append(where)

    def warn(self):
        for kind, places in self.found.items():
            logger.warning(
                "TokenClassifier: %s: %d (first: %s)",
                self.SAID[kind],
                len(places),
                places[0],
            )
