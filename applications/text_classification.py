"""Fine-tune, evaluate and export a text classifier: data, model, fit, metric, picture.

    python -m applications.text_classification                    # film reviews, MiniLM
    python -m applications.text_classification --data reviews.csv --text-column review

The default data are sentences of film reviews that 15 to 20 people rated each (Hutto
and Gilbert 2014, MIT licence); the default model is MiniLM-L6 (Apache-2.0).
"""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

import keras

from zoo import TensorBoard, TextClassifier
from zoo.data.samples import fetch
from zoo.errors import ZooError
from zoo.export import run_in_clean_process
from zoo.tasks.runs import make_output, write_results
from zoo.training.curves import Curve

BASELINE = "TF-IDF + logistic regression"
SENTENCES = (
    "A moving story, wonderfully acted.",
    "Two hours of my life that I will never get back.",
    "The plot is thin, but the cast makes it a joy to watch.",
)


def read_flags(arguments=None):
    parser = argparse.ArgumentParser(
        prog="text_classification",
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--data", type=Path, help="CSV, TSV or JSONL file; without it, film reviews")
    add("--validation", type=Path, help="such a file; without it, a tenth of the data")
    add("--text-column", default="text", help="column that holds the text")
    add("--label-column", default="label", help="column that holds the label")
    add("--model", help="directory or hub id of an encoder; without it, MiniLM")
    add("--output", type=Path, default=Path("runs/text_classification"), help="results")
    add("--epochs", type=_positive, default=1, help="passes over the data")
    add("--batch-size", type=_positive, default=32, help="examples in a step")
    add("--learning-rate", type=float, default=1e-4, help="its peak")
    add("--max-length", type=int, default=128, help="tokens; longer texts are cut")
    add("--seed", type=int, default=7, help="of the split, new weights and dropout")
    add(
        "--export",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="write a SavedModel for TF Serving and try it in a clean process",
    )
    return parser.parse_args(arguments)


def read_data(flags):
    """All labels, training examples and held-out ones."""
    if flags.data is None:
        everything = TextClassifier.read_sample()
    else:
        everything = read_file(flags.data, flags)
    # A rare label may stand among those held out alone; in a file of its own it is odd.
    labels = TextClassifier.options_for(everything)["labels"]
    if flags.validation is not None:
        return labels, everything, read_file(flags.validation, flags)
    return labels, *everything.hold_out(flags.seed)


def read_file(path, flags):
    columns = {"text": flags.text_column, "label": flags.label_column}
    examples = TextClassifier.read_file(path, columns)
    print(examples.report)
    return examples


def baseline_accuracy(train, held_out):
    """TF-IDF of words and word pairs, and logistic regression, on the same split."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    vectors = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    model = make_pipeline(vectors, LogisticRegression(C=10, max_iter=1000))
    try:
        model.fit(train.inputs, train.answers)
        return model.score(held_out.inputs, held_out.answers)
    except ValueError:  # no word stands in two texts: nothing to tell labels apart by
        commonest = Counter(train.answers).most_common(1)[0][0]
        return held_out.answers.count(commonest) / len(held_out)


def main(arguments=None):
    flags = read_flags(arguments)
    began = time.perf_counter()
    keras.utils.set_random_seed(flags.seed)

    labels, train, held_out = read_data(flags)
    print(f"{len(train):,} examples to train on, {len(held_out):,} held out")
    source = flags.model or fetch(TextClassifier.sample_model)
    output = make_output(flags.output)
    started = time.perf_counter()  # downloads are over, unless the model is on a hub

    classifier = TextClassifier.from_pretrained(source, labels=labels)
    classifier.max_length = min(flags.max_length, classifier.max_length)
    classifier.compile(learning_rate=flags.learning_rate)
    untrained = classifier.measure(held_out)

    curve = Curve()
    board = TensorBoard(output / "logs", samples=list(SENTENCES))
    fit_started = time.perf_counter()
    classifier.fit(
        train.inputs,
        train.answers,
        batch_size=flags.batch_size,
        epochs=flags.epochs,
        validation_data=(held_out.inputs, held_out.answers),
        callbacks=[board, curve],
        seed=flags.seed,
    )
    fit_seconds = time.perf_counter() - fit_started
    classifier.save_pretrained(output / "model")

    trained = classifier.measure(held_out)
    common = Counter(held_out.answers).most_common(1)[0][1] / len(held_out)
    baseline = baseline_accuracy(train, held_out)
    print(f"\n{'accuracy on held-out examples':36}{len(held_out):>7,} examples")
    for name, value in (
        ("commonest label", common),
        ("before training", untrained["accuracy"]),
        (BASELINE, baseline),
        ("after training", trained["accuracy"]),
    ):
        print(f"  {name:34}{value:>7.3f}")
    print(f"F1 after training, mean of the labels: {trained['f1']:.3f}")

    if flags.export:
        exported = classifier.export_saved_model(output / "export", version=1)
        found = run_in_clean_process(exported, {"text": SENTENCES})
        print("\nthe export, in a process without zoo and Keras")
        rows = zip(found["label"], found["probabilities"], SENTENCES, strict=True)
        for name, probabilities, sentence in rows:
            print(f"  {name:12}{max(probabilities):6.3f}  {sentence}")

    seconds = time.perf_counter() - started
    metrics = {
        **trained,
        "accuracy_untrained": untrained["accuracy"],
        "accuracy_tfidf_logistic_regression": baseline,
        "accuracy_commonest_label": common,
        "examples": {"training": len(train), "held_out": len(held_out)},
        "fit_seconds": round(fit_seconds, 1),
        "seconds": round(seconds, 1),
        "flags": vars(flags),
    }
    compared = {BASELINE: baseline}
    files = write_results(
        output, metrics, curve=curve, untrained=untrained, compared=compared
    )
    print(
        f"\n{output}: {', '.join(files)}, model/, logs/ (tensorboard)"
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
