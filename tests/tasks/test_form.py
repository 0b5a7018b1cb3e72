"""Example sets and files: splits lose nothing, columns are named, pairs stay pairs."""

import pytest

from zoo.errors import DataError, InputError
from zoo.tasks import TextClassifier, TextEmbedder
from zoo.tasks.examples.sets import ExampleSet

SET = ExampleSet([f"text {i}" for i in range(40)], [i % 3 for i in range(40)])


def test_a_split_depends_on_the_seed_and_loses_nothing():
    train, held_out = SET.hold_out(1)
    assert (len(train), len(held_out)) == (36, 4)
    assert SET.hold_out(1) == (train, held_out) != SET.hold_out(2)
    pairs = zip(
        train.inputs + held_out.inputs, train.answers + held_out.answers, strict=True
    )
    assert sorted(pairs) == sorted(zip(SET.inputs, SET.answers, strict=True))
    with pytest.raises(DataError, match="9 examples are too few to hold out 10%"):
        SET.take(range(9)).hold_out(1)


def test_so_many_are_drawn_each_with_its_answer():
    few = SET.draw(5, seed=3)
    assert few == SET.draw(5, seed=3) and len(set(few.inputs)) == 5
    for text, answer in zip(few.inputs, few.answers, strict=True):
        assert SET.answers[SET.inputs.index(text)] == answer
    assert len(SET.draw(1000, seed=3)) == 40


def test_a_file_is_read_by_the_names_of_its_columns(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("one\ttwo\tsame\na\tb\tyes\nc\td\tno\n", encoding="utf-16le")
    with pytest.raises(DataError, match=r"is not UTF-8|lacks"):
        TextClassifier.read_file(path)
    path.write_text("one\ttwo\tsame\né\tb\tyes\nc\td\tno\n", encoding="latin-1")
    names = {"text": "one", "pair": "two", "label": "same"}
    found = TextClassifier.read_file(path, names, encoding="latin-1")
    assert found.inputs == [("é", "b"), ("c", "d")] and found.answers == ["yes", "no"]
    assert found.report == "pairs.tsv: 2 examples"
    assert TextClassifier.options_for(found) == {"labels": ["no", "yes"]}
    options = {"labelled": False, "encoding": "latin-1"}
    texts = TextEmbedder.read_file(path, {"text": "two"}, **options)
    assert texts.inputs == ["b", "d"] and texts.answers is None
    with pytest.raises(InputError, match="TextEmbedder reads no column 'label'"):
        TextEmbedder.read_file(path, names, **options)
    with pytest.raises(InputError, match="has no labels that a file could hold"):
        TextEmbedder.read_file(path)


def test_a_task_without_sample_data_asks_for_a_file():
    with pytest.raises(InputError, match="Pass a file of your own"):
        TextEmbedder.read_sample()
