"""Cross-entropy in chunks: the numbers of the plain form, whatever the chunks."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from zoo.training import chunked_cross_entropy as module
from zoo.training.chunked_cross_entropy import Head, chunked_cross_entropy
from zoo.training.losses import token_losses

N, D, V = 11, 6, 13


def cap(x):
    return 2.0 * tf.tanh(x / 2.0)


@pytest.fixture(scope="module")
def tokens():
    random = np.random.default_rng(0)
    weights = random.uniform(0.1, 1, N).astype("float32")
    weights[[2, 3, 10]] = 0
    labels = random.integers(0, V, N).astype("int32")
    labels[[2, 10]] = -100
    return {
        "states": tf.constant(random.normal(size=(N, D)), tf.float32),
        "weight": tf.constant(random.normal(size=(V, D)), tf.float32),
        "bias": tf.constant(random.normal(size=V), tf.float32),
        "labels": tf.constant(labels),
        "weights": tf.constant(weights),
    }


def plainly(tokens, cap=None, label_smoothing=0.0):
    """Loss, losses, hits and gradients from all logits at once."""
    variables = [tokens[name] for name in ("states", "weight", "bias")]
    labels, weights = tokens["labels"], tokens["weights"]
    with tf.GradientTape() as tape:
        tape.watch(variables)
        logits = tf.matmul(variables[0], variables[1], transpose_b=True) + variables[2]
        logits = logits if cap is None else cap(logits)
        losses = token_losses(labels, logits, label_smoothing=label_smoothing)
        loss = tf.reduce_sum(losses * weights)
    kept = weights != 0
    hits = kept & (tf.argmax(logits, -1, tf.int32) == labels)
    losses = tf.where(kept, token_losses(labels, logits), 0.0)
    return loss, losses, hits, *tape.gradient(loss, variables)


def in_chunks(tokens, rows, factor=1.0, **options):
    """The same from `chunked_cross_entropy`, times a factor."""
    variables = [tokens[name] for name in ("states", "weight", "bias")]
    head = Head(*variables[1:], options.pop("cap", None))
    with tf.GradientTape() as tape:
        tape.watch(variables)
        found = chunked_cross_entropy(
            variables[0],
            head,
            labels=tokens["labels"],
            weights=tokens["weights"],
            rows=rows,
            **options,
        )
        loss = factor * found.loss
    return found.loss, found.losses, found.correct, *tape.gradient(loss, variables)


@pytest.mark.parametrize("rows", [1, 4, 11, 64])
def test_loss_hits_and_gradients_are_those_of_all_logits_at_once(tokens, rows):
    for found, expected in zip(
        tf.function(in_chunks)(tokens, rows), plainly(tokens), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("words", [1, 5, V])
def test_the_gradient_by_the_weight_may_come_in_pieces(tokens, words, monkeypatch):
    monkeypatch.setattr(module, "PIECE", words * D)
    for run in (in_chunks, tf.function(in_chunks)):
        found = run(tokens, 4)
        for ours, theirs in zip(found, plainly(tokens), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


def test_capped_logits_and_smoothed_labels(tokens):
    found = in_chunks(tokens, 4, cap=cap, label_smoothing=0.1)
    expected = plainly(tokens, cap=cap, label_smoothing=0.1)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


def test_xla_finds_the_same_but_computes_tokens_without_weight_too(tokens):
    run = tf.function(functools.partial(in_chunks, rows=4), jit_compile=True)
    loss, losses, _, *gradients = run(tokens)
    expected = plainly(tokens)
    kept = tokens["weights"] != 0
    np.testing.assert_allclose(loss, expected[0], rtol=1e-6)
    np.testing.assert_allclose(losses[kept], expected[1][kept], rtol=1e-6)
    for ours, theirs in zip(gradients, expected[3:], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


def test_calls_share_no_memory(tokens):
    run = tf.function(functools.partial(in_chunks, rows=4))
    first = [x.numpy() for x in run(tokens)]
    for again, once in zip(run(tokens), first, strict=True):
        np.testing.assert_array_equal(again, once)


def test_the_gradient_is_scaled_by_what_follows_the_loss(tokens):
    *_, states, weight, bias = in_chunks(tokens, 4)
    *_, states_3, weight_3, bias_3 = in_chunks(tokens, 4, factor=3.0)
    for one, three in ((states, states_3), (weight, weight_3), (bias, bias_3)):
        np.testing.assert_allclose(3 * one, three, rtol=1e-6)


@pytest.mark.parametrize("count", [0, 3])
def test_no_token_that_counts_gives_zeros(tokens, count):
    none = {
        **tokens,
        "states": tokens["states"][:count],
        "labels": tokens["labels"][:count],
        "weights": tf.zeros([count]),
    }
    loss, losses, _, *gradients = in_chunks(none, 4)
    assert loss == 0
    assert losses.shape == (count,)
    assert all(np.all(gradient == 0) for gradient in gradients)


def test_infinity_where_no_label_counts_stays_there(tokens):
    broken = tf.tensor_scatter_nd_update(
        tokens["states"], [[2]], tf.fill([1, D], np.inf)
    )
    found = in_chunks({**tokens, "states": broken}, 4)
    for ours, theirs in zip(found, plainly(tokens), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


def test_half_precision_sums_in_float32(tokens):
    half = {**tokens, "states": tf.cast(tokens["states"], tf.bfloat16)}
    loss, _, _, states, weight, _ = in_chunks(half, 2)
    expected = plainly(tokens)
    assert states.dtype == tf.bfloat16
    assert weight.dtype == tf.float32
    np.testing.assert_allclose(loss, expected[0], rtol=0.02)
    np.testing.assert_allclose(weight, expected[4], atol=0.05)


def test_without_training_only_the_loss_and_the_hits_are_found(tokens):
    found = chunked_cross_entropy(
        tokens["states"],
        Head(tokens["weight"], tokens["bias"]),
        labels=tokens["labels"],
        weights=tokens["weights"],
        rows=4,
        training=False,
    )
    found = found.loss, found.losses, found.correct
    for ours, theirs in zip(found, plainly(tokens)[:3], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
