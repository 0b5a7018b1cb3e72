"""SQuAD's files: what is right is read whole, what is wrong is named by its place."""

import copy
import json

import pytest

from zoo.data.squad import read_squad, write_predictions
from zoo.errors import DataError

GOOD = {
    "version": "v2.0",
    "data": [
        {
            "title": "Rivers",
            "paragraphs": [
                {
                    "context": "The Rhine is 1,230 km long. 😀 It ends in the sea.",
                    "qas": [
                        {
                            "id": "a",
                            "question": "How long is the Rhine?",
                            "answers": [{"text": "1,230 km", "answer_start": 13}],
                            "is_impossible": False,
                        },
                        {
                            "id": "b",
                            "question": "How deep is it?",
                            "answers": [],
                            "plausible_answers": [{"text": "1,230 km"}],
                            "is_impossible": True,
                        },
                    ],
                }
            ],
        },
        {"title": "Nothing", "paragraphs": []},
    ],
}


def written(tmp_path, content):
    path = tmp_path / "train.json"
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    path.write_bytes(data)
    return path


def test_both_versions_become_the_examples_of_datasets(tmp_path):
    squad = read_squad(written(tmp_path, GOOD))
    assert squad.version == "2.0" and len(squad.examples) == 2
    first, second = squad.examples
    assert first == {
        "id": "a",
        "title": "Rivers",
        "question": "How long is the Rhine?",
        "context": GOOD["data"][0]["paragraphs"][0]["context"],
        "answers": {"text": ["1,230 km"], "answer_start": [13]},
    }
    assert second["answers"] == {"text": [], "answer_start": []}
    assert squad.report() == "train.json: 2 questions, 1 of them without an answer"
    old = copy.deepcopy(GOOD)
    del old["version"]
    for question in old["data"][0]["paragraphs"][0]["qas"]:
        del question["is_impossible"]
    assert read_squad(written(tmp_path, old)).examples == squad.examples


def test_questions_alone_are_read_where_no_answers_are_wanted(tmp_path):
    bare = copy.deepcopy(GOOD)
    for question in bare["data"][0]["paragraphs"][0]["qas"]:
        del question["answers"]
    path = written(tmp_path, bare)
    assert len(read_squad(path, answered=False).examples) == 2
    with pytest.raises(DataError, match=r"data\[0\].paragraphs\[0\].qas\[0\].answers"):
        read_squad(path)


QUESTION = ("data", 0, "paragraphs", 0, "qas", 0)


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("data",), {}, r"data is \{\}; expected a list"),
        (("data", 0), "x", r"data\[0\] is 'x'; expected an object"),
        (("data", 0, "paragraphs"), None, r"data\[0\]\.paragraphs is None"),
        (("data", 0, "title"), 3, r"data\[0\]\.title is 3"),
        ((*QUESTION[:4], "context"), [], r"paragraphs\[0\]\.context is \[\]"),
        (QUESTION, 7, r"qas\[0\] is 7; expected an object"),
        ((*QUESTION, "id"), 7, r"qas\[0\]\.id is 7; expected a string"),
        ((*QUESTION, "id"), "b", r"qas\[1\]\.id is 'b', as that of .*qas\[0\]"),
        ((*QUESTION, "question"), None, r"qas\[0\]\.question is None"),
        ((*QUESTION, "is_impossible"), "no", "is_impossible is 'no'"),
        ((*QUESTION, "answers"), {"text": []}, r"qas\[0\]\.answers is"),
        ((*QUESTION, "answers", 0, "text"), 5, r"answers\[0\]\.text is 5"),
        ((*QUESTION, "answers", 0, "answer_start"), "13", "answer_start is '13'"),
        ((*QUESTION, "answers", 0, "answer_start"), -1, "answer_start is -1"),
        ((*QUESTION, "answers", 0, "answer_start"), True, "answer_start is True"),
        (("data", 0, "paragraphs"), [], "there is no question in it"),
    ],
)
def test_what_is_malformed_is_named_by_its_place(tmp_path, place, value, said):
    wrong = copy.deepcopy(GOOD)
    *above, last = place
    parent = wrong
    for key in above:
        parent = parent[key]
    parent[last] = value
    with pytest.raises(DataError, match=rf"^train\.json: .*{said}"):
        read_squad(written(tmp_path, wrong))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not valid JSON"),
        (b"[]", "expected a JSON object"),
        (b'{"data": [}', "not valid JSON"),
        (b'{"data": []}', "no question"),
        (b"{}", "data is missing"),
        (b"\xff\xfe{\x00}\x00", "not valid JSON"),
        (b'{"data": [], "data": []}', "stands there twice"),
        (b'{"data": ' + b"[" * 100_000, "not valid JSON"),
    ],
)
def test_what_is_no_such_file_is_refused(tmp_path, content, said):
    with pytest.raises(DataError, match=said):
        read_squad(written(tmp_path, content))
    with pytest.raises(DataError, match="no such file"):
        read_squad(tmp_path / "other.json")


def test_predictions_are_what_the_official_scripts_read(tmp_path):
    predictions = {"a": "1,230 km", "b": "", "c": "\ud800 é"}
    write_predictions(tmp_path / "new" / "predictions.json", predictions)
    text = (tmp_path / "new" / "predictions.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"a": "1,230 km", "b": "", "c": "? é"}
