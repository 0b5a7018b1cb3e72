"""Columns of words and tags: what is well-formed is read, the rest named by line."""

import gzip

import pytest

from zoo.data.conll import read_conll
from zoo.errors import DataError

CONLL_2003 = """-DOCSTART- -X- -X- O

U.N. NNP I-NP I-ORG
official NN I-NP O
Ekeus NNP I-NP I-PER
. . O O

-DOCSTART- -X- -X- O
Paris NNP I-NP I-LOC
"""


def written(tmp_path, content, name="a.txt"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_four_columns_documents_and_either_end_of_line(tmp_path, end):
    found = read_conll(written(tmp_path, CONLL_2003.replace("\n", end)))
    assert found.words == [["U.N.", "official", "Ekeus", "."], ["Paris"]]
    assert found.tags == [["I-ORG", "O", "I-PER", "O"], ["I-LOC"]]
    assert found.types == ["LOC", "ORG", "PER"]
    assert not found.skipped
    assert found.converted("BIO").tags == [["B-ORG", "O", "B-PER", "O"], ["B-LOC"]]
    assert read_conll(written(tmp_path, CONLL_2003), scheme="BIOES").tags[1] == [
        "S-LOC"
    ]


def test_tabs_keep_spaces_inside_words_and_columns_are_chosen(tmp_path):
    path = written(tmp_path, "O\tNew York\tB-LOC\tx\n\t\t\nO\t#\tO\tx\n")
    found = read_conll(path, word=1, tag=2)
    assert found.words == [["New York"], ["#"]]
    assert found.scheme == "BIO"


def test_a_packed_file_a_byte_order_mark_and_comments(tmp_path):
    text = "# id 1 domain=en\nRome B-LOC\n# O\n"
    path = written(tmp_path, gzip.compress(b"\xef\xbb\xbf" + text.encode()), "a.gz")
    found = read_conll(path)
    assert found.words == [["Rome", "#"]] and not found.skipped


def test_malformed_lines_are_counted_and_shown_and_their_sentences_left_out(tmp_path):
    text = "a O\nb\nc O\n\nd O\n\ne B_PER\n# note\n\n\tO\nf O\n\ng O"
    found = read_conll(written(tmp_path, text))
    assert found.words == [["d"], ["g"]]
    assert found.left_out == 3
    assert found.report() == (
        "a.txt: 2 sentences, tags in BIO; 3 sentences left out, malformed lines: "
        "4 (line 2: 1 column, expected 2 at least; line 7: tag 'B_PER', expected O, "
        "B-TYPE, I-TYPE or the like; line 8: tag 'note', expected O, B-TYPE, I-TYPE or "
        "the like ...)"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        (" \n\t\n", "is empty"),
        ("-DOCSTART- O\n\n", r"no sentence in it \(no words\)"),
        ("word\n", r"no sentence in it \(line 1: 1 column"),
        ("é O\n".encode("latin1"), r"line 1: byte 0xe9 is not UTF-8.*iconv"),
    ],
)
def test_files_that_hold_nothing_are_refused(tmp_path, content, said):
    with pytest.raises(DataError, match=said):
        read_conll(written(tmp_path, content))


def test_a_scheme_that_does_not_exist_is_refused_before_reading(tmp_path):
    with pytest.raises(DataError, match="scheme='IOB2'"):
        read_conll(tmp_path / "missing", scheme="IOB2")
    with pytest.raises(DataError, match="cannot be read"):
        read_conll(tmp_path / "missing")
