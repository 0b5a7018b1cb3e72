"""Objectives of pretraining: what they make of batches, and what they are asked for."""

import numpy as np
import tensorflow as tf

from applications.ngrams import preceded
from zoo.data.masking import masked_batches
from zoo.data.span_corruption import span_batches
from zoo.training.labels import IGNORED, decoder_inputs


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
    follows = preceded(rows["document_ids"])
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
