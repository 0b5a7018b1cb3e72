"""What the verbs of tasks share: their options, and how these become examples."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from zoo.cli.terminal import given
from zoo.errors import InputError
from zoo.tasks.registry import TASKS

LEARNT = ", ".join(entry.name for entry in TASKS.values() if entry.learns)
ALL = ", ".join(TASKS)

# What `fit` takes where nobody says otherwise, and `tune` for the same.
DEFAULTS: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 32,
    "learning_rate": 1e-4,
    "max_length": 128,
    "seed": 7,
}

# -- Options that several verbs have.

LearntTask = Annotated[
    str, typer.Argument(metavar="TASK", help=f"{LEARNT}.", show_default=False)
]
AnyTask = Annotated[
    str, typer.Argument(metavar="TASK", help=f"{ALL}.", show_default=False)
]
Data = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="CSV, TSV, JSONL or Parquet, or a format of the task; none: sample data, "
        "fetched once.",
    ),
]
Validation = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Held-out examples; none: a tenth of --data, by --seed."
    ),
]
Column = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PART=NAME",
        help="Name of a column, for any part that the task reads; may be given again.",
    ),
]
TextColumn = Annotated[
    str | None, typer.Option(help="Column that holds the text. [text]")
]
PairColumn = Annotated[
    str | None, typer.Option(help="Column with the second text of a pair. [none]")
]
LabelColumn = Annotated[
    str | None, typer.Option(help="Column that holds the label. [label]")
]
Encoding = Annotated[str, typer.Option(help="Of files of text.")]
FileFormat = Annotated[
    str | None,
    typer.Option("--format", help="Of the files. [by their names]", metavar="NAME"),
]
BaseModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="Directory or hub id to begin with; none: MiniLM, fetched once.",
    ),
]
LearntModel = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="Directory or hub id of a model that has learnt the task.",
    ),
]
ModelOption = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="NAME=VALUE",
        help="An option of the model, such as crf=true for token-classification; "
        "may be given again.",
    ),
]
MaxLength = Annotated[
    int | None, typer.Option(help="Tokens of an input at most. [128]")
]
BatchSize = Annotated[int | None, typer.Option(help="Examples at a time. [32]")]
Dtype = Annotated[
    str | None,
    typer.Option(help="float32 (where none is given), bfloat16 or mixed_bfloat16."),
]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

# -- Groups of them; see zoo.cli.groups.


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Where in a file inputs stand."""

    text_column: TextColumn = None
    pair_column: PairColumn = None
    column: Column = None
    encoding: Encoding = "utf-8"
    file_format: FileFormat = None

    def settings(self, label=None):
        """Those that were given, as `read_examples` takes them."""
        return given(
            columns=named_columns(
                self.text_column, self.pair_column, label, self.column
            ),
            encoding=None if self.encoding == "utf-8" else self.encoding,
            file_format=self.file_format,
        )


@dataclass(frozen=True, kw_only=True)
class LabelledColumns(Columns):
    """Where in a file inputs and answers stand."""

    label_column: LabelColumn = None

    def settings(self, label=None):
        return super().settings(label or self.label_column)


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """The model that a training begins with."""

    model: BaseModel = None
    max_length: MaxLength = None
    option: ModelOption = None
    dtype: Dtype = None

    def settings(self):
        """Those that were given."""
        return given(
            model=self.model,
            max_length=self.max_length,
            options=model_options(self.option),
            dtype=self.dtype,
        )


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """A model that has learnt its task, and how it is asked."""

    model: LearntModel
    batch_size: BatchSize = None
    max_length: MaxLength = None
    dtype: Dtype = None
    revision: Revision = None

    def load(self, entry):
        """The model, for the TaskEntry of its task."""
        from zoo.tasks.pipeline import load_learnt

        return load_learnt(
            entry,
            self.model,
            dtype=self.dtype,
            revision=self.revision,
            max_length=self.max_length,
        )


def named_columns(text, pair, label, others):
    """The names of columns that were given, by what they are to the task."""
    named = dict(named_value(each, "--column", "label=stars") for each in others or [])
    named = {name: str(value) for name, value in named.items()}
    return {**given(text=text, pair=pair, label=label), **named} or None


def model_options(texts):
    """Options of a task's model that were given, by name."""
    return dict(named_value(text, "--option", "crf=true") for text in texts or ())


def named_value(text, flag, example):
    """Name and value of "name=value"; a value that is JSON is read as such."""
    name, sign, value = text.partition("=")
    if not sign or not name or not value:
        raise InputError(f"{flag} {text}: expected a name and a value: {example}.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def read_examples(kind, path, settings, *, labelled=True):
    """The examples of a file, as settings say."""
    return kind.read_file(
        Path(path),
        settings.get("columns"),
        labelled=labelled,
        encoding=settings.get("encoding") or "utf-8",
        file_format=settings.get("file_format"),
    )


def metric_lines(metrics):
    """Metrics as lines: numbers first, then what there is of each label or type."""
    lines = [
        f"{name.replace('_', ' '):24}{value:>10.4f}"
        for name, value in metrics.items()
        if isinstance(value, float) and name != "seconds"
    ]
    for name, rows in metrics.items():
        if not isinstance(rows, dict) or not rows:
            continue
        if not all(isinstance(row, dict) and row for row in rows.values()):
            continue
        heads = list(next(iter(rows.values())))
        lines.append("")
        lines.append(f"{name:24}" + "".join(f"{head:>11}" for head in heads))
        for label, row in rows.items():
            values = (
                f"{row[head]:>11.4f}"
                if isinstance(row[head], float)
                else f"{row[head]:>11,}"
                for head in heads
            )
            lines.append(f"{label:24}" + "".join(values))
    return lines
