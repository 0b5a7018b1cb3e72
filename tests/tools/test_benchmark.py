"""The command line of the benchmarks."""

import json

import pytest
from typer.testing import CliRunner

from tools import benchmark, benchmark_tokenize
from tools.benchmark_turns import Result, Turn


def call(*words):
    return CliRunner().invoke(benchmark.app, words)


@pytest.fixture
def measured(monkeypatch):
    """Contenders that are not run: what they were asked for is kept."""
    asked = []

    def measure(contenders, **options):
        asked.append(([contender.name for contender in contenders], options))
        turn = Turn([0.1] * 9, 0)
        return [Result(c.name, [turn], {"threads": "2"}) for c in contenders]

    monkeypatch.setattr(benchmark, "measure", measure)
    return asked


def test_help_names_every_benchmark():
    text = call("--help").output
    assert all(name in text for name in benchmark.COMMANDS)


LIBRARIES = ["zoo", "KerasHub", "transformers"]


@pytest.mark.parametrize(
    "name", ["train --precision float32 --precision bfloat16", "forward"]
)
def test_both_precisions_are_measured_and_written(name, measured, tmp_path):
    output, markdown = tmp_path / "results.json", tmp_path / "page.md"
    done = call(*name.split(), "--output", str(output), "--markdown", str(markdown))
    assert done.exit_code == 0, done.output
    assert list(json.loads(output.read_text())["groups"]) == ["float32", "bfloat16"]
    assert f"## {name.split()[0]}" in markdown.read_text()
    assert [names for names, _ in measured] == [LIBRARIES] * 2


def test_rows_of_training_are_chosen_by_their_names(measured):
    assert call("train", "--rounds", "1").exit_code == 0
    torch = ["zoo", "transformers"]
    assert [names for names, _ in measured] == [*[LIBRARIES] * 3, torch]
    measured.clear()
    assert call("train", "--row", "T5").exit_code == 0
    assert [names for names, _ in measured] == [torch]
    measured.clear()
    assert call("train", "--row", "float32").exit_code == 0
    assert [names for names, _ in measured] == [LIBRARIES]  # BERT's


def test_what_spares_memory_stands_beside_the_plain_form(measured):
    done = call("memory", "--row", "12 layers of 768")
    assert done.exit_code == 0, done.output
    assert [names for names, _ in measured] == [["zoo", "zoo, plain"], ["zoo"]]
    assert all(options["fresh"] for _, options in measured)


def test_an_epoch_of_fine_tuning_is_measured(measured, monkeypatch):
    monkeypatch.setattr("zoo.data.samples.fetch", lambda name: f"/{name}")
    done = call("finetune", "--rounds", "1")
    assert done.exit_code == 0, done.output
    ((names, options),) = measured
    assert names == [*LIBRARIES[::2], "KerasHub, 128 tokens", "KerasHub, 512 tokens"]
    assert (options["rounds"], options["steps"], options["warmup"]) == (1, 1, 0)


def test_options_reach_the_measurement(measured):
    words = "train --rounds 2 --steps 9 --warmup 3 --precision bfloat16 --only ZOO"
    assert call(*words.split()).exit_code == 0
    ((names, options),) = measured
    assert names == ["zoo"]
    assert (options["rounds"], options["steps"], options["warmup"]) == (2, 9, 3)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("train --precision float8", "float32 or bfloat16"),
        ("forward --only jax", "KerasHub"),
    ],
)
def test_what_does_not_exist_is_refused_with_what_does(words, said, measured):
    done = call(*words.split())
    assert done.exit_code == 2
    assert said in done.output
    assert not measured


def test_tokenizers_are_told_as_the_others_are(monkeypatch, tmp_path):
    timing = {
        "kind": "WordPiece (BERT)",
        "text": "English",
        "megabytes": 4.0,
        "zoo": (1.0, 2.0, 1.0),
        "tokenizers": (2.0, 4.0, 3.0),
        "different": 1,
        "lines": 900,
    }
    monkeypatch.setattr(
        benchmark_tokenize, "run", lambda **options: {"timings": [timing]}
    )
    page = tmp_path / "page.md"
    assert call("tokenize", "--markdown", str(page)).exit_code == 0
    text = page.read_text()
    assert "4.0 MB/s; 1 of 900 lines differ" in text
    assert "| tokenizers | 3.00 s | 2.00 s | 2.00 (2.00-3.00) | 1.3 MB/s |" in text
