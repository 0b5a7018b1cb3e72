"""The recipe of Chinese sentiment, whole, on a small file."""

import csv
import json
import random

import pytest

from applications import chinese_sentiment


@pytest.fixture(scope="module")
def reviews(tmp_path_factory):
    """A file of 70 reviews, half of which praise, and a copy of ten of them."""
    draw = random.Random(0)
    rows = []
    for number in range(70):
        word = draw.choice(["好棒", "差坏"][number % 2])
        text = f"{draw.choice('书房店菜')}真{word}，第{number}次"
        rows.append([text, ["praise", "blame"][number % 2]])
    rows += [[f"{text}。", label] for text, label in rows[:10]]
    path = tmp_path_factory.mktemp("reviews") / "reviews.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["评论", "label"], *rows])
    return path


@pytest.mark.parametrize(
    "export", ["--no-export", pytest.param("--export", marks=pytest.mark.parity)]
)
def test_it_learns_a_vocabulary_fills_masks_and_tells_labels(
    reviews, tmp_path, capsys, export
):
    chinese_sentiment.main(
        [
            *("--data", str(reviews), "--text-column", "评论", export),
            *("--output", str(tmp_path), "--vocab-size", "60", "--max-length", "16"),
            *("--hidden-size", "32", "--layers", "1", "--pretrain-epochs", "1"),
            *("--epochs", "8", "--batch-size", "7", "--learning-rate", "1e-2"),
        ]
    )
    printed = capsys.readouterr().out
    assert "10 left out" in printed
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["examples"] == {"training": 63, "held_out": 7}
    assert metrics["accuracy"] >= 6 / 7
    compared = metrics["compared"]
    assert compared[chinese_sentiment.BASELINE]["accuracy"] >= 6 / 7
    assert 0 <= metrics["accuracy_at_masks"] <= 1
    for line in ("character n-grams + logistic", "BERT", "always '"):
        assert line in printed
    for picture in ("curve.png", "pretraining.png", "confusion.png"):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")
    for model in ("pretrained", "model"):
        assert (tmp_path / model / "model.safetensors").is_file()
        assert (tmp_path / model / "tokenizer.json").is_file()
    assert (tmp_path / "export").is_dir() == (export == "--export")
