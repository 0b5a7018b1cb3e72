"""Train a translator from pairs of texts: vocabulary, T5, beams, BLEU, export.

    python -m applications.translation                        # English to German
    python -m applications.translation --language zh          # English to Chinese
    python -m applications.translation --data pairs.tsv --source-column en

The default data are what programs say to their users: texts of Home Assistant's
interface (Apache-2.0) and of Django's gettext catalogues (BSD). Vocabulary and model
are new. Each source comes once, so that none of those held out stands in training.
"""

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
from zoo import Translator
from zoo.tasks.results.runs import make_output
from zoo.tasks.results.text_scores import translation_scores


def read_flags(arguments=None):
    parser = new_parser(
        "translation", __doc__, epochs=4, max_length=48, target_length=48
    )
    parser.add_argument(
        "--language", choices=("de", "zh"), default="de", help="of the default data"
    )
    return parser.parse_args(arguments)


def main(arguments=None):
    flags = read_flags(arguments)
    keras.utils.set_random_seed(flags.seed)
    train, held_out = read_pairs(
        Translator, flags, sample=lambda: Translator.read_sample(flags.language)
    )
    output = make_output(flags.output)
    began = time.perf_counter()  # downloads are over, unless the model is on a hub

    model = make_model(Translator, flags, train)
    curve, facts = train_model(model, flags, train, held_out, output)

    writing = time.perf_counter()
    written = model.predict(held_out.inputs, flags.batch_size, verbose=0)
    facts["writing_seconds"] = round(time.perf_counter() - writing, 1)
    given = {
        "the source as it is": held_out.inputs,
        "nearest source by TF-IDF": nearest_answers(train, held_out.inputs),
        f"T5, {flags.beams} beams": written,
    }
    rows = {
        name: translation_scores(texts, held_out.answers)
        for name, texts in given.items()
    }
    title = f"{len(held_out):,} held-out texts"
    print_scores(title, rows, ("bleu", "chrf"), measure=model.metric)
    show_answers(held_out, written)
    if flags.export:
        compare_export(model, output, held_out, written)
    finish(output, flags, rows, facts, began=began, curve=curve)


if __name__ == "__main__":
    run(main)
