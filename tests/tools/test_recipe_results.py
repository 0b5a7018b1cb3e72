"""The table of the recipes' results: what stands in it, and what stops it."""

import json
import re
from pathlib import Path

import pytest

from tools import recipe_results
from tools.recipe_results import PAGES, RECIPES, ResultsError, read_results

ROOT = Path(__file__).parents[2]


@pytest.fixture
def runs(tmp_path):
    """Results of two recipes; the poems are foretold worse than by 5-grams."""
    common = {"examples": {"training": 9000, "held_out": 1000}, "seconds": 123.4}
    found = {
        "text_classification": {
            "model": "after training",
            **{"accuracy": 0.8731, "f1": 0.871, "loss": 0.3},
            "compared": {"always 'a'": {"accuracy": 0.5, "f1": 0.33}},
        },
        "text_generation": {
            "model": "GPT",
            **{"perplexity": 30.5, "distinct_1": 0.2},
            "compared": {
                "people": {"distinct_1": 0.25},
                "5-gram": {"perplexity": 20.0, "distinct_1": 0.3},
                "LSTM": {"perplexity": 40.0, "distinct_1": 0.1},
            },
        },
    }
    for name, metrics in found.items():
        metrics |= {"recipe": name, "command": f"python -m applications.{name}"}
        path = tmp_path / "runs" / name / "metrics.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(metrics | common))
    return tmp_path / "runs"


def test_both_pages_get_the_table_and_keep_what_stands_around_it(runs, tmp_path):
    pages = [tmp_path / page for page in PAGES.values()]
    for page in pages:
        page.parent.mkdir(parents=True)
        page.write_text(
            "# Page\n\n<!-- results: begin -->\n<!-- results: end -->\nEnd\n"
        )
    for _ in range(2):
        recipe_results.main(runs, tmp_path)
    english, chinese = (page.read_text(encoding="utf-8") for page in pages)
    assert english.startswith("# Page") and english.endswith("End\n")
    for row in (
        "| [English sentiment](text_classification.md) | always 'a' | accuracy 0.500",
        "| **after training** | **accuracy 0.873, f1 0.871** | 9,000 / 1,000 | 123 |",
        "| [Text generation](text_generation.md) | people | distinct 1 0.250 |",
        "| [Translation](translation.md) | not run |",
        "- Text generation: **GPT** is not better than 5-gram.",
        "python -m applications.text_generation",
    ):
        assert english.count(row) == 1
    assert "- 文本生成：**GPT** 不比 5-gram 好。" in chinese
    assert english.count("\n|") == chinese.count("\n|")


def test_files_of_another_form_are_named(runs):
    path = runs / "text_classification" / "metrics.json"
    for text in ("{", "[]", '{"recipe": "x"}', path.read_text().replace("text_c", "c")):
        path.write_text(text)
        with pytest.raises(ResultsError, match=r"text_classification.metrics\.json"):
            read_results(runs)


def test_without_any_run_nothing_is_written(tmp_path):
    with pytest.raises(SystemExit, match="no metrics"):
        recipe_results.main(tmp_path, tmp_path)
    assert not list(tmp_path.iterdir())


def test_make_runs_the_recipes_that_the_table_has():
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    named = re.search(r"^RECIPES := (.*)$", makefile, re.MULTILINE)[1].split()
    assert named == list(RECIPES)
    for name, recipe in RECIPES.items():
        assert (ROOT / "applications" / f"{name}.py").is_file()
        assert (ROOT / "docs" / "applications" / recipe.page).is_file()
