"""The recipe of pretraining, whole, on a few sentences; and what it refuses."""

import json
import random

import numpy as np
import pytest

from applications import pretrain
from applications.objectives import OBJECTIVES
from zoo.errors import DataError, ZooError
from zoo.models import BertModel, GPTModel, T5Model
from zoo.tasks import MaskedLM
from zoo.training import Adafactor

KINDS = {
    "causal": GPTModel,
    "masked": MaskedLM,
    "span": T5Model,
    "replaced": BertModel,
}


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """A file of 80 paragraphs."""
    draw = random.Random(0)
    places, things = ["congress", "the union"], ["peace", "taxes", "the army"]
    rows = [
        f"we tell {draw.choice(places)} of {draw.choice(things)} and {thing}"
        for thing in draw.choices(things, k=80)
    ]
    path = tmp_path_factory.mktemp("texts") / "texts.txt"
    path.write_text("\n\n".join(rows))
    return path


def flags_of(texts, output, *more):
    return [
        *("--data", str(texts), "--output", str(output), "--vocab-size", "280"),
        *("--length", "16", "--hidden-size", "16", "--layers", "1", *more),
    ]


@pytest.mark.parametrize(
    "objective",
    ["causal", *(pytest.param(x, marks=pytest.mark.parity) for x in list(KINDS)[1:])],
)
def test_it_trains_compares_draws_and_saves(texts, tmp_path, capsys, objective):
    flags = flags_of(texts, tmp_path, "--objective", objective)
    pretrain.main([*flags, "--batch-size", "8", "--learning-rate", "1e-2"])
    printed = capsys.readouterr().out
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    rows, own = metrics["compared"], metrics["model"]
    assert objective in own and list(rows) == ["5-gram", "LSTM"]
    for row in (metrics, *rows.values()):
        assert row["perplexity"] == pytest.approx(np.exp(row["loss"]))
        assert 0 < row["loss"] < np.log(280)
    assert 0.8 < rows["LSTM"]["parameters"] / metrics["parameters"] <= 1
    assert printed.count("better than") == 2
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    for name in ("transformer", "lstm"):
        assert list((tmp_path / "logs" / name).rglob("events.out.tfevents.*"))
    model = KINDS[objective].from_pretrained(tmp_path / "model")
    assert model.tokenizer.vocab_size == model.config.vocab_size


def test_what_is_held_out_depends_on_the_seed_and_nothing_is_lost(texts, tmp_path):
    def split(seed):
        return pretrain.read_texts(
            pretrain.read_flags(flags_of(texts, tmp_path, "--seed", seed))
        )

    train, held_out = split("1")
    assert (len(train), len(held_out)) == (72, 8)
    assert split("1") == (train, held_out) != split("2")
    assert sorted(train + held_out) == sorted(texts.read_text().split("\n\n"))


def test_too_few_texts_are_refused(tmp_path):
    path = tmp_path / "few.txt"
    path.write_text("one\n\ntwo\n")
    with pytest.raises(DataError, match="2 texts are too few"):
        pretrain.main(flags_of(path, tmp_path))


def test_what_cannot_be_read_or_written_is_said_before_training(texts, tmp_path):
    with pytest.raises(DataError, match=r"none\.txt"):
        pretrain.main(flags_of(tmp_path / "none.txt", tmp_path))
    with pytest.raises(DataError, match="--output"):
        pretrain.main(flags_of(texts, texts))
    with pytest.raises(ZooError, match="vocab_size"):
        pretrain.main([*flags_of(texts, tmp_path), "--vocab-size", "20"])


def test_every_flag_is_explained(capsys):
    with pytest.raises(SystemExit):
        pretrain.main(["--help"])
    said = capsys.readouterr().out
    for flag in (
        "objective data text-column output vocab-size length hidden-size layers "
        "batch-size epochs learning-rate seed"
    ).split():
        assert f"--{flag}" in said
    with pytest.raises(SystemExit):
        pretrain.read_flags(["--objective", "prefix"])
    assert "replaced" in capsys.readouterr().err


def test_each_objective_has_an_optimizer_and_a_rate_of_its_own():
    causal, span = OBJECTIVES["causal"], OBJECTIVES["span"]
    assert causal.compile_options(causal.learning_rate, 10) == {
        "learning_rate": 2e-3,
        "schedule": "cosine",
    }
    optimizer = span.compile_options(span.learning_rate, 40)["optimizer"]
    assert isinstance(optimizer, Adafactor)
    rates = [float(optimizer._learning_rate(step)) for step in (0, 4, 39)]
    assert rates[1] == pytest.approx(0.1)
    assert rates[0] < rates[1] and rates[2] < 0.001
