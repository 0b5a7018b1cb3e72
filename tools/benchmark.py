"""The benchmarks: zoo side by side with KerasHub and transformers, in one run.

    python -m tools.benchmark train --markdown docs/benchmarks.md

A further benchmark is a module with its contenders, a function here that measures them,
and a row in `COMMANDS`.
"""

import os
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tools import (
    benchmark_decode,
    benchmark_encoder,
    benchmark_finetune,
    benchmark_language_model,
    benchmark_load,
    benchmark_memory,
    benchmark_tokenize,
)
from tools.benchmark_report import Report, usable_cores
from tools.benchmark_turns import BenchmarkError, Result, Turn, measure

ONLY = "Measure only these contenders (repeatable)."
Rounds = Annotated[int, typer.Option(min=1, help="Turns of each contender.")]
Steps = Annotated[int, typer.Option(min=1, help="Counted steps in each turn.")]
Warmup = Annotated[int, typer.Option(min=1, help="Steps before, in each turn.")]
Only = Annotated[list[str] | None, typer.Option("--only", help=ONLY)]
Output = Annotated[Path | None, typer.Option(help="Write all figures as JSON.")]
Markdown = Annotated[
    Path | None,
    typer.Option(help="Write or replace this benchmark's section in this file."),
]
Precision = Annotated[
    list[str] | None,
    typer.Option(help="float32 or bfloat16 (repeatable); both if left out."),
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, help="Threads of each contender; all cores if left out."),
]
BatchSize = Annotated[int, typer.Option(min=1, help="Rows in a batch.")]
Length = Annotated[int, typer.Option(min=2, max=512, help="Tokens in a row.")]
Row = Annotated[
    list[str] | None,
    typer.Option(
        help="Measure this row, or those with this in their name (repeatable)."
    ),
]


def train(
    rounds: Rounds = 5,
    steps: Steps = 7,
    warmup: Warmup = 2,
    precision: Precision = None,
    batch_size: BatchSize = 16,
    length: Length = 128,
    row: Row = None,
    threads: Threads = None,
    only: Only = None,
    output: Output = None,
    markdown: Markdown = None,
):
    """Training steps of BERT, GPT-2 and T5, with AdamW and dropout."""
    shape = benchmark_encoder.Shape(batch=batch_size, length=length)
    options = {"rounds": rounds, "steps": steps, "warmup": warmup}
    title = f"Training step, AdamW, dropout {shape.dropout}"
    precisions = [
        name
        for name in precision or benchmark_encoder.PRECISIONS
        if asked_for(name, row, benchmark_encoder.PRECISIONS)
    ]
    groups, notes = {}, []
    if precisions:
        encoder = encoder_report("train", "", shape, options, precisions, threads, only)
        groups, notes = encoder.groups, encoder.notes[:3]
        notes.insert(
            0, f"Rows with a precision alone: BERT classifier, {describe(shape)}."
        )
    for label, work in benchmark_language_model.WORKS.items():
        wanted = asked_for(label, row, benchmark_encoder.PRECISIONS)
        if not wanted or (precision and not row):
            continue
        every = benchmark_language_model.contenders(work, threads)
        if only:
            every = [c for c in every if c.name.lower() in set(map(str.lower, only))]
        groups[label] = in_turns(every, label, options)
    if len(groups) > len(precisions):
        notes.append(
            "GPT-2 and T5 have random weights and full rows, every token of which is "
            "scored. KerasHub (with and without XLA) and transformers (fused and "
            "multi-tensor AdamW) are shown at their fastest; KerasHub has no T5 that "
            "is trained."
        )
    report = Report("train", title, options, groups, [*notes, show_threads(groups)])
    finish(report, output, markdown)


def finetune(
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each contender.")] = 3,
    batch_size: BatchSize = 32,
    examples: Annotated[
        int | None, typer.Option(min=1, help="Learn from so many; all if left out.")
    ] = None,
    row: Row = None,
    threads: Threads = None,
    only: Only = None,
    output: Output = None,
    markdown: Markdown = None,
):
    """One epoch of fine-tuning MiniLM on film reviews, from strings on."""
    from zoo.data.samples import fetch

    work = benchmark_finetune.Work(batch=batch_size, examples=examples)
    options = {"rounds": rounds, "steps": 1, "warmup": 0}
    label = "float32"
    every = benchmark_finetune.contenders(work, fetch("minilm"), threads)
    every = [c for c in chosen(every, only) if asked_for(c.name, row)]
    groups = {label: in_turns(every, label, options)}
    notes = [
        "From strings on; tracing and compiling are in the time, loading is not. The "
        "accuracy is of 1,000 held-out sentences after the epoch.",
        "transformers pads batches of like length (groups of "
        f"{benchmark_finetune.GROUP} batches, sorted) to their longest row.",
        "KerasHub pads every row to the length shown. Its epoch is scaled from "
        f"{work.steps} steps, behind {benchmark_finetune.BEFORE} that are not counted.",
        "zoo tells what share of a step waits for its batch; 3 % is the goal.",
        show_threads(groups),
    ]
    title = f"One epoch of fine-tuning MiniLM on film reviews, batch {batch_size}"
    finish(
        Report("finetune", title, {"rounds": rounds}, groups, notes), output, markdown
    )


def forward(
    rounds: Rounds = 7,
    steps: Steps = 15,
    warmup: Warmup = 3,
    precision: Precision = None,
    batch_size: BatchSize = 16,
    length: Length = 128,
    threads: Threads = None,
    only: Only = None,
    output: Output = None,
    markdown: Markdown = None,
):
    """Inference of the same BERT classifier."""
    shape = benchmark_encoder.Shape(batch=batch_size, length=length)
    options = {"rounds": rounds, "steps": steps, "warmup": warmup}
    title = f"Inference of a BERT classifier ({describe(shape)})"
    report = encoder_report("forward", title, shape, options, precision, threads, only)
    finish(report, output, markdown)


def encoder_report(name, title, shape, options, precisions, threads, only):
    """Measures the BERT classifier in each precision."""
    precisions = precisions or benchmark_encoder.PRECISIONS
    for precision in precisions:
        if precision not in benchmark_encoder.PRECISIONS:
            known = " or ".join(benchmark_encoder.PRECISIONS)
            raise typer.BadParameter(f"--precision {precision}: expected {known}.")
    groups = {}
    for precision in precisions:
        every = benchmark_encoder.contenders(name, precision, shape, threads)
        groups[precision] = in_turns(chosen(every, only), precision, options)
    notes = [
        f"Rows have from {shape.length // 2} to {shape.length} tokens and are padded "
        f"to {shape.length}; all libraries get the same.",
        "zoo's classifier computes its last block for the first token alone, as its "
        "head reads no other; the outputs are those of the whole.",
        "zoo runs as it is by default. KerasHub was tried with and without XLA, and "
        + (
            "transformers with fused and multi-tensor AdamW"
            if name == "train"
            else "transformers in bfloat16 with autocast and with bfloat16 weights"
        )
        + "; the faster is shown.",
        show_threads(groups),
    ]
    return Report(name, title, options, groups, notes)


def load(
    rounds: Annotated[int, typer.Option(min=1, help="Loads by each contender.")] = 7,
    cache: Annotated[
        Path | None,
        typer.Option(help="Where the checkpoint is kept. Default: $ZOO_CACHE."),
    ] = None,
    only: Only = None,
    output: Output = None,
    markdown: Markdown = None,
):
    """Loading a GPT-2 of 124 million weights: time, and growth of peak memory."""
    directory = benchmark_load.make_checkpoint(cache=cache)
    size = (directory / benchmark_load.WEIGHTS).stat().st_size
    options = {"rounds": rounds, "steps": 1, "warmup": 0}
    contenders = chosen(benchmark_load.contenders(directory), only)
    groups = {"float32": in_turns(contenders, "float32", options, fresh=True)}
    notes = [
        "The file lies in the page cache and is loaded in a fresh process each time. "
        "Imports are not counted.",
        "Memory is the high-water mark of the resident set, less what it was after the "
        "imports.",
        "transformers maps the file: a page is read, and counted as memory, when it is "
        "first touched, so that a part of its cost comes with the first forward pass.",
        "KerasHub loads the backbone, whose head is the token table, as in the others.",
    ]
    title = f"Loading GPT-2 124M from a Hugging Face directory ({size / 1e6:,.0f} MB)"
    finish(
        Report("load", title, {"rounds": rounds}, groups, notes, memory=True),
        output,
        markdown,
    )


def memory(
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each contender.")] = 3,
    steps: Annotated[int, typer.Option(min=1, help="Counted steps in each turn.")] = 3,
    row: Row = None,
    threads: Threads = None,
    output: Output = None,
    markdown: Markdown = None,
):
    """Training with and without what spares memory: peak, and time."""
    options = {"rounds": rounds, "steps": steps, "warmup": 1}
    groups = {}
    for label, work in benchmark_memory.WORKS.items():
        if asked_for(label, row, benchmark_memory.WORKS):
            every = benchmark_memory.contenders(work, threads)
            groups[label] = in_turns(every, label, options, fresh=True)
    notes = [
        "A turn is a fresh process; memory is the growth of its peak from before the "
        "first step, graphs included, weights and inputs not.",
        "Models have random weights, float32, and learn by plain gradient descent.",
        "The plain form of 8,192 tokens holds 38.7 GB of attention weights alone and "
        "is not measured.",
        show_threads(groups),
    ]
    title = "A training step with what spares memory, and without"
    finish(
        Report("memory", title, options, groups, notes, memory=True), output, markdown
    )


def tokenize(
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each contender.")] = 7,
    megabytes: Annotated[int, typer.Option(min=1, help="Size of each text.")] = 4,
    threads: Threads = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="Where the samples are kept. Default: $ZOO_CACHE."),
    ] = None,
    output: Output = None,
    markdown: Markdown = None,
):
    """Text to ids in tf.data, beside `tokenizers` (Rust)."""
    threads = threads or usable_cores()
    found = benchmark_tokenize.run(
        rounds=rounds, megabytes=megabytes, threads=threads, cache=cache
    )
    title = f"Text to ids in tf.data, beside tokenizers ({megabytes} MB of each text)"
    groups = {f"{t['kind']}, {t['text']}": told(t) for t in found["timings"]}
    notes = [
        "Both run in one process, in turns, on the same lines; the ids are compared "
        "before anything is timed.",
        f"Threads: {threads} each.",
    ]
    finish(
        Report("tokenize", title, {"rounds": rounds}, groups, notes), output, markdown
    )


def decode(
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each contender.")] = 7,
    row: Row = None,
    threads: Threads = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="Where checkpoints are kept. Default: $ZOO_CACHE."),
    ] = None,
    only: Only = None,
    output: Output = None,
    markdown: Markdown = None,
):
    """Text generation with the same weights: greedy search and beams."""
    options = {"rounds": rounds, "steps": 1, "warmup": 1}
    groups = {}
    for name, work in benchmark_decode.WORKS.items():
        if not asked_for(name, row, benchmark_decode.WORKS):
            continue
        directory = benchmark_decode.checkpoint(work, cache=cache)
        every = benchmark_decode.contenders(work, directory, threads)
        label = f"{name}, {work.prompt} + {work.new}"
        results = in_turns(chosen(every, only), label, options)
        for result in results:
            if result.turns:
                speed = work.batch * work.new / result.median
                how = f"{speed:.0f} tokens/s, {result.about['variant']}"
                if bandwidth := result.about.get("bandwidth"):
                    share = result.about["bytes per token"] * speed / bandwidth
                    how += f", {share:.0%} of {bandwidth / 2**30:.0f} GiB/s"
                result.about["variant"] = how
        groups[label] = results
    notes = [
        "A step is a whole call: prompts are read, then tokens written. A first call, "
        "in which programs are traced and compiled, is not counted.",
        "GPT-2 has the shape of 124M and random weights, T5 the shape of T5-small; "
        "SmolLM2's weights are the real ones, dequantised. All in float32.",
        "Batch 1 reads every weight once for a token: its share of the speed at which "
        "XLA multiplies matrices by a vector, measured in the same process, is told.",
        "Text in pieces stands beside the same text at once, tokenizer included.",
        "KerasHub's greedy search gives every row of mixed prompts tokens up to one "
        "length; the time is that of the whole.",
        show_threads(groups),
    ]
    title = "Text generation, prompt + new tokens"
    report = Report("decode", title, options, groups, notes, memory=True)
    finish(report, output, markdown)


def told(timing):
    """One row of `benchmark_tokenize.run` as a `Result` of each contender."""
    results = []
    for name in ("zoo", "tokenizers"):
        turns = [Turn([seconds], 0) for seconds in timing[name]]
        speed = timing["megabytes"] / statistics.median(timing[name])
        results.append(Result(name, turns, {"variant": f"{speed:.1f} MB/s"}))
    if timing["different"]:
        differ = f"; {timing['different']} of {timing['lines']} lines differ"
        results[0].about["variant"] += differ
    return results


def asked_for(name, rows, whole=()):
    """Whether `--row` asks for a row.

    Args:
        whole: Names of which each is its row alone, even if others have it in theirs.
    """
    return not rows or any(
        part == name if part in whole else part in name for part in rows
    )


COMMANDS: dict[str, Callable] = {
    "train": train,
    "finetune": finetune,
    "forward": forward,
    "load": load,
    "memory": memory,
    "decode": decode,
    "tokenize": tokenize,
}


def in_turns(contenders, label, options, **others):
    """`measure`, with its progress on the terminal, and failures as one message."""
    console = Console(stderr=True)
    with console.status(label) as status:
        try:
            return measure(
                contenders,
                **options,
                **others,
                tell=lambda line: status.update(f"{label}: {line}"),
            )
        except BenchmarkError as error:
            console.print(f"error: {error}", style="red", soft_wrap=True, markup=False)
            raise typer.Exit(1) from None


def chosen(contenders, only):
    """Those named in `only`, in any case; all if it is empty."""
    names = {contender.name.lower() for contender in contenders}
    wanted = {name.lower() for name in only or names}
    if unknown := wanted - names:
        raise typer.BadParameter(
            f"--only {', '.join(sorted(unknown))}: expected "
            f"{', '.join(contender.name for contender in contenders)}."
        )
    return [contender for contender in contenders if contender.name.lower() in wanted]


def finish(report, output, markdown):
    """Prints a report and writes the files that were asked for."""
    report.print()
    report.write(output=output, markdown=markdown)


def describe(shape):
    """The model and the batch, in words."""
    return (
        f"{shape.layers} layers x {shape.hidden}, {shape.heads} heads, feed-forward "
        f"{shape.feedforward}, vocabulary {shape.vocabulary}, {shape.classes} classes, "
        f"batch {shape.batch} x {shape.length}"
    )


def show_threads(groups):
    """Which contender computed with how many threads."""
    found = {
        result.name: result.about.get("threads")
        for results in groups.values()
        for result in results
        if result.turns
    }
    told = ", ".join(f"{name} {threads}" for name, threads in found.items())
    return f"Threads (of {usable_cores()} cores): {told}."


app = typer.Typer(
    help="Measures zoo side by side with other libraries.",
    no_args_is_help=True,
    add_completion=False,
)
for name, command in COMMANDS.items():
    app.command(name)(command)

if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    app()
