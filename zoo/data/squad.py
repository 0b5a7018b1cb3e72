"""SQuAD files, 1.1 and 2.0: examples in, predictions out (Rajpurkar et al. 2016, 2018).

What is malformed is refused by its path inside the JSON; a file of questions is small
enough to be mended, and a score over some of them would be another score.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from zoo.errors import DataError
from zoo.files import read_json, shorten, staged_directory

# SQuAD 2.0 has 42 MB. Parsing takes up to ten times as much memory.
LARGEST = 1 << 29
MEMORY = 1 << 33


@dataclass(frozen=True)
class Squad:
    """The questions of a file.

    Attributes:
        examples: For each `{"id", "title", "question", "context", "answers": {"text":
            [...], "answer_start": [...]}}`, as `datasets` has them; the lists are empty
            where the context does not answer the question.
        version: What the file says, "1.1" or "2.0"; "" where it says nothing.
        name: The file.
    """

    examples: list[dict]
    version: str
    name: str

    def report(self):
        """One line that says how many there are."""
        without = sum(not example["answers"]["text"] for example in self.examples)
        said = f"{self.name}: {len(self.examples):,} questions"
        return said + (f", {without:,} of them without an answer" if without else "")


def read_squad(path, *, answered=True):
    """Reads a file of SQuAD's form.

    Args:
        path: A JSON file.
        answered: Whether every question has to have "answers".

    Returns:
        A Squad.

    Raises:
        DataError: if the file cannot be read, has no questions, or is malformed
            somewhere; the message says where.
    """
    path = Path(path).expanduser()
    data = read_json(path, limit=LARGEST, memory=MEMORY, error=DataError)
    version = data.get("version", "")
    examples, ids = [], {}
    for where, article in _items(path.name, data, "data", "data"):
        title = article.get("title", "")
        if not isinstance(title, str):
            raise _wrong(path.name, f"{where}.title", title, "a string")
        for below, paragraph in _items(path.name, article, "paragraphs", where):
            context = _get(path.name, paragraph, "context", below)
            for place, question in _items(path.name, paragraph, "qas", below):
                example = _example(path.name, question, place, answered)
                known = ids.setdefault(example["id"], place)
                if known != place:
                    raise DataError(
                        f"{path.name}: {place}.id is {shorten(example['id'])}, as that "
                        f"of {known}. Each question needs an id of its own."
                    )
                examples.append({**example, "title": title, "context": context})
    if not examples:
        raise DataError(f"{path.name}: there is no question in it.")
    return Squad(examples, str(version).removeprefix("v"), path.name)


def _example(name, question, place, answered):
    found = {
        "id": _get(name, question, "id", place),
        "question": _get(name, question, "question", place),
    }
    impossible = question.get("is_impossible", False)
    if not isinstance(impossible, bool):
        wanted = "true or false"
        raise _wrong(name, f"{place}.is_impossible", impossible, wanted)
    texts, starts = [], []
    if not impossible and (answered or "answers" in question):
        for where, answer in _items(name, question, "answers", place):
            texts.append(_get(name, answer, "text", where))
            start = answer.get("answer_start")
            if type(start) is not int or start < 0:
                wanted = "a number of characters from 0 on"
                raise _wrong(name, f"{where}.answer_start", start, wanted)
            starts.append(start)
    return {**found, "answers": {"text": texts, "answer_start": starts}}


def _items(name, parent, key, where):
    """Yields path and object for each item of the list `parent[key]`."""
    place = key if where == key else f"{where}.{key}"
    if key not in parent:
        raise DataError(
            f"{name}: {place} is missing. A file of SQuAD's form has "
            "data[].paragraphs[].qas[], each with id, question and answers."
        )
    if not isinstance(parent[key], list):
        raise _wrong(name, place, parent[key], "a list")
    for number, item in enumerate(parent[key]):
        if not isinstance(item, dict):
            raise _wrong(name, f"{place}[{number}]", item, "an object")
        yield f"{place}[{number}]", item


def _get(name, parent, key, where):
    """The string `parent[key]`."""
    if key not in parent:
        raise DataError(f"{name}: {where}.{key} is missing; expected a string.")
    if not isinstance(parent[key], str):
        raise _wrong(name, f"{where}.{key}", parent[key], "a string")
    return parent[key]


def _wrong(name, place, value, expected):
    return DataError(f"{name}: {place} is {shorten(value)}; expected {expected}.")


def write_predictions(path, predictions):
    """Writes what SQuAD's evaluation scripts read: an object from ids to answers.

    Args:
        path: A JSON file; its directory is made if it does not exist.
        predictions: Id -> answer, "" for none; or id -> number, for the file of
            scores of no answer.

    Raises:
        DataError: if the file cannot be written.
    """
    path = Path(path).expanduser()
    with staged_directory(path.parent, error=DataError) as stage:
        text = json.dumps(predictions, indent=2, ensure_ascii=False)
        # Half a surrogate pair, which an answer may have from a file, has no bytes.
        data = (text + "\n").encode("utf-8", "replace")
        (stage / path.name).write_bytes(data)
