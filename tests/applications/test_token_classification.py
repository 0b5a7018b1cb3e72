"""The recipe of named entities, whole, on a tiny model and a small file."""

import json
import random

import pytest

from applications import token_classification
from zoo.errors import DataError


@pytest.fixture(scope="module")
def sentences(tmp_path_factory):
    """A CoNLL file of 120 sentences; "paris" is a place, and sometimes a person."""
    draw = random.Random(0)
    lines = []
    for _ in range(120):
        people = draw.choice([["ann"], ["bob", "cid"], ["ann"], ["paris"]])
        place = draw.choice(["paris", "rome", "oslo"])
        lines += ["the X O", f"{people[0]} X B-PER"]
        lines += [f"{each} X I-PER" for each in people[1:]]
        lines += [f"{draw.choice(['met', 'saw'])} X O", f"{place} X B-LOC", ""]
    path = tmp_path_factory.mktemp("data") / "train.conll"
    path.write_text("\n".join(["-DOCSTART- X O", "", "broken", "", *lines]))
    return path


@pytest.mark.parametrize(
    "export", ["--no-export", pytest.param("--export", marks=pytest.mark.parity)]
)
def test_it_trains_measures_draws_marks_saves_and_serves(
    encoder, sentences, tmp_path, capsys, export
):
    token_classification.main(
        [
            *("--data", str(sentences), "--model", str(encoder), "--crf"),
            *("--scheme", "BIOES", "--output", str(tmp_path), "--epochs", "8"),
            *("--batch-size", "12", "--learning-rate", "2e-2", "--seed", "1", export),
        ]
    )
    printed = capsys.readouterr().out
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["f1"] == 1.0
    assert metrics["types"].keys() == {"LOC", "PER"}
    outside, untrained, baseline = metrics["compared"].values()
    assert untrained["f1"] < 0.9 and outside["f1"] == 0.0
    assert 0.5 < baseline["f1"] < 1.0 and baseline["types"].keys() == {"LOC", "PER"}
    assert metrics["examples"] == {"training": 108, "held_out": 12}
    assert "1 sentences left out, malformed lines: 1 (line 3: 1 column" in printed
    for line in ("  PER ", ": better than each word's"):
        assert line in printed
    for picture in ("curve.png", "attention.png"):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "entities.html").read_text(encoding="utf-8")
    assert page.count("<p>") == 12 and "<small>PER</small></mark>" in page
    assert list((tmp_path / "logs").rglob("events.out.tfevents.*"))
    assert (tmp_path / "export").is_dir() == (export == "--export")
    assert ("in a process without" in printed) == (export == "--export")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["zoo_sequence_head"] == "crf"
    assert "E-PER" in config["id2label"].values()


def test_the_baseline_is_the_most_frequent_tag(sentences):
    flags = token_classification.read_flags(["--data", str(sentences)])
    labels, train, held_out = token_classification.read_data(flags)
    assert labels == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    scores = token_classification.baseline_scores(train, held_out)
    people = [row[1] for row in held_out.inputs]
    assert 0 < people.count("paris") < len(people)  # which the baseline takes for LOC
    found = scores["types"]["PER"]
    assert found["precision"] == 1.0
    assert found["recall"] == 1 - people.count("paris") / len(people)


def test_a_column_that_is_not_there_is_said_before_anything_is_loaded(sentences):
    flags = ["--data", str(sentences), "--tag-column", "7"]
    with pytest.raises(DataError, match="no sentence in it"):
        token_classification.main(flags)


def test_every_flag_is_explained(capsys):
    with pytest.raises(SystemExit):
        token_classification.main(["--help"])
    said = capsys.readouterr().out
    for flag in (
        "data validation word-column tag-column scheme crf model output epochs "
        "batch-size learning-rate max-length seed export no-export"
    ).split():
        assert f"--{flag}" in said
