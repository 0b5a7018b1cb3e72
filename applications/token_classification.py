"""Fine-tune, evaluate and export a tagger of named entities: data, model, fit, metric.

    python -m applications.token_classification                    # tweets, MiniLM
    python -m applications.token_classification --data train.conll --crf

The default data are 2,295 different tweets whose entities have ten types, in CoNLL's
columns (package MIT; where the texts are from it does not say); the default model is
MiniLM-L6 (Apache-2.0), which knows no capital letters.
"""

import time
from collections import Counter

import keras

from applications.flags import RecipeParser, positive, read_examples, run, split
from applications.report import (
    draw_looks,
    finish,
    print_scores,
    print_table,
    try_export,
)
from zoo import TensorBoard, TokenClassifier
from zoo.data import tags
from zoo.data.samples import fetch
from zoo.tasks import ExampleSet
from zoo.tasks.answers import entities
from zoo.tasks.results.markup import write_markup
from zoo.tasks.results.runs import make_output
from zoo.training.curves import Curve

BASELINE = "each word's most frequent tag"
SENTENCES = (
    "Justin Bieber sings in New York on Friday 😀",
    "watching Toy Story with Anna, then back to London",
)
SHOWN = 50  # held-out sentences in the mark-up


def read_flags(arguments=None):
    parser = RecipeParser(
        "token_classification",
        __doc__,
        data="file in CoNLL's columns; without it, tweets",
        model="directory or hub id to begin with; without it, MiniLM",
        epochs=4,
        batch_size=16,
        learning_rate=3e-4,
        examples="sentences",
    )
    add = parser.add_argument
    add("--word-column", default="0", help="column of the word, from 0 on")
    add("--tag-column", default="-1", help="column of the tag; -1 is the last")
    add("--scheme", choices=("BIO", "BIOES"), default="BIO", help="of the labels")
    add("--crf", action="store_true", help="labels form a chain (a CRF head)")
    length = "tokens in a window of a long text"
    add("--max-length", type=positive, default=128, help=length)
    return parser.parse_args(arguments)


def read_data(flags):
    """All labels, sentences to train on and held-out ones."""
    columns = {"word": flags.word_column, "tag": flags.tag_column}
    everything, held_out = (
        examples and in_scheme(examples, flags.scheme)
        for examples in read_examples(TokenClassifier, flags, columns)
    )
    return split(TokenClassifier, everything, held_out, flags.seed)


def in_scheme(examples, scheme):
    answers = [tags.convert(row, scheme) for row in examples.answers]
    return ExampleSet(examples.inputs, answers, examples.name)


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


def write_page(path, tagger, held_out):
    """A page of held-out sentences with the entities marked."""
    few = held_out.take(range(min(SHOWN, len(held_out))))
    rows = zip(few.inputs, tagger.tag(few.inputs), few.answers, strict=True)
    marked = [
        (" ".join(words), in_characters(words, row), in_characters(words, wanted))
        for words, row, wanted in rows
    ]
    write_markup(path, marked, title="Held-out sentences; wanted, where other")


def main(arguments=None):
    flags = read_flags(arguments)
    keras.utils.set_random_seed(flags.seed)
    labels, train, held_out = read_data(flags)
    print(f"{len(train):,} sentences to train on, {len(held_out):,} held out")
    source = flags.model or fetch(TokenClassifier.sample_model)
    output = make_output(flags.output)
    began = time.perf_counter()  # downloads are over, unless the model is on a hub

    tagger = TokenClassifier.from_pretrained(source, labels=labels, crf=flags.crf)
    tagger.limit_length(flags.max_length)
    tagger.compile(learning_rate=flags.learning_rate)
    untrained = tagger.measure(held_out)

    curve, fit_began = Curve(), time.perf_counter()
    tagger.fit(
        train.inputs,
        train.answers,
        batch_size=flags.batch_size,
        epochs=flags.epochs,
        validation_data=(held_out.inputs, held_out.answers),
        callbacks=[TensorBoard(output / "logs"), curve],
        seed=flags.seed,
    )
    fit_seconds = time.perf_counter() - fit_began
    tagger.save_pretrained(output / "model")

    trained = tagger.measure(held_out)
    outside = sum(row.count("O") for row in held_out.answers)
    rows = {
        "all O": {"accuracy": outside / sum(map(len, held_out.inputs)), "f1": 0.0},
        "before training": untrained,
        BASELINE: baseline_scores(train, held_out),
        "after training": trained,
    }
    names = ("precision", "recall", "f1", "accuracy")
    title = f"entities of {len(held_out):,} held-out sentences"
    print_scores(title, rows, names, measure="f1")
    print("accuracy: words with the right tag; the rest by seqeval")
    by_type = {
        kind: {
            "entities": row["entities"],
            "baseline": rows[BASELINE]["types"].get(kind, {}).get("f1", 0.0),
            "after training": row["f1"],
        }
        for kind, row in trained["types"].items()
    }
    forms = {"entities": ",", "baseline": ".3f", "after training": ".3f"}
    print_table("f1 of each type", by_type, forms)

    if flags.export:
        found = try_export(tagger, output, {"text": SENTENCES})
        for i, text in enumerate(SENTENCES):
            print(f"  {text}")
            columns = (found[name][i] for name in ("entity", "start", "end", "score"))
            for kind, start, end, score in zip(*columns, strict=True):
                if kind:
                    print(f"    {kind:12}{score:6.3f}  {text[start:end]}")

    write_page(output / "entities.html", tagger, held_out)
    draw_looks(tagger, output, SENTENCES[0])
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
        files=["entities.html", "attention.png"],
        curve=curve,
        untrained=untrained,
        compared={"all O": rows["all O"]["accuracy"]},
    )


if __name__ == "__main__":
    run(main)
