"""Pretrain a small Transformer from raw text, beside an LSTM and a 5-gram model.

    python -m applications.pretrain                        # GPT, public speeches
    python -m applications.pretrain --objective masked       # BERT
    python -m applications.pretrain --objective span         # T5
    python -m applications.pretrain --objective replaced     # ELECTRA
    python -m applications.pretrain --data book.txt "more/*.jsonl" --text-column body

The default data are the State of the Union addresses of 1900 to 2021 (public domain).
Vocabulary, model and all it is compared with are learnt from the same tokens; the LSTM
and the 5-gram model read from left to right and are asked for the same held-out tokens.
"""

import argparse
import math
import sys
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from applications.lstm import make_lstm, with_labels
from applications.ngrams import NGrams
from applications.small_models import make_model
from zoo import TensorBoard, Tokenizer
from zoo.data.encoded import encode_texts
from zoo.data.masking import masked_batches
from zoo.data.packing import pack, packed_batches, packed_rows
from zoo.data.records import Records
from zoo.data.samples import addresses
from zoo.data.span_corruption import span_batches
from zoo.errors import DataError, ZooError
from zoo.tasks.runs import make_output, write_results
from zoo.training.curves import Curve, draw_losses
from zoo.training.labels import IGNORED, decoder_inputs

OBJECTIVES = {  # the kind of vocabulary, and what is compared
    "causal": ("bpe", "loss"),
    "masked": ("wordpiece", "loss"),
    "span": ("unigram", "loss"),
    "replaced": ("wordpiece", "generator_loss"),
}
HELD_OUT_ROWS = 256  # scored eight times in the course of training
CHECKS = 8


def read_flags(arguments=None):
    parser = argparse.ArgumentParser(
        prog="pretrain",
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--objective", choices=OBJECTIVES, default="causal", help="what is learnt")
    add("--data", nargs="+", help="text files or patterns; without it, addresses")
    add("--text-column", default="text", help="column of JSONL, CSV, TSV and Parquet")
    add("--output", type=Path, default=Path("runs/pretrain"), help="results")
    add("--vocab-size", type=_positive, default=2048, help="tokens to learn, at most")
    add("--length", type=_positive, default=128, help="tokens in a row")
    add("--hidden-size", type=_positive, default=128, help="width, a multiple of 64")
    add("--layers", type=_positive, default=3, help="blocks; of T5, of both halves")
    add("--batch-size", type=_positive, default=8, help="rows in a step")
    add("--epochs", type=_positive, default=1, help="passes over the data")
    add("--learning-rate", type=float, default=2e-3, help="its peak")
    add("--seed", type=int, default=7, help="of split, weights, order and masks")
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
    end = tokenizer.eos_token if flags.objective == "causal" else None
    encoded = encode_texts(texts, tokenizer, end=end)
    return encoded, pack(encoded.lengths, flags.length)


def objective_of(batches, flags, tokenizer, seed):
    """What the model is given: the batches, as its objective changes them."""
    if flags.objective == "masked":
        return masked_batches(batches, tokenizer, seed=seed)
    if flags.objective == "replaced":
        options = {"mask_share": 1.0, "random_share": 0.0, "seed": seed}
        return masked_batches(batches, tokenizer, **options)
    if flags.objective == "span":
        return span_batches(batches, tokenizer, seed=seed)
    return batches


def held_out_data(rows, flags, tokenizer):
    """Held-out batches, and which tokens of their rows the model is asked for.

    A token that its row or its document begins with is left out: nothing precedes it
    for the others to tell it by.

    Returns:
        A dataset, and bool `[N, T]`; for "span" all tokens, of which the model is asked
        for those that happen to be in spans.
    """
    documents = rows["document_ids"]
    follows = np.zeros(documents.shape, bool)
    follows[:, 1:] = (documents[:, 1:] == documents[:, :-1]) & (documents[:, 1:] > 0)
    batches = tf.data.Dataset.from_tensor_slices(rows).batch(flags.batch_size)
    batches = objective_of(batches, flags, tokenizer, seed=0).cache()
    if flags.objective == "causal":
        return batches, follows
    special = [tokenizer.token_to_id(token) for token in tokenizer.special_tokens]
    if flags.objective == "span":
        start = tokenizer.pad_token_id

        def spans_alone(batch):  # without sentinels, which no other model writes
            labels, numbers = batch["labels"], batch["decoder_document_ids"]
            read = decoder_inputs(labels, start=start, pad=start, documents=numbers)
            marks = tf.reduce_any(labels[..., None] == tf.constant(special), -1)
            labels = tf.where(marks, IGNORED, labels)
            return {**batch, "labels": labels, "decoder_input_ids": read}

        return batches.map(spans_alone), follows & ~np.isin(rows["input_ids"], special)
    changed = list(batches.as_numpy_iterator())
    rows = {name: np.concatenate([x[name] for x in changed]) for name in changed[0]}
    rows["labels"][~follows] = IGNORED
    batches = tf.data.Dataset.from_tensor_slices(rows).batch(flags.batch_size)
    return batches, rows["labels"] != IGNORED


def train(model, batches, held_out, steps, measure, logs):
    """Fits, with several looks at the held-out rows; the curve and the seconds."""
    curve, began = Curve(measure), time.perf_counter()
    checks = min(CHECKS, steps)
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
    kind, measure = OBJECTIVES[flags.objective]
    texts, held_texts = read_texts(flags)
    output = make_output(flags.output)
    began = time.perf_counter()

    tokenizer = Tokenizer.train(texts, kind=kind, vocab_size=flags.vocab_size)
    encoded, packing = packed(texts, tokenizer, flags)
    chosen = np.random.default_rng(flags.seed)
    held_encoded, held_packing = packed(held_texts, tokenizer, flags)
    numbers = chosen.permutation(held_packing.rows)[:HELD_OUT_ROWS]
    held_rows = packed_rows(held_encoded, held_packing, numbers)
    held_out, asked = held_out_data(held_rows, flags, tokenizer)
    steps = packing.steps(flags.batch_size) * flags.epochs
    print(
        f"{len(encoded.ids):,} tokens of {tokenizer.vocab_size:,} kinds in "
        f"{packing.rows:,} rows, {steps:,} steps; {asked.sum():,} tokens held out"
    )

    options = {"batch_size": flags.batch_size, "seed": flags.seed}
    batches = packed_batches(encoded, packing, **options)
    model = make_model(flags, tokenizer)
    model.tokenizer = tokenizer
    model.compile(learning_rate=flags.learning_rate, schedule="cosine")
    logs = output / "logs"
    curve, seconds = train(
        model,
        objective_of(batches, flags, tokenizer, flags.seed),
        held_out,
        steps,
        measure,
        logs / "transformer",
    )
    model.save_pretrained(output / "model")
    found = model.evaluate(held_out, verbose=0, return_dict=True)

    lstm = make_lstm(
        tokenizer.vocab_size, model.count_params(), flags.learning_rate, steps
    )
    wanted = tf.data.Dataset.from_tensor_slices((held_rows, asked))
    wanted = wanted.batch(flags.batch_size).map(with_labels)
    lstm_curve, lstm_seconds = train(
        lstm, batches.map(with_labels), wanted, steps, "loss", logs / "lstm"
    )
    lstm_found = lstm.evaluate(wanted, verbose=0, return_dict=True)

    counting = time.perf_counter()
    rows = packed_rows(encoded, packing, range(packing.rows))
    counted = NGrams(rows["input_ids"], rows["document_ids"], tokenizer.vocab_size)
    counted_losses = counted.losses(held_rows["input_ids"], held_rows["document_ids"])
    name = f"{type(model).__name__} ({flags.objective})"
    table = {
        name: (found[measure], model.count_params(), seconds),
        "LSTM": (math.log(lstm_found["perplexity"]), lstm.count_params(), lstm_seconds),
        "5-gram": (
            float(counted_losses[asked].mean()),
            counted.size,
            time.perf_counter() - counting,
        ),
    }
    print(f"\n{'held out':34}{'loss':>8}{'perplexity':>12}{'parameters':>12}{'s':>7}")
    for row, (loss, size, took) in table.items():
        print(f"  {row:32}{loss:8.3f}{math.exp(loss):12.2f}{size:12,}{took:7.0f}")
    own = table[name][0]
    for row, (loss, *_) in list(table.items())[1:]:
        verdict = "better" if own < loss else "WORSE"
        print(f"{name} is {abs(loss - own):.3f} nats a token {verdict} than {row}")
    if flags.objective == "replaced":
        print(
            f"tokens told to be original or not: {found['detection_accuracy']:.3f}; "
            f"by always saying 'original': {1 - found['replaced']:.3f}"
        )

    metrics = {
        "objective": flags.objective,
        "models": {
            row: {
                "loss": loss,
                "perplexity": math.exp(loss),
                "parameters": size,
                "seconds": round(took, 1),
            }
            for row, (loss, size, took) in table.items()
        },
        "held_out": found,
        "tokens": {"training": len(encoded.ids), "held_out": int(asked.sum())},
        "steps": steps,
        "seconds": round(time.perf_counter() - began, 1),
        "flags": vars(flags),
    }
    write_results(output, metrics)
    draw_losses(
        output / "curve.png",
        {name: curve, "LSTM": lstm_curve},
        constant={"5-gram": table["5-gram"][0]},
    )
    print(
        f"\n{output}: curve.png, metrics.json, model/, logs/ (tensorboard); "
        f"{metrics['seconds']:.0f} s"
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
