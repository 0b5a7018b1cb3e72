"""Tables and verdicts of recipes, and what metrics.json holds."""

import argparse
import json
import time

import pytest

from applications.report import finish, print_scores, print_table

ROWS = {
    "always x": {"accuracy": 0.5},
    "linear": {"accuracy": 0.9, "f1": 0.8},
    "model": {"accuracy": 0.8, "f1": 0.85},
}


def test_a_table_has_a_column_for_each_number_and_gaps_where_there_is_none(capsys):
    print_table("held out", ROWS, {"accuracy": ".2f", "f1": ".3f"})
    lines = capsys.readouterr().out.strip().splitlines()
    assert [line.split() for line in lines] == [
        ["held", "out", "accuracy", "f1"],
        ["always", "x", "0.50"],
        ["linear", "0.90", "0.800"],
        ["model", "0.80", "0.850"],
    ]
    assert lines[2].index("0.800") == lines[3].index("0.850")


@pytest.mark.parametrize("less", [False, True])
def test_the_model_is_compared_with_every_other_row(capsys, less):
    print_scores("held out", ROWS, ["f1"], measure="accuracy", less_is_better=less)
    constant, linear = capsys.readouterr().out.splitlines()[-2:]
    better, worse = ("NOT better", "better") if less else ("better", "NOT better")
    assert constant == f"model: {better} than always x, accuracy 0.800 against 0.500"
    assert linear == f"model: {worse} than linear, accuracy 0.800 against 0.900"


def test_as_good_is_not_better(capsys):
    rows = {"no f1": {}, "a": {"f1": 0.5}, "b": {"f1": 0.5}}
    print_scores("held out", rows, ["f1"], measure="f1")
    said = capsys.readouterr().out
    assert "NOT better than a" in said and "than no f1" not in said


def test_metrics_hold_scores_what_they_are_compared_with_and_facts(tmp_path, capsys):
    words = {"recipe": "tell", "command": "python -m applications.tell", "seed": 7}
    flags = argparse.Namespace(**words, export=True)
    facts = {"examples": {"training": 9, "held_out": 1}, "fit_seconds": 3.0}
    began = time.perf_counter() - 5
    finish(tmp_path, flags, ROWS, facts, began=began, files=["page.html"])
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics.pop("seconds") == pytest.approx(5, abs=0.5)
    assert metrics == {
        "recipe": "tell",
        "command": "python -m applications.tell",
        "model": "model",
        "accuracy": 0.8,
        "f1": 0.85,
        "compared": {"always x": {"accuracy": 0.5}, "linear": ROWS["linear"]},
        **facts,
        "flags": {"seed": 7, "export": True},
    }
    said = capsys.readouterr().out
    assert "metrics.json, page.html, model/, logs/ (tensorboard), export/" in said
    assert "5 s, 3 of them in training" in said
