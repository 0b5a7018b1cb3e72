"""Tables: what is well-formed is read exactly, and the rest is named by line."""

import pytest

from zoo.data.tables import read_table
from zoo.errors import DataError


def written(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_csv_with_quotes_commas_and_line_breaks(tmp_path):
    text = 'id,text,label\r\n1,"a, ""b""\nc",x\r\n2,d,y\r\n'
    table = read_table(written(tmp_path, "a.csv", text))
    assert table.texts == ['a, "b"\nc', "d"]
    assert table.labels == ["x", "y"]
    assert table.pairs is None and not table.skipped


def test_tsv_takes_quotes_as_they_are(tmp_path):
    path = written(tmp_path, "a.tsv", 'sentence\tlabel\n"open\t1\nb"b\t0\n')
    table = read_table(path, text="sentence")
    assert table.texts == ['"open', 'b"b']
    assert table.labels == ["1", "0"]


def test_jsonl_with_numbers_for_labels_and_a_pair(tmp_path):
    lines = '{"q": "a\u2028b", "p": "c", "y": 1}\n\n{"q": "", "p": "d", "y": true}\n'
    path = written(tmp_path, "a.jsonl", lines)
    table = read_table(path, text="q", pair="p", label="y")
    assert table.texts == ["a\u2028b", ""]
    assert table.pairs == ["c", "d"]
    assert table.labels == ["1", "true"]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    path = written(tmp_path, "a.csv", b"\xef\xbb\xbftext,label\nhi,x\n")
    assert read_table(path).texts == ["hi"]


def test_without_a_label_column_there_are_no_labels(tmp_path):
    table = read_table(written(tmp_path, "a.csv", "text\nhi\n"), label=None)
    assert table.texts == ["hi"] and table.labels is None


def test_very_long_fields_are_read(tmp_path):
    path = written(tmp_path, "a.csv", "text,label\n" + "x" * 200_000 + ",y\n")
    assert len(read_table(path).texts[0]) == 200_000


def test_malformed_lines_are_counted_and_named(tmp_path):
    path = written(tmp_path, "a.csv", "text,label\na,x\nb\nc,y,z\nd,y\n")
    table = read_table(path)
    assert table.texts == ["a", "d"]
    assert table.skipped == ((3, "1 fields, expected 2"), (4, "3 fields, expected 2"))
    assert "malformed lines left out: 2 (line 3:" in table.report()


def test_labels_lose_the_space_around_them_and_none_is_malformed(tmp_path):
    path = written(tmp_path, "a.csv", "text,label\na, x\nb,x \nc,\nd, \n")
    table = read_table(path)
    assert (table.texts, table.labels) == (["a", "b"], ["x", "x"])
    assert table.skipped == ((4, "no 'label'"), (5, "no 'label'"))


def test_empty_lines_before_the_header_are_passed_over(tmp_path):
    assert read_table(written(tmp_path, "a.csv", "\n\ntext,label\na,x\n")).texts == [
        "a"
    ]


def test_malformed_json_lines_are_counted_and_named(tmp_path):
    lines = '{"text": "a", "label": "x"}\n{oops\n[1]\n{"text": "b"}\n'
    lines += '{"text": {}, "label": 1}'
    table = read_table(written(tmp_path, "a.jsonl", lines))
    assert table.texts == ["a"]
    assert table.skipped == (
        (2, "not JSON"),
        (3, "not an object"),
        (4, "no 'label'"),
        (5, "not text in 'text'"),
    )


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_a_missing_column_is_named_with_those_there_are(tmp_path, name):
    sign = "," if name.endswith("csv") else "\t"
    path = written(tmp_path, name, f"review{sign}label\na{sign}x\n")
    with pytest.raises(DataError, match=r"lacks \['text'\].*'review', 'label'"):
        read_table(path)


def test_a_column_missing_from_all_json_lines_is_named(tmp_path):
    path = written(tmp_path, "a.jsonl", '{"review": "a", "label": 1}\n')
    with pytest.raises(DataError, match=r"lacks \['text'\].*'label', 'review'"):
        read_table(path)


def test_a_column_that_stands_there_twice_is_refused(tmp_path):
    with pytest.raises(DataError, match="twice"):
        read_table(written(tmp_path, "a.csv", "text,label,text\na,b,c\n"))


def test_another_encoding_is_refused_with_its_line(tmp_path):
    path = written(tmp_path, "a.csv", b"text,label\nfine,x\ncaf\xe9,y\n")
    with pytest.raises(DataError, match=r"line 3: byte 0xe9 is not UTF-8.*iconv"):
        read_table(path)


def test_the_encoding_of_spreadsheets_is_named(tmp_path):
    path = written(tmp_path, "a.csv", "text,label\nfine,x\n".encode("utf-16"))
    with pytest.raises(DataError, match="iconv -f utf-16"):
        read_table(path)


def test_a_quote_that_is_never_closed_is_refused_with_its_line(tmp_path):
    path = written(tmp_path, "a.csv", 'text,label\na,x\n"b,y\nc,x\n')
    with pytest.raises(DataError, match="line 3"):
        read_table(path)


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_an_empty_file_is_refused(tmp_path, content):
    with pytest.raises(DataError, match="is empty"):
        read_table(written(tmp_path, "a.csv", content))


def test_a_file_with_no_good_line_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no example.*line 2"):
        read_table(written(tmp_path, "a.csv", "text,label\na\n"))
    with pytest.raises(DataError, match=r"no example.*no lines"):
        read_table(written(tmp_path, "b.csv", "text,label\n"))


def test_a_missing_file_and_an_unknown_kind_are_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_table(tmp_path / "a.csv")
    with pytest.raises(DataError, match=r"ends in .*\.csv, \.tsv, \.jsonl"):
        read_table(written(tmp_path, "a.xlsx", "x"))
