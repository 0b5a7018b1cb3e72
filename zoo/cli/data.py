"""`zoo data`: raw text made ready for training."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.terminal import command_group, given, new_console, showing_errors

app = command_group(help="Make raw text ready for training.")


@app.callback()
def root():
    """Make raw text ready for training."""


# Of every command that reads texts.
Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT...",
        help='Files or patterns such as "corpus/**/*.jsonl": .txt, .jsonl, .csv, .tsv, '
        ".parquet or .tfrecord, the first four also with .gz behind.",
        show_default=False,
    ),
]
Text = Annotated[str, typer.Option("--text", help="Column that holds the text.")]
Unit = Annotated[
    str,
    typer.Option(help="What a record of a .txt file is: line, paragraph or file."),
]
Encoding = Annotated[str, typer.Option(help="Of text, CSV, TSV and JSONL.")]
FileFormat = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="text, jsonl, csv, tsv, parquet or tfrecord. [by the file's name]",
    ),
]


@app.command(no_args_is_help=True)
def clean(
    inputs: Inputs,
    *,
    output: Annotated[
        Path, typer.Option(help="Directory for what is left; made if it is not there.")
    ],
    text: Text = "text",
    unit: Unit = "line",
    encoding: Encoding = "utf-8",
    file_format: FileFormat = None,
    skip: Annotated[
        list[str] | None,
        typer.Option(
            help="Rule that is not applied; may be given again: markup, unicode, "
            "control, boilerplate, whitespace, length, symbols, repetition, exact or "
            "near."
        ),
    ] = None,
    normalization: Annotated[
        str | None, typer.Option(help="Unicode form: NFC or NFKC. [NFC]")
    ] = None,
    min_words: Annotated[
        int | None,
        typer.Option(
            help="Fewest words of a record; a Chinese character counts as one. [3]"
        ),
    ] = None,
    max_words: Annotated[
        int | None, typer.Option(help="Most words of a record. [1000000]")
    ] = None,
    max_symbols: Annotated[
        float | None, typer.Option(help="Largest share of signs and emoji. [0.4]")
    ] = None,
    near_duplicates: Annotated[
        float | None,
        typer.Option(help="Similarity from which on the later record goes. [0.8]"),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report as JSON.")
    ] = False,
):
    """Repair records, leave out bad and repeated ones, and say what each rule did.

    Rules, in order: HTML mark-up goes, entities become text (markup); one Unicode form
    (unicode); control, invisible and private-use characters go (control); menus,
    notices and bare addresses go, line by line (boilerplate); spaces are made plain
    (whitespace). Then records go that are too short or long (length), more signs than
    words (symbols), repeat themselves (repetition), or have come before, the same
    (exact) or nearly so (near).

    The same input gives the same output. The directory gets its files when all are
    complete: Ctrl-C and errors leave it as it was.
    """
    with showing_errors():
        from zoo.data.cleaning import RULES, Cleaning, clean_files
        from zoo.errors import InputError

        skip = skip or []
        unknown = [name for name in skip if name not in RULES]
        if unknown:
            raise InputError(f"--skip {unknown[0]}: the rules are {', '.join(RULES)}.")
        cleaning = Cleaning(
            **given(
                rules=tuple(name for name in Cleaning().rules if name not in skip),
                normalization=normalization,
                min_words=min_words,
                max_words=max_words,
                max_symbols=max_symbols,
                near_duplicates=near_duplicates,
            )
        )
        options = {"unit": unit, "encoding": encoding, "file_format": file_format}
        with new_console().status("Cleaning ...") as status:
            report = clean_files(
                inputs,
                output,
                cleaning,
                text=text,
                progress=_Progress(status),
                **options,
            )
        if as_json:
            typer.echo(json.dumps(report.to_dict(), ensure_ascii=False))
        else:
            for line in report.lines():
                typer.echo(line)


class _Progress:
    """Shows how far cleaning has come, a few times in a second."""

    def __init__(self, status):
        self.status = status
        self.next = 0.0

    def __call__(self, report):
        now = time.monotonic()
        if now >= self.next:
            self.next = now + 0.2
            self.status.update(
                f"Cleaning ... {report.records:,} records, {report.kept:,} kept"
            )
