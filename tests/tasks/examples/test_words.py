"""Words of texts, their first pieces, and windows in which none is lost."""

import pytest
import tensorflow as tf

from zoo.tasks.examples import words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ann left.", "Ann|left|."),
        ("don't U.S. e.g 3,000.50,x it''s", "don't|U.S|.|e.g|3,000.50|,|x|it|'|'|s"),
        (
            "New York-based @bob a_1 http://a.co",
            "New|York|-|based|@|bob|a_1|http|:|/|/|a.co",
        ),
        ("我在北京。タワーへ", "我|在|北|京|。|タワー|へ"),
        ("e\u0301te\u0301\u200b\u0301x", "e\u0301te\u0301|\u0301|x"),
        ("👩‍👩‍👧🇫🇷 👍🏽a", "👩‍👩‍👧|🇫🇷|👍🏽|a"),
        ("ส วัดี", "ส|วั|ดี"),
        (" a\r\n\tb\u3000c ", "a|b|c"),
        ("", ""),
        (" \n", ""),
    ],
)
def test_words_of_texts(text, expected):
    # Among others, so that no row reaches into its neighbours.
    found = words.words_of(tf.constant(["x.", text, "y"]))
    splits = found.splits.numpy()
    part = slice(splits[1], splits[2])
    pairs = zip(found.start.numpy()[part], found.end.numpy()[part], strict=True)
    assert "|".join(text[start:end] for start, end in pairs) == expected
    assert splits[1] == 2 and splits[3] - splits[2] == 1


def read(tokenizer, texts, spans=None, max_length=40):
    found = words.read(tokenizer, tf.constant(texts), spans, max_length=max_length)
    return tf.nest.map_structure(lambda x: x.numpy(), found._replace(inputs={})), [
        [tokenizer.id_to_token(i) for i in row]
        for row in found.inputs["input_ids"].to_list()
    ]


def test_units_stand_at_the_first_pieces_of_words(tokenizer):
    found, tokens = read(tokenizer, ["a greatly good film!", "", "😀 bed"])
    assert tokens[0] == "[CLS] a great ##ly good film ! [SEP]".split()
    assert tokens[1] == ["[CLS]", "[SEP]"]
    assert found.row.tolist() == [0, 0, 0, 0, 0, 2, 2]
    assert found.column.tolist() == [1, 2, 4, 5, 6, 1, 2]
    assert list(zip(found.start.tolist(), found.end.tolist(), strict=True)) == [
        (0, 1), (2, 9), (10, 14), (15, 19), (19, 20), (0, 1), (2, 5),
    ]  # fmt: skip


def test_words_without_pieces_and_words_of_one_piece_are_told(tokenizer):
    def spans(*pairs):
        start, end = zip(*pairs, strict=True)
        splits = tf.constant([0, len(pairs)], tf.int64)
        return words.Spans(splits, tf.constant(start), tf.constant(end))

    # The control character is nothing to BERT; "gr" and "eat" have one piece.
    given = spans((0, 1), (2, 4), (4, 7), (8, 12))
    found, _ = read(tokenizer, ["\x01 great film"], given)
    assert found.unit.tolist() == [-1, 0, 0, 1]
    assert (found.start.tolist(), found.end.tolist()) == ([2, 8], [7, 12])


@pytest.mark.parametrize("max_length", [3, 4, 7, 10, 40])
def test_each_word_of_a_long_text_stands_in_one_window(tokenizer, max_length):
    texts = ["the film was very good", "dull " * 9, "", "greatly " * 30 + "bad"]
    found, tokens = read(tokenizer, texts, max_length=max_length)
    whole, _ = read(tokenizer, texts)
    assert found.start.tolist() == whole.start.tolist()
    assert all(len(row) <= max_length for row in tokens)
    firsts = {"the", "film", "was", "very", "good", "dull", "great", "bad"}
    seen = []
    for window, column, row in zip(found.window, found.column, found.row, strict=True):
        assert found.text[window] == row
        assert tokens[window][column] in firsts
        around = min(column - 1, len(tokens[window]) - 2 - column)
        seen.append((around, window, column))
    assert len({place[1:] for place in seen}) == len(seen)
    if max_length == 10:  # inside a text, an eighth of 8 on either side at least
        inner = [a for (a, w, _), r in zip(seen, found.row, strict=True) if r == 3]
        assert min(inner[8:-8]) >= 1
