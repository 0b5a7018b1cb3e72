"""A small GPT and an LSTM of its size learn to write: perplexity, variety, samples.

    python -m applications.text_generation                  # poems of the Tang dynasty
    python -m applications.text_generation --language en    # speeches in English
    python -m applications.text_generation --data stories.jsonl --text-column story

The default data are 36,306 Chinese poems in four or eight lines of five or seven
characters (npm chinese-poetry, MIT); in English, paragraphs of the State of the Union
addresses since 1900 (public domain). Vocabulary and all models are learnt from the same
tokens; a 5-gram model counts them.
"""

import math
import time

import keras
import tensorflow as tf

from applications.flags import RecipeParser, positive, read_examples, run
from applications.language_scores import COLUMNS, count_ngrams, language_scores
from applications.lstm import LEARNING_RATE, LSTMWriter, make_lstm, with_labels
from applications.ngrams import NGramWriter, preceded
from applications.report import finish, print_scores, try_export
from applications.small_models import llama_config
from zoo import TensorBoard, TextGenerator, Tokenizer
from zoo.data.encoded import encode_texts
from zoo.data.packing import pack, packed_batches, packed_rows
from zoo.data.samples import addresses, tang_poems
from zoo.data.words import lacks_spaces
from zoo.tasks import ExampleSet
from zoo.tasks.results.diversity import distinct
from zoo.tasks.results.runs import make_output
from zoo.training.curves import Curve, draw_losses

WRITTEN = 64  # texts that each model writes
SHOWN = 3  # of them in TensorBoard, after each epoch, and at the end


def read_flags(arguments=None):
    parser = RecipeParser(
        "text_generation",
        __doc__,
        data="text, JSONL, CSV or TSV file in place of sample data",
        model="directory or hub id of a decoder, in place of a new one",
        epochs=2,
        batch_size=16,
        learning_rate=2e-3,
        examples="rows",
    )
    add = parser.add_argument
    add("--language", choices=("zh", "en"), default="zh", help="poems, or speeches")
    add("--text-column", default="text", help="column that holds the text")
    add("--vocab-size", type=positive, default=4096, help="tokens to learn, at most")
    add("--length", type=positive, default=128, help="tokens in a row")
    add("--hidden-size", type=positive, default=128, help="width, a multiple of 64")
    add("--layers", type=positive, default=2, help="blocks")
    add("--new-tokens", type=positive, default=64, help="written behind a prompt")
    add("--lstm-rate", type=float, default=LEARNING_RATE, help="the LSTM's peak")
    return parser.parse_args(arguments)


def read_data(flags):
    """Texts to train on and held-out ones; of equal texts one is kept."""
    columns = {"text": flags.text_column}
    everything, held_out = read_examples(
        TextGenerator, flags, columns, sample=lambda: read_sample(flags.language)
    )
    texts = list(dict.fromkeys(everything.inputs))
    print(f"{len(everything) - len(texts):,} copies of others left out")
    if held_out is None:
        train, held_out = ExampleSet(texts, name=everything.name).hold_out(flags.seed)
        return train.inputs, held_out.inputs
    known = set(held_out.inputs)
    return [text for text in texts if text not in known], held_out.inputs


def read_sample(language):
    if language == "zh":
        name, texts = "poems", tang_poems()
    else:
        name, lines = "paragraphs", "\n".join(addresses(since=1900)).split("\n")
        texts = [line.strip() for line in lines if line.strip()]
    return ExampleSet(texts, None, name, f"{name}: {len(texts):,}")


def make_gpt(flags, texts):
    """A decoder like Llama, small and new, and its vocabulary; or the one asked for."""
    if flags.model is not None:
        return TextGenerator.from_pretrained(flags.model)
    tokenizer = Tokenizer.train(texts, kind="bpe", vocab_size=flags.vocab_size)
    sizes = {"hidden_size": flags.hidden_size, "layers": flags.layers}
    config = llama_config(tokenizer, length=2 * flags.length, **sizes)
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


def show(prompts, answers):
    for prompt, answer in list(zip(prompts, answers, strict=False))[:SHOWN]:
        print("  " + (prompt + answer).strip().replace("\n", "\n  ") + "\n")


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

    sizes = tokenizer.vocab_size, gpt.count_params()
    lstm = make_lstm(*sizes, flags.lstm_rate, steps * flags.epochs)
    writer = LSTMWriter(lstm, tokenizer)
    lstm.generate = writer.generate  # what TensorBoard asks for samples
    pairs = batches.map(with_labels), held_out.map(with_labels)
    lstm_curve, lstm_seconds = train(lstm, *pairs, *options, logs / "lstm")

    follows = preceded(held_rows["document_ids"])
    counted, scores = count_ngrams(
        encoded, packing, held_rows, follows, tokenizer.vocab_size
    )
    rows = {"people": {}, "5-gram": scores}
    for name, model, data, took in (
        ("LSTM", lstm, pairs[1], lstm_seconds),
        ("GPT", gpt, held_out, seconds),
    ):
        found = model.evaluate(data, verbose=0, return_dict=True)
        loss = math.log(found["perplexity"])
        rows[name] = language_scores(loss, model.count_params(), took)
    limits = {"max_new_tokens": flags.new_tokens, "seed": flags.seed}
    written = {
        "people": [text[len(prompt) :] for prompt, text in begun.items()],
        "5-gram": NGramWriter(counted, tokenizer).generate(prompts, **limits),
        "LSTM": writer.generate(prompts, **draws),
        "GPT": gpt.generate(prompts, **draws),
    }
    variety = {f"distinct_{n}": distinct(written, n) for n in (1, 2, 3)}
    for name, row in rows.items():
        row.update({measure: found[name] for measure, found in variety.items()})
    columns = {**dict.fromkeys(variety, ".3f"), **COLUMNS}
    title = f"{follows.sum():,} held-out tokens"
    print_scores(title, rows, columns, measure="perplexity", less_is_better=True)
    for name, answers in written.items():
        print(f"\n{name}")
        show(prompts, answers)

    if flags.export:
        found = try_export(gpt, output, {"text": prompts[:SHOWN]}, **draws)
        show(prompts, found["text"])
    draw_losses(
        output / "curve.png",
        {"GPT": curve, "LSTM": lstm_curve},
        constant={"5-gram": scores["loss"]},
    )
    facts = {
        "examples": {"training": len(texts), "held_out": len(held_texts)},
        "tokens": {"training": len(encoded.ids), "held_out": int(follows.sum())},
        "prompts": prompts,
        "written": written,
        "steps": steps * flags.epochs,
    }
    finish(output, flags, rows, facts, began=began, files=["curve.png"])


if __name__ == "__main__":
    run(main)
