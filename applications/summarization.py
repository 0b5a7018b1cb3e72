"""Train a summariser from long and short texts: vocabulary, T5, beams, ROUGE, export.

    python -m applications.summarization                     # descriptions of packages
    python -m applications.summarization --data news.jsonl --source-column article

The default data are the long and the short descriptions of Debian's packages (licences
of the packages). Vocabulary and model are new. Of descriptions with the same first
paragraph, as the packages of one program have them, one is kept.
"""

import re
import sys
import time

import keras

from applications.nearest import nearest_answers
from applications.writing import flags_of, read_pairs, report, train_model
from zoo import Summarizer
from zoo.errors import ZooError
from zoo.tasks.text_scores import summary_scores


def read_flags(arguments=None):
    parser = flags_of(
        "summarization",
        __doc__.partition("\n")[0],
        steps=700,
        max_length=96,
        target_length=24,
        vocab_size=8000,
    )
    return parser.parse_args(arguments)


def first_sentence(text):
    """A text up to the first mark that ends a sentence."""
    return re.split(r"(?<=[.!?])\s|(?<=[。！？])", text, maxsplit=1)[0]


def main(arguments=None):
    flags = read_flags(arguments)
    keras.utils.set_random_seed(flags.seed)
    train, held_out = read_pairs(Summarizer, flags, Summarizer.read_sample)
    began = time.perf_counter()
    model, curve, facts = train_model(Summarizer, flags, train, held_out)
    writing = time.perf_counter()
    written = model.predict(held_out.inputs, flags.batch_size, verbose=0)
    facts["writing_seconds"] = round(time.perf_counter() - writing, 1)
    given = {
        f"T5, {flags.beams} beams": written,
        "first sentence": [first_sentence(text) for text in held_out.inputs],
        "nearest source by TF-IDF": nearest_answers(train, held_out.inputs),
    }
    report(model, flags, train, held_out, given, summary_scores, curve, facts)
    print(
        f"{time.perf_counter() - began:.0f} s, {facts['fit_seconds']:.0f} in training"
    )


if __name__ == "__main__":
    try:
        main()
    except (ZooError, OSError) as error:
        sys.exit(f"error: {error}")
