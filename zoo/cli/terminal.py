"""What the verbs share: one form of help, errors in one line, a console."""

import contextlib
import signal
import threading

import typer

from zoo.errors import ZooError

WRONG = 2  # exit code of what zoo refuses
INTERRUPTED = 128 + signal.SIGINT


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
