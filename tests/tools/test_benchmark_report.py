"""What a benchmark tells: ratios, doubts, JSON, and its section of a page."""

import io
import json

import pytest
from rich.console import Console

from tools.benchmark_report import Report, show_seconds, update_section
from tools.benchmark_turns import Result, Turn


def result(name, *turns, others=0.0, **about):
    return Result(
        name, [Turn(list(turn), 500_000_000, others) for turn in turns], about
    )


@pytest.fixture
def groups():
    steady = [0.1] * 4
    return {
        "float32": [
            result("zoo", steady, steady, variant="graph"),
            result("KerasHub", [0.13] * 4, [0.15] * 4, variant="graph"),
            Result("transformers", missing=["torch", "transformers"]),
        ]
    }


def report(groups, **options):
    return Report("train", "A training step", {"rounds": 2}, groups, **options)


def printed(report):
    console = Console(file=io.StringIO(), width=120)
    report.print(console)
    return console.file.getvalue()


def test_the_table_shows_ratios_with_their_spread_and_who_was_not_there(groups):
    text = printed(report(groups))
    assert "1.40 (1.30-1.50)" in text
    assert "not installed: torch, transformers" in text
    assert "Provisional" not in text


def test_json_has_every_step_and_the_machine(groups, tmp_path):
    path = tmp_path / "results.json"
    report(groups).write(output=path)
    told = json.loads(path.read_text())
    zoo, hub, torch = told["groups"]["float32"]
    assert zoo["rounds_s"] == [[0.1] * 4, [0.1] * 4]
    assert zoo["median_s"] == pytest.approx(0.1)
    assert hub["ratio_to_zoo"] == pytest.approx(
        {"median": 1.4, "low": 1.3, "high": 1.5}
    )
    assert torch == {
        "contender": "transformers",
        "missing": ["torch", "transformers"],
    }
    assert told["machine"]["cores"] >= 1
    assert "keras" in told["machine"]["versions"]
    assert told["command"]


def test_memory_is_a_column_where_asked_for(groups):
    assert "500 MB" in printed(report(groups, memory=True))
    assert "500 MB" not in printed(report(groups))


def test_without_zoo_there_are_no_ratios(groups):
    text = printed(report({"float32": groups["float32"][1:]}))
    assert "KerasHub" in text
    assert "(" not in text.splitlines()[5]


@pytest.mark.parametrize(
    ("changed", "doubt"),
    [
        (result("zoo", [0.1], [0.1]), "fewer than 7 steps"),
        (result("zoo", [0.1] * 9, others=1.3), "at worst 1.3"),
        (result("zoo", [0.1] * 9, parameters=8), "float32: contenders differ in param"),
    ],
)
def test_doubts_are_told(changed, doubt):
    other = result("KerasHub", *([0.1] * 9 for _ in changed.turns), parameters=7)
    notes = report({"float32": [changed, other]}).notes
    assert any(doubt in note for note in notes)


def test_a_section_is_replaced_and_what_stands_around_it_stays(groups, tmp_path):
    page = tmp_path / "docs" / "benchmarks.md"
    report(groups).write(markdown=page)
    page.write_text("# Ours\n\nWords.\n" + page.read_text() + "\nMore words.\n")
    update_section(page, "load", "## load\n\nAnother.\n")
    report(groups, command=r"python -m tools.benchmark train \g<0>").write(
        markdown=page
    )
    text = page.read_text()
    assert text.startswith("# Ours\n\nWords.\n")
    assert "\nMore words.\n" in text
    assert "Another." in text
    assert text.count("## train") == 1
    assert r"train \g<0>" in text
    assert "| float32 | KerasHub | 140 ms | 130 ms | 1.40 (1.30-1.50) | graph |" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(12.345, "12.35 s"), (0.1234, "123 ms"), (0.01234, "12.3 ms")],
)
def test_seconds_read_well(seconds, text):
    assert show_seconds(seconds) == text
