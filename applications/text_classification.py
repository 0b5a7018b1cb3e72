"""Fine-tune, evaluate and export a text classifier: data, model, fit, metric, picture.

    python -m applications.text_classification                    # film reviews, MiniLM
    python -m applications.text_classification --data reviews.csv --text-column review

The default data are sentences of film reviews that 15 to 20 people rated each (Hutto
and Gilbert 2014, MIT licence); the default model is MiniLM-L6 (Apache-2.0).
"""

import time

import keras

from applications.flags import RecipeParser, positive, read_examples, run, split
from applications.label_baselines import constant_scores, linear_scores
from applications.report import draw_looks, finish, print_scores, try_classifier
from zoo import TensorBoard, TextClassifier
from zoo.data.samples import fetch
from zoo.tasks.results.runs import make_output
from zoo.training.curves import Curve

BASELINE = "TF-IDF + logistic regression"
SENTENCES = (
    "A moving story, wonderfully acted.",
    "Two hours of my life that I will never get back.",
    "The plot is thin, but the cast makes it a joy to watch.",
)


def read_flags(arguments=None):
    parser = RecipeParser(
        "text_classification",
        __doc__,
        data="CSV, TSV or JSONL file; without it, film reviews",
        model="directory or hub id to begin with; without it, MiniLM",
        epochs=1,
        batch_size=32,
        learning_rate=1e-4,
    )
    add = parser.add_argument
    add("--text-column", default="text", help="column that holds the text")
    add("--label-column", default="label", help="column that holds the label")
    add("--max-length", type=positive, default=128, help="tokens; the rest is cut")
    return parser.parse_args(arguments)


def read_data(flags):
    """All labels, training examples and held-out ones."""
    columns = {"text": flags.text_column, "label": flags.label_column}
    everything, held_out = read_examples(TextClassifier, flags, columns)
    return split(TextClassifier, everything, held_out, flags.seed)


def main(arguments=None):
    flags = read_flags(arguments)
    keras.utils.set_random_seed(flags.seed)
    labels, train, held_out = read_data(flags)
    print(f"{len(train):,} examples to train on, {len(held_out):,} held out")
    source = flags.model or fetch(TextClassifier.sample_model)
    output = make_output(flags.output)
    began = time.perf_counter()  # downloads are over, unless the model is on a hub

    classifier = TextClassifier.from_pretrained(source, labels=labels)
    classifier.limit_length(flags.max_length)
    classifier.compile(learning_rate=flags.learning_rate)
    untrained = classifier.measure(held_out)

    curve, fit_began = Curve(), time.perf_counter()
    classifier.fit(
        train.inputs,
        train.answers,
        batch_size=flags.batch_size,
        epochs=flags.epochs,
        validation_data=(held_out.inputs, held_out.answers),
        callbacks=[TensorBoard(output / "logs", samples=list(SENTENCES)), curve],
        seed=flags.seed,
    )
    fit_seconds = time.perf_counter() - fit_began
    classifier.save_pretrained(output / "model")

    trained = classifier.measure(held_out)
    label, constant = constant_scores(train, held_out)
    baseline = linear_scores(train, held_out, ngram_range=(1, 2))  # words and pairs
    rows = {
        f"always {label!r}": constant,
        "before training": {name: untrained[name] for name in ("accuracy", "f1")},
        BASELINE: baseline,
        "after training": trained,
    }
    title = f"{len(held_out):,} held-out examples"
    print_scores(title, rows, ("accuracy", "f1"), measure="accuracy")

    draw_looks(classifier, output, SENTENCES[0])
    if flags.export:
        try_classifier(classifier, output, SENTENCES)
    facts = {
        "examples": {"training": len(train), "held_out": len(held_out)},
        "fit_seconds": round(fit_seconds, 1),
    }
    finish(
        output,
        flags,
        rows,
        facts,
        began=began,
        files=["attention.png"],
        curve=curve,
        untrained=untrained,
        compared={BASELINE: baseline["accuracy"]},
    )


if __name__ == "__main__":
    run(main)
