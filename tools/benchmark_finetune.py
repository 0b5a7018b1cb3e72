"""Benchmark `finetune`: one epoch of MiniLM on film reviews in three libraries.

A step is a whole epoch as a user has it, from strings on: tokenizing, tracing and
compiling are in it, loading the weights is not. All begin with the same weights, learn
from the same examples with the same schedule, and are asked the same held-out ones.
KerasHub pads every row to one length. Its epochs take many minutes, so that a number of
steps is measured, after the first ones, and scaled to an epoch.
"""

import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from tools.benchmark_encoder import set_tensorflow_threads, tensorflow_threads
from tools.benchmark_turns import Contender, Session

WARMUP = 0.1  # share of the steps
BEFORE = 3  # of KerasHub's steps that are not counted
GROUP = 50  # batches that transformers sorts by length together


@dataclass(frozen=True)
class Work:
    """What is learned.

    Attributes:
        examples: How many to learn from; None: all but those held out.
        held_out: How many to be asked.
        steps: Of KerasHub that are measured.
    """

    batch: int = 32
    length: int = 128
    examples: int | None = None
    held_out: int = 1_000
    learning_rate: float = 1e-4
    steps: int = 8

    def data(self):
        """Texts and labels to learn from, and those held out."""
        from zoo.data.samples import movie_snippets

        rows = list(zip(*movie_snippets(), strict=True))
        rows = [rows[i] for i in np.random.default_rng(7).permutation(len(rows))]
        last = None if self.examples is None else self.held_out + self.examples
        held_out, train = rows[: self.held_out], rows[self.held_out : last]
        return [list(map(list, zip(*part, strict=True))) for part in (train, held_out)]


def contenders(work, directory, threads=None):
    """Who is measured."""
    options = {"work": asdict(work), "directory": str(directory), "threads": threads}
    torch = ("torch", "transformers")
    return [
        Contender("zoo", start_zoo, options),
        Contender("transformers", start_transformers, options, torch),
        *(
            Contender(
                f"KerasHub, {length} tokens",
                start_keras_hub,
                {**options, "length": length},
                ("keras_hub",),
            )
            for length in (work.length, 512)
        ),
    ]


def start_zoo(work, directory, threads):
    """`fit` on strings; what share of a step waits for its batch is told as well."""
    work = Work(**work)
    set_tensorflow_threads(threads)
    import keras

    from zoo import TextClassifier

    (texts, labels), (asked, answers) = work.data()
    model = None

    def run(count):
        nonlocal model
        seconds = []
        for _ in range(count):
            keras.utils.set_random_seed(7)
            model = TextClassifier.from_pretrained(directory, labels=["bad", "good"])
            model.max_length = work.length
            model.compile(learning_rate=work.learning_rate)
            start = time.perf_counter()
            model.fit(texts, labels, batch_size=work.batch, seed=7, verbose=0)
            seconds.append(time.perf_counter() - start)
        return seconds

    def check():
        found = model.evaluate(asked, answers, verbose=0, return_dict=True)
        share = waiting(model, texts, labels, work)
        variant = f"accuracy {found['accuracy']:.3f}, {share:.1%} of a step is waiting"
        return {"accuracy": found["accuracy"], "waiting": share, "variant": variant}

    return Session(run, {"threads": tensorflow_threads()}, check)


def waiting(model, texts, labels, work, steps=40, before=5):
    """Share of the time of training steps in which they wait for their batch."""
    import tensorflow as tf

    from zoo.data import batches

    batching = model._batching(work.batch)
    columns = {"text": tf.constant(texts)}
    source = iter(batches.epochs(columns, batching, rest=(np.asarray(labels),), seed=7))
    waited, whole = [], []
    for _ in range(before + steps):
        start = time.perf_counter()
        batch = next(source)
        waited.append(time.perf_counter() - start)
        model.train_on_batch(*batch)
        whole.append(time.perf_counter() - start)
    return sum(waited[before:]) / sum(whole[before:])


def start_transformers(work, directory, threads):
    """The usual loop over batches of like length, each padded to its longest row."""
    work = Work(**work)
    import torch
    import transformers

    if threads:
        torch.set_num_threads(threads)
    transformers.utils.logging.set_verbosity_error()
    (texts, labels), (asked, answers) = work.data()
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    model = None

    def batches(texts, order):
        rows = tokenizer(texts, truncation=True, max_length=work.length)
        lengths = np.array([len(row) for row in rows["input_ids"]])
        size = work.batch * GROUP
        groups = [order[i : i + size] for i in range(0, len(order), size)]
        order = np.concatenate([g[np.argsort(-lengths[g])] for g in groups])
        for i in range(0, len(order), work.batch):
            chosen = order[i : i + work.batch]
            part = {name: [rows[name][j] for j in chosen] for name in rows}
            yield chosen, tokenizer.pad(part, return_tensors="pt")

    def run(count):
        nonlocal model
        seconds = []
        for _ in range(count):
            torch.manual_seed(7)
            model = transformers.BertForSequenceClassification.from_pretrained(
                directory, num_labels=2
            )
            start = time.perf_counter()
            train(model)
            seconds.append(time.perf_counter() - start)
        return seconds

    def train(model):
        model.train()
        adam = torch.optim.AdamW(
            model.parameters(), work.learning_rate, weight_decay=0.01, fused=True
        )
        total = -(-len(texts) // work.batch)
        schedule = transformers.get_linear_schedule_with_warmup(
            adam, int(total * WARMUP), total
        )
        order = np.random.default_rng(7).permutation(len(texts))
        for chosen, batch in batches(texts, order):
            adam.zero_grad(set_to_none=True)
            targets = torch.tensor([labels[i] for i in chosen])
            model(**batch, labels=targets).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            adam.step()
            schedule.step()

    def check():
        model.eval()
        right = 0
        with torch.inference_mode():
            for chosen, batch in batches(asked, np.arange(len(asked))):
                found = model(**batch).logits.argmax(-1).tolist()
                right += np.sum(np.asarray(answers)[chosen] == found)
        accuracy = float(right) / len(asked)
        how = f"accuracy {accuracy:.3f}, batches of like length, fused AdamW"
        return {"accuracy": accuracy, "variant": how}

    return Session(run, {"threads": str(torch.get_num_threads())}, check)


def start_keras_hub(work, directory, threads, length):
    """KerasHub in the graph, which was faster than XLA here; rows of one length."""
    work = Work(**work)
    set_tensorflow_threads(threads)
    import keras
    import keras_hub

    (texts, labels), _ = work.data()
    vocabulary = Path(directory, "vocab.txt").read_text("utf-8").split("\n")
    tokenizer = keras_hub.tokenizers.BertTokenizer(
        [word for word in vocabulary if word], lowercase=True
    )
    preprocessor = keras_hub.models.BertTextClassifierPreprocessor(
        tokenizer, sequence_length=length
    )
    model = keras_hub.models.BertTextClassifier(
        keras_hub.models.BertBackbone.from_preset(directory),
        num_classes=2,
        preprocessor=preprocessor,
    )
    model.compile(
        optimizer=keras.optimizers.AdamW(work.learning_rate, weight_decay=0.01),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    whole = -(-len(texts) // work.batch)
    ends: list[float] = []

    class Clock(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            ends.append(time.perf_counter())

    rows = (BEFORE + work.steps) * work.batch

    def run(count):
        seconds = []
        for _ in range(count):
            ends.clear()
            model.fit(
                np.array(texts[:rows]),
                np.array(labels[:rows]),
                batch_size=work.batch,
                callbacks=[Clock()],
                verbose=0,
            )
            steps = len(ends) - BEFORE
            seconds.append((ends[-1] - ends[BEFORE - 1]) / steps * whole)
        return seconds

    how = f"{work.steps} steps scaled to {whole}"
    return Session(run, {"variant": how, "threads": tensorflow_threads()})
