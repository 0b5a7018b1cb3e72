"""Records: every format, streamed or by number, gives what was written."""

import csv
import gzip
import io
import json

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zoo.data.records import Records, find_files
from zoo.errors import DataError, InputError

TEXTS = [
    "a film",
    'a "quoted", one',
    "电影\u2028很好",
    "é\u0301 👩‍👧",
    "tab\tand, comma",
]
ROWS = [{"text": text, "label": str(i)} for i, text in enumerate(TEXTS)]


def separated(rows, delimiter=","):
    out = io.StringIO(newline="")
    quoting = csv.QUOTE_MINIMAL if delimiter == "," else csv.QUOTE_NONE
    options = {"delimiter": delimiter, "quoting": quoting, "quotechar": None}
    if delimiter == ",":
        options = {}
    writer = csv.DictWriter(out, ["text", "label"], **options)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def written(path, rows):
    """The rows in the format that the name of the file says."""
    name = path.name.removesuffix(".gz")
    if name.endswith(".txt"):
        data = "\n".join(row["text"] for row in rows).encode()
    elif name.endswith(".jsonl"):
        data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    elif name.endswith(".parquet"):
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)
        return path
    elif name.endswith(".tfrecord"):
        with tf.io.TFRecordWriter(str(path)) as writer:
            for row in rows:
                writer.write(example(**row))
        return path
    else:
        data = separated(rows, "," if name.endswith(".csv") else "\t")
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def example(**row):
    features = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
        for name, value in row.items()
    }
    features = tf.train.Features(feature=features)
    return tf.train.Example(features=features).SerializeToString()


NAMES = ["a.csv", "a.jsonl", "a.parquet", "a.tfrecord", "a.txt", "a.tsv"]


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


def rows_for(name):
    if name.endswith(".txt"):
        return [{"text": text} for text in TEXTS]
    return ROWS if name != "a.tsv" else ROWS[:-1]  # a tab cannot be written there


def test_every_format_gives_what_was_written_in_order_and_by_number(tmp_path, name):
    rows = rows_for(name)
    records = Records(written(tmp_path / name, ROWS[: len(rows)]))
    assert list(records) == rows
    assert records.size == len(rows)
    assert records.read([3, 0, 3, 1]) == [rows[3], rows[0], rows[3], rows[1]]
    assert records[-1] == rows[-1]
    with pytest.raises(IndexError, match=f"record {len(rows)} of {len(rows)}"):
        records[len(rows)]
    assert records.report() == "1 file, nothing malformed"


def test_shards_share_the_records_of_all_files(tmp_path, name):
    rows = rows_for(name)
    for i in range(3):
        written(tmp_path / f"{i}-{name}", ROWS[: len(rows)])
    pattern = tmp_path / f"*{name}"
    shards = [Records(pattern, columns="text", shard=(i, 2)) for i in range(2)]
    whole = [{"text": row["text"]} for row in rows] * 3
    for i, shard in enumerate(shards):
        assert list(shard) == whole[i::2]
        assert shard.read(range(shard.size)) == whole[i::2]
    assert list(Records(pattern, columns=["text"], shard=(99, 100))) == []


def test_compressed_files_are_streamed_and_not_read_by_number(tmp_path):
    for name in ("a.jsonl.gz", "a.csv.gz"):
        records = Records(written(tmp_path / name, ROWS))
        assert list(records) == ROWS
        with pytest.raises(DataError, match=r"is compressed.*Unpack it"):
            _ = records.size
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"text" * 99)[:-9])
    with pytest.raises(DataError, match="cannot be read"):
        list(Records(tmp_path / "b.txt.gz"))


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "text": st.text(st.characters(exclude_categories=["Cs"])),
                "label": st.text("ab,\"\n\r'é ", max_size=4),
            }
        ),
        min_size=1,
        max_size=5,
    )
)
def test_whatever_the_text_csv_and_json_come_back(tmp_path, rows):
    rows = [
        {name: value.replace("\0", "") for name, value in row.items()} for row in rows
    ]
    for name in ("a.csv", "a.jsonl"):
        records = Records(written(tmp_path / name, rows))
        assert list(records) == rows
        assert records.read(range(len(rows))) == rows


def test_a_text_file_is_lines_paragraphs_or_one_text(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n\r\n \n  three\n\n")

    def texts(unit):
        records = Records(path, unit=unit)
        found = [row["text"] for row in records]
        assert [row["text"] for row in records.read(range(records.size))] == found
        return found

    assert texts("line") == ["one", "two", "  three"]
    assert texts("paragraph") == ["one\ntwo", "  three"]
    assert texts("file") == ["one\ntwo\n\n \n  three"]
    with pytest.raises(DataError, match="unit='word'"):
        Records(path, unit="word")


def test_malformed_records_are_left_out_counted_and_shown(tmp_path):
    good = '{"text": "a"}\n'
    (tmp_path / "a.jsonl").write_text(good + "{oops\n[1]\n" + good)
    (tmp_path / "b.jsonl").write_text('{"text": null}\n' + good)
    records = Records(tmp_path / "*.jsonl", columns=["text"])
    assert records.size == 3 and records[2] == {"text": "a"}
    assert records.malformed_count == 3
    assert [each[1:] for each in records.malformed] == [
        (2, "not JSON"),
        (3, "not an object"),
        (1, "no 'text'"),
    ]
    assert "3 malformed left out (a.jsonl line 2: not JSON;" in records.report()
    strict = Records(tmp_path / "*.jsonl", on_malformed="raise")
    with pytest.raises(DataError, match=r"a\.jsonl, line 2: not JSON"):
        list(strict)


def test_values_come_as_they_are_or_as_text(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"n": 3, "ids": [1, 2]}\n')
    assert Records(tmp_path / "a.jsonl")[0] == {"n": 3, "ids": [1, 2]}
    assert Records(tmp_path / "a.jsonl", columns=["n"])[0] == {"n": "3"}
    with pytest.raises(DataError, match=r"no record in it \(line 1: not text in 'ids'"):
        Records(tmp_path / "a.jsonl", columns=["ids"])[0]


def test_tfrecords_of_numbers_and_of_something_else(tmp_path):
    features = {
        "n": tf.train.Feature(int64_list=tf.train.Int64List(value=[3, 4])),
        "x": tf.train.Feature(float_list=tf.train.FloatList(value=[0.5])),
        "raw": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"\xff"])),
    }
    features = tf.train.Features(feature=features)
    path = tmp_path / "a.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(tf.train.Example(features=features).SerializeToString())
        writer.write(b"\xff not an example")
    records = Records(path)
    assert list(records) == [{"n": [3, 4], "x": 0.5, "raw": b"\xff"}]
    assert records.malformed[0][1:] == (2, "not a tf.train.Example")
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"is damaged.*follows record 0"):
        list(Records(path))


def test_errors_say_what_is_wrong_and_where(tmp_path):
    def text(error, name, content=b"", **options):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(DataError, match=error):
            list(Records(path, **options))

    text(
        r"a\.txt, line 3: byte 0xe9 is not UTF-8.*iconv -f latin1", "a.txt", b"\n\n\xe9"
    )
    text("iconv -f utf-16", "b.txt", "hallo".encode("utf-16"))
    text(
        r"lacks \['text'\]; its columns are 'review'",
        "c.csv",
        b"review\na\n",
        columns=["text"],
    )
    text(r"lacks \['label'\]; its columns are 'text'", "d.txt", b"x", columns=["label"])
    text("d.jsonl: empty", "d.jsonl", b" \n")
    text("is not a Parquet file", "e.parquet", b"x" * 99)
    text("is damaged, or is no TFRecord file", "f.tfrecord", b"x" * 99)
    text("encoding='utf-16'.*iconv", "g.txt", b"x", encoding="utf-16")
    text("encoding='klingon'", "g.txt", b"x", encoding="klingon")
    text("on the file's|expected a file whose name ends in", "h.doc", b"x")
    for path, error in (
        (tmp_path / "none.txt", "none.txt cannot be read: No such file"),
        (tmp_path / "*.md", "no file matches this pattern"),
        (tmp_path, "is a directory"),
        ([], "No files were given"),
    ):
        with pytest.raises(DataError, match=error):
            Records(path)
    for shard in ((2, 2), (-1, 2), 3, ("a", "b")):
        with pytest.raises(InputError, match="shard="):
            Records(tmp_path / "g.txt", shard=shard)
    with pytest.raises(InputError, match="on_malformed='keep'"):
        Records(tmp_path / "g.txt", on_malformed="keep")


def test_chinese_encodings_are_read(tmp_path):
    (tmp_path / "a.txt").write_bytes("电影\n很好".encode("gb18030"))
    found = [row["text"] for row in Records(tmp_path / "a.txt", encoding="gb18030")]
    assert found == ["电影", "很好"]


def test_empty_files_among_others_are_passed_over(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"")
    (tmp_path / "b.txt").write_bytes(b"x")
    assert list(Records(tmp_path / "*.txt")) == [{"text": "x"}]


def test_a_file_that_changes_is_noticed(tmp_path):
    path = written(tmp_path / "a.jsonl", ROWS)
    records = Records(path)
    assert records.size == len(ROWS)
    written(path, ROWS[:-1])
    with pytest.raises(DataError, match="has changed"):
        records[0]


def test_a_file_that_two_patterns_name_is_read_once(tmp_path):
    for name in ("b.txt", "a.txt"):
        (tmp_path / name).write_text("x")
    found = find_files([tmp_path / "b.txt", tmp_path / "*.txt"])
    assert [path.name for path in found] == ["b.txt", "a.txt"]
    (tmp_path / "[c].txt").write_text("x")
    assert len(find_files(tmp_path / "[c].txt")) == 1


def test_a_graph_reads_by_number(tmp_path):
    records = Records(written(tmp_path / "a.jsonl", ROWS), columns=["text", "label"])
    numbers = tf.data.Dataset.from_tensors(np.array([2, 0]))
    [columns] = numbers.map(records.gather)
    assert [text.decode() for text in columns["text"].numpy()] == [TEXTS[2], TEXTS[0]]
    assert columns["label"].numpy().tolist() == [b"2", b"0"]
    with pytest.raises(InputError, match="need columns"):
        Records(records.files).gather(tf.constant([0]))
