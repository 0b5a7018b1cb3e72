"""The flags that recipes share, the examples they name, and how a recipe is run."""

import argparse
import shlex
import sys
from pathlib import Path

from zoo.errors import ZooError


class RecipeParser(argparse.ArgumentParser):
    """A parser of the flags that recipes share; each recipe adds its own.

    What it parses holds `recipe`, its name, and `command`, the line for the shell.

    Args:
        name: Of the recipe. Results are in `runs/NAME` where nothing else is said.
        about: The recipe's docstring, of which `--help` shows the first line.
        epochs, batch_size, learning_rate: Defaults of these flags.
        rate: What `--learning-rate` is.
        examples: What a batch is of.
        data: What the file of `--data` is; None: there are no flags of files.
        model: What `--model` is; None: there is no such flag.
        export: Whether a SavedModel can be written.
    """

    def __init__(
        self,
        name,
        about,
        *,
        epochs,
        batch_size,
        learning_rate,
        rate="its peak",
        examples="examples",
        data=None,
        model=None,
        export=True,
    ):
        super().__init__(
            prog=name,
            description=about.partition("\n")[0],
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        add = self.add_argument
        if data is not None:
            without = "without it, a tenth of the data"
            add("--data", type=Path, help=data)
            add("--validation", type=Path, help=f"such a file; {without}")
        if model is not None:
            add("--model", help=model)
        add("--output", type=Path, default=Path("runs", name), help="results")
        add("--epochs", type=positive, default=epochs, help="passes over the data")
        step = f"{examples} in a step"
        add("--batch-size", type=positive, default=batch_size, help=step)
        add("--learning-rate", type=float, default=learning_rate, help=rate)
        add("--seed", type=int, default=7, help="of the split, new weights and dropout")
        if export:
            add(
                "--export",
                action=argparse.BooleanOptionalAction,
                default=True,
                help="write a SavedModel for TF Serving and try it in a clean process",
            )

    def parse_args(self, args=None, namespace=None):
        flags = super().parse_args(args, namespace)
        words = sys.argv[1:] if args is None else args
        flags.recipe = self.prog
        flags.command = shlex.join(
            ["python", "-m", f"applications.{self.prog}", *words]
        )
        return flags


def positive(text):
    """The type of a flag that is a whole number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from 1 on")
    return int(text)


def read_examples(kind, flags, columns=None, *, sample=None):
    """The examples that `--data` and `--validation` name, or real sample data.

    What was read, and what was left out of it, is printed.

    Args:
        kind: Class of a task.
        flags: With `data` and `validation`.
        columns: Names of columns, as of `kind.read_file`.
        sample: What gives the sample data; None: `kind.read_sample`.

    Returns:
        All examples; and held-out ones, or None where they are to be drawn of these.
    """
    read = [
        None if path is None else kind.read_file(path, columns)
        for path in (flags.data, flags.validation)
    ]
    if flags.data is None:
        read[0] = (sample or kind.read_sample)()
    for examples in read:
        if examples is not None:
            print(examples.report)
    return tuple(read)


def split(kind, everything, held_out, seed):
    """Labels and parts of what `read_examples` gave.

    Returns:
        Labels of all examples, for a rare one may be held out alone, while one that a
        file of held-out examples alone has is odd; training examples; held-out ones.
    """
    labels = kind.options_for(everything)["labels"]
    if held_out is None:
        return labels, *everything.hold_out(seed)
    return labels, everything, held_out


def run(main):
    """Runs a recipe; what goes wrong by its data is one line, without a traceback."""
    try:
        main()
    except (ZooError, OSError) as error:
        sys.exit(f"error: {error}")
