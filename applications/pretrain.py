"""Pretrain a small Transformer from raw text, beside an LSTM and a 5-gram model.

    python -m applications.pretrain                        # GPT, public speeches
    python -m applications.pretrain --objective masked       # as BERT
    python -m applications.pretrain --objective span         # T5
    python -m applications.pretrain --objective replaced     # ELECTRA
    python -m applications.pretrain --data book.txt "more/*.jsonl" --text-column body

The default data are the State of the Union addresses of 1900 to 2021 (public domain).
Vocabulary, model and all it is compared with are learnt from the same tokens; the LSTM
and the 5-gram model read from left to right and are asked for the same held-out tokens.
"""

import math
import time

import keras
import numpy as np
import tensorflow as tf

from applications.flags import RecipeParser, positive, run
from applications.language_scores import COLUMNS, count_ngrams, language_scores
from applications.lstm import LEARNING_RATE, make_lstm, with_labels
from applications.objectives import OBJECTIVES
from applications.report import finish, print_scores
from zoo import TensorBoard, Tokenizer
from zoo.data.encoded import encode_texts
from zoo.data.packing import pack, packed_batches, packed_rows
from zoo.data.records import Records
from zoo.data.samples import addresses
from zoo.errors import DataError
from zoo.tasks.results.runs import make_output
from zoo.training.curves import Curve, draw_losses

HELD_OUT_ROWS = 256  # scored eight times in the course of training
CHECKS = 8


def read_flags(arguments=None):
    parser = RecipeParser(
        "pretrain",
        __doc__,
        epochs=3,
        batch_size=8,
        learning_rate=None,
        rate="its peak; without it, as the objective wants",
        examples="rows",
        export=False,
    )
    add = parser.add_argument
    add("--objective", choices=OBJECTIVES, default="causal", help="what is learnt")
    add("--data", nargs="+", help="text files or patterns; without it, addresses")
    add("--text-column", default="text", help="column of JSONL, CSV, TSV and Parquet")
    add("--vocab-size", type=positive, default=2048, help="tokens to learn, at most")
    add("--length", type=positive, default=128, help="tokens in a row")
    add("--hidden-size", type=positive, default=128, help="width, a multiple of 64")
    add("--layers", type=positive, default=3, help="blocks; of T5, of both halves")
    add("--lstm-rate", type=float, default=LEARNING_RATE, help="the LSTM's peak")
    return parser.parse_args(arguments)


def read_texts(flags):
    """Texts to train on, and a tenth held out."""
    if flags.data is None:
        texts = addresses(since=1900)
    else:
        records = Records(flags.data, columns=[flags.text_column], unit="paragraph")
        texts = [text for row in records for text in row.values() if text.strip()]
        print(records.report())
    order = np.random.default_rng(flags.seed).permutation(len(texts))
    held = len(texts) // 10
    if not held:
        raise DataError(
            f"{len(texts)} texts are too few to hold out a tenth. A text is a record, "
            "or a paragraph of plain text: give more, with blank lines between them."
        )
    return [texts[i] for i in order[held:]], [texts[i] for i in order[:held]]


def packed(texts, tokenizer, flags):
    end = tokenizer.eos_token if OBJECTIVES[flags.objective].ends else None
    encoded = encode_texts(texts, tokenizer, end=end)
    return encoded, pack(encoded.lengths, flags.length)


def train(model, batches, held_out, steps, measure, logs):
    """Fits, with several looks at the held-out rows; the curve and the seconds."""
    curve, began = Curve(measure), time.perf_counter()
    checks = min(CHECKS, steps)  # as many as divide them
    model.fit(
        batches,
        epochs=checks,
        steps_per_epoch=steps // checks,
        validation_data=held_out,
        callbacks=[TensorBoard(logs), curve],
        verbose=2,
    )
    return curve, time.perf_counter() - began


def main(arguments=None):
    flags = read_flags(arguments)
    keras.utils.set_random_seed(flags.seed)
    objective = OBJECTIVES[flags.objective]
    texts, held_texts = read_texts(flags)
    output = make_output(flags.output)
    began = time.perf_counter()

    tokenizer = Tokenizer.train(
        texts, kind=objective.vocabulary, vocab_size=flags.vocab_size
    )
    encoded, packing = packed(texts, tokenizer, flags)
    chosen = np.random.default_rng(flags.seed)
    held_encoded, held_packing = packed(held_texts, tokenizer, flags)
    numbers = chosen.permutation(held_packing.rows)[:HELD_OUT_ROWS]
    held_rows = packed_rows(held_encoded, held_packing, numbers)
    held_out, asked = objective.held_out(held_rows, tokenizer, flags.batch_size)
    steps = packing.steps(flags.batch_size) * flags.epochs
    steps -= steps % min(CHECKS, steps)
    print(
        f"{len(encoded.ids):,} tokens of {tokenizer.vocab_size:,} kinds in "
        f"{packing.rows:,} rows, {steps:,} steps; {asked.sum():,} tokens held out"
    )

    options = {"batch_size": flags.batch_size, "seed": flags.seed}
    batches = packed_batches(encoded, packing, **options)
    sizes = {"layers": flags.layers, "length": flags.length}
    model = objective.model(tokenizer, hidden_size=flags.hidden_size, **sizes)
    model.tokenizer = tokenizer
    if flags.learning_rate is None:
        flags.learning_rate = objective.learning_rate
    model.compile(**objective.compile_options(flags.learning_rate, steps))
    logs = output / "logs"
    curve, seconds = train(
        model,
        objective.change(batches, tokenizer, seed=flags.seed),
        held_out,
        steps,
        objective.measure,
        logs / "transformer",
    )
    model.save_pretrained(output / "model")
    found = model.evaluate(held_out, verbose=0, return_dict=True)

    lstm = make_lstm(tokenizer.vocab_size, model.count_params(), flags.lstm_rate, steps)
    wanted = tf.data.Dataset.from_tensor_slices((held_rows, asked))
    wanted = wanted.batch(flags.batch_size).map(with_labels)
    lstm_curve, lstm_seconds = train(
        lstm, batches.map(with_labels), wanted, steps, "loss", logs / "lstm"
    )
    lstm_found = lstm.evaluate(wanted, verbose=0, return_dict=True)

    _, scores = count_ngrams(encoded, packing, held_rows, asked, tokenizer.vocab_size)
    name = f"{type(model).__name__} ({flags.objective})"
    loss = math.log(lstm_found["perplexity"])
    rows = {
        "5-gram": scores,
        "LSTM": language_scores(loss, lstm.count_params(), lstm_seconds),
        name: language_scores(found[objective.measure], model.count_params(), seconds),
    }
    title = f"{asked.sum():,} held-out tokens"
    print_scores(title, rows, COLUMNS, measure="loss", less_is_better=True)
    if flags.objective == "replaced":
        print(
            f"tokens told to be original or not: {found['detection_accuracy']:.3f}; "
            f"by always saying 'original': {1 - found['replaced']:.3f}"
        )

    draw_losses(
        output / "curve.png",
        {name: curve, "LSTM": lstm_curve},
        constant={"5-gram": rows["5-gram"]["loss"]},
    )
    facts = {
        "examples": {"training": len(texts), "held_out": len(held_texts)},
        "tokens": {"training": len(encoded.ids), "held_out": int(asked.sum())},
        "held_out": found,
        "steps": steps,
    }
    finish(output, flags, rows, facts, began=began, files=["curve.png"])


if __name__ == "__main__":
    run(main)
