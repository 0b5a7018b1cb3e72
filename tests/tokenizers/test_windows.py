"""Windows are those that `tokenizers` cuts, and leave no token of a context out."""

import pytest
import tensorflow as tf
import tokenizers

from tests.tokenizers.corpus import CORPUS
from zoo.errors import TokenizerError
from zoo.tokenizers import Tokenizer

LONG = " ".join(CORPUS)[:900]
QUESTIONS = ["Hello", "What is a world of foo, and when?", ""]
CONTEXTS = [LONG, "Hello World", ""]


@pytest.fixture(scope="module")
def ours(wordpiece_json):
    return Tokenizer.from_files({"tokenizer.json": wordpiece_json.encode()})


def test_they_are_those_of_tokenizers(wordpiece, ours):
    max_length, step = 56, 7
    found = ours.windows(
        QUESTIONS, CONTEXTS, max_length=max_length, step=step, padding=None
    )
    expected = []
    for question, context in zip(QUESTIONS, CONTEXTS, strict=True):
        wordpiece.no_truncation()
        room = max_length - 3 - len(wordpiece.encode(question).ids) + 2
        wordpiece.enable_truncation(
            max_length, stride=room - step, strategy="only_second"
        )
        first = wordpiece.encode(question, context)
        expected.append([first, *first.overflowing])
    flat = [(i, window) for i, windows in enumerate(expected) for window in windows]
    assert found.pair.numpy().tolist() == [pair for pair, _ in flat]
    for name, attribute in (
        ("input_ids", "ids"),
        ("token_type_ids", "type_ids"),
        ("offsets", "offsets"),
    ):
        rows = found.inputs[name].to_list()
        if name == "offsets":
            rows = [[tuple(pair) for pair in row] for row in rows]
        assert rows == [getattr(window, attribute) for _, window in flat]
    context_places = [
        [place for place, part in enumerate(window.sequence_ids) if part == 1]
        for _, window in flat
    ]
    table = zip(found.place.numpy(), found.length.numpy(), strict=True)
    for (place, length), places in zip(table, context_places, strict=True):
        assert list(range(place, place + length)) == places


def test_they_leave_no_token_out_even_where_few_fit(ours, wordpiece_json):
    found = ours.windows(["foo"], [LONG], max_length=9, step=100, padding=None)
    whole = tokenizers.Tokenizer.from_str(wordpiece_json).encode(LONG).ids[1:-1]
    parts = [
        row[place : place + length]
        for row, place, length in zip(
            found.inputs["input_ids"],
            found.place.numpy(),
            found.length.numpy(),
            strict=True,
        )
    ]
    assert tf.concat(parts, 0).numpy().tolist() == whole
    assert found.begin[-1] + found.length[-1] == len(whole)


def test_a_long_question_gives_way(ours):
    found = ours.windows([LONG], [LONG], max_length=23, step=5, longest_text=40)
    assert found.inputs["input_ids"].shape[1] == 23
    assert set(found.place.numpy()) == {12}  # [CLS], half of 20, [SEP]


@pytest.mark.parametrize(
    "wrong", [{"max_length": 4}, {"step": 0}, {"longest_text": 0}, {"padding": "x"}]
)
def test_sizes_that_make_no_window_are_refused(ours, wrong):
    with pytest.raises(TokenizerError, match="expected"):
        ours.windows(["a"], ["b"], **{"max_length": 40, "step": 5, **wrong})
