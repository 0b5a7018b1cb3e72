"""Fine-tune, evaluate and export a tagger of named entities: data, model, fit, metric.

    python -m applications.token_classification                    # tweets, MiniLM
    python -m applications.token_classification --data train.conll --crf

The default data are 2,295 different tweets whose entities have ten types, in CoNLL's
columns (package MIT; where the texts are from it does not say); the default model is
MiniLM-L6 (Apache-2.0), which knows no capital letters.
"""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

import keras

from zoo import TensorBoard, TokenClassifier
from zoo.data import tags
from zoo.data.samples import fetch
from zoo.errors import ZooError
from zoo.export import run_in_clean_process
from zoo.tasks import entities
from zoo.tasks.form import ExampleSet
from zoo.tasks.markup import write_markup
from zoo.tasks.runs import make_output, write_results
from zoo.training.curves import Curve

BASELINE = "each word's most frequent tag"
SENTENCES = (
    "Justin Bieber sings in New York on Friday 😀",
    "watching Toy Story with Anna, then back to London",
)
SHOWN = 50  # held-out sentences in the mark-up


def read_flags(arguments=None):
    parser = argparse.ArgumentParser(
        prog="token_classification",
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--data", type=Path, help="file in CoNLL's columns; without it, tweets")
    add("--validation", type=Path, help="such a file; without it, a tenth of the data")
    add("--word-column", default="0", help="column of the word, from 0 on")
    add("--tag-column", default="-1", help="column of the tag; -1 is the last")
    add("--scheme", choices=("BIO", "BIOES"), default="BIO", help="of the labels")
    add("--crf", action="store_true", help="labels form a chain (a CRF head)")
    add("--model", help="directory or hub id of an encoder; without it, MiniLM")
    add(
        "--output", type=Path, default=Path("runs/token_classification"), help="results"
    )
    add("--epochs", type=_positive, default=4, help="passes over the data")
    add("--batch-size", type=_positive, default=16, help="sentences in a step")
    add("--learning-rate", type=float, default=3e-4, help="its peak")
    add("--max-length", type=int, default=128, help="tokens in a window of a long text")
    add("--seed", type=int, default=7, help="of the split, new weights and dropout")
    add(
        "--export",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="write a SavedModel for TF Serving and try it in a clean process",
    )
    return parser.parse_args(arguments)


def read_data(flags):
    """All labels, sentences to train on and held-out ones."""
    if flags.data is None:
        everything = TokenClassifier.read_sample()
        print(everything.report)
    else:
        everything = read_file(flags.data, flags)
    answers = [tags.convert(row, flags.scheme) for row in everything.answers]
    everything = ExampleSet(everything.inputs, answers, everything.name)
    # A rare type may stand among those held out alone; in a file of its own it is odd.
    labels = TokenClassifier.options_for(everything)["labels"]
    if flags.validation is None:
        return labels, *everything.hold_out(flags.seed)
    held_out = read_file(flags.validation, flags)
    answers = [tags.convert(row, flags.scheme) for row in held_out.answers]
    return labels, everything, ExampleSet(held_out.inputs, answers, held_out.name)


def read_file(path, flags):
    columns = {"word": flags.word_column, "tag": flags.tag_column}
    examples = TokenClassifier.read_file(path, columns)
    print(examples.report)
    return examples


def baseline_scores(train, held_out):
    """Of each word the tag that it has most often in training; "O" of unknown ones."""
    counts: dict[str, Counter] = {}
    for words, row in zip(train.inputs, train.answers, strict=True):
        for word, tag in zip(words, row, strict=True):
            counts.setdefault(word, Counter())[tag] += 1
    most = {word: count.most_common(1)[0][0] for word, count in counts.items()}
    given = [[most.get(word, "O") for word in words] for words in held_out.inputs]
    return entities.score(held_out.answers, given)


def in_characters(words, row):
    """The entities that tags spell out, in the words with a space between."""
    starts = [len(" ".join(words[:i])) + (i > 0) for i in range(len(words))]
    return [
        {"entity": kind, "start": starts[a], "end": starts[b - 1] + len(words[b - 1])}
        for kind, a, b in tags.spans(row)
    ]


def main(arguments=None):
    flags = read_flags(arguments)
    began = time.perf_counter()
    keras.utils.set_random_seed(flags.seed)

    labels, train, held_out = read_data(flags)
    print(f"{len(train):,} sentences to train on, {len(held_out):,} held out")
    source = flags.model or fetch(TokenClassifier.sample_model)
    output = make_output(flags.output)
    started = time.perf_counter()  # downloads are over, unless the model is on a hub

    tagger = TokenClassifier.from_pretrained(source, labels=labels, crf=flags.crf)
    tagger.max_length = min(flags.max_length, tagger.max_length)
    tagger.compile(learning_rate=flags.learning_rate)
    untrained = tagger.measure(held_out)

    curve = Curve()
    fit_started = time.perf_counter()
    tagger.fit(
        train.inputs,
        train.answers,
        batch_size=flags.batch_size,
        epochs=flags.epochs,
        validation_data=(held_out.inputs, held_out.answers),
        callbacks=[TensorBoard(output / "logs"), curve],
        seed=flags.seed,
    )
    fit_seconds = time.perf_counter() - fit_started
    tagger.save_pretrained(output / "model")

    trained = tagger.measure(held_out)
    baseline = baseline_scores(train, held_out)
    words = sum(map(len, held_out.inputs))
    outside = sum(row.count("O") for row in held_out.answers) / words
    print("\nF1 of entities (seqeval)      entities  baseline  before   after training")
    rows = {"all": (trained, baseline, untrained)}
    for kind in trained["types"]:
        scores = (
            each["types"].get(kind, {}) for each in (trained, baseline, untrained)
        )
        rows[kind] = tuple(scores)
    count = sum(row["entities"] for row in trained["types"].values())
    for name, (after, base, before) in rows.items():
        number = after.get("entities", count)
        values = (each.get("f1", 0.0) for each in (base, before, after))
        print(f"  {name:28}{number:>8,}" + "".join(f"{v:>9.3f}" for v in values))
    print(f"baseline: {BASELINE}, O for words that training does not have")
    print(f"words with the right tag: {trained['accuracy']:.3f} (all O: {outside:.3f})")

    if flags.export:
        exported = tagger.export_saved_model(output / "export", version=1)
        found = run_in_clean_process(exported, {"text": SENTENCES})
        print("\nthe export, in a process without zoo and Keras")
        for i, text in enumerate(SENTENCES):
            print(f"  {text}")
            columns = (found[name][i] for name in ("entity", "start", "end", "score"))
            for kind, start, end, score in zip(*columns, strict=True):
                if kind:
                    print(f"    {kind:12}{score:6.3f}  {text[start:end]}")

    seconds = time.perf_counter() - started
    metrics = {
        **trained,
        "baseline_most_frequent_tag": baseline,
        "untrained": untrained,
        "accuracy_all_outside": outside,
        "examples": {"training": len(train), "held_out": len(held_out)},
        "fit_seconds": round(fit_seconds, 1),
        "seconds": round(seconds, 1),
        "flags": vars(flags),
    }
    files = write_results(
        output, metrics, curve=curve, untrained=untrained, compared={"all O": outside}
    )
    few = held_out.take(range(min(SHOWN, len(held_out))))
    given = tagger.tag(few.inputs)
    marked = [
        (" ".join(words), in_characters(words, row), in_characters(words, wanted))
        for words, row, wanted in zip(few.inputs, given, few.answers, strict=True)
    ]
    write_markup(
        output / "entities.html",
        marked,
        title="Held-out sentences; wanted, where other",
    )
    print(
        f"\n{output}: {', '.join(files)}, entities.html, model/, logs/ (tensorboard)"
        + (", export/ (TF Serving)" if flags.export else "")
    )
    print(
        f"{seconds:.0f} s, {fit_seconds:.0f} of them training; with reading the data "
        f"{time.perf_counter() - began:.0f} s"
    )


def _positive(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from 1 on")
    return int(text)


if __name__ == "__main__":
    try:
        main()
    except (ZooError, OSError) as error:
        sys.exit(f"error: {error}")
