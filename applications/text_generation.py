"""A small GPT and an LSTM of its size learn to write: perplexity, variety, samples.

    python -m applications.text_generation                  # poems of the Tang dynasty
    python -m applications.text_generation --language en    # speeches in English
    python -m applications.text_generation --data stories.jsonl --text-column story

The default data are 36,306 Chinese poems in four or eight lines of five or seven
characters (npm chinese-poetry, MIT); in English, paragraphs of the State of the Union
addresses since 1900 (public domain). Vocabulary and all models are learnt from the same
tokens; a 5-gram model counts them.
"""

import argparse
import math
import sys
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from applications.lstm import LSTMWriter, make_lstm, with_labels
from applications.ngrams import NGrams
from zoo import TensorBoard, TextGenerator, Tokenizer, TransformerConfig
from zoo.data.encoded import encode_texts
from zoo.data.packing import pack, packed_batches, packed_rows
from zoo.data.samples import addresses, tang_poems
from zoo.data.words import lacks_spaces
from zoo.errors import ZooError
from zoo.export import run_in_clean_process
from zoo.tasks.diversity import distinct
from zoo.tasks.form import ExampleSet
from zoo.tasks.runs import make_output, write_results
from zoo.training.curves import Curve, draw_losses

WRITTEN = 64  # texts that each model writes
SHOWN = 3  # of them in TensorBoard, after each epoch, and at the end


def read_flags(arguments=None):
    parser = argparse.ArgumentParser(
        prog="text_generation",
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--language", choices=("zh", "en"), default="zh", help="poems, or speeches")
    add("--data", type=Path, help="text, JSONL, CSV or TSV file in place of these")
    add("--validation", type=Path, help="such a file; without it, a tenth of the data")
    add("--text-column", default="text", help="column that holds the text")
    add("--model", help="directory or hub id of a decoder, in place of a new one")
    add("--output", type=Path, default=Path("runs/text_generation"), help="results")
    add("--vocab-size", type=_positive, default=4096, help="tokens to learn, at most")
    add("--length", type=_positive, default=128, help="tokens in a row")
    add("--hidden-size", type=_positive, default=128, help="width, a multiple of 64")
    add("--layers", type=_positive, default=2, help="blocks")
    add("--epochs", type=_positive, default=1, help="passes over the data")
    add("--batch-size", type=_positive, default=16, help="rows in a step")
    add("--learning-rate", type=float, default=2e-3, help="its peak")
    add("--new-tokens", type=_positive, default=64, help="written behind a prompt")
    add("--seed", type=int, default=7, help="of split, weights, order and draws")
    add(
        "--export",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="write a SavedModel for TF Serving and try it in a clean process",
    )
    return parser.parse_args(arguments)


def read_data(flags):
    """Texts to train on and held-out ones; of equal texts one is kept."""
    held_out = None
    if flags.data is not None:
        columns = {"text": flags.text_column}
        everything = TextGenerator.read_file(flags.data, columns, labelled=False)
        print(everything.report)
        if flags.validation is not None:
            held_out = TextGenerator.read_file(flags.validation, columns)
            print(held_out.report)
    elif flags.language == "zh":
        everything = ExampleSet(tang_poems(), name="poems")
    else:
        lines = [line for text in addresses(since=1900) for line in text.split("\n")]
        everything = ExampleSet([x.strip() for x in lines if x.strip()])
    texts = list(dict.fromkeys(everything.inputs))
    print(f"{len(everything) - len(texts):,} copies of others left out")
    everything = ExampleSet(texts, name=everything.name)
    if held_out is None:
        train, held_out = everything.hold_out(flags.seed)
        return train.inputs, held_out.inputs
    known = set(held_out.inputs)
    return [text for text in texts if text not in known], held_out.inputs


def make_gpt(flags, texts):
    """A decoder like Llama, small and new, and its vocabulary; or the one asked for."""
    if flags.model is not None:
        return TextGenerator.from_pretrained(flags.model)
    tokenizer = Tokenizer.train(texts, kind="bpe", vocab_size=flags.vocab_size)
    config = TransformerConfig(
        model_type="llama",
        vocab_size=tokenizer.vocab_size,
        hidden_size=flags.hidden_size,
        num_hidden_layers=flags.layers,
        num_attention_heads=max(1, flags.hidden_size // 64),
        intermediate_size=max(16, flags.hidden_size * 8 // 3 // 16 * 16),
        max_position_embeddings=2 * flags.length,
        position="rotary",
        norm="rms",
        norm_bias=False,
        feedforward="gated",
        hidden_act="silu",
        attention_bias=False,
        mlp_bias=False,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return TextGenerator(config, tokenizer=tokenizer)


def train(model, batches, held_out, steps, flags, prompts, logs):
    """Fits, and has it write after each epoch; the curve and the seconds."""
    curve, began = Curve("loss"), time.perf_counter()
    samples = {"samples": prompts, "sample_options": {**drawn(flags), "seed": 0}}
    model.fit(
        batches,
        epochs=flags.epochs,
        steps_per_epoch=steps,
        validation_data=held_out,
        callbacks=[TensorBoard(logs, peak_flops=0, **samples), curve],
        verbose=2,
    )
    return curve, time.perf_counter() - began


def drawn(flags):
    """How all models write: drawn from their probabilities as they are."""
    return {"do_sample": True, "top_k": 0, "max_new_tokens": flags.new_tokens}


def opening(text):
    """What a held-out text begins with: two characters, or three words."""
    return text[:2] if lacks_spaces(text) else " ".join(text.split()[:3])


def write_ngrams(counted, tokenizer, prompts, flags):
    """The same by the 5-gram model."""
    chance, texts = np.random.default_rng(flags.seed), []
    for prompt in prompts:
        ids = tokenizer([prompt], padding=None)["input_ids"].to_list()[0]
        first = len(ids)
        while len(ids) < first + flags.new_tokens:
            p = counted.following(ids[-4:] if len(ids) > 4 else ids)
            ids.append(int(chance.choice(len(p), p=p / p.sum())))
            if ids[-1] == tokenizer.eos_token_id:
                break
        texts.append(tokenizer.decode(ids[first:], skip_special_tokens=True))
    return texts


def main(arguments=None):
    flags = read_flags(arguments)
    keras.utils.set_random_seed(flags.seed)
    texts, held_texts = read_data(flags)
    print(f"{len(texts):,} texts to train on, {len(held_texts):,} held out")
    output = make_output(flags.output)
    began = time.perf_counter()

    gpt = make_gpt(flags, texts)
    tokenizer, length = gpt.tokenizer, min(flags.length, gpt.max_length)
    end = tokenizer.eos_token
    encoded, held = (encode_texts(x, tokenizer, end=end) for x in (texts, held_texts))
    packing, held_packing = pack(encoded.lengths, length), pack(held.lengths, length)
    steps = packing.steps(flags.batch_size)
    batches = packed_batches(
        encoded, packing, batch_size=flags.batch_size, seed=flags.seed
    )
    held_rows = packed_rows(held, held_packing, range(held_packing.rows))
    held_out = tf.data.Dataset.from_tensor_slices(held_rows).batch(flags.batch_size)
    begun = {opening(text): text for text in held_texts[:WRITTEN]}
    prompts = list(begun)
    draws, logs = {**drawn(flags), "seed": flags.seed}, output / "logs"

    gpt.compile(learning_rate=flags.learning_rate, schedule="cosine")
    options = (steps, flags, prompts[:SHOWN])
    curve, seconds = train(gpt, batches, held_out, *options, logs / "gpt")
    gpt.save_pretrained(output / "model")

    size = gpt.count_params()
    lstm = make_lstm(
        tokenizer.vocab_size, size, flags.learning_rate, steps * flags.epochs
    )
    writer = LSTMWriter(lstm, tokenizer)
    lstm.generate = writer.generate  # what TensorBoard asks for samples
    pairs = batches.map(with_labels), held_out.map(with_labels)
    lstm_curve, lstm_seconds = train(lstm, *pairs, *options, logs / "lstm")

    counting = time.perf_counter()
    rows = packed_rows(encoded, packing, range(packing.rows))
    counted = NGrams(rows["input_ids"], rows["document_ids"], tokenizer.vocab_size)
    numbers = held_rows["document_ids"]
    follows = np.zeros(numbers.shape, bool)
    follows[:, 1:] = (numbers[:, 1:] == numbers[:, :-1]) & (numbers[:, 1:] > 0)
    losses = counted.losses(held_rows["input_ids"], numbers)
    counted_perplexity = math.exp(losses[follows].mean())
    counting = time.perf_counter() - counting

    found = [
        model.evaluate(data, verbose=0, return_dict=True)["perplexity"]
        for model, data in ((gpt, held_out), (lstm, pairs[1]))
    ]
    counted_texts = write_ngrams(counted, tokenizer, prompts, flags)
    written = {
        "GPT": gpt.generate(prompts, **draws),
        "LSTM": writer.generate(prompts, **draws),
        "5-gram": counted_texts,
        "people": [text[len(prompt) :] for prompt, text in begun.items()],
    }
    ones, twos, threes = (distinct(written, n) for n in (1, 2, 3))
    rows = {
        "GPT": (found[0], size, seconds),
        "LSTM": (found[1], lstm.count_params(), lstm_seconds),
        "5-gram": (counted_perplexity, counted.size, counting),
    }
    table = {
        name: {
            "perplexity": perplexity,
            "distinct_1": ones[name],
            "distinct_2": twos[name],
            "distinct_3": threes[name],
            "parameters": parameters,
            "seconds": round(took, 1),
        }
        for name, (perplexity, parameters, took) in rows.items()
    }
    print(
        f"\n{f'held out: {follows.sum():,} tokens':24}perplexity  distinct-1      -2"
        "      -3  parameters      s"
    )
    for name, row in table.items():
        print(
            "  {:22}{:10.2f}{:12.3f}{:8.3f}{:8.3f}{:12,}{:7.0f}".format(
                name, *row.values()
            )
        )
    print(
        f"  {'people':32}{ones['people']:12.3f}{twos['people']:8.3f}"
        f"{threes['people']:8.3f}"
    )
    for name in ("LSTM", "5-gram"):
        if found[0] >= table[name]["perplexity"]:
            print(f"the GPT is NOT better than the {name} here")
    for name, answers in written.items():
        print(f"\n{name}")
        for prompt, answer in list(zip(prompts, answers, strict=False))[:SHOWN]:
            print("  " + (prompt + answer).strip().replace("\n", "\n  ") + "\n")

    if flags.export:
        exported = gpt.export_saved_model(output / "export", version=1, **draws)
        served = run_in_clean_process(exported, {"text": prompts[:SHOWN]})["text"]
        print("the export, in a process without zoo and Keras")
        for prompt, answer in zip(prompts, served, strict=False):
            print("  " + (prompt + answer).strip().replace("\n", "\n  ") + "\n")

    metrics = {
        "models": table,
        "people": {
            "distinct_1": ones["people"],
            "distinct_2": twos["people"],
            "distinct_3": threes["people"],
        },
        "texts": {"training": len(texts), "held_out": len(held_texts)},
        "tokens": {"training": len(encoded.ids), "held_out": int(follows.sum())},
        "written": {
            name: dict(zip(prompts, answers, strict=False))
            for name, answers in written.items()
            if name != "people"
        },
        "steps": steps * flags.epochs,
        "seconds": round(time.perf_counter() - began, 1),
        "flags": vars(flags),
    }
    files = write_results(output, metrics)
    constant = {"5-gram": math.log(counted_perplexity)}
    draw_losses(
        output / "curve.png", {"GPT": curve, "LSTM": lstm_curve}, constant=constant
    )
    print(
        f"\n{output}: {', '.join(files)}, curve.png, model/, logs/ (tensorboard)"
        + (", export/" if flags.export else "")
        + f"; {metrics['seconds']:.0f} s"
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
