"""The chain of labels: sums and maxima over all paths, against counting them out."""

import itertools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.layers.crf import Crf

LABELS = 3
MASK = np.array(
    [[1, 1, 1, 1], [1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]], bool
)
# Sums of a dozen float32 logarithms, in another order.
CLOSE = {"rtol": 0, "atol": 5e-6}


@pytest.fixture(scope="module")
def crf():
    layer = Crf(LABELS)
    layer.build()
    random = np.random.default_rng(0)
    layer.set_weights([random.normal(size=w.shape) for w in layer.weights])
    return layer


@pytest.fixture(scope="module")
def emissions():
    return np.random.default_rng(1).normal(size=(*MASK.shape, LABELS)).astype("float32")


def paths(weights, emissions, mask):
    """Score of each path through the places that count, in float64."""
    moves, first, last = (np.float64(w) for w in weights)
    rows = np.float64(emissions[mask])
    scores = {}
    for path in itertools.product(range(LABELS), repeat=len(rows)):
        score = sum(row[label] for row, label in zip(rows, path, strict=True))
        score += sum(moves[a, b] for a, b in itertools.pairwise(path))
        scores[path] = score + (first[path[0]] + last[path[-1]] if path else 0.0)
    return scores


def expected(crf, emissions):
    """Of each row: log-sum, best path, marginals, as `Crf` lays them out."""
    for row, mask in zip(emissions, MASK, strict=True):
        scores = paths(crf.get_weights(), row, mask)
        total = np.logaddexp.reduce(list(scores.values()))
        best = np.zeros(len(mask), int)
        best[mask] = max(scores, key=scores.get)
        shares = np.zeros(row.shape)
        for path, score in scores.items():
            shares[np.flatnonzero(mask), list(path)] += np.exp(score - total)
        yield total, best, shares


@pytest.mark.parametrize("mode", ["eager", "graph", "xla"])
def test_sums_best_paths_and_marginals_equal_those_of_all_paths(crf, emissions, mode):
    def run(given, mask):
        return (
            crf.log_partition(given, mask),
            crf.viterbi(given, mask),
            crf.marginals(given, mask),
        )

    if mode != "eager":
        run = tf.function(run, jit_compile=mode == "xla")
    totals, best, shares = zip(*expected(crf, emissions), strict=True)
    found = run(tf.constant(emissions), tf.constant(MASK))
    np.testing.assert_allclose(found[0], totals, **CLOSE)
    np.testing.assert_array_equal(found[1], best)
    np.testing.assert_allclose(found[2], shares, **CLOSE)


def test_likelihoods_are_those_of_the_path_among_all(crf, emissions):
    labels = np.random.default_rng(2).integers(0, LABELS, MASK.shape)
    labels[~MASK] = -100
    found = crf.log_likelihood(emissions, labels, MASK).numpy()
    for i, mask in enumerate(MASK):
        scores = paths(crf.get_weights(), emissions[i], mask)
        total = np.logaddexp.reduce(list(scores.values()))
        wanted = scores[tuple(labels[i][mask])] - total
        np.testing.assert_allclose(found[i], wanted, **CLOSE)


def test_without_a_mask_all_places_count(crf, emissions):
    everywhere = np.ones(MASK.shape, bool)
    for method in (crf.log_partition, crf.viterbi, crf.marginals):
        np.testing.assert_array_equal(method(emissions), method(emissions, everywhere))


def test_what_stands_where_nothing_counts_changes_nothing(crf, emissions):
    other = np.where(MASK[..., None], emissions, 7.0).astype("float32")
    for method in (crf.log_partition, crf.viterbi, crf.marginals):
        np.testing.assert_array_equal(method(emissions, MASK), method(other, MASK))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_gradients_equal_differences(crf, emissions, jit_compile):
    labels = np.where(MASK, np.random.default_rng(3).integers(0, 3, MASK.shape), -100)
    values = [emissions, *crf.get_weights()]

    @tf.function(jit_compile=jit_compile)
    def gradients(given):
        with tf.GradientTape() as tape:
            tape.watch(given)
            loss = tf.reduce_sum(crf.log_likelihood(given, labels, MASK))
        return tape.gradient(loss, [given, *(w.value for w in crf.weights)])

    def exact(values):
        total = 0.0
        for row, mask, given in zip(values[0], MASK, labels, strict=True):
            scores = paths(values[1:], row, mask)
            total += scores[tuple(given[mask])]
            total -= np.logaddexp.reduce(list(scores.values()))
        return total

    random, step = np.random.default_rng(4), 1e-4
    values = [np.float64(value) for value in (emissions, *crf.get_weights())]
    found = [tf.convert_to_tensor(g).numpy() for g in gradients(emissions)]
    for number, gradient in enumerate(found):
        toward = random.normal(size=gradient.shape)  # through all its numbers at once
        ahead, behind = list(values), list(values)
        ahead[number] = values[number] + step * toward
        behind[number] = values[number] - step * toward
        wanted = (exact(ahead) - exact(behind)) / (2 * step)
        assert (gradient * toward).sum() == pytest.approx(wanted, abs=1e-4)


def test_one_place_and_large_scores_stay_finite(crf):
    large = np.array([[[1e4, -1e4, 0.0]], [[-1e4, -1e4, -1e4]]], np.float32)
    assert np.isfinite(crf.log_partition(large)).all()
    assert crf.viterbi(large).numpy()[0, 0] == 0
    np.testing.assert_allclose(crf.marginals(large).numpy().sum(-1), 1.0, rtol=1e-5)


def test_rows_of_one_place_in_a_graph_of_any_size(crf):
    spec = tf.TensorSpec([None, None, LABELS])
    run = tf.function(
        lambda x: (crf.viterbi(x), crf.marginals(x), crf.log_partition(x)),
        input_signature=[spec],
    )
    for rows in (0, 2):
        best, shares, totals = run(tf.ones([rows, 1, LABELS]))
        assert best.shape == (rows, 1) and totals.shape == (rows,)
        np.testing.assert_allclose(shares.numpy().sum(-1), 1.0, rtol=1e-5)


def test_it_comes_back_from_json(crf, emissions):
    text = json.dumps(keras.saving.serialize_keras_object(crf))
    again = keras.saving.deserialize_keras_object(json.loads(text))
    again.build()
    again.set_weights(crf.get_weights())
    np.testing.assert_array_equal(again(emissions, MASK), crf(emissions, MASK))
