"""`zoo evaluate` and `zoo predict`: the answers of a model, and how good they are."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from zoo.cli.groups import with_groups
from zoo.cli.options import (
    DEFAULTS,
    LEARNT,
    AnyTask,
    AsJson,
    Columns,
    Data,
    LabelledColumns,
    Learnt,
    LearntTask,
    metric_lines,
    named_value,
    read_examples,
)
from zoo.cli.terminal import new_console, showing_errors
from zoo.errors import DataError, InputError
from zoo.tasks.registry import find_task


@with_groups
def evaluate(
    task: LearntTask,
    *,
    model: Learnt,
    data: Data = None,
    columns: LabelledColumns,
    output: Annotated[
        Path | None, typer.Option(help="Directory for metrics.json and pictures.")
    ] = None,
    as_json: AsJson = False,
):
    """Say how good the answers of MODEL are to the labelled examples of a file."""
    with showing_errors():
        entry = find_task(task)
        if not entry.learns:
            raise InputError(f"{entry.name} has no measure. Tasks that have: {LEARNT}.")
        settings = columns.settings()
        console = new_console()
        with console.status("Reading the examples ..."):
            kind = entry.load()
            if data is None:
                examples = kind.read_sample()
            else:
                examples = read_examples(kind, data, settings)
        console.print(examples.report, highlight=False, soft_wrap=True)
        with console.status("Loading the model ..."):
            learnt = model.load(entry)
        with console.status(f"Answering {len(examples):,} examples ..."):
            metrics = learnt.measure(examples, batch_size=model.batch_size)
        metrics["examples"] = len(examples)
        if output is not None:
            from zoo.tasks.results import runs

            runs.write_results(runs.make_output(output), metrics)
        if as_json:
            typer.echo(json.dumps(metrics, ensure_ascii=False))
        else:
            for line in metric_lines(metrics):
                typer.echo(line)


@with_groups
def predict(
    task: AnyTask,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[INPUT]...",
            help="Texts; an input of several strings is a JSON object, such as "
            '\'{"text": "...", "pair": "..."}\'. None, and no --data: lines of '
            "standard input.",
        ),
    ] = None,
    *,
    model: Learnt,
    data: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Inputs out of a file.")
    ] = None,
    columns: Columns,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            metavar="NAME=VALUE",
            help="An option of the task, such as top_k=3; may be given again.",
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print a line of JSON for each input, with it."),
    ] = False,
):
    """Print MODEL's answer to each input, in their order, as they come."""
    with showing_errors():
        entry = find_task(task)
        if inputs and data is not None:
            raise InputError("Inputs and --data were both given. Leave one of them.")
        settings = columns.settings()
        options = dict(
            named_value(each, "--option", "top_k=3") for each in option or []
        )
        console = new_console()
        with console.status("Loading the model ..."):
            from zoo.tasks.pipeline import Pipeline

            kind = entry.load()
            source: Any
            if data is not None:
                examples = read_examples(kind, data, settings, labelled=False)
                console.print(examples.report, highlight=False, soft_wrap=True)
                source = examples.inputs
            elif inputs:
                source = [_read_input(kind, text) for text in inputs]
            else:
                source = (_read_input(kind, line) for line in _lines_of_stdin())
            learnt = model.load(entry)
        on_terminal = not inputs and data is None and sys.stdin.isatty()
        answer = Pipeline(learnt, batch_size=model.batch_size or DEFAULTS["batch_size"])
        if on_terminal:  # each line is answered when it comes
            pairs = ((each, answer(each, **options)) for each in source)
        else:
            pairs = answer.with_inputs(source, **options)
        for each, found in pairs:
            if as_json:
                line = {"input": each, "answer": found}
                typer.echo(json.dumps(line, ensure_ascii=False))
            else:
                typer.echo(learnt.show(each, found))


def _read_input(kind, text):
    """A text; or the dictionary that it is the JSON of, for a task of several."""
    if len(kind.parts) > 1 and text.lstrip().startswith("{"):
        try:
            found = json.loads(text)
        except ValueError as error:
            raise DataError(
                f"{text[:80]!r} is not JSON ({error}). An input begins with {{ only if "
                f"it is an object with {', '.join(kind.parts)}."
            ) from error
        return found
    return text


def _lines_of_stdin():
    for line in sys.stdin.buffer:
        if line.strip():
            yield line.decode("utf-8", "replace").rstrip("\r\n")
