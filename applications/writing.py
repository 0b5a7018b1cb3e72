"""What the recipes of translation and of summarisation share: all but their tables."""

import argparse
import time
from pathlib import Path

from zoo import TensorBoard
from zoo.errors import DataError
from zoo.export import run_in_clean_process
from zoo.tasks.runs import make_output, write_results
from zoo.training.curves import Curve

CHECKS = 8  # looks at held-out pairs in the course of training
SHOWN = 5


def flags_of(name, description, *, steps, max_length, target_length, vocab_size):
    """A parser of the flags that both recipes have."""
    parser = argparse.ArgumentParser(
        prog=name,
        description=description,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--data", type=Path, help="CSV, TSV or JSONL file of pairs")
    add("--validation", type=Path, help="such a file; without it, a tenth of the data")
    add("--source-column", default="source", help="column of what is read")
    add("--target-column", default="target", help="column of what is to be written")
    add("--model", help="directory or hub id of a T5; without it, a new small one")
    add("--output", type=Path, default=Path(f"runs/{name}"), help="results")
    add("--steps", type=positive, default=steps, help="of training")
    add("--batch-size", type=positive, default=64, help="pairs in a step")
    add("--learning-rate", type=float, default=2e-3, help="its peak")
    add("--hidden-size", type=positive, default=192, help="of a new model")
    add("--layers", type=positive, default=3, help="of each half of a new model")
    add("--vocab-size", type=positive, default=vocab_size, help="of a new model")
    add("--max-length", type=positive, default=max_length, help="tokens of a source")
    add("--target-length", type=positive, default=target_length, help="of a target")
    add("--beams", type=positive, default=4, help="answers that are followed up")
    add("--scored", type=positive, default=500, help="held-out pairs that are scored")
    add("--seed", type=int, default=7, help="of the split, new weights and dropout")
    add(
        "--export",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="write a SavedModel for TF Serving and try it in a clean process",
    )
    return parser


def read_pairs(kind, flags, sample):
    """Pairs to train on, and those held out that are scored."""
    columns = {"source": flags.source_column, "target": flags.target_column}
    everything = sample() if flags.data is None else kind.read_file(flags.data, columns)
    print(everything.report)
    if flags.validation is None:
        train, held_out = everything.hold_out(flags.seed)
    else:
        train, held_out = everything, kind.read_file(flags.validation, columns)
        print(held_out.report)
    known = set(train.inputs)
    fresh = [i for i, text in enumerate(held_out.inputs) if text not in known]
    if not fresh:
        raise DataError(f"{held_out.name}: every source stands in training as well.")
    if len(fresh) < len(held_out):
        print(f"{len(held_out) - len(fresh):,} held-out sources stood in training: out")
    held_out = held_out.take(fresh).draw(flags.scored, flags.seed)
    print(f"{len(train):,} pairs to train on, {len(held_out):,} held out and scored")
    return train, held_out


def train_model(kind, flags, train, held_out):
    """A trained model, the curve of its training, and what it took."""
    if flags.model is not None:
        model = kind.from_pretrained(flags.model)
    else:
        sizes = ("vocab_size", "hidden_size", "layers")
        sizes = {name: getattr(flags, name) for name in sizes}
        model = kind.from_examples(train, **sizes)
    model.max_length, model.target_length = flags.max_length, flags.target_length
    options = {"num_beams": flags.beams, "max_new_tokens": flags.target_length}
    model.generation_defaults = {**(model.generation_defaults or {}), **options}
    parameters = model.count_params()
    print(f"{parameters:,} parameters, {model.tokenizer.vocab_size:,} tokens")
    model.compile(learning_rate=flags.learning_rate)
    output, curve = make_output(flags.output), Curve()
    checks = min(CHECKS, flags.steps)
    began = time.perf_counter()
    model.fit(
        train.inputs,
        train.answers,
        batch_size=flags.batch_size,
        epochs=checks,
        steps_per_epoch=flags.steps // checks,
        validation_data=(held_out.inputs, held_out.answers),
        callbacks=[curve, TensorBoard(output / "logs")],
        seed=flags.seed,
        verbose=2,
    )
    seconds = time.perf_counter() - began
    model.save_pretrained(output / "model")
    return model, curve, {"parameters": parameters, "fit_seconds": round(seconds, 1)}


def report(model, flags, train, held_out, given, scores, curve, facts):
    """Prints the table, verdicts, samples and the export, and writes the results.

    Args:
        given: Name -> answers to the held-out sources; the model's stand first.
        scores: From answers and references to the scores of a row.
        curve, facts: As of `train_model`.
    """
    rows = {name: scores(texts, held_out.answers) for name, texts in given.items()}
    rows = {
        name: {n: v for n, v in row.items() if isinstance(v, float)}
        for name, row in rows.items()
    }
    own, *others = rows
    heads = list(rows[own])
    print(f"\n{'held out':36}" + "".join(f"{head:>9}" for head in heads))
    for name, row in rows.items():
        print(f"  {name:34}" + "".join(f"{row[head]:9.3f}" for head in heads))
    for other in others:
        head = model.metric
        gain = rows[own][head] - rows[other][head]
        verdict = "better" if gain > 0 else "WORSE"
        print(f"{own} is {abs(gain):.3f} {head} {verdict} than: {other}")
    print()
    for i in range(min(SHOWN, len(held_out))):
        print(f"  source    {held_out.inputs[i][:300]}")
        print(f"  expected  {held_out.answers[i]}")
        print(f"  written   {given[own][i]}\n")
    if flags.export:
        exported = model.export_saved_model(flags.output / "export", version=1)
        found = run_in_clean_process(exported, {"text": held_out.inputs[:SHOWN]})
        same = sum(a == b for a, b in zip(found["text"], given[own], strict=False))
        print(
            "the export, in a process without zoo and Keras, writes the same for "
            f"{same} of {len(found['text'])} sources"
        )
    metrics = {
        **rows[own],
        "baselines": {name: rows[name] for name in others},
        "examples": {"training": len(train), "held_out": len(held_out)},
        **facts,
        "flags": vars(flags),
    }
    files = write_results(flags.output, metrics, curve=curve)
    print(
        f"\n{flags.output}: {', '.join(files)}, model/, logs/ (tensorboard)"
        + (", export/ (TF Serving)" if flags.export else "")
    )


def positive(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from 1 on")
    return int(text)
