"""Entities in the graph: as tags spell them out, and their F1 as seqeval has it."""

import random

import numpy as np
import pytest
import tensorflow as tf
from seqeval.metrics import f1_score

from zoo.data import tags
from zoo.tasks.answers import entities

LABELS = ["O", *(f"{a}-{b}" for b in ("X", "Y") for a in "BIES"), "M-X", "U-Y", "Z"]


@pytest.fixture(scope="module")
def batch():
    """Labels of any sequence, and how many of each row count."""
    draw = np.random.default_rng(0)
    return draw.integers(0, len(LABELS), (300, 7)), draw.integers(0, 8, 300)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_any_sequence_is_read_as_its_tags_are(batch, jit_compile):
    labels, lengths = batch
    decode = entities.Decoder(LABELS)
    assert decode.types == ("X", "Y", "Z")
    run = tf.function(decode, jit_compile=jit_compile)
    found = run(tf.constant(labels), tf.sequence_mask(lengths, 7))
    for row, length, begin, end, kind in zip(
        labels, lengths, *map(np.asarray, (found.begin, found.end, found.kind)),
        strict=True,
    ):  # fmt: skip
        wanted = tags.spans([LABELS[i] for i in row[:length]])
        given = [(decode.types[kind[i]], i, end[i] + 1) for i in np.flatnonzero(begin)]
        assert given == wanted


def test_entities_side_by_side_have_the_mean_score_of_their_words(batch):
    labels, lengths = batch
    valid = tf.sequence_mask(lengths, 7)
    scores = np.random.default_rng(1).random(labels.shape).astype(np.float32)
    decode = entities.Decoder(LABELS)
    found = entities.gather(decode(tf.constant(labels), valid), tf.constant(scores))
    for i, row in enumerate(labels):
        wanted = tags.spans([LABELS[j] for j in row[: lengths[i]]])
        assert int(found.count[i]) == len(wanted)
        for j, (kind, start, end) in enumerate(wanted):
            assert decode.types[int(found.kind[i, j])] == kind
            assert (int(found.first[i, j]), int(found.last[i, j]) + 1) == (start, end)
            mean = scores[i, start:end].mean()
            assert float(found.score[i, j]) == pytest.approx(mean, abs=1e-6)


def test_the_metric_equals_seqeval_on_words_that_count(batch):
    draw = random.Random(2)
    known = LABELS[:9]
    wanted = [draw.choices(known, k=6) for _ in range(40)]
    given = [
        [tag if draw.random() < 0.8 else draw.choice(known) for tag in row]
        for row in wanted
    ]
    metric = entities.EntityF1(known)
    for start in (0, 20):  # with pieces that do not count between
        rows = slice(start, start + 20)
        labels = np.full((20, 13), -100)
        labels[:, 1::2] = [[known.index(tag) for tag in row] for row in wanted[rows]]
        logits = np.random.default_rng(3).normal(size=(20, 13, len(known)))
        numbers = np.array([[known.index(tag) for tag in row] for row in given[rows]])
        logits[:, 1::2] += 9 * np.eye(len(known))[numbers]
        metric.update_state(labels, logits.astype(np.float32))
    expected = f1_score(wanted, given)
    assert float(metric.result()) == pytest.approx(expected, rel=1e-6)
    again = entities.EntityF1.from_config(metric.get_config())
    assert again.labels == metric.labels
    assert entities.score(wanted, given)["f1"] == pytest.approx(expected)
    assert float(entities.EntityF1(known).result()) == 0
