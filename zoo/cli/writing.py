"""Generate and chat from a terminal."""

import contextlib
import itertools
import json
import logging
import os
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.terminal import (
    Interrupt,
    complain,
    given,
    new_console,
    showing_errors,
)
from zoo.errors import InputError, ZooError

# An answer of chat is not to end in the middle of a sentence.
LONGEST_ANSWER = 512
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and new line

HELP = """\
/reset        begin a new conversation; the system message stays
/system TEXT  set the system message; without TEXT, show it
/save FILE    write the conversation to FILE, as JSON
/help         show this
/exit         leave; so does Ctrl-D

Ctrl-C stops an answer. A message that begins with / needs a space before it.
"""

# -- Options that several verbs have. Their names are those of GenerationConfig.

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A directory, a GGUF file, or a hub id such as "
        "HuggingFaceTB/SmolLM2-135M-Instruct.",
        show_default=False,
    ),
]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub.")]
Dtype = Annotated[
    str | None,
    typer.Option(help="float32 (where none is given), bfloat16 or mixed_bfloat16."),
]
DoSample = Annotated[
    bool, typer.Option("--do-sample", help="Draw tokens; else the best is taken.")
]
Temperature = Annotated[
    float | None, typer.Option(help="Divides the logits before a draw.")
]
TopK = Annotated[
    int | None,
    typer.Option(
        help="Best tokens to draw from, or to choose from with --penalty-alpha; 0: "
        "all. [50]"
    ),
]
TopP = Annotated[
    float | None, typer.Option(help="Mass of the best tokens to draw from. [1.0]")
]
MinP = Annotated[
    float | None,
    typer.Option(help="Least probability, in units of the best token's. [0.0]"),
]
RepetitionPenalty = Annotated[
    float | None, typer.Option(help="Above 1: what was said is less likely. [1.0]")
]
NoRepeat = Annotated[
    int | None,
    typer.Option("--no-repeat-ngram-size", help="No n-gram of this size twice."),
]
Seed = Annotated[
    int | None, typer.Option(help="Of the draws; none: another at every call.")
]
Stop = Annotated[
    list[str] | None,
    typer.Option("--stop", help="Text that ends the answer; may be given again."),
]
Assistant = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="A smaller model of the same vocabulary, which drafts; the text stays the "
        "same and may come sooner.",
    ),
]
NumAssistantTokens = Annotated[
    int | None, typer.Option(help="Tokens that --assistant drafts at a time. [5]")
]


def generate(
    model: Model,
    prompt: Annotated[
        str,
        typer.Argument(
            metavar="PROMPT", help='What to continue; "-" reads it from standard input.'
        ),
    ],
    *,
    max_new_tokens: Annotated[
        int | None, typer.Option(help="Tokens to write at most. [128]")
    ] = None,
    min_new_tokens: Annotated[
        int | None, typer.Option(help="Tokens to write at least. [0]")
    ] = None,
    do_sample: DoSample = False,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    penalty_alpha: Annotated[
        float | None,
        typer.Option(
            help="Contrastive search over --top-k candidates: weight of the penalty "
            "for what is like the text before; 0: off. [0.0]"
        ),
    ] = None,
    num_beams: Annotated[
        int | None, typer.Option(help="Beams; 1: no beam search. [1]")
    ] = None,
    length_penalty: Annotated[
        float | None,
        typer.Option(help="Beams: score = log-probability / length ** this. [1.0]"),
    ] = None,
    num_return_sequences: Annotated[
        int | None, typer.Option(help="Answers to one prompt, best first. [1]")
    ] = None,
    repetition_penalty: RepetitionPenalty = None,
    no_repeat_ngram_size: NoRepeat = None,
    stop: Stop = None,
    seed: Seed = None,
    stream: Annotated[
        bool | None,
        typer.Option(
            "--stream/--no-stream",
            help="Show the text while it is written. [on a terminal]",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print JSON: texts, ids, finish reasons, scores."),
    ] = False,
    assistant: Assistant = None,
    num_assistant_tokens: NumAssistantTokens = None,
    dtype: Dtype = None,
    revision: Revision = None,
):
    """Continue PROMPT, or answer it (T5), and print what was written."""
    options = given(
        max_new_tokens=max_new_tokens,
        min_new_tokens=min_new_tokens,
        do_sample=do_sample or None,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        penalty_alpha=penalty_alpha,
        num_beams=num_beams,
        length_penalty=length_penalty,
        num_return_sequences=num_return_sequences,
        repetition_penalty=repetition_penalty,
        no_repeat_ngram_size=no_repeat_ngram_size,
        stop_strings=stop,
        seed=seed,
        num_assistant_tokens=num_assistant_tokens,
    )
    with showing_errors():
        single = (num_beams or 1) == 1 and (num_return_sequences or 1) == 1
        if stream and (as_json or not single):
            other = "--json" if as_json else "several beams or sequences"
            raise InputError(f"--stream and {other} contradict each other.")
        if prompt == "-":
            prompt = sys.stdin.read().removesuffix("\n")
        console = new_console()
        writer = _load(model, dtype=dtype, revision=revision, console=console)
        if assistant is not None:
            options["assistant_model"] = _load(
                assistant, dtype=dtype, console=console, speaks=False
            )
        if as_json:
            found = _waited(
                lambda: writer.generate(
                    prompt, **options, return_dict_in_generate=True
                ),
                console,
            )
            found = found if isinstance(found, list) else [found]
            sequences = [each._asdict() for each in found]
            typer.echo(
                json.dumps(
                    {"prompt": prompt, "sequences": sequences}, ensure_ascii=False
                )
            )
        elif single and (sys.stdout.isatty() if stream is None else stream):
            pieces = writer.generate(prompt, stream=True, **options)
            for piece in _watched(pieces, console):
                _write(piece)
            _write("\n")
        else:
            found = _waited(lambda: writer.generate(prompt, **options), console)
            for text in [found] if isinstance(found, str) else found:
                _write(f"{text}\n")


def chat(
    model: Model,
    *,
    system: Annotated[
        str | None, typer.Option(help="The system message to begin with.")
    ] = None,
    max_new_tokens: Annotated[
        int, typer.Option(help="Tokens of an answer at most.")
    ] = LONGEST_ANSWER,
    do_sample: DoSample = False,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    repetition_penalty: RepetitionPenalty = None,
    no_repeat_ngram_size: NoRepeat = None,
    stop: Stop = None,
    seed: Seed = None,
    chat_template: Annotated[
        str | None,
        typer.Option(
            help="Name of one of the model's templates, Jinja source, or @FILE."
        ),
    ] = None,
    assistant: Assistant = None,
    num_assistant_tokens: NumAssistantTokens = None,
    dtype: Dtype = None,
    revision: Revision = None,
):
    """Talk with MODEL. Ctrl-C stops an answer, Ctrl-D leaves, /help says the rest."""
    options = given(
        max_new_tokens=max_new_tokens,
        do_sample=do_sample or None,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        no_repeat_ngram_size=no_repeat_ngram_size,
        stop_strings=stop,
        seed=seed,
        num_assistant_tokens=num_assistant_tokens,
    )
    with showing_errors():
        if chat_template is not None and chat_template.startswith("@"):
            from zoo.files import read_bytes

            source = read_bytes(chat_template[1:], limit=1 << 20, error=InputError)
            chat_template = source.decode("utf-8", "replace")
        console = new_console()
        talker = _load(
            model, dtype=dtype, revision=revision, console=console, chats=True
        )
        if assistant is not None:
            options["assistant_model"] = _load(
                assistant, dtype=dtype, console=console, speaks=False
            )
        from zoo.generation.chat import choose_template

        talker.generation_config(**options)  # what is wrong is said before all else
        template = choose_template(talker.tokenizer.chat_template, chat_template)
    options["chat_template"] = template
    Talk(talker, options, console, system=system).run()


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
        self.system = system
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
        on_terminal = sys.stdin.isatty()
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
                self.answer(_repaired(line.strip()))

    def answer(self, text):
        """Says the answer to a text; both are kept, as far as it was said."""
        self.turns.append(_message("user", text))
        said = []
        try:
            pieces = self.model.chat(self.messages, stream=True, **self.options)
            with Interrupt() as interrupt:
                for piece in _watched(pieces, self.console):
                    _write(piece)
                    said.append(piece)
                    if interrupt.asked:
                        break
        except ZooError as error:
            complain(error)
        except KeyboardInterrupt:  # the second one, when the first took too long
            pass
        else:
            if interrupt.asked:
                _write(" [stopped]")
        if said:
            self.turns.append(_message("assistant", "".join(said)))
            _write("\n")
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
            self.system = _repaired(rest)
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


def _watched(pieces, console):
    """Yields pieces, with a status for as long as there is nothing to read."""
    pieces = iter(pieces)
    with _status(console, "Reading ...") as compiles:
        first = list(itertools.islice(pieces, 1))
        if compiles.seen:  # the steps are compiled behind the first token
            first += itertools.islice(pieces, 1)
    yield from first
    yield from pieces


def _waited(write, console):
    with _status(console, "Writing ..."):
        return write()


def _load(source, *, dtype, console, revision=None, chats=False, speaks=True):
    """The model that writes, of a source; one that does not speak drafts for it."""
    with console.status(f"Loading {Path(source).name} ..."):
        from zoo import families, models
        from zoo.models.sources import open_source

        with open_source(source, revision=revision) as opened:
            family = families.family_named(opened.read_config().get("model_type"))
        kinds = {kind.assembly: kind for kind in (models.GPTModel, models.T5Model)}
        if family.assembly not in kinds:
            raise InputError(
                f"{source} is a {family.model_type} model, which reads and does not "
                "write. Pass a decoder (GPT-2, Llama, ...) or an encoder-decoder (T5)."
            )
        kind = kinds[family.assembly]
        if chats and not hasattr(kind, "chat"):
            raise InputError(
                f"{source} is a {family.model_type} model, which does not converse. "
                "Use zoo generate."
            )
        model = kind.from_pretrained(source, dtype, revision=revision)
        with _without_notes():
            if speaks:
                _ = model.tokenizer  # made here; without one, the error comes now
            _compile_nothing()
        return model


def _compile_nothing():
    """The first thing that XLA compiles, which it notes once in a process."""
    import tensorflow as tf

    tf.function(lambda: tf.constant(0) + 1, jit_compile=True)()


@contextlib.contextmanager
def _without_notes():
    """Drops what TensorFlow and SentencePiece note for their makers.

    No setting keeps them from it, and they write to the descriptor itself. What they
    say before they abort would be lost as well: nothing large is to happen within.
    """
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _write(text):
    """Shows a model's words; on a terminal, they cannot move its cursor."""
    if sys.stdout.isatty():
        text = CONTROLS.sub("\ufffd", text)
    sys.stdout.write(text)
    sys.stdout.flush()


def _message(role, content):
    return {"role": role, "content": content}


def _repaired(text):
    """A typed text; bytes that are not UTF-8 become U+FFFD."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
