"""Objectives of pretraining: what each wants, learns with, and is asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import tensorflow as tf

from applications.ngrams import preceded
from applications.small_models import (
    llama_config,
    nomic_bert_config,
    t5_config,
    t5_optimizer,
)
from zoo import GPTModel, MaskedLM, T5Model
from zoo.data.masking import masked_batches
from zoo.data.span_corruption import span_batches
from zoo.tasks.replaced_tokens import ReplacedTokenDetection
from zoo.training.labels import IGNORED, decoder_inputs


@dataclass(frozen=True)
class Objective:
    """A change of batches, and the model that learns from them.

    Attributes:
        vocabulary: Its kind, as of `Tokenizer.train`.
        ends: Whether the end token stands behind each document.
        change: Packed batches as the model is given them, of (batches, tokenizer,
            seed=...).
        model: A model with new weights, of (tokenizer, hidden_size=..., layers=...,
            length=...).
        measure: Its metric that is compared: nats per token.
        learning_rate: The peak, where nobody says otherwise; of "span" a share of each
            weight.
        optimizer: Of (peak, steps); None: AdamW along half a cosine.
        ask: What it is asked of held-out rows, of (changed batches, rows, tokenizer):
            batches, and bool `[N, T]`.
    """

    vocabulary: str
    change: Callable
    model: Callable
    ask: Callable
    measure: str = "loss"
    learning_rate: float = 2e-3
    optimizer: Callable | None = None
    ends: bool = False

    def compile_options(self, rate, steps):
        """Arguments of `compile` for a peak of the learning rate and so many steps."""
        if self.optimizer is not None:
            return {"optimizer": self.optimizer(rate, steps)}
        return {"learning_rate": rate, "schedule": "cosine"}

    def held_out(self, rows, tokenizer, batch_size):
        """Held-out batches, and which tokens of their rows the model is asked for.

        A token that its row or its document begins with is left out: nothing precedes
        it for the others to tell it by.

        Returns:
            A dataset, and bool `[N, T]`; of spans all tokens, of which the model is
            asked for those that happen to be in spans.
        """
        batches = tf.data.Dataset.from_tensor_slices(rows).batch(batch_size)
        return self.ask(
            self.change(batches, tokenizer, seed=0).cache(), rows, tokenizer
        )


def as_they_are(batches, tokenizer, *, seed):
    return batches


def ask_for_all(batches, rows, tokenizer):
    return batches, preceded(rows["document_ids"])


def ask_for_masked(batches, rows, tokenizer):
    changed = list(batches.as_numpy_iterator())
    batch_size = len(changed[0]["labels"])
    changed = {name: np.concatenate([x[name] for x in changed]) for name in changed[0]}
    changed["labels"][~preceded(rows["document_ids"])] = IGNORED
    batches = tf.data.Dataset.from_tensor_slices(changed).batch(batch_size)
    return batches, changed["labels"] != IGNORED


def ask_for_spans(batches, rows, tokenizer):
    """Spans without their sentinels, which no other model writes."""
    special = [tokenizer.token_to_id(token) for token in tokenizer.special_tokens]
    start = tokenizer.pad_token_id

    def spans_alone(batch):
        labels, numbers = batch["labels"], batch["decoder_document_ids"]
        read = decoder_inputs(labels, start=start, pad=start, documents=numbers)
        marks = tf.reduce_any(labels[..., None] == tf.constant(special), -1)
        labels = tf.where(marks, IGNORED, labels)
        return {**batch, "labels": labels, "decoder_input_ids": read}

    asked = preceded(rows["document_ids"]) & ~np.isin(rows["input_ids"], special)
    return batches.map(spans_alone), asked


def new_gpt(tokenizer, **sizes):
    return GPTModel(llama_config(tokenizer, **sizes))


def new_t5(tokenizer, *, hidden_size, layers, length):
    """Half of the blocks in each half."""
    sizes = {"hidden_size": hidden_size, "layers": max(1, layers // 2)}
    return T5Model(t5_config(tokenizer, **sizes))


def new_masked_lm(tokenizer, **sizes):
    return MaskedLM(nomic_bert_config(tokenizer, **sizes))


def new_electra(tokenizer, **sizes):
    """A generator half as wide, and a discriminator that does not drown it.

    They share the token table. With ELECTRA's own weight of 50 most of what this table
    gets is the noise of a discriminator that knows nothing yet: after 785 steps a
    generator of full width is at 6.38 nats, which is that of frequencies alone, where
    one of half the width and a weight of 2 is at 5.91.
    """
    config = nomic_bert_config(tokenizer, **sizes)
    return ReplacedTokenDetection(config, generator_size=0.5, loss_weight=2.0)


OBJECTIVES = {
    "causal": Objective("bpe", as_they_are, new_gpt, ask_for_all, ends=True),
    "masked": Objective("wordpiece", masked_batches, new_masked_lm, ask_for_masked),
    "span": Objective(
        "unigram",
        span_batches,
        new_t5,
        ask_for_spans,
        learning_rate=0.1,
        optimizer=t5_optimizer,
    ),
    "replaced": Objective(
        "wordpiece",
        partial(masked_batches, mask_share=1.0, random_share=0.0),
        new_electra,
        ask_for_masked,
        measure="generator_loss",
    ),
}
