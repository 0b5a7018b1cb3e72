"""Questions by construction: what is asked was taken out of what is said."""

import random

from zoo.data.constructed_questions import SENTENCE, build_questions, spans_of
from zoo.data.samples import SPEECHES

WORDS = "the revenue of our land and sea rose while peace held over every state".split()
FACTS = [
    "amounted to ${n},000 in all.",
    "was {n} million since the year 18{n}.",
    "was told by the Secretary of the Treasury to Great Britain, Spain and France.",
    "cost $1,{n}0 and $2,{n}5 million, for {n} percent.",
]


def speech(seed, sentences=60):
    draw = random.Random(seed)
    return " ".join(
        " ".join(draw.choices(WORDS, k=9)).capitalize()
        + " "
        + draw.choice(FACTS).format(n=draw.randrange(10, 100))
        for _ in range(sentences)
    )


TEXTS = {f"18{i}": speech(i) for i in range(10, 20)}


def test_answers_stand_where_they_are_said_to_and_not_in_the_question():
    found = build_questions(TEXTS, count=200, seed=1)
    without = [each for each in found if not each["answers"]["text"]]
    assert 0.15 < len(without) / len(found) < 0.4
    assert len({each["id"] for each in found}) == len(found) > 100
    for each in found:
        assert each["kind"] in each["question"].lower()
        assert len(each["context"].split()) < 80
        assert len(spans_of(each["kind"], each["context"])) > 1
        rows = zip(*each["answers"].values(), strict=True)
        for text, start in rows:
            assert each["context"][start : start + len(text)] == text
            assert each["context"].count(text) == 1
            assert text not in each["question"]


def test_they_are_a_function_of_the_seed():
    assert build_questions(TEXTS, count=50) == build_questions(TEXTS, count=50)
    assert build_questions(TEXTS, count=50, seed=1) != build_questions(TEXTS, count=50)


def test_kinds_of_spans():
    text = "In all, in 1850 some 7,500 men paid $1,000,000 to the Bank of "
    text += "England or 3 percent."
    found = {
        kind: [text[a:z] for a, z in spans_of(kind, text)]
        for kind in ("how much", "which year", "how many", "what")
    }
    assert found["how much"] == ["$1,000,000"]
    assert found["which year"] == ["1850"]
    assert found["how many"][-2:] == ["7,500", "3 percent"]
    assert found["what"] == ["Bank of England"]


def test_sentences_do_not_end_behind_titles():
    assert SENTENCE.split("Mr. Jay spoke. He left.") == ["Mr. Jay spoke.", "He left."]


def test_the_speeches_are_named_as_their_package_names_them():
    assert len(set(SPEECHES)) == 233
    assert SPEECHES[0] == "1790_george_washington_n.txt"
    assert {"1933", "2022"}.isdisjoint(name[:4] for name in SPEECHES)
