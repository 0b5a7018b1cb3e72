"""What the recipes of translation and of summarisation share: pairs, a T5, answers."""

import math
import time

from applications.flags import RecipeParser, positive, read_examples
from applications.report import try_export
from applications.small_models import t5_optimizer
from zoo import TensorBoard
from zoo.errors import DataError
from zoo.training.curves import Curve

CHECKS = 8  # looks at held-out pairs in the course of training
SHOWN = 5
# Shares of a weight that a step may change: as `t5_optimizer` has it, and as T5 was
# fine-tuned with (Raffel et al. 2019, arXiv:1910.10683).
NEW_RATE, LEARNT_RATE = 0.1, 1e-3


def new_parser(name, about, *, epochs, max_length, target_length):
    """A parser of the flags that both recipes have; the others are their defaults."""
    parser = RecipeParser(
        name,
        about,
        data="CSV, TSV or JSONL file of pairs; without it, sample data",
        model="directory or hub id of a T5; without it, a new small one",
        epochs=epochs,
        batch_size=32,
        learning_rate=None,
        rate=f"share of each weight, its peak; without it, {NEW_RATE} for a new model, "
        f"else {LEARNT_RATE}",
        examples="pairs",
    )
    add = parser.add_argument
    add("--source-column", default="source", help="column of what is read")
    add("--target-column", default="target", help="column of what is to be written")
    add("--hidden-size", type=positive, default=128, help="of a new model")
    add("--layers", type=positive, default=2, help="of each half of a new model")
    add("--vocab-size", type=positive, default=8000, help="of a new model")
    add("--max-length", type=positive, default=max_length, help="tokens of a source")
    add("--target-length", type=positive, default=target_length, help="of a target")
    add("--beams", type=positive, default=4, help="answers that are followed up")
    add("--scored", type=positive, default=500, help="held-out pairs that are scored")
    return parser


def read_pairs(kind, flags, *, sample=None):
    """Pairs to train on, and those held out that are scored; `sample` as elsewhere."""
    columns = {"source": flags.source_column, "target": flags.target_column}
    train, held_out = read_examples(kind, flags, columns, sample=sample)
    if held_out is None:
        train, held_out = train.hold_out(flags.seed)
    known = set(train.inputs)
    fresh = [i for i, text in enumerate(held_out.inputs) if text not in known]
    if not fresh:
        raise DataError(f"{held_out.name}: every source stands in training as well.")
    if len(fresh) < len(held_out):
        print(f"{len(held_out) - len(fresh):,} held-out sources stood in training: out")
    held_out = held_out.take(fresh).draw(flags.scored, flags.seed)
    print(f"{len(train):,} pairs to train on, {len(held_out):,} held out and scored")
    return train, held_out


def make_model(kind, flags, train):
    """A small new T5 with a vocabulary of its own, or the one that is asked for."""
    if flags.model is not None:
        model = kind.from_pretrained(flags.model)
    else:
        sizes = ("vocab_size", "hidden_size", "layers")
        sizes = {name: getattr(flags, name) for name in sizes}
        model = kind.from_examples(train, **sizes)
    model.max_length, model.target_length = flags.max_length, flags.target_length
    options = {"num_beams": flags.beams, "max_new_tokens": flags.target_length}
    model.generation_defaults = {**(model.generation_defaults or {}), **options}
    tokens = model.tokenizer.vocab_size
    print(f"{model.count_params():,} parameters, {tokens:,} tokens")
    return model


def train_model(model, flags, train, held_out, output):
    """Fits, with several looks at held-out pairs, and saves.

    Returns:
        Curve; and what metrics.json is to hold of it.
    """
    steps = math.ceil(len(train) / flags.batch_size) * flags.epochs
    checks = min(CHECKS, steps)
    steps = steps // checks * checks
    if flags.learning_rate is None:
        flags.learning_rate = NEW_RATE if flags.model is None else LEARNT_RATE
    model.compile(t5_optimizer(flags.learning_rate, steps))
    curve, began = Curve(), time.perf_counter()
    model.fit(
        train.inputs,
        train.answers,
        batch_size=flags.batch_size,
        epochs=checks,
        steps_per_epoch=steps // checks,
        validation_data=(held_out.inputs, held_out.answers),
        callbacks=[curve, TensorBoard(output / "logs")],
        seed=flags.seed,
        verbose=2,
    )
    seconds = time.perf_counter() - began
    model.save_pretrained(output / "model")
    return curve, {
        "parameters": model.count_params(),
        "examples": {"training": len(train), "held_out": len(held_out)},
        "steps": steps,
        "fit_seconds": round(seconds, 1),
    }


def show_answers(held_out, written):
    """Prints some sources, what was expected of them, and what was written."""
    print()
    rows = zip(held_out.inputs, held_out.answers, written, strict=True)
    for source, expected, answer in list(rows)[:SHOWN]:
        print(f"  source    {source[:300]}")
        print(f"  expected  {expected}")
        print(f"  written   {answer}\n")


def compare_export(model, output, held_out, written):
    """`try_export`, and prints for how many sources it writes what the model wrote."""
    found = try_export(model, output, {"text": held_out.inputs[:SHOWN]})["text"]
    same = sum(a == b for a, b in zip(found, written, strict=False))
    print(f"  writes the same for {same} of {len(found)} sources")
