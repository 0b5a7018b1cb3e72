"""Encoded texts: what the tokenizer gives, whole, in memory and on disk alike."""

import numpy as np
import pytest

from zoo import Tokenizer
from zoo.data.encoded import EncodedTexts, encode_texts
from zoo.data.records import Records
from zoo.errors import DataError, InputError

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] a good bad film is it ."


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.from_files({"vocab.txt": "\n".join(WORDS.split()).encode()})


TEXTS = ["a good film .", "", "bad", "it is it is it"] * 400


def rows(encoded):
    return [encoded[i].tolist() for i in range(len(encoded))]


def test_texts_become_what_the_tokenizer_gives(tokenizer):
    expected = tokenizer(TEXTS, padding=None)["input_ids"].to_list()
    encoded = encode_texts(TEXTS, tokenizer)
    assert rows(encoded) == expected and len(encoded) == 1600
    assert encoded.lengths.tolist() == [len(row) for row in expected]
    options = {"add_special_tokens": False, "end": "[SEP]"}
    assert rows(encode_texts(TEXTS[:4], tokenizer, **options)) == [
        [5, 6, 8, 11, 3],
        [3],
        [7, 3],
        [10, 9, 10, 9, 10, 3],
    ]


def test_texts_of_files_are_written_and_read_back(tokenizer, tmp_path):
    (tmp_path / "a.txt").write_text("\n".join(TEXTS))
    texts = Records(tmp_path / "a.txt", columns=["text"])
    written = encode_texts(texts, tokenizer, directory=tmp_path / "ids", end=3)
    assert isinstance(written.ids, np.memmap) and written.ids.dtype == np.uint16
    again = EncodedTexts.load(tmp_path / "ids")
    wanted = encode_texts([text for text in TEXTS if text], tokenizer, end=3)
    assert rows(again) == rows(written) == rows(wanted)


def test_what_cannot_be_encoded_or_loaded_is_refused(tokenizer, tmp_path):
    for texts, error in (
        ([], "no texts"),
        ([1], "got int"),
        ([{"a": "x", "b": "y"}], "got 2 columns"),
    ):
        with pytest.raises(InputError, match=error):
            encode_texts(texts, tokenizer, directory=tmp_path / "ids")
    assert not (tmp_path / "ids").exists()
    with pytest.raises(InputError, match="end='</s>' is not a token"):
        encode_texts(["a"], tokenizer, end="</s>")
    with pytest.raises(DataError, match=r"encoded\.json"):
        EncodedTexts.load(tmp_path)
    encode_texts(["a film"], tokenizer, directory=tmp_path / "ids")
    (tmp_path / "ids" / "ids.bin").write_bytes(b"\0\0")
    with pytest.raises(DataError, match="Encode them again"):
        EncodedTexts.load(tmp_path / "ids")
    with pytest.raises(InputError, match="ends do not divide"):
        EncodedTexts(np.arange(3), [2])


def test_lists_of_ids_are_texts_too():
    encoded = EncodedTexts.from_lists([[1, 2], [], [3]])
    assert rows(encoded) == [[1, 2], [], [3]]
    with pytest.raises(InputError, match="no texts"):
        EncodedTexts.from_lists([])
