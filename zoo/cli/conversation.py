"""A conversation with a model on a terminal."""

import contextlib
import json
import sys

import typer

from zoo.cli.terminal import Interrupt, complain, repaired, watched, write
from zoo.errors import ZooError

HELP = """\
/reset        begin a new conversation; the system message stays
/system TEXT  set the system message; without TEXT, show it
/save FILE    write the conversation to FILE, as JSON
/help         show this
/exit         leave; so does Ctrl-D

Ctrl-C stops an answer. A message that begins with / needs a space before it.
"""


class Talk:
    """A conversation on a terminal.

    Args:
        model: A GPTModel.
        options: Of `GPTModel.chat`.
        console: Where the status is shown.
        system: The system message, or None.
    """

    def __init__(self, model, options, console, *, system=None):
        self.model = model
        self.options = options
        self.console = console
        self.system = None if system is None else repaired(system)
        self.turns = []
        self.saved = set()
        self.commands = {
            "/reset": self.reset,
            "/system": self.set_system,
            "/save": self.save,
            "/help": self.help,
        }

    @property
    def messages(self):
        """What the model is given."""
        first = [] if self.system is None else [_message("system", self.system)]
        return [*first, *self.turns]

    def run(self):
        """Reads and answers until the user leaves."""
        if sys.stdin is None:  # it was closed
            return
        on_terminal = sys.stdin.isatty()
        sys.stdin.reconfigure(errors="surrogateescape")  # see `repaired`
        if on_terminal:
            with contextlib.suppress(ImportError):
                import readline  # noqa: F401 (gives `input` its editing and history)
            typer.echo("/help lists the commands; Ctrl-D leaves.", err=True)
        while True:
            try:
                line = input("> " if on_terminal else "")
            except EOFError:
                if on_terminal:
                    typer.echo()
                return
            except KeyboardInterrupt:
                typer.echo("\nCtrl-D or /exit leaves.", err=True)
                continue
            if line.startswith("/"):
                name, _, rest = line.partition(" ")
                if name in ("/exit", "/quit"):
                    return
                self.command(name, rest.strip())
            elif line.strip():
                self.answer(repaired(line.strip()))

    def answer(self, text):
        """Says the answer to a text; both are kept, as far as it was said."""
        self.turns.append(_message("user", text))
        said = []
        try:
            pieces = self.model.chat(self.messages, stream=True, **self.options)
            with Interrupt() as interrupt:
                for piece in watched(pieces, self.console):
                    write(piece)
                    said.append(piece)
                    if interrupt.asked:
                        break
        except ZooError as error:
            complain(error)
        except KeyboardInterrupt:  # the second one, when the first took too long
            pass
        else:
            if interrupt.asked:
                write(" [stopped]")
        if said:
            self.turns.append(_message("assistant", "".join(said)))
            write("\n")
        else:
            self.turns.pop()

    def command(self, name, rest):
        """Does what a line that begins with / says."""
        if name not in self.commands:
            known = ", ".join([*self.commands, "/exit"])
            typer.echo(f"{name} is not a command. Known: {known}.", err=True)
        else:
            self.commands[name](rest)

    def reset(self, rest):
        """Forgets all but the system message."""
        self.turns = []
        typer.echo("A new conversation.", err=True)

    def set_system(self, rest):
        """Sets or shows the system message."""
        if rest:
            self.system = repaired(rest)
        typer.echo(f"System message: {self.system or 'none'}", err=True)

    def save(self, rest):
        """Writes the messages into a file, which is not to be another's."""
        if not rest:
            typer.echo("/save needs the name of a file.", err=True)
            return
        text = json.dumps(self.messages, ensure_ascii=False, indent=2)
        try:
            mode = "w" if rest in self.saved else "x"
            with open(rest, mode, encoding="utf-8") as file:
                file.write(f"{text}\n")
        except FileExistsError:
            typer.echo(f"{rest} exists; give another name.", err=True)
        except OSError as error:
            typer.echo(f"{rest} was not written: {error.strerror}.", err=True)
        else:
            self.saved.add(rest)
            typer.echo(f"{len(self.messages)} messages saved to {rest}.", err=True)

    def help(self, rest):
        """Lists the commands."""
        typer.echo(HELP, err=True, nl=False)


def _message(role, content):
    return {"role": role, "content": content}
