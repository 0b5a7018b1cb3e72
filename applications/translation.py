"""Train a translator from pairs of texts: vocabulary, T5, beams, BLEU, export.

    python -m applications.translation                        # English to German
    python -m applications.translation --language zh          # English to Chinese
    python -m applications.translation --data pairs.tsv --source-column en

The default data are what programs say to their users: texts of Home Assistant's
interface (Apache-2.0) and of Django's gettext catalogues (BSD). Vocabulary and model
are new. Each source comes once, so that none of those held out stands in training.
"""

import sys
import time

import keras

from applications.nearest import nearest_answers
from applications.writing import flags_of, read_pairs, report, train_model
from zoo import Translator
from zoo.errors import ZooError
from zoo.tasks.text_scores import translation_scores


def read_flags(arguments=None):
    parser = flags_of(
        "translation",
        __doc__.partition("\n")[0],
        steps=1500,
        max_length=48,
        target_length=48,
        vocab_size=8000,
    )
    parser.add_argument(
        "--language", choices=("de", "zh"), default="de", help="of the default data"
    )
    return parser.parse_args(arguments)


def main(arguments=None):
    flags = read_flags(arguments)
    keras.utils.set_random_seed(flags.seed)
    train, held_out = read_pairs(
        Translator, flags, lambda: Translator.read_sample(flags.language)
    )
    began = time.perf_counter()
    model, curve, facts = train_model(Translator, flags, train, held_out)
    writing = time.perf_counter()
    written = model.predict(held_out.inputs, flags.batch_size, verbose=0)
    facts["writing_seconds"] = round(time.perf_counter() - writing, 1)
    given = {
        f"T5, {flags.beams} beams": written,
        "nearest source by TF-IDF": nearest_answers(train, held_out.inputs),
        "the source as it is": held_out.inputs,
    }
    facts["signature"] = translation_scores(written, held_out.answers)["signature"]
    report(model, flags, train, held_out, given, translation_scores, curve, facts)
    print(
        f"{time.perf_counter() - began:.0f} s, {facts['fit_seconds']:.0f} in training"
    )


if __name__ == "__main__":
    try:
        main()
    except (ZooError, OSError) as error:
        sys.exit(f"error: {error}")
