"""Examples that are all there, with the name of where they are from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from zoo.data.tables import read_table
from zoo.errors import DataError, InputError


@dataclass(frozen=True)
class ExampleSet:
    """Examples that are all there, as a file or a sample has them.

    Attributes:
        inputs: List `[N]` of what the task's `fit` takes as x.
        answers: List `[N]` of what it takes as y; None where the file has none.
        name: Where they come from.
        report: One line that says how many there are and what was left out.
    """

    inputs: list
    answers: list | None = None
    name: str = "examples"
    report: str = ""

    def __len__(self):
        return len(self.inputs)

    def take(self, rows):
        """Those with these numbers, in their order."""
        answers = None if self.answers is None else [self.answers[i] for i in rows]
        return replace(self, inputs=[self.inputs[i] for i in rows], answers=answers)

    def hold_out(self, seed, fraction=0.1):
        """Training and held-out examples, drawn by a seed; none is lost.

        Raises:
            DataError: if there are too few.
        """
        held = int(len(self) * fraction)
        if not held:
            raise DataError(
                f"{self.name}: {len(self)} examples are too few to hold out "
                f"{fraction:.0%}. Pass held-out examples of their own (--validation)."
            )
        order = np.random.default_rng(seed).permutation(len(self)).tolist()
        return self.take(order[held:]), self.take(order[:held])

    def draw(self, count, seed):
        """So many of them, drawn by a seed."""
        order = np.random.default_rng(seed).permutation(len(self))
        return self.take(order[:count].tolist())


def read_texts(path, text, pair="", label=None, **options):
    """Texts, or pairs of texts, of a file, and their labels where there is a column."""
    table = read_table(path, text=text, pair=pair or None, label=label, **options)
    texts = table.texts
    if table.pairs is not None:
        texts = list(zip(texts, table.pairs, strict=True))
    return ExampleSet(texts, table.labels, table.name, table.report())


def texts_of(inputs):
    """Texts, or pairs of texts, out of a list of strings and dictionaries.

    Returns:
        List of str, or of (str, str), as `Task.predict` takes them.

    Raises:
        InputError: if an input has another form, or only some have a second text.
    """
    if not any(isinstance(given, Mapping) for given in inputs):
        return inputs
    rows = []
    for number, given in enumerate(inputs):
        row = given if isinstance(given, Mapping) else {"text": given}
        unknown = sorted(map(str, set(row) - {"text", "pair"}))
        if unknown or "text" not in row:
            raise InputError(
                f"input {number} has {sorted(map(str, row))}; expected 'text', and "
                "maybe 'pair'."
            )
        rows.append(row)
    if len({"pair" in row for row in rows}) > 1:
        raise InputError("some inputs have a second text ('pair'), and some have none.")
    if "pair" in rows[0]:
        return [(row["text"], row["pair"]) for row in rows]
    return [row["text"] for row in rows]
