"""The tasks by name: what `zoo.pipeline` and the verbs of the `zoo` command know.

Nothing here imports TensorFlow, so that help which lists the tasks comes at once. What
a task does with files and answers, its class says: see `form.Form`.
"""

import difflib
import importlib
from typing import NamedTuple

from zoo.errors import InputError


class TaskEntry(NamedTuple):
    """A task.

    Attributes:
        name: What users call it, as on the hub.
        kind: Name of the class in `zoo.tasks`.
        about: What it gives.
        learns: Whether `zoo fit` and `zoo tune` can train it from a file.
    """

    name: str
    kind: str
    about: str
    learns: bool = True

    def load(self):
        """The class; TensorFlow comes with it."""
        return getattr(importlib.import_module("zoo.tasks"), self.kind)


TASKS = {
    entry.name: entry
    for entry in (
        TaskEntry(
            "text-classification",
            "TextClassifier",
            "one label for each text, or pair of texts",
        ),
        TaskEntry(
            "token-classification",
            "TokenClassifier",
            "the entities of a text, or a tag for each word",
        ),
        TaskEntry(
            "question-answering",
            "QuestionAnswerer",
            "the span of a context that answers a question, or none",
        ),
        TaskEntry(
            "text-generation", "TextGenerator", "what a prompt is continued with"
        ),
        TaskEntry(
            "translation", "Translator", "a text in another language, for each text"
        ),
        TaskEntry(
            "summarization", "Summarizer", "a short text that says what a long one does"
        ),
        TaskEntry(
            "fill-mask", "MaskedLM", "tokens that could stand at a mask", learns=False
        ),
        TaskEntry(
            "feature-extraction",
            "TextEmbedder",
            "one vector for each text",
            learns=False,
        ),
    )
}

ALIASES = {
    "ner": "token-classification",
    "sentiment-analysis": "text-classification",
}


def find_task(name):
    """The TaskEntry of a name or of an alias.

    Raises:
        InputError: naming the nearest, if there is no such task.
    """
    known = ALIASES.get(name, name) if isinstance(name, str) else name
    if isinstance(known, str) and known in TASKS:
        return TASKS[known]
    near = difflib.get_close_matches(str(name), [*TASKS, *ALIASES], n=1, cutoff=0.4)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    raise InputError(
        f"there is no task {name!r}.{hint} The tasks are {', '.join(TASKS)}."
    )
