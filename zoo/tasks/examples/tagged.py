"""What users pass to a tagger: words and their tags, or texts and their entities."""

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from zoo.data import tags
from zoo.errors import DataError, InputError
from zoo.tasks.examples.words import Spans
from zoo.training.labels import IGNORED

SURROGATES = re.compile("[\ud800-\udfff]")  # halves, which UTF-8 has no bytes for


class Entity(NamedTuple):
    """An entity of a text, in code points: the first, and the one behind the last."""

    start: int
    end: int
    type: str


@dataclass(frozen=True)
class Sentences:
    """N texts.

    Attributes:
        texts: Strings; of words they are those words with a space between.
        words: The words, N lists, where these were given; else None.
    """

    texts: list[str]
    words: list[list[str]] | None = None

    def part(self, rows):
        """Those with these numbers."""
        words = None if self.words is None else [self.words[i] for i in rows]
        return Sentences([self.texts[i] for i in rows], words)

    def spans(self):
        """The words that were given, a `Spans` of numpy arrays, or None."""
        if self.words is None:
            return None
        counts = [len(row) for row in self.words]
        lengths = np.array([len(w) for row in self.words for w in row], np.int32)
        start = np.cumsum(lengths + 1, dtype=np.int32) - lengths - 1
        splits = np.cumsum([0, *counts])
        if len(start):
            firsts = start[np.minimum(splits[:-1], len(start) - 1)]
            start = start - np.repeat(firsts, counts)
        return Spans(splits, start.astype(np.int32), (start + lengths).astype(np.int32))


def read_sentences(x):
    """Texts or words out of what was passed as x; None if it is something else.

    Args:
        x: Strings; or rows of strings, each a word; in a list, an array or a tensor, or
            under "text" or "words" in a dictionary.

    Raises:
        InputError: if it is neither, and no numbers either.
        DataError: if it is empty.
    """
    if isinstance(x, Mapping):
        named = [name for name in ("text", "words") if name in x]
        if not named:
            return None
        if len(x) > 1:
            raise InputError(
                f"x has {sorted(map(str, x))}; expected 'text' alone, or 'words' alone."
            )
        x = x[named[0]]
    if isinstance(x, tf.data.Dataset) or x is None:
        return None
    if isinstance(x, str | bytes):
        raise _wrong_form("one string")
    if isinstance(x, tf.RaggedTensor):
        x = x.to_list()
    elif isinstance(x, tf.Tensor | np.ndarray):
        x = np.asarray(x).tolist()
    if not isinstance(x, Sequence):
        if not isinstance(x, Iterable) or hasattr(x, "columns"):
            raise _wrong_form(f"of type {type(x).__name__}")
        x = list(x)
    if not x:
        raise DataError("x is empty: there is no example.")
    if _is_row(x[0]):
        kinds = {type(each) for row in x if _is_row(row) for each in row}
        if kinds and not kinds & {str, bytes, np.str_, np.bytes_}:
            return None  # token ids
        words = [_words(row, f"x[{i}]") for i, row in enumerate(x)]
        return Sentences([" ".join(row) for row in words], words)
    if isinstance(x[0], str | bytes):
        return Sentences([_text(text, f"x[{i}]") for i, text in enumerate(x)])
    return None


def _wrong_form(what):
    return InputError(
        f"x is {what}; expected a list of texts, a list of lists of words, a dataset, "
        "or a dictionary of token ids."
    )


def _is_row(x):
    return isinstance(x, list | tuple | np.ndarray)


def _words(row, name):
    if not _is_row(row):
        raise InputError(
            f"{name} is {row!r}; the first example is a list of words, so each has to "
            "be one."
        )
    return [_text(word, f"{name}[{i}]") for i, word in enumerate(row)]


def _text(text, name):
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    if not isinstance(text, str):
        said = "None" if text is None else f"{text!r} ({type(text).__name__})"
        raise InputError(f"{name} is {said}; expected a string.")
    return SURROGATES.sub("\ufffd", text)


class Names:
    """The labels of a tagger, by name.

    Args:
        labels: Their names, in order.
    """

    def __init__(self, labels):
        self.labels = tuple(labels)
        times = Counter(self.labels)
        self.numbers = {x: i for i, x in enumerate(self.labels) if times[x] == 1}
        self.outside = self.numbers.get(tags.OUTSIDE)
        split = [tags.split_tag(label) for label in self.labels]
        self._letters = {pair: i for i, pair in reversed(list(enumerate(split)))}
        self.types = tuple(dict.fromkeys(kind for _, kind in split if kind))

    def number(self, tag, where):
        """The number of a tag, which may be one already.

        Raises:
            InputError: if there is no such label.
        """
        if isinstance(tag, bytes):
            tag = tag.decode("utf-8", "replace")
        if isinstance(tag, str) and tag in self.numbers:
            return self.numbers[tag]
        whole = isinstance(tag, int | np.integer) and not isinstance(tag, bool)
        number = int(tag) if whole else -1
        if 0 <= number < len(self.labels) or number == IGNORED:
            return number
        raise InputError(f"{where} is {tag!r}. {self.hint(tag, self.labels)}")

    def spell(self, kind, length, where):
        """Numbers of the labels of an entity of so many units.

        Raises:
            InputError: if there is no such type.
        """
        single = self._first("SBI" if length == 1 else "BI", kind)
        if single is None or self.outside is None:
            wanted = kind if single is None else tags.OUTSIDE
            raise InputError(f"{where} is {wanted!r}. {self.hint(kind, self.types)}")
        inner = [self._first("IB", kind)] * (length - 2)
        last = [self._first("EIB", kind)] * (length > 1)
        return [single, *inner, *last]

    def continued(self, number):
        """The label that goes on with an entity which this one begins."""
        letter, kind = tags.split_tag(self.labels[number])
        found = self._letters.get(("I", kind)) if letter in "BS" else None
        return number if found is None else found

    def _first(self, letters, kind):
        found = (self._letters.get((letter, kind)) for letter in letters)
        return next((number for number in found if number is not None), None)

    def hint(self, name, known):
        """What there is in place of a name that there is not."""
        what = "labels" if known is self.labels else "types of entities"
        listed = ", ".join(known[:12])
        if len(known) > 12:
            listed += f" and {len(known) - 12} more"
        close = difflib.get_close_matches(str(name), known, n=1)
        close = f" Did you mean {close[0]!r}?" if close else ""
        return (
            f"The {what} are {listed}.{close} A label that was never seen cannot be "
            "learnt from: name all when the model is made."
        )


def read_tags(y, words, names):
    """A number for each word, a list of arrays.

    Args:
        y: Rows of tags, names or numbers; -100 is one that does not count.
        words: N lists of words.
        names: `Names`.

    Raises:
        InputError: on a tag that is no label, or if words and tags differ in number.
    """
    rows = _answers(y, len(words), "tags")
    found = []
    for i, (row, sentence) in enumerate(zip(rows, words, strict=True)):
        if isinstance(row, str | bytes) or not isinstance(row, Iterable):
            raise InputError(f"y[{i}] is {row!r}; expected one tag for each word.")
        row = list(row)
        if len(row) != len(sentence):
            raise InputError(
                f"x[{i}] has {len(sentence)} words, but y[{i}] has {len(row)} tags: "
                f"{sentence[:6]} and {row[:6]}."
            )
        if any(isinstance(tag, Mapping | list | tuple) for tag in row):
            raise InputError(
                f"y[{i}] holds entities, but x[{i}] is a list of words. Pass one tag "
                "for each word; or texts, and the entities of each."
            )
        numbers = [names.number(tag, f"y[{i}][{j}]") for j, tag in enumerate(row)]
        found.append(np.array(numbers, np.int32))
    return found


def read_entities(y, texts, names):
    """Entities of each text, N lists of `Entity`, in order.

    Args:
        y: For each text a list of `{"start": 0, "end": 4, "entity": "PER"}` ("label"
            and "type" are other words for "entity") or `(0, 4, "PER")`.
        texts: N strings.
        names: `Names`.

    Raises:
        InputError: on an entity of another form, or of a type that does not exist.
    """
    rows = _answers(y, len(texts), "lists of entities")
    return [
        sorted(_entity(each, f"y[{i}][{j}]", names) for j, each in enumerate(row))
        if _is_row(row)
        else _no_entities(row, i)
        for i, row in enumerate(rows)
    ]


def _no_entities(row, i):
    raise InputError(
        f"y[{i}] is {row!r}; expected a list of entities, such as "
        '[{"start": 0, "end": 4, "entity": "PER"}], or [].'
    )


def _entity(given, where, names):
    kind = None
    if isinstance(given, Mapping):
        kind = next((given[k] for k in ("entity", "label", "type") if k in given), None)
        start, end = given.get("start"), given.get("end")
    elif isinstance(given, list | tuple) and len(given) == 3:
        start, end, kind = given
    whole = kind is not None and all(
        isinstance(x, int | np.integer) and not isinstance(x, bool)
        for x in (start, end)
    )
    if not whole or not 0 <= start < end:
        said = " If x are words, pass them as lists." if isinstance(given, str) else ""
        raise InputError(
            f"{where} is {given!r}; expected "
            '{"start": 0, "end": 4, "entity": "PER"}, with the first character and '
            f"the one behind the last.{said}"
        )
    if kind not in names.types:
        raise InputError(f"{where} is a {kind!r}. {names.hint(kind, names.types)}")
    return Entity(int(start), int(end), kind)


def _answers(y, count, what):
    if isinstance(y, tf.RaggedTensor):
        y = y.to_list()
    rows = list(y) if isinstance(y, Iterable) and not isinstance(y, str) else None
    if rows is None:
        raise InputError(f"y is {y!r}; expected {what}, one for each example.")
    if len(rows) != count:
        raise InputError(f"x has {count} examples, but y has {len(rows)}.")
    return rows


class Marked(NamedTuple):
    """Labels of the units of one text, int32, and what did not go into them.

    Attributes:
        missed: Entities that no unit is a part of.
        widened: Entities that begin or end inside a unit, which has the label whole.
        overlapping: Entities left out because an earlier one has a unit of theirs.
    """

    labels: np.ndarray
    missed: list[Entity]
    widened: list[Entity]
    overlapping: list[Entity]


def mark(entities, start, end, names):
    """Labels of units out of the entities of their text.

    Args:
        entities: List of `Entity`, in order.
        start, end: Code points of the units, `[U]`, ascending.
        names: `Names`.
    """
    found = Marked(np.full(len(start), names.outside, np.int32), [], [], [])
    taken = 0
    for entity in entities:
        first = int(np.searchsorted(end, entity.start, side="right"))
        stop = int(np.searchsorted(start, entity.end, side="left"))
        if first >= stop:
            found.missed.append(entity)
        elif first < taken:
            found.overlapping.append(entity)
        else:
            labels = names.spell(entity.type, stop - first, "the type of an entity")
            found.labels[first:stop] = labels
            taken = stop
            if start[first] != entity.start or end[stop - 1] != entity.end:
                found.widened.append(entity)
    return found


def tags_of_characters(text, entities):
    """A tag in BIO for each code point; of entities that overlap the first counts."""
    found, end = [], 0
    for each in sorted(entities, key=lambda each: each["start"]):
        if each["start"] >= end and each["end"] <= len(text):
            found.append((each["entity"], each["start"], each["end"]))
            end = each["end"]
    return tags.write(found, len(text))
