"""The loss is the mean over the labels of a batch that count."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.errors import ConfigError
from zoo.training.losses import CrossEntropy
from zoo.training.metrics import Perplexity, TokenAccuracy

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(size=(3, 4, 7)).astype("float32") * 3
LABELS = RANDOM.integers(0, 7, (3, 4))
LABELS[0, 1:] = LABELS[2] = -100
VALID = LABELS != -100


def log_probabilities(logits=LOGITS):
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def by_hand(smoothing=0.0, weights=1.0):
    logs = log_probabilities()
    picked = np.take_along_axis(logs, np.where(VALID, LABELS, 0)[..., None], -1)[..., 0]
    values = -(1 - smoothing) * picked - smoothing * logs.mean(-1)
    return (values * VALID * weights).sum() / VALID.sum()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_mean_is_over_the_labels_that_count(smoothing):
    loss = CrossEntropy(label_smoothing=smoothing)(LABELS, LOGITS)
    assert float(loss) == pytest.approx(by_hand(smoothing), rel=1e-6)


def test_weights_of_rows_and_of_tokens_scale_the_sum():
    rows, tokens = RANDOM.random(3), RANDOM.random((3, 4))
    loss = CrossEntropy()
    assert float(loss(LABELS, LOGITS, rows)) == pytest.approx(
        by_hand(weights=rows[:, None]), rel=1e-6
    )
    assert float(loss(LABELS, LOGITS, tokens)) == pytest.approx(
        by_hand(weights=tokens), rel=1e-6
    )


def test_it_is_kerass_mean_without_ignored_labels():
    theirs = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, ignore_class=-100
    )
    ours = CrossEntropy()(LABELS, LOGITS)
    assert float(ours) == pytest.approx(float(theirs(LABELS, LOGITS)), rel=1e-5)


def test_a_batch_in_which_no_label_counts_has_loss_and_gradient_zero():
    logits, nothing = tf.constant(LOGITS), np.full_like(LABELS, -100)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = CrossEntropy(label_smoothing=0.1)(nothing, logits)
    assert float(loss) == 0
    assert not np.any(tape.gradient(loss, logits))


def test_half_precision_logits_are_widened_first():
    loss = CrossEntropy()(LABELS, tf.cast(LOGITS, tf.float16))
    assert loss.dtype == tf.float32
    assert float(loss) == pytest.approx(by_hand(), rel=2e-3)  # of the logits themselves


def test_it_goes_through_its_configuration_and_refuses_nonsense():
    loss = CrossEntropy(label_smoothing=0.2)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert again.label_smoothing == 0.2
    with pytest.raises(ConfigError, match="label_smoothing=1"):
        CrossEntropy(label_smoothing=1)


def test_perplexity_and_accuracy_are_of_all_tokens_and_not_of_batches():
    perplexity, accuracy = Perplexity(), TokenAccuracy()
    for part in (slice(0, 1), slice(1, 3)):  # of one and of four tokens
        perplexity.update_state(LABELS[part], LOGITS[part])
        accuracy.update_state(LABELS[part], LOGITS[part])
    hits = (LOGITS.argmax(-1) == LABELS)[VALID]
    assert float(perplexity.result()) == pytest.approx(np.exp(by_hand()), rel=1e-5)
    assert float(accuracy.result()) == pytest.approx(hits.mean())
