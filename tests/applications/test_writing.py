"""The recipes of translation and summarisation, whole, on a small file."""

import itertools
import json
import random

import pytest

from applications import summarization, translation, writing
from applications.summarization import first_sentence
from zoo.errors import DataError
from zoo.tasks import Translator

WORDS = {
    "red": "rot",
    "green": "grün",
    "blue": "blau",
    "dog": "Hund",
    "cat": "Katze",
}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """A TSV file of word-for-word translations."""
    draw, path = random.Random(0), tmp_path_factory.mktemp("data") / "pairs.tsv"
    lines = ["en\tde"]
    # Of one length, for each length is compiled anew, as is each size of a batch.
    for words in draw.sample([*itertools.product(WORDS, repeat=3)], 120):
        lines.append(" ".join(words) + "\t" + " ".join(WORDS[word] for word in words))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("recipe", "export"),
    [
        (translation, "--no-export"),
        (summarization, "--no-export"),
        pytest.param(translation, "--export", marks=pytest.mark.parity),
    ],
)
def test_it_trains_measures_draws_saves_and_serves(
    recipe, export, pairs, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(writing, "CHECKS", 1)
    recipe.main(
        [
            *("--data", str(pairs), "--source-column", "en", "--target-column", "de"),
            *("--output", str(tmp_path), "--epochs", "2", "--batch-size", "12"),
            *("--hidden-size", "16", "--layers", "1", "--vocab-size", "60"),
            *("--beams", "2", "--max-length", "8", "--target-length", "8", export),
        ]
    )
    printed = capsys.readouterr().out
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert "better than nearest source by TF-IDF" in printed
    assert "nearest source by TF-IDF" in metrics["compared"]
    assert metrics["examples"] == {"training": 108, "held_out": 12}
    assert metrics["steps"] == 18
    assert (tmp_path / "curve.png").stat().st_size > 0
    assert (tmp_path / "model/model.safetensors").exists()
    assert ("writes the same for 5 of 5" in printed) == (export == "--export")
    if recipe is translation:
        assert metrics["bleu"] >= 0
        saved = Translator.from_pretrained(tmp_path / "model")
        assert saved.generation_defaults["num_beams"] == 2
    else:
        assert 0 <= metrics["rougeL"] <= 1


def test_held_out_sources_that_stand_in_training_are_left_out(pairs, tmp_path):
    arguments = ["--data", str(pairs), "--validation", str(pairs)]
    columns = ["--source-column", "en", "--target-column", "de"]
    with pytest.raises(DataError, match="every source stands in training"):
        translation.main([*arguments, *columns, "--output", str(tmp_path)])


def test_a_first_sentence_ends_at_its_mark():
    assert first_sentence("It is fast. And small.") == "It is fast."
    assert first_sentence("version 1.2 of it") == "version 1.2 of it"
    assert first_sentence("很快。很小。") == "很快。"
