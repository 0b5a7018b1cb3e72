"""Train a summariser from long and short texts: vocabulary, T5, beams, ROUGE, export.

    python -m applications.summarization                     # descriptions of packages
    python -m applications.summarization --data news.jsonl --source-column article

The default data are the long and the short descriptions of Debian's packages (licences
of the packages). Vocabulary and model are new. Of descriptions with the same first
paragraph, as the packages of one program have them, one is kept.
"""

import re
import time

import keras

from applications.flags import run
from applications.nearest import nearest_answers
from applications.report import finish, print_scores
from applications.writing import (
    compare_export,
    make_model,
    new_parser,
    read_pairs,
    show_answers,
    train_model,
)
from zoo import Summarizer
from zoo.tasks.results.runs import make_output
from zoo.tasks.results.text_scores import summary_scores


def read_flags(arguments=None):
    parser = new_parser(
        "summarization", __doc__, epochs=4, max_length=48, target_length=24
    )
    return parser.parse_args(arguments)


def first_sentence(text):
    """A text up to the first mark that ends a sentence."""
    return re.split(r"(?<=[.!?])\s|(?<=[。！？])", text, maxsplit=1)[0]


def main(arguments=None):
    flags = read_flags(arguments)
    keras.utils.set_random_seed(flags.seed)
    train, held_out = read_pairs(Summarizer, flags)
    output = make_output(flags.output)
    began = time.perf_counter()  # downloads are over, unless the model is on a hub

    model = make_model(Summarizer, flags, train)
    curve, facts = train_model(model, flags, train, held_out, output)

    writing = time.perf_counter()
    written = model.predict(held_out.inputs, flags.batch_size, verbose=0)
    facts["writing_seconds"] = round(time.perf_counter() - writing, 1)
    given = {
        "nearest source by TF-IDF": nearest_answers(train, held_out.inputs),
        "first sentence": [first_sentence(text) for text in held_out.inputs],
        f"T5, {flags.beams} beams": written,
    }
    rows = {
        name: summary_scores(texts, held_out.answers) for name, texts in given.items()
    }
    title = f"{len(held_out):,} held-out texts"
    print_scores(title, rows, ("rouge1", "rouge2", "rougeL"), measure=model.metric)
    show_answers(held_out, written)
    if flags.export:
        compare_export(model, output, held_out, written)
    finish(output, flags, rows, facts, began=began, curve=curve)


if __name__ == "__main__":
    run(main)
