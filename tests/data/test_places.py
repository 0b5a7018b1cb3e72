"""Places of records are kept on disk: found once, never stale, never half written."""

import logging
import os
import threading

import pytest

from tests.data.test_records import NAMES, ROWS, rows_for, written
from zoo.data import places
from zoo.data.formats import RecordFile
from zoo.data.records import Records
from zoo.errors import DataError

LONG_AGO = 10**18  # nanoseconds: a file that is not being written to


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of its own, and every file is large."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(places, "LARGE", 0)
    return tmp_path / "cache" / "places"


@pytest.fixture
def passes(monkeypatch):
    """Names of the files that were passed over."""
    found = []
    whole = places._pass_over

    def counted(source, *arguments):
        found.append(source.path.name)
        return whole(source, *arguments)

    monkeypatch.setattr(places, "_pass_over", counted)
    return found


def old(path, changed=LONG_AGO):
    os.utime(path, ns=(changed, changed))
    return path


def lines(path, *texts):
    path.write_text("".join(f"{text}\n" for text in texts))
    return old(path)


def texts(path, **options):
    records = Records(path, **options)
    return [row["text"] for row in records.read(range(records.size))]


@pytest.mark.parametrize("name", NAMES)
def test_the_second_start_does_not_pass_over_the_file(tmp_path, name, monkeypatch):
    rows = rows_for(name)
    path = old(written(tmp_path / name, ROWS[: len(rows)]))
    assert Records(path).read(range(len(rows))) == rows
    kind = type(Records(path)._sources[0])
    monkeypatch.setattr(kind, "scan", lambda self: pytest.fail("was passed over"))
    again = Records(path)
    assert again.size == len(rows)
    assert again.read([3, 0, 3]) == [rows[3], rows[0], rows[3]]
    shard = Records(path, shard=(1, 2))
    assert shard.read(range(shard.size)) == rows[1::2]


def test_only_the_records_that_are_asked_for_are_read(tmp_path, monkeypatch):
    path = lines(tmp_path / "a.txt", *(f"line {i}" for i in range(100)))
    assert texts(path)[7] == "line 7"
    read = []
    whole = RecordFile._bytes

    def counted(self, file, start, stop):
        read.append(stop - start)
        return whole(self, file, start, stop)

    monkeypatch.setattr(RecordFile, "_bytes", counted)
    monkeypatch.setattr(RecordFile, "lines", lambda self: pytest.fail("was read"))
    assert Records(path).read([7, 99]) == [{"text": "line 7"}, {"text": "line 99"}]
    assert read == [7, 8]


def test_a_file_that_has_changed_is_passed_over_again(tmp_path, passes, cache):
    path = lines(tmp_path / "a.txt", "one", "two")
    assert texts(path) == texts(path) == ["one", "two"]
    assert passes == ["a.txt"]
    lines(path, "three", "four", "five")
    assert texts(path) == ["three", "four", "five"]
    old(path, LONG_AGO + 1)  # as long as before, written a nanosecond later
    assert texts(path) == ["three", "four", "five"]
    assert passes == ["a.txt"] * 3
    assert len(list(cache.iterdir())) == 1  # the stale ones were replaced


def test_another_way_to_read_a_file_has_places_of_its_own(tmp_path, passes):
    path = lines(tmp_path / "a.txt", "one", "two", "", "three")
    for _ in range(2):
        assert texts(path) == ["one", "two", "three"]
        assert texts(path, unit="paragraph") == ["one\ntwo", "three"]
        assert texts(path, unit="file") == ["one\ntwo\n\nthree"]
    assert len(passes) == 3


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-8],
        lambda data: data[:10],
        lambda data: b"",
        lambda data: data + b"\0" * 8,
        lambda data: bytes([*data[:-3], data[-3] ^ 1, *data[-2:]]),
        lambda data: data.replace(b'"count"', b'"const"'),
        lambda data: b"x" * len(data),
    ],
    ids=["cut", "head cut", "empty", "longer", "one bit", "no count", "no index"],
)
def test_a_damaged_index_is_made_again(tmp_path, passes, cache, damage):
    path = lines(tmp_path / "a.txt", "one", "two")
    assert texts(path) == ["one", "two"]
    [kept] = cache.iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(damage(whole))
    assert texts(path) == ["one", "two"]
    assert len(passes) == 2
    assert kept.read_bytes() == whole
    assert texts(path) == ["one", "two"]
    assert len(passes) == 2


def test_what_is_malformed_is_told_at_every_start(tmp_path, passes):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n{torn\n' + "[]\n" * 30)
    old(path)
    for _ in range(2):
        records = Records(path)
        assert records.size == 1
        assert records.malformed_count == 31
        assert len(records.malformed) == places.EXAMPLES
        assert "31 malformed left out (a.jsonl line 2: not JSON;" in records.report()
    with pytest.raises(DataError, match=r"a\.jsonl, line 2: not JSON"):
        _ = Records(path, on_malformed="raise").size
    assert len(passes) == 1


def test_a_pass_that_ended_at_a_malformed_record_is_not_kept(tmp_path, passes, cache):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n{torn\n{"text": "b"}\n')
    old(path)
    with pytest.raises(DataError, match="line 2: not JSON"):
        _ = Records(path, on_malformed="raise").size
    assert not cache.exists()
    assert texts(path) == ["a", "b"]


def test_small_files_and_those_just_written_are_not_kept(tmp_path, monkeypatch, cache):
    path = lines(tmp_path / "a.txt", "one")
    path.touch()
    assert texts(path) == ["one"]
    monkeypatch.setattr(places, "LARGE", 5)
    assert texts(old(path)) == ["one"]
    assert not cache.exists()


def test_a_cache_that_cannot_be_written_costs_one_line(tmp_path, caplog, cache):
    places._say_unwritable.cache_clear()
    cache.parent.write_text("a file where the directory should be")
    for name in "ab":
        lines(tmp_path / f"{name}.txt", "one")
    with caplog.at_level(logging.WARNING, "zoo"):
        assert texts(tmp_path / "*.txt") == ["one", "one"]
    [record] = caplog.records
    assert "Set ZOO_CACHE to a directory that can be written" in record.getMessage()


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch, cache):
    def full(*_):
        raise OSError(28, "No space left on device")

    path = lines(tmp_path / "a.txt", "one")
    monkeypatch.setattr(places.os, "replace", full)
    assert texts(path) == ["one"]
    assert list(cache.iterdir()) == []


def test_those_who_build_at_once_do_not_break_each_other(tmp_path, monkeypatch, cache):
    path = lines(tmp_path / "a.txt", *map(str, range(500)))
    together = threading.Barrier(4, timeout=20)
    store = places._store

    def at_once(*arguments):
        together.wait()
        store(*arguments)

    monkeypatch.setattr(places, "_store", at_once)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(texts(path))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [list(map(str, range(500)))] * 4
    assert len(list(cache.iterdir())) == 1


def test_an_index_in_use_outlives_its_replacement(tmp_path, cache):
    path = lines(tmp_path / "a.txt", "one", "two")
    texts(path)
    mapped = Records(path)
    assert mapped.size == 2
    [kept] = cache.iterdir()
    kept.unlink()
    assert mapped[1] == {"text": "two"}


def test_a_long_pass_says_how_far_it_is(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(places, "FIRST_NEWS", 0)
    path = lines(tmp_path / "a.txt", *["text"] * 2048)
    assert Records(path).size == 2048
    said = capfd.readouterr().err
    assert "Looking for the records of a.txt: 1,024 so far (50% of the file)." in said
    assert Records(path).size == 2048
    assert capfd.readouterr().err == ""
