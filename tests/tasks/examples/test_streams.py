"""Datasets of strings, read whole: lists come out, whatever form they had."""

import pytest
import tensorflow as tf

from zoo.errors import DataError, InputError
from zoo.tasks.examples import streams

WORDS = [["Ann", "left"], ["\u00e9", "in", "Rome"]]
TAGS = [["B-PER", "O"], ["O", "O", "B-LOC"]]
slices = tf.data.Dataset.from_tensor_slices


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("named", [False, True])
def test_words_and_tags_come_out_as_they_were(named, batched):
    dataset = slices((tf.ragged.constant(WORDS), tf.ragged.constant(TAGS)))
    if named:
        dataset = dataset.map(lambda x, y: ({"words": x}, y))
    dataset = dataset.ragged_batch(2) if batched else dataset
    assert streams.read_sentences(dataset) == (WORDS, TAGS, None)
    weighted = tf.data.Dataset.zip(
        dataset, slices([[1.0, 2.0]] if batched else [1.0, 2.0])
    )
    weighted = weighted.map(lambda pair, weight: (*pair, weight))
    assert streams.read_sentences(weighted) == (WORDS, TAGS, [1.0, 2.0])


@pytest.mark.parametrize("batched", [False, True])
def test_texts_and_entities_come_out_as_they_were(batched):
    columns = {
        "start": tf.ragged.constant([[0], [5, 0]]),
        "end": tf.ragged.constant([[3], [9, 1]]),
        "entity": tf.ragged.constant([["PER"], ["LOC", "PER"]]),
    }
    dataset = slices((["Ann left", "\u00e9 in Rome"], columns))
    dataset = dataset.ragged_batch(2) if batched else dataset
    x, y, weights = streams.read_sentences(dataset)
    assert x == ["Ann left", "\u00e9 in Rome"] and weights is None
    assert y == [
        [{"start": 0, "end": 3, "entity": "PER"}],
        [
            {"start": 5, "end": 9, "entity": "LOC"},
            {"start": 0, "end": 1, "entity": "PER"},
        ],
    ]


def test_datasets_of_ids_are_left_alone():
    ids = tf.data.Dataset.from_tensors(({"input_ids": [[2, 3]]}, [[0, 1]]))
    assert streams.read_sentences(ids) is streams.read_questions(ids) is None


def test_what_has_no_end_no_example_or_another_form_is_refused():
    dataset = slices((tf.ragged.constant(WORDS), tf.ragged.constant(TAGS)))
    with pytest.raises(InputError, match=r"no end.*take\(n\)"):
        streams.read_sentences(dataset.repeat())
    with pytest.raises(DataError, match="empty dataset"):
        streams.read_sentences(dataset.take(0))
    with pytest.raises(InputError, match="'words' or 'text'"):
        streams.read_sentences(slices(({"text": ["a"], "pair": ["b"]}, [0])))
    with pytest.raises(InputError, match="expected dictionaries"):
        streams.read_questions(slices((["a question"], ["a context"])))
