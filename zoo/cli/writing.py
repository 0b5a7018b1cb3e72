"""Generate and chat from a terminal."""

import contextlib
import json
import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.conversation import Talk
from zoo.cli.groups import with_groups
from zoo.cli.options import Dtype, Revision
from zoo.cli.terminal import (
    given,
    new_console,
    read_all,
    repaired,
    showing_errors,
    waited,
    watched,
    write,
)
from zoo.errors import InputError

# An answer of chat is not to end in the middle of a sentence.
LONGEST_ANSWER = 512

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


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """How the next token is chosen, and where an answer ends."""

    do_sample: DoSample = False
    temperature: Temperature = None
    top_k: TopK = None
    top_p: TopP = None
    min_p: MinP = None
    repetition_penalty: RepetitionPenalty = None
    no_repeat_ngram_size: NoRepeat = None
    stop: Stop = None
    seed: Seed = None

    def options(self):
        """As `generate` of a model takes them; None where nothing was given."""
        found = {**vars(self), "do_sample": self.do_sample or None}
        return {"stop_strings": found.pop("stop"), **found}


@dataclass(frozen=True, kw_only=True)
class Writers:
    """A smaller model that drafts, and what both are loaded with."""

    assistant: Assistant = None
    num_assistant_tokens: NumAssistantTokens = None
    dtype: Dtype = None
    revision: Revision = None

    def options(self):
        """As `generate` of a model takes them, but for the model that drafts."""
        return {"num_assistant_tokens": self.num_assistant_tokens}

    def load(self, source, options, console, *, chats=False):
        """The model that writes; the one that drafts goes into `options`."""
        found = _load(
            source,
            dtype=self.dtype,
            revision=self.revision,
            console=console,
            chats=chats,
        )
        if self.assistant is not None:
            options["assistant_model"] = _load(
                self.assistant, dtype=self.dtype, console=console, speaks=False
            )
        return found


@with_groups
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
    drawing: Drawing,
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
    writers: Writers,
):
    """Continue PROMPT, or answer it (T5), and print what was written."""
    options = given(
        max_new_tokens=max_new_tokens,
        min_new_tokens=min_new_tokens,
        penalty_alpha=penalty_alpha,
        num_beams=num_beams,
        length_penalty=length_penalty,
        num_return_sequences=num_return_sequences,
        **drawing.options(),
        **writers.options(),
    )
    with showing_errors():
        single = (num_beams or 1) == 1 and (num_return_sequences or 1) == 1
        if stream and (as_json or not single):
            other = "--json" if as_json else "several beams or sequences"
            raise InputError(f"--stream and {other} contradict each other.")
        if prompt == "-":
            prompt = read_all().removesuffix("\n")
        prompt = repaired(prompt)
        console = new_console()
        writer = writers.load(model, options, console)
        if as_json:
            found = waited(
                lambda: writer.generate(
                    prompt, **options, return_dict_in_generate=True
                ),
                console,
            )
            found = found if isinstance(found, list) else [found]
            sequences = [_as_json(each) for each in found]
            typer.echo(
                json.dumps(
                    {"prompt": prompt, "sequences": sequences}, ensure_ascii=False
                )
            )
        elif single and (sys.stdout.isatty() if stream is None else stream):
            pieces = writer.generate(prompt, stream=True, **options)
            for piece in watched(pieces, console):
                write(piece)
            write("\n")
        else:
            found = waited(lambda: writer.generate(prompt, **options), console)
            for text in [found] if isinstance(found, str) else found:
                write(f"{text}\n")


@with_groups
def chat(
    model: Model,
    *,
    system: Annotated[
        str | None, typer.Option(help="The system message to begin with.")
    ] = None,
    max_new_tokens: Annotated[
        int, typer.Option(help="Tokens of an answer at most.")
    ] = LONGEST_ANSWER,
    drawing: Drawing,
    chat_template: Annotated[
        str | None,
        typer.Option(
            help="Name of one of the model's templates, Jinja source, or @FILE."
        ),
    ] = None,
    writers: Writers,
):
    """Talk with MODEL. Ctrl-C stops an answer, Ctrl-D leaves, /help says the rest."""
    options = given(
        max_new_tokens=max_new_tokens, **drawing.options(), **writers.options()
    )
    with showing_errors():
        if chat_template is not None and chat_template.startswith("@"):
            from zoo.files import read_bytes

            source = read_bytes(chat_template[1:], limit=1 << 20, error=InputError)
            chat_template = source.decode("utf-8", "replace")
        console = new_console()
        talker = writers.load(model, options, console, chats=True)
        from zoo.generation.chat import choose_template

        talker.generation_config(**options)  # what is wrong is said before all else
        template = choose_template(talker.tokenizer.chat_template, chat_template)
    options["chat_template"] = template
    Talk(talker, options, console, system=system).run()


def _as_json(sequence):
    """A Sequence in words of JSON, which has no infinity."""
    score = sequence.score
    if score is not None and not math.isfinite(score):  # a beam that found nothing
        score = None
    return {**sequence._asdict(), "score": score}


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
