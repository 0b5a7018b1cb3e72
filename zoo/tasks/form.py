"""Form: what a task says of itself, for the pipeline, the verbs and the recipes."""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from zoo.errors import InputError
from zoo.tasks.examples.sets import read_texts


class Form:
    """What the pipeline, the verbs and the recipes ask of a task's class.

    A class that says these things, and has a row in `registry.TASKS`, is in all of
    them.

    Attributes:
        columns: What a file's columns are to a task -> how they are called where
            nobody says otherwise; "" is a column that need not be there.
        text_column, answer_column: Which of them hold what `read_file` gives; None:
            a file has no answers.
        parts: Keys of an input that is a dictionary; a pipeline takes them as names of
            its arguments as well.
        metric: Key of `measure` that says how good a model is, more being better; also
            the name of the metric that `fit` logs.
        sample_model: Key of `zoo.data.samples.SAMPLES`: the model to begin with where
            none is named; None: a new one, as of `from_examples`.
        new_settings: What `zoo fit` takes for a new model where nobody says otherwise.
    """

    columns: ClassVar[Mapping[str, str]] = {"text": "text", "pair": ""}
    text_column: ClassVar[str] = "text"
    answer_column: ClassVar[str | None] = None
    parts: ClassVar[tuple[str, ...]] = ("text",)
    metric: ClassVar[str] = "accuracy"
    sample_model: ClassVar[str | None] = "minilm"
    new_settings: ClassVar[Mapping[str, Any]] = {}

    @classmethod
    def read_file(
        cls, path, columns=None, *, labelled=True, encoding="utf-8", file_format=None
    ):
        """The examples of a file.

        Args:
            path: CSV, TSV or JSONL file, or one in the task's own format.
            columns: Names of columns that differ from those of `cls.columns`.
            labelled: Whether the answers are wanted as well.
            encoding: Of a file of text.
            file_format: As of `zoo.data.formats.open_file`; None: by the file's name.

        Returns:
            An ExampleSet.

        Raises:
            DataError: if the file cannot be read, is empty, or lacks a column.
            InputError: if the task has no such columns.
        """
        if labelled and cls.answer_column is None:
            raise InputError(f"{cls.__name__} has no labels that a file could hold.")
        names = cls.name_columns(columns)
        return read_texts(
            path,
            names[cls.text_column],
            names.get("pair"),
            names[cls.answer_column] if labelled else None,
            encoding=encoding,
            file_format=file_format,
        )

    @classmethod
    def name_columns(cls, given):
        """The names of all columns.

        Raises:
            InputError: if a column is named that this task does not read.
        """
        given = {name: column for name, column in (given or {}).items() if column}
        unknown = sorted(set(given) - set(cls.columns))
        if unknown:
            raise InputError(
                f"{cls.__name__} reads no column '{unknown[0]}'. It reads "
                f"{', '.join(cls.columns)}."
            )
        return {**cls.columns, **given}

    @classmethod
    def read_sample(cls):
        """Real examples to try the task on, fetched at the first call."""
        raise InputError(
            f"there are no sample data for {cls.__name__}. Pass a file of your own "
            "(--data)."
        )

    @classmethod
    def from_examples(cls, examples, *, dtype=None):
        """A new model for an ExampleSet, where `sample_model` is None."""
        raise NotImplementedError

    @classmethod
    def options_for(cls, examples) -> dict[str, Any]:
        """What `from_pretrained` is to be told for a model that learns these."""
        return {}

    def check_answers(self, examples):
        """Refuses examples whose answers this model cannot give.

        Raises:
            DataError: naming an answer that was never seen in training.
        """

    @classmethod
    def adapt_model(cls, model):
        """What a pipeline asks in place of a model of another class; None: nothing."""
        return None

    @classmethod
    def is_one(cls, given):
        """Whether what a pipeline was given is one input, and not several."""
        return isinstance(given, str | bytes | Mapping)

    def respond(self, inputs, *, batch_size=None):
        """Answers in plain Python, for a list of inputs: what a pipeline gives.

        A task may take further options, all of which have defaults.

        Args:
            inputs: Strings, or dictionaries of strings.
            batch_size: How many at a time.

        Returns:
            List of as many answers: of str, float, int, None, and lists and
            dictionaries of these.
        """
        raise NotImplementedError

    def show(self, given, answer):
        """An answer as a line for people."""
        return json.dumps(answer, ensure_ascii=False)

    def measure(self, examples, *, batch_size=None) -> dict[str, Any]:
        """How good the answers to labelled examples are; `metric` is among the keys.

        Returns:
            Plain Python, so that it can be written as JSON.
        """
        raise NotImplementedError
