"""What the verbs share: one form of help, errors in one line, a console."""

import contextlib
import itertools
import logging
import re
import signal
import sys
import threading

import typer

from zoo.errors import InputError, ZooError

WRONG = 2  # exit code of what zoo refuses
INTERRUPTED = 128 + signal.SIGINT
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and new line


def command_group(**options):
    """A Typer in which every command looks alike."""
    return typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
        **options,
    )


@contextlib.contextmanager
def showing_errors():
    """Ends the program with a line that says why, and not with a traceback."""
    try:
        yield
    except ZooError as error:
        complain(error)
        raise typer.Exit(WRONG) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def complain(error):
    """One line that says what is wrong."""
    typer.echo(f"error: {' '.join(str(error).split())}", err=True)


def new_console():
    """Where progress is shown: standard error."""
    from rich.console import Console

    return Console(stderr=True)


def given(**options):
    """The options that have a value."""
    return {
        name: value for name, value in options.items() if value not in (None, [], {})
    }


class Interrupt:
    """Has Ctrl-C ask for an end, between two pieces or steps; the second one insists.

    Attributes:
        asked: Whether it was pressed.
    """

    asked = False

    def __enter__(self):
        self._before = None
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_):
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _ask(self, *_):
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


class _Compiles(logging.Handler):
    """Notes in a status that a program is compiled."""

    def __init__(self, status):
        super().__init__(logging.INFO)
        self.status = status
        self.seen = False

    def emit(self, record):
        self.seen = True
        self.status.update("Compiling for this length (first time only) ...")


@contextlib.contextmanager
def _status(console, text):
    """Shows a status; gives what says whether something was compiled meanwhile."""
    logger = logging.getLogger("zoo.generation")
    with console.status(text) as status:
        handler, level = _Compiles(status), logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            yield handler
        finally:
            logger.setLevel(level)
            logger.removeHandler(handler)


def watched(pieces, console):
    """Yields pieces, with a status for as long as there is nothing to read."""
    pieces = iter(pieces)
    with _status(console, "Reading ...") as compiles:
        first = list(itertools.islice(pieces, 1))
        if compiles.seen:  # the steps are compiled behind the first token
            first += itertools.islice(pieces, 1)
    yield from first
    yield from pieces


def waited(write, console):
    with _status(console, "Writing ..."):
        return write()


def write(text):
    """Shows a model's words; on a terminal, they cannot move its cursor."""
    if sys.stdout.isatty():
        text = CONTROLS.sub("\ufffd", text)
    sys.stdout.write(text)
    sys.stdout.flush()


def repaired(text):
    """A text that was typed or passed; bytes that are not UTF-8 become U+FFFD."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def read_all():
    """The text on standard input, repaired."""
    if sys.stdin is None:  # it was closed
        raise InputError("there is no standard input to read.")
    return sys.stdin.buffer.read().decode("utf-8", "replace")
