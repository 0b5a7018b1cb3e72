"""Labels are shifted as the model reads them, and nothing is learnt from padding."""

import numpy as np
import pytest
import tensorflow as tf

from zoo.errors import InputError
from zoo.training.labels import IGNORED, causal_labels, decoder_inputs

IDS = tf.constant([[5, 6, 7, 8]])


def test_without_labels_each_token_predicts_the_next_one():
    assert causal_labels(IDS).numpy().tolist() == [[6, 7, 8, IGNORED]]


def test_padding_on_either_side_neither_predicts_nor_is_predicted():
    right = causal_labels(IDS, mask=tf.constant([[1, 1, 1, 0]]))
    left = causal_labels(IDS, mask=tf.constant([[0, 0, 1, 1]]))
    assert right.numpy().tolist() == [[6, 7, IGNORED, IGNORED]]
    assert left.numpy().tolist() == [[IGNORED, IGNORED, 8, IGNORED]]


def test_given_labels_stand_at_their_tokens_and_are_shifted():
    labels = tf.constant([[IGNORED, IGNORED, 7, 8]])
    assert causal_labels(IDS, labels).numpy().tolist() == [[IGNORED, 7, 8, IGNORED]]


def test_no_document_predicts_the_first_token_of_another():
    documents = tf.constant([[1, 1, 2, 0]])
    found = causal_labels(IDS, documents=documents)
    assert found.numpy().tolist() == [[6, IGNORED, IGNORED, IGNORED]]


def test_labels_of_another_length_are_refused():
    with pytest.raises(InputError, match=r"shape \(1, 3\).*\(1, 4\)"):
        causal_labels(IDS, tf.constant([[1, 2, 3]]))


def test_a_decoder_reads_its_start_and_then_the_labels_before():
    labels = tf.constant([[5, 6, IGNORED, IGNORED]])
    found = decoder_inputs(labels, start=9, pad=0)
    assert found.numpy().tolist() == [[9, 5, 6, 0]]


def test_each_document_of_a_row_begins_with_the_start():
    labels, documents = tf.constant([[5, 6, 7, 8]]), tf.constant([[1, 1, 2, 2]])
    found = decoder_inputs(labels, start=9, pad=0, documents=documents)
    np.testing.assert_array_equal(found, [[9, 5, 9, 7]])
