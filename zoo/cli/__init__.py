"""The `zoo` command. Each group of verbs has a file here.

TensorFlow is imported when it is needed and not before, so that help comes at once.
"""

from typing import Annotated

import typer

from zoo.cli import data, tokenizer
from zoo.cli.answering import evaluate, predict
from zoo.cli.fitting import fit
from zoo.cli.terminal import command_group
from zoo.cli.tuning import tune
from zoo.cli.writing import chat, generate

app = command_group(
    help="Transformer models for Keras 3: checkpoints in, answers out.",
)


def main():
    """What the `zoo` command runs."""
    app(prog_name="zoo")


def _say_version(wanted):
    if wanted:
        import zoo

        typer.echo(f"zoo {zoo.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_say_version, is_eager=True, help="Show the version."
        ),
    ] = False,
):
    """Transformer models for Keras 3: checkpoints in, answers out."""


for verb in (generate, chat, fit, evaluate, predict, tune):
    app.command(no_args_is_help=True)(verb)
app.add_typer(data.app, name="data")
app.add_typer(tokenizer.app, name="tokenizer")
