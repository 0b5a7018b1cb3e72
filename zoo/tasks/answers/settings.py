"""AnswerSettings: how answers are sought in contexts."""

import math
from dataclasses import dataclass

from zoo.errors import InputError


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
