"""The recipe of text generation, whole, on small files; and what it refuses."""

import json
import random

import pytest

from applications import text_generation
from zoo import TextGenerator
from zoo.errors import DataError

CHARACTERS = "山水風月花雲天春"


@pytest.fixture(scope="module")
def poems(tmp_path_factory):
    """A file of 80 lines, of which the last two are equal."""
    draw = random.Random(0)
    lines = [
        "，".join("".join(draw.choices(CHARACTERS, k=5)) for _ in "ab") + "。"
        for _ in range(79)
    ]
    path = tmp_path_factory.mktemp("poems") / "poems.txt"
    path.write_text("\n".join([*lines, lines[-1]]), encoding="utf-8")
    return path


def flags_of(poems, output, *more):
    return [
        *("--data", str(poems), "--output", str(output), "--vocab-size", "290"),
        *("--length", "32", "--hidden-size", "16", "--layers", "1", "--epochs", "1"),
        *("--new-tokens", "4", "--learning-rate", "1e-2", *more),
    ]


@pytest.mark.parametrize(
    "export", ["--no-export", pytest.param("--export", marks=pytest.mark.parity)]
)
def test_it_trains_compares_writes_and_saves(
    poems, tmp_path, capsys, monkeypatch, export
):
    monkeypatch.setattr(text_generation, "WRITTEN", 6)
    text_generation.main(flags_of(poems, tmp_path, export))
    printed = capsys.readouterr().out
    assert "1 copies of others left out" in printed
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["examples"] == {"training": 72, "held_out": 7}
    assert list(metrics["compared"]) == ["people", "5-gram", "LSTM"]
    models = {**metrics["compared"], metrics["model"]: metrics}
    del models["people"]
    for name, row in models.items():
        assert 1 < row["perplexity"] < 1000, name
        assert 0 <= row["distinct_1"] <= 1 and 0 <= row["distinct_2"] <= 1
        assert len(metrics["written"][name]) > 3
        assert f"  {name} " in printed
    assert 0.8 < models["LSTM"]["parameters"] / models["GPT"]["parameters"] <= 1
    better = models["GPT"]["perplexity"] < models["5-gram"]["perplexity"]
    verdict = "better" if better else "NOT better"
    assert f"GPT: {verdict} than 5-gram, perplexity" in printed
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    for model in ("gpt", "lstm"):
        [log] = (tmp_path / "logs" / model / "train").glob("events.*")
        assert b"samples" in log.read_bytes()
    saved = TextGenerator.from_pretrained(tmp_path / "model")
    assert saved.tokenizer.vocab_size == saved.config.vocab_size
    served = (tmp_path / "export" / "1" / "saved_model.pb").is_file()
    assert served == (export == "--export")


def test_held_out_texts_of_a_file_are_not_learnt_from(poems, tmp_path):
    part = tmp_path / "part.txt"
    part.write_text("".join(poems.open(encoding="utf-8").readlines()[:10]), "utf-8")
    flags = flags_of(poems, tmp_path, "--validation", str(part))
    train, held_out = text_generation.read_data(text_generation.read_flags(flags))
    assert len(held_out) == 10 and len(train) == 69
    assert not set(train) & set(held_out)


def test_too_few_texts_are_refused(tmp_path):
    path = tmp_path / "few.txt"
    path.write_text("one\ntwo\n")
    with pytest.raises(DataError, match="too few to hold out"):
        text_generation.main(flags_of(path, tmp_path))


def test_an_opening_is_two_characters_or_three_words():
    assert text_generation.opening("秦川雄帝宅，函谷壯皇居。") == "秦川"
    assert text_generation.opening("We the people of") == "We the people"
