"""What recipes share on the command line: flags, files of examples, errors."""

import json

import pytest

from applications.flags import RecipeParser, read_examples, run
from zoo.errors import DataError
from zoo.tasks import TextClassifier
from zoo.tasks.examples.sets import ExampleSet


def parser(**more):
    about = "Tell texts apart.\n\nMore of it."
    return RecipeParser(
        "tell", about, epochs=3, batch_size=8, learning_rate=1e-3, **more
    )


def test_shared_flags_have_the_defaults_of_the_recipe(capsys):
    flags = parser(data="a file", model="a model").parse_args([])
    assert (flags.epochs, flags.batch_size, flags.learning_rate) == (3, 8, 1e-3)
    assert str(flags.output) == "runs/tell" and flags.export
    assert flags.data is flags.validation is flags.model is None
    with pytest.raises(SystemExit):
        parser(data="a file").parse_args(["--help"])
    said = capsys.readouterr().out
    assert "Tell texts apart." in said and "More of it" not in said
    assert "default: 8" in said and "--validation" in said and "--model" not in said


def test_flags_know_the_command_they_came_from():
    flags = parser().parse_args(["--epochs", "2", "--output", "a b"])
    assert flags.recipe == "tell"
    wanted = "python -m applications.tell --epochs 2 --output 'a b'"
    assert flags.command == wanted


@pytest.mark.parametrize("number", ["0", "-1", "1.5", "x"])
def test_numbers_that_make_no_sense_are_refused(number, capsys):
    for flag in ("--epochs", "--batch-size"):
        with pytest.raises(SystemExit):
            parser().parse_args([f"{flag}={number}"])
        assert "whole number from 1 on" in capsys.readouterr().err


def test_examples_come_from_the_files_or_are_the_sample(tmp_path, capsys):
    path = tmp_path / "texts.csv"
    path.write_text("text,label\ngood,+\nbad,-\n")
    sample = ExampleSet(["fine"], ["+"], "sample", "sample: 1")

    def read(*words):
        flags = parser(data="a file").parse_args(list(words))
        return read_examples(TextClassifier, flags, sample=lambda: sample)

    assert read() == (sample, None)
    assert capsys.readouterr().out == "sample: 1\n"
    everything, held_out = read("--data", str(path), "--validation", str(path))
    assert everything == held_out and everything.inputs == ["good", "bad"]
    assert capsys.readouterr().out.count("2 ") == 2


@pytest.mark.parametrize("error", [DataError("no rows"), OSError("disk is full")])
def test_what_users_can_mend_is_one_line(error):
    def main():
        raise error

    with pytest.raises(SystemExit, match=f"error: {error}"):
        run(main)
    with pytest.raises(json.JSONDecodeError):  # a fault of ours keeps its traceback
        run(lambda: json.loads("{"))
