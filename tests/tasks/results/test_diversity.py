"""Distinct n-grams, counted by hand."""

import pytest

from zoo.errors import InputError
from zoo.tasks.results.diversity import distinct


def test_the_share_of_different_ngrams_is_counted():
    assert distinct({"a": ["x y x y"]}, 1) == {"a": 2 / 4}
    assert distinct({"a": ["x y x y"]}, 2) == {"a": 2 / 3}
    assert distinct({"a": ["x y", "y x"]}, 2) == {"a": 1.0}  # none reaches across


def test_of_each_group_as_many_are_looked_at():
    assert distinct({"a": ["x y"], "b": ["x x x x"]}, 1) == {"a": 1.0, "b": 1 / 2}


def test_characters_of_chinese_are_words():
    assert distinct({"a": ["山山，水水。"]}, 1) == {"a": 2 / 4}


def test_no_ngram_at_all_gives_zero():
    assert distinct({"a": ["x"], "b": [""]}, 2) == {"a": 0.0, "b": 0.0}
    with pytest.raises(InputError, match="n=0"):
        distinct({"a": ["x"]}, 0)
