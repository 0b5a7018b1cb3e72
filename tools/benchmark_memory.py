"""Benchmark `memory`: training steps with what spares memory, and without it.

Both are zoo, on the same numbers: cross-entropy in chunks beside all logits at once,
gradient checkpointing beside keeping everything, and attention in blocks beside all
scores at once. Each turn has a process of its own, whose peak is told.
"""

import time
from dataclasses import asdict, dataclass

import numpy as np

from tools.benchmark_encoder import (
    set_tensorflow_threads,
    sizes,
    tensorflow_threads,
)
from tools.benchmark_turns import Contender, Session

PLAIN = {
    "loss": "all logits at once",
    "checkpointing": "everything kept",
    "blocks": "all scores at once",
}
SPARING = {
    "loss": "in chunks",
    "checkpointing": "gradient checkpointing",
    "blocks": "attention in blocks",
}


@dataclass(frozen=True)
class Work:
    """What a step computes: the loss of a head alone, or a GPT.

    Attributes:
        saving: "loss", "checkpointing" or "blocks".
        fits: Whether the plain form is measured too.
    """

    saving: str
    batch: int
    length: int
    hidden: int = 768
    layers: int = 12
    heads: int = 12
    vocabulary: int = 512
    dropout: float = 0.1
    fits: bool = True

    @property
    def feedforward(self):
        return 4 * self.hidden

    def ids(self):
        """int32 `[B, T]`."""
        random = np.random.default_rng(0)
        size = (self.batch, self.length)
        return random.integers(0, self.vocabulary, size).astype("int32")


WORKS = {
    "cross-entropy, 8 x 512, 768 -> 50,257": Work("loss", 8, 512, vocabulary=50_257),
    "12 layers of 384, 2 x 1,024": Work("checkpointing", 2, 1_024, 384, heads=6),
    "12 layers of 768, 1 x 2,048": Work("blocks", 1, 2_048),
    "12 layers of 768, 1 x 8,192": Work("blocks", 1, 8_192, fits=False),
}


def contenders(work, threads=None):
    """zoo as it is, or as it is asked to be; and zoo without the saving."""
    options = {"work": asdict(work), "threads": threads}
    found = [Contender("zoo", start, {**options, "spare": True})]
    if work.fits:
        found.append(Contender("zoo, plain", start, {**options, "spare": False}))
    return found


def start(work, threads, *, spare):
    """A session of steps, nothing of which has run before."""
    work = Work(**work)
    set_tensorflow_threads(threads)
    step = loss_step(work, spare) if work.saving == "loss" else model_step(work, spare)
    losses = []

    def run(count):
        seconds = []
        for _ in range(count):
            began = time.perf_counter()
            losses.append(step())
            seconds.append(time.perf_counter() - began)
        return seconds

    how = (SPARING if spare else PLAIN)[work.saving]
    about = {"variant": how, "threads": tensorflow_threads()}
    return Session(run, about, lambda: {"first loss": losses[0]})


def loss_step(work, spare):
    """The loss of a batch of hidden states, and its gradients."""
    import tensorflow as tf

    from zoo.training.chunked_cross_entropy import Head, chunked_cross_entropy
    from zoo.training.losses import token_losses

    random = np.random.default_rng(0)
    states, weight = (
        tf.constant(random.standard_normal((rows, work.hidden), np.float32))
        for rows in (work.batch * work.length, work.vocabulary)
    )
    weight *= work.hidden**-0.5
    labels = tf.constant(work.ids().reshape(-1))
    share = tf.fill(tf.shape(labels), 1 / (work.batch * work.length))

    @tf.function
    def step(states, weight):
        with tf.GradientTape() as tape:
            tape.watch([states, weight])
            if spare:
                loss = chunked_cross_entropy(
                    states, Head(weight), labels=labels, weights=share
                ).loss
            else:
                logits = tf.matmul(states, weight, transpose_b=True)
                loss = tf.reduce_mean(token_losses(labels, logits))
        return loss, tape.gradient(loss, [states, weight])

    return lambda: float(step(states, weight)[0])


def model_step(work, spare):
    """A step of a GPT, by plain gradient descent: no moments take memory besides."""
    import keras

    from zoo import GPTModel, TransformerConfig
    from zoo.layers import blockwise

    if work.saving == "blocks" and not spare:
        blockwise.LONG = work.length  # for this process alone
    keras.utils.set_random_seed(7)
    model = GPTModel(
        TransformerConfig(
            model_type="gpt2",
            max_position_embeddings=work.length,
            hidden_act="gelu_new",
            **sizes(work),
        )
    )
    checkpointing = work.saving == "checkpointing" and spare
    model.compile(
        keras.optimizers.SGD(1e-3), metrics=[], gradient_checkpointing=checkpointing
    )
    ids = work.ids()
    return lambda: float(model.train_on_batch({"input_ids": ids}))
