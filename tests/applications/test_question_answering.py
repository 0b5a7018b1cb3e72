"""The recipe of question answering, whole, on a tiny model and a small file."""

import json
import random

import pytest

from applications import question_answering
from zoo.errors import DataError
from zoo.tasks import QuestionAnswerer

WORDS = "the a film plot was is and very it . red blue green what colour".split()
COLOURS = WORDS[-5:-2]


@pytest.fixture(scope="module")
def squad(tmp_path_factory):
    """A file of SQuAD 2.0's form: 150 contexts that name a colour, or none."""
    draw = random.Random(0)
    articles = []
    for number in range(150):
        words = draw.choices(WORDS[:9], k=draw.choice([5, 10, 40]))
        answers = []
        if number % 3:
            words.insert(draw.randrange(len(words)), draw.choice(COLOURS))
            place = next(i for i, word in enumerate(words) if word in COLOURS)
            start = len(" ".join([*words[:place], ""]))
            answers = [{"text": words[place], "answer_start": start}]
        question = {"id": str(number), "question": "what colour is it?"}
        question |= {"answers": answers, "is_impossible": not answers}
        paragraph = {"context": " ".join(words), "qas": [question]}
        articles.append({"title": f"t{number // 5}", "paragraphs": [paragraph]})
    path = tmp_path_factory.mktemp("data") / "train.json"
    path.write_text(json.dumps({"version": "v2.0", "data": articles}))
    return path


def test_it_trains_measures_draws_saves_and_serves(encoder, squad, tmp_path, capsys):
    question_answering.main(
        [
            *("--data", str(squad), "--model", str(encoder), "--output", str(tmp_path)),
            *("--epochs", "6", "--batch-size", "8", "--learning-rate", "2e-2"),
            *("--max-length", "32", "--doc-stride", "8", "--seed", "1"),
            "--no-export",  # its test is tests/tasks/test_question_answerer.py
        ]
    )
    printed = capsys.readouterr().out
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["exact_match"] > 0.8
    assert metrics["compared"]["never an answer"]["exact_match"] < 0.6
    assert metrics["compared"]["TF-IDF sentence overlap"]["exact_match"] < 0.6
    assert sum(metrics["examples"].values()) == 150
    for line in (
        "150 questions, 50 of them without",
        "after training",
        "never an answer",
    ):
        assert line in printed
    for picture in ("curve.png", "attention.png"):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")
    assert "<mark" in (tmp_path / "answers.html").read_text()
    predictions = json.loads((tmp_path / "predictions.json").read_text())
    assert len(predictions) == metrics["examples"]["held_out"]
    assert {"", *COLOURS} & set(predictions.values())
    assert list((tmp_path / "logs").rglob("events.out.tfevents.*"))
    saved = QuestionAnswerer.from_pretrained(tmp_path / "model")
    assert saved.null_threshold == metrics["null_threshold"] is not None
    assert (saved.max_length, saved.doc_stride) == (32, 8)


def test_parts_share_no_article_and_lose_nothing(squad):
    flags = question_answering.read_flags(["--data", str(squad)])
    parts = question_answering.read_data(flags)
    titles = [{each["title"] for each in part.inputs} for part in parts]
    assert all(titles) and sum(map(len, titles)) == 30
    assert sum(map(len, parts)) == 150 and len(set.union(*titles)) == 30


def test_a_file_of_another_form_is_refused_before_anything_is_loaded(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"data": [{"title": "a"}]}')
    with pytest.raises(DataError, match=r"data\[0\]\.paragraphs is missing"):
        question_answering.main(["--data", str(path)])
