"""Questions about contexts, and their answers, read from what users pass.

An example is what `datasets` and SQuAD have: `{"question": str, "context": str,
"answers": {"text": [...], "answer_start": [...]}}`. Answers begin at code points; where
there are none, the context does not answer the question.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from zoo.errors import DataError, InputError
from zoo.tasks.examples.forms import check_sizes, split_at
from zoo.tasks.examples.sets import ExampleSet

FORM = (
    "examples {'question': ..., 'context': ..., 'answers': {'text': [...], "
    "'answer_start': [...]}}"
)
# Half a surrogate pair, which is no character and has no bytes.
HALVES = re.compile("[\ud800-\udfff]")


class Answer(NamedTuple):
    """A text and the code point of the context at which it begins."""

    text: str
    start: int


@dataclass(frozen=True)
class Questions:
    """N questions.

    Attributes:
        questions, contexts: str `[N]`.
        answers: For each a list of Answer, empty where it has none; None where no
            answers were given at all.
        weights: float32 `[N]`, or None.
    """

    questions: list[str]
    contexts: list[str]
    answers: list[list[Answer]] | None = None
    weights: np.ndarray | None = None

    def __len__(self):
        return len(self.questions)

    def take(self, rows):
        """Those with these numbers."""
        return replace(
            self,
            questions=[self.questions[i] for i in rows],
            contexts=[self.contexts[i] for i in rows],
            answers=None if self.answers is None else [self.answers[i] for i in rows],
            weights=None if self.weights is None else self.weights[rows],
        )

    def split(self, fraction):
        """The first ones, and the last `fraction` of them."""
        kept = split_at(len(self), fraction)
        return self.take(range(kept)), self.take(range(kept, len(self)))


class Articles(ExampleSet):
    """Examples whose contexts belong to articles: `title` of each input."""

    def hold_out(self, seed, fraction=0.1):
        """As `ExampleSet.hold_out`; the parts share no article where that can be.

        Several questions are about one passage, and passages about one matter.
        """
        titles = sorted({example.get("title", "") for example in self.inputs})
        held = int(len(titles) * fraction)
        if not held:
            return super().hold_out(seed, fraction)
        order = np.random.default_rng(seed).permutation(len(titles))
        chosen = {titles[i] for i in order[:held]}
        parts: tuple[list[int], list[int]] = ([], [])
        for row, example in enumerate(self.inputs):
            parts[example.get("title", "") in chosen].append(row)
        return self.take(parts[0]), self.take(parts[1])


def is_questions(x):
    """Whether `x` has the form of examples, and not of token ids or a tf.data one."""
    if isinstance(x, Mapping):
        return "question" in x or "context" in x
    if isinstance(x, tf.data.Dataset | tf.Tensor | tf.RaggedTensor):
        return False
    if isinstance(x, np.ndarray) and x.dtype.kind not in "OUS":
        return False
    if not isinstance(x, Sequence | np.ndarray) and not hasattr(x, "__getitem__"):
        return isinstance(x, Iterable)
    if isinstance(x, str | bytes) or not len(x):
        return True
    if hasattr(x, "columns"):  # a pandas table
        return True
    first = x[0]
    pair = isinstance(first, list | tuple | np.ndarray)
    return not pair or (len(first) and isinstance(first[0], str | bytes))


def read(x, answers=None, weights=None, *, answered=False):
    """Examples in one form.

    Args:
        x: List of examples, or of pairs of a question and a context; or one dictionary
            of lists.
        answers: For each what else stands under "answers"; None: it stands there.
        weights: A number for each, or None.
        answered: Whether the answers are wanted.

    Raises:
        InputError: naming the example that has another form.
        DataError: if there are none.
    """
    rows = _rows(x)
    if not rows:
        raise DataError("x is empty: there is no example.")
    questions = [_text(row, "question", i) for i, row in enumerate(rows)]
    contexts = [_text(row, "context", i) for i, row in enumerate(rows)]
    found = Questions(questions, contexts)
    if answers is not None and not isinstance(answers, str):
        given = list(answers)
        if len(given) != len(rows):
            raise InputError(
                f"x has {len(rows)} examples, but y has {len(given)} answers."
            )
        rows = [{**row, "answers": each} for row, each in zip(rows, given, strict=True)]
    if answered:
        read_answers = [_answers(row, i) for i, row in enumerate(rows)]
        found = replace(found, answers=read_answers)
    if weights is not None:
        weights = np.asarray(weights, np.float32)
        if weights.shape != (len(rows),):
            raise InputError(
                f"sample_weight has shape {weights.shape}; expected one number for "
                f"each of the {len(rows)} examples."
            )
        found = replace(found, weights=weights)
    return found


def as_question(given, number=0):
    """What stands for one question: an example, or a pair."""
    if isinstance(given, Mapping):
        return given
    if isinstance(given, list | tuple | np.ndarray) and len(given) == 2:
        return {"question": given[0], "context": given[1]}
    raise InputError(
        f"example {number} is {given!r:.80}; expected {{'question': ..., 'context': "
        "...}."
    )


def _rows(x):
    if isinstance(x, Mapping):
        columns = {name: x[name] for name in ("question", "context") if name in x}
        if "answers" in x:
            columns["answers"] = x["answers"]
        if any(isinstance(column, str | bytes) for column in columns.values()):
            raise InputError(
                "x is one example; expected a list of examples: [x]. For one answer "
                "there is ask(question, context)."
            )
        columns = {name: list(column) for name, column in columns.items()}
        check_sizes(columns)
        names = list(columns)
        return [
            dict(zip(names, row, strict=True))
            for row in zip(*columns.values(), strict=True)
        ]
    if isinstance(x, str | bytes) or hasattr(x, "columns"):
        what = "one string" if isinstance(x, str | bytes) else "a table"
        more = "" if isinstance(x, str | bytes) else ": table.to_dict('records')"
        raise InputError(f"x is {what}; expected a list of {FORM}{more}.")
    return [as_question(given, number) for number, given in enumerate(x)]


def _text(row, name, number):
    if name not in row:
        raise InputError(
            f"example {number} has {sorted(map(str, row))}, no {name!r}. Expected "
            f"{FORM}."
        )
    text = row[name]
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    if not isinstance(text, str):
        raise InputError(
            f"{name!r} of example {number} is {text!r:.80} ({type(text).__name__}); "
            "expected a string."
        )
    return HALVES.sub("\ufffd", text)


def _answers(row, number):
    """A list of Answer from either form; a question that is impossible has none."""
    given = row.get("answers")
    if given is None and "answers" not in row:
        raise InputError(
            f"example {number} has no 'answers'. Expected {FORM}; both lists are empty "
            "where the context does not answer the question."
        )
    if row.get("is_impossible") or given is None:
        return []
    wrong = InputError(
        f"'answers' of example {number} are {given!r:.120}; expected {{'text': [...], "
        "'answer_start': [...]}, with as many numbers as texts."
    )
    if isinstance(given, Mapping):
        texts, starts = given.get("text"), given.get("answer_start")
        if any(
            isinstance(part, str | bytes) or part is None for part in (texts, starts)
        ):
            raise wrong
        try:
            pairs = list(zip(texts, starts, strict=True))
        except (TypeError, ValueError):
            raise wrong from None
    else:
        try:
            pairs = [(each["text"], each["answer_start"]) for each in given]
        except (TypeError, KeyError, IndexError):
            raise wrong from None
    found = []
    for text, start in pairs:
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        whole = isinstance(start, int | np.integer) and not isinstance(start, bool)
        if not isinstance(text, str) or not whole:
            raise wrong
        found.append(Answer(HALVES.sub("\ufffd", text), int(start)))
    return found
