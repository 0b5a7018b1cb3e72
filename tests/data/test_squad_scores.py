"""Our scores are those of the official scripts, whatever the strings."""

from importlib import metadata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.data import squad_scores as scores
from zoo.errors import DataError

WORDS = st.sampled_from(
    ["the", "The", "a", "an", "cat", "Cat.", "U.S.", "$3", "—", "İ", "an'", "\u2028"]
)
TEXTS = st.lists(WORDS, max_size=5).map(" ".join) | st.text(max_size=12)
ANSWERED = st.lists(TEXTS, min_size=1, max_size=3)
ROWS = st.lists(st.tuples(TEXTS, ANSWERED), min_size=1, max_size=8)
SOME = st.lists(st.tuples(TEXTS, ANSWERED | st.just([])), min_size=1, max_size=8)


@pytest.mark.skipif(
    not metadata.version("tensorflow").startswith("2.20."),
    reason="tf-models-official, which has the scripts, fixes TensorFlow at 2.20",
)
@pytest.mark.parametrize("rows", [ROWS, SOME], ids=["1.1", "2.0"])
def test_ours_equal_the_official_ones(rows):
    @settings(max_examples=150, deadline=None)
    @given(rows)
    def compared(rows):
        predictions, answers = map(list, zip(*rows, strict=True))
        every = all(answers)
        ours = scores._score_1_1 if every else scores._score_2_0
        theirs = scores._official(every)(predictions, answers)
        assert ours(predictions, answers) == pytest.approx(theirs, abs=1e-12)
        assert scores.squad_scores(predictions, answers) == theirs

    compared()


def test_without_the_official_scripts_ours_stand_in(monkeypatch):
    monkeypatch.setattr(scores, "_official", lambda every: None)
    found = scores.squad_scores(["the Cat", "x"], [["cat!"], ["a dog", "x y"]])
    assert found == pytest.approx({"exact_match": 0.5, "f1": 5 / 6, "total": 2})
    found = scores.squad_scores(["", "cat", "cat"], [[], [], ["cat"]])
    assert found["unanswerable_f1"] == 0.5 and found["answerable_total"] == 1


def test_without_questions_there_is_no_score():
    with pytest.raises(DataError, match="0 predictions for 0 questions"):
        scores.squad_scores([], [])
    with pytest.raises(DataError, match="1 predictions for 2"):
        scores.squad_scores(["a"], [["a"], []])
