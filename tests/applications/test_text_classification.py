"""The recipe of text classification, whole, on a tiny model and a small file."""

import csv
import json
import random

import pytest

from applications import text_classification
from applications.label_baselines import constant_scores, linear_scores
from zoo.errors import DataError
from zoo.tasks import TextClassifier

pytestmark = pytest.mark.usefixtures("forked_processes")


@pytest.fixture(scope="module")
def reviews(tmp_path_factory):
    """A CSV file of 200 sentences and whether they praise."""
    draw = random.Random(0)
    path = tmp_path_factory.mktemp("data") / "reviews.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "review", "verdict"])
        for number in range(200):
            verdict = draw.choice(["thumbs up", "thumbs down"])
            praise = ["good", "great", "fine"], ["bad", "dull", "poor"]
            adjectives = praise[verdict == "thumbs down"]
            noun = draw.choice(["film", "plot"])
            first, second = draw.choices(adjectives, k=2)
            text = f"the {noun} was {first} and {second}"
            rows.writerow([number, text, verdict])
    return path


def test_it_trains_measures_draws_saves_and_serves(encoder, reviews, tmp_path, capsys):
    text_classification.main(
        [
            *("--data", str(reviews), "--text-column", "review"),
            *("--label-column", "verdict", "--model", str(encoder)),
            *("--output", str(tmp_path), "--epochs", "5", "--batch-size", "10"),
            *("--learning-rate", "1e-2", "--seed", "1"),
        ]
    )
    printed = capsys.readouterr().out
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["accuracy"] == 1.0
    assert metrics["model"] == "after training"
    constant, untrained, linear = metrics["compared"].values()
    assert linear == {"accuracy": 1.0, "f1": 1.0}
    assert untrained["accuracy"] < 0.9
    assert 0.5 <= constant["accuracy"] < 0.9 and constant["f1"] < 0.5
    assert metrics["examples"] == {"training": 180, "held_out": 20}
    assert list(metrics["labels"]) == ["thumbs down", "thumbs up"]
    assert metrics["f1"] == 1.0
    assert "NOT better than TF-IDF" in printed  # as good is not better
    assert "after training: better than before training, accuracy 1.000" in printed
    for line in ("before training", "TF-IDF + logistic", "after training  "):
        assert line in printed
    for sentence in text_classification.SENTENCES:
        assert sentence in printed
    for picture in ("curve.png", "confusion.png", "attention.png"):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")
    assert list((tmp_path / "logs").rglob("events.out.tfevents.*"))
    assert (tmp_path / "export" / "1" / "saved_model.pb").is_file()
    saved = TextClassifier.from_pretrained(tmp_path / "model")
    found = saved.classify(["the film was good and fine", "the plot was dull and bad"])
    assert [answer["label"] for answer in found] == ["thumbs up", "thumbs down"]


def test_the_split_depends_on_the_seed_and_loses_nothing(reviews):
    def split(seed):
        flags = ["--data", str(reviews), "--text-column", "review"]
        flags += ["--label-column", "verdict", "--seed", str(seed)]
        return text_classification.read_data(text_classification.read_flags(flags))

    labels, train, held_out = split(1)
    assert labels == ["thumbs down", "thumbs up"]
    assert len(train) == 180 and len(held_out) == 20
    assert split(1) == (labels, train, held_out)
    assert split(2)[1:] != (train, held_out)
    texts, labels = train.inputs + held_out.inputs, train.answers + held_out.answers
    everything = sorted(zip(texts, labels, strict=True))
    with open(reviews, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert everything == sorted((row["review"], row["verdict"]) for row in rows)


def test_held_out_examples_may_have_a_file_of_their_own(reviews):
    flags = ["--data", str(reviews), "--validation", str(reviews)]
    flags += ["--text-column", "review", "--label-column", "verdict"]
    _, train, held_out = text_classification.read_data(
        text_classification.read_flags(flags)
    )
    assert train == held_out and len(train) == 200


def test_a_wrong_column_is_named_before_anything_is_loaded(reviews):
    with pytest.raises(DataError, match=r"lacks \['text'.*'review', 'verdict'"):
        text_classification.main(["--data", str(reviews)])


def test_too_few_examples_are_refused(tmp_path):
    path = tmp_path / "few.csv"
    path.write_text("text,label\na,x\nb,y\n")
    with pytest.raises(DataError, match="too few to hold out"):
        text_classification.main(["--data", str(path)])


def test_a_rare_label_that_is_held_out_alone_is_a_label(tmp_path):
    path = tmp_path / "rare.csv"
    rows = "".join(f"{chr(97 + i)},{'xy'[i % 2]}\n" for i in range(20))
    path.write_text("text,label\n" + rows.replace("g,x", "g,rare"))
    for seed in map(str, range(100)):
        flags = text_classification.read_flags(["--data", str(path), "--seed", seed])
        labels, train, held_out = text_classification.read_data(flags)
        assert labels == ["rare", "x", "y"]
        if "rare" in held_out.answers:
            break
    assert "rare" not in train.answers
    label, constant = constant_scores(train, held_out)
    assert 0 < constant["f1"] < constant["accuracy"] == 0.5 and label in labels
    assert 0 <= linear_scores(train, held_out)["accuracy"] <= 0.5


def test_an_output_that_cannot_be_made_is_refused_before_training(reviews):
    flags = ["--data", str(reviews), "--text-column", "review"]
    flags += ["--label-column", "verdict", "--output", str(reviews)]
    with pytest.raises(DataError, match=r"--output .*exists"):
        text_classification.main(flags)


def test_every_flag_is_explained(capsys):
    with pytest.raises(SystemExit):
        text_classification.main(["--help"])
    said = capsys.readouterr().out
    for flag in (
        "data validation text-column label-column model output epochs batch-size "
        "learning-rate max-length seed export no-export"
    ).split():
        assert f"--{flag}" in said
    assert "default: 32" in said
