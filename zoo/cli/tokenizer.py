"""`zoo tokenizer`: vocabularies."""

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.data import Encoding, FileFormat, Inputs, Text, Unit
from zoo.cli.terminal import command_group, given, new_console, showing_errors

app = command_group(help="Make tokenizers.")


@app.callback()
def root():
    """Make tokenizers."""


@app.command(no_args_is_help=True)
def train(
    inputs: Inputs,
    *,
    kind: Annotated[
        str,
        typer.Option(
            help="wordpiece (as BERT's), bpe (of bytes, as GPT-2's) or unigram (as "
            "T5's)."
        ),
    ],
    vocab_size: Annotated[
        int, typer.Option(help="Ids at most, special tokens included.")
    ],
    output: Annotated[
        Path,
        typer.Option(help="Directory for tokenizer.json and tokenizer_config.json."),
    ],
    text: Text = "text",
    unit: Unit = "line",
    encoding: Encoding = "utf-8",
    file_format: FileFormat = None,
    lowercase: Annotated[
        bool, typer.Option("--lowercase", help="Drop case; wordpiece: accents too.")
    ] = False,
    min_frequency: Annotated[
        int | None, typer.Option(help="Rarer pairs of pieces are not joined. [2]")
    ] = None,
    extra_ids: Annotated[
        int | None, typer.Option(help="Sentinels of unigram. [100]")
    ] = None,
    special: Annotated[
        list[str] | None,
        typer.Option(help="Further special token; may be given again."),
    ] = None,
    max_length: Annotated[
        int | None, typer.Option(help="Most tokens that the model will take.")
    ] = None,
):
    """Learn a vocabulary from texts and write it in the form that transformers reads.

    Any language will do. Chinese needs room: wordpiece and unigram have an id for each
    character (some 21,000 ids in all are usual), bpe puts characters together from
    bytes.
    """
    with showing_errors():
        console = new_console()
        with console.status("Loading ..."):
            from zoo.data.records import Records
            from zoo.tokenizers import Tokenizer

        records = Records(
            inputs,
            columns=[text],
            unit=unit,
            encoding=encoding,
            file_format=file_format,
        )
        with console.status("Learning the vocabulary ..."):
            tokenizer = Tokenizer.train(
                (row[text] for row in records),
                kind=kind,
                vocab_size=vocab_size,
                lowercase=lowercase,
                **given(
                    min_frequency=min_frequency,
                    extra_ids=extra_ids,
                    special_tokens=special,
                    max_length=max_length,
                ),
            )
        tokenizer.save_pretrained(output)
        if records.malformed_count:
            typer.echo(records.report(), err=True)
        typer.echo(f"{output}: {kind}, {tokenizer.vocab_size:,} ids")
