"""Baselines of classifiers: what scikit-learn says, and texts that share nothing."""

import pytest

from applications.label_baselines import constant_scores, linear_scores
from zoo.tasks.examples.sets import ExampleSet

TRAIN = ExampleSet(["good film", "good plot", "bad film", "bad plot"], [*"++--"])
HELD_OUT = ExampleSet(["good", "bad", "good film"], [*"+-+"])


def test_words_tell_labels_apart():
    assert linear_scores(TRAIN, HELD_OUT) == {"accuracy": 1.0, "f1": 1.0}
    characters = linear_scores(TRAIN, HELD_OUT, analyzer="char", ngram_range=(1, 3))
    assert characters["accuracy"] == 1.0


def test_a_constant_answer_has_no_f1_of_the_other_labels():
    label, scores = constant_scores(TRAIN, HELD_OUT)
    share = 2 / 3
    assert label == "+" and scores["accuracy"] == share
    assert scores["f1"] == pytest.approx(2 * share / (1 + share) / 2)


def test_texts_without_a_common_word_are_no_failure():
    apart = ExampleSet(["one", "two", "three"], [*"+--"])
    assert linear_scores(apart, HELD_OUT)["accuracy"] == 1 / 3  # "-", the commonest
