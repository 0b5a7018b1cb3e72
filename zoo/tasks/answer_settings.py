"""AnswerSettings: how answers are sought in contexts, and the file that keeps it."""

import json
import math
from dataclasses import dataclass

from zoo.errors import CheckpointError, InputError
from zoo.files import file_in, read_json

SETTINGS = "question_answering.json"


@dataclass(frozen=True)
class AnswerSettings:
    """How answers are sought; each is described in the head of QuestionAnswerer.

    Raises:
        InputError: if a value makes no sense.
    """

    doc_stride: int | None = None
    max_question_length: int = 64
    max_answer_length: int = 30
    null_threshold: float | None = None
    n_best: int = 20

    def __post_init__(self):
        for name, value in vars(self).items():
            whole = type(value) is int and value > 0
            number = type(value) in (int, float) and math.isfinite(value)
            if value is None:
                right = name in ("doc_stride", "null_threshold")
            else:
                right = number if name == "null_threshold" else whole
            if not right:
                wanted = "a number" if name == "null_threshold" else "a positive number"
                raise InputError(f"{name}={value!r}: expected {wanted}.")

    @classmethod
    def read(cls, directory):
        """The settings beside a checkpoint, and the `max_length`; None without them.

        Raises:
            CheckpointError: if they cannot be.
        """
        if not (directory / SETTINGS).exists():
            return None
        found = read_json(file_in(directory, SETTINGS), limit=1 << 16)
        length = found.pop("max_length", None)
        try:
            return cls(**found), length
        except (InputError, TypeError) as error:
            raise CheckpointError(f"{SETTINGS}: {error}") from error

    def write(self, directory, max_length):
        """The same file."""
        said = {"max_length": max_length, **vars(self)}
        text = json.dumps(said, indent=2)
        (directory / SETTINGS).write_text(text + "\n", encoding="utf-8")
