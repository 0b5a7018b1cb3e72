"""Model directories: names, JSON under caps, and replacement that fails whole."""

import errno
import json
import os
import tracemalloc

import pytest

from zoo.errors import CheckpointError, ConfigError, InputError
from zoo.files import (
    file_in,
    find_directory,
    parse_json,
    read_json,
    shorten,
    staged_directory,
)


def contents(directory):
    """Every file below a directory with its bytes, and every directory."""
    return {
        str(path.relative_to(directory)): path.read_bytes() if path.is_file() else None
        for path in directory.rglob("*")
    }


# -- Finding files


def test_a_local_directory_is_its_own_source(tmp_path):
    assert find_directory(tmp_path) == tmp_path


@pytest.mark.parametrize(
    ("source", "revision", "said"),
    [
        ("{}/file", None, "is a file"),
        ("{}", "main", "Leave revision out"),
        ("{}/absent", None, "no such directory"),
    ],
)
def test_what_is_no_source_is_explained(tmp_path, source, revision, said):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=said):
        find_directory(source.format(tmp_path), revision=revision)


def test_a_file_is_found_by_its_plain_name(tmp_path):
    (tmp_path / "a b-c.safetensors").write_bytes(b"1")
    assert file_in(tmp_path, "a b-c.safetensors").read_bytes() == b"1"


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../secret",
        "/etc/passwd",
        "sub/file",
        "sub\\file",
        "C:file",
        "nul\0",
        "line\nbreak",
        "\ud800",
        "x" * 256,
        None,
        7,
    ],
)
def test_a_name_with_a_path_is_refused(tmp_path, name):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "file").touch()
    (tmp_path.parent / "secret").touch()
    with pytest.raises(CheckpointError, match="not a plain file name"):
        file_in(tmp_path, name)


def test_directories_and_pipes_and_absent_files_are_not_read(tmp_path):
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("directory", "pipe"):
        with pytest.raises(CheckpointError, match="is not a regular file"):
            file_in(tmp_path, name)
    with pytest.raises(CheckpointError, match="is not there"):
        file_in(tmp_path, "absent")
    with pytest.raises(CheckpointError, match="is not a regular file"):
        read_json(tmp_path / "pipe")


def test_links_are_followed_only_within_the_directory(tmp_path):
    (tmp_path / "outside").write_bytes(b"secret")
    home = tmp_path / "home"
    home.mkdir()
    (home / "real").write_bytes(b"1")
    (home / "inside").symlink_to("real")
    (home / "leading-out").symlink_to("../outside")
    (home / "circle").symlink_to("circle")
    assert file_in(home, "inside").read_bytes() == b"1"
    with pytest.raises(CheckpointError, match="outside the directory"):
        file_in(home, "leading-out")
    with pytest.raises(CheckpointError):
        file_in(home, "circle")


def test_links_of_the_hub_cache_are_followed_to_its_blobs_only(tmp_path):
    repository = tmp_path / "models--owner--name"
    snapshot = repository / "snapshots" / "0123abcd"
    (snapshot / "1_Pooling").mkdir(parents=True)
    (repository / "blobs").mkdir()
    (repository / "blobs" / "ff00").write_bytes(b"weights")
    (repository / "refs").write_bytes(b"no blob")
    (snapshot / "model.safetensors").symlink_to("../../blobs/ff00")
    (snapshot / "1_Pooling" / "config.json").symlink_to("../../../blobs/ff00")
    (snapshot / "refs").symlink_to("../../refs")
    assert file_in(snapshot, "model.safetensors").read_bytes() == b"weights"
    assert file_in(snapshot / "1_Pooling", "config.json").read_bytes() == b"weights"
    with pytest.raises(CheckpointError, match="outside the directory"):
        file_in(snapshot, "refs")


def test_a_linked_directory_is_as_good_as_the_real_one(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_bytes(b"1")
    (tmp_path / "link").symlink_to("real")
    assert file_in(tmp_path / "link", "file").read_bytes() == b"1"


# -- JSON


def test_json_gives_back_what_was_written(tmp_path):
    value = {"name": "Zoë", "sizes": [1, 2.5, None, {"deep": True}]}
    (tmp_path / "a.json").write_text(json.dumps(value), encoding="utf-8")
    assert read_json(tmp_path / "a.json") == value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b'{"a": 1, "a": 1}',
        b'{"b": {"a": 1, "a": 2}}',
        b'{"a": \xff}',
        '{"a": 1}'.encode("utf-16"),
        '{"a": 1}'.encode("utf-32"),
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a": ' + b"1" * 100_000 + b"}",
    ],
)
def test_what_is_no_json_object_is_refused_by_name(tmp_path, data):
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(ConfigError, match=r"a\.json"):
        read_json(tmp_path / "a.json", error=ConfigError)


def test_a_file_above_the_limit_is_not_read(tmp_path):
    (tmp_path / "a.json").write_bytes(b"{}" + b" " * 99)
    assert read_json(tmp_path / "a.json", limit=101) == {}
    with pytest.raises(CheckpointError, match="101 bytes; at most 100"):
        read_json(tmp_path / "a.json", limit=100)


@pytest.mark.parametrize(
    "unit",
    [
        '"{i:x}":1,',
        '"{i:x}":"{i:x}",',
        '"{i:x}":{{}},',
        '"{i:x}":[1],',
        '"{i:x}":1.5,',
        '"{i:x}":{{"a":{{"b":[{i}]}}}},',
        '"é{i:x}":"\U0001f600",',
    ],
)
@pytest.mark.parametrize("count", [2_500, 15_000, 100_000])
def test_parsing_never_takes_more_memory_than_it_may(unit, count):
    data = ("{" + "".join(unit.format(i=i) for i in range(count))[:-1] + "}").encode()
    bound = 8 << 20
    tracemalloc.start()
    try:
        parse_json(data, "a.json", memory=bound)
        parsed = True
    except CheckpointError as error:
        parsed = False
        assert "more than any checkpoint" in str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert parsed == (count == 2_500) or count == 15_000
    assert peak < bound


def test_messages_do_not_repeat_long_values():
    assert shorten("short") == "'short'"
    assert len(shorten("x" * 1_000_000)) < 100
    assert len(shorten(list(range(1000)))) < 100
    with pytest.raises(CheckpointError) as caught:
        parse_json(b'{"%b": 1, "%b": 2}' % ((b"x" * 9999,) * 2), "a.json")
    assert len(str(caught.value)) < 200


# -- Replacing a directory


@pytest.fixture
def saved(tmp_path):
    """A directory from an earlier save, in shards."""
    target = tmp_path / "model"
    (target / "1_Pooling").mkdir(parents=True)
    for name in ("config.json", "model-1.safetensors", "notes.txt"):
        (target / name).write_text(f"old {name}")
    (target / "1_Pooling" / "config.json").write_text("old pooling")
    return target


def save(target):
    with staged_directory(target, replaces=("model*.safetensors",)) as stage:
        (stage / "config.json").write_text("new config")
        (stage / "model.safetensors").write_text("new weights")
        (stage / "1_Pooling").mkdir()
        (stage / "1_Pooling" / "config.json").write_text("new pooling")
        (stage / "more" / "deep").mkdir(parents=True)
        (stage / "more" / "deep" / "file").write_text("new file")


NEW = {
    "config.json": b"new config",
    "model.safetensors": b"new weights",
    "1_Pooling": None,
    "1_Pooling/config.json": b"new pooling",
    "more": None,
    "more/deep": None,
    "more/deep/file": b"new file",
}


def test_a_new_directory_has_what_was_staged(tmp_path):
    save(tmp_path / "a" / "b" / "model")
    assert contents(tmp_path / "a" / "b") == {
        "model": None,
        **{f"model/{name}": data for name, data in NEW.items()},
    }


def test_new_files_replace_old_ones_and_others_stay(saved):
    save(saved)
    assert contents(saved) == {**NEW, "notes.txt": b"old notes.txt"}
    assert os.listdir(saved.parent) == ["model"]


def test_a_link_to_a_directory_is_written_through(saved):
    link = saved.parent / "link"
    link.symlink_to("model")
    save(link)
    assert link.is_symlink()
    assert contents(saved) == {**NEW, "notes.txt": b"old notes.txt"}


def test_a_link_to_a_file_is_replaced_and_not_written_through(saved):
    blob = saved.parent / "blob"
    blob.write_text("shared")
    (saved / "config.json").unlink()
    (saved / "config.json").symlink_to("../blob")
    save(saved)
    assert blob.read_text() == "shared"
    assert (saved / "config.json").read_text() == "new config"


def test_a_failing_block_changes_nothing(saved):
    before = contents(saved.parent)
    with pytest.raises(KeyboardInterrupt), staged_directory(saved) as stage:
        (stage / "config.json").write_text("half")
        raise KeyboardInterrupt
    assert contents(saved.parent) == before


def test_a_failing_block_makes_no_directory(tmp_path):
    with (
        pytest.raises(InputError, match=r"model could not be written \(disk full\)"),
        staged_directory(tmp_path / "model", error=InputError),
    ):
        raise OSError("disk full")
    assert contents(tmp_path) == {}


def test_a_directory_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=r"could not be written .*can be written"):
        save(tmp_path / "file" / "model")


@pytest.mark.parametrize("call", ["replace", "unlink", "fsync", "link", "mkdir"])
@pytest.mark.parametrize("failing", range(6))
def test_a_failing_move_is_undone(saved, monkeypatch, call, failing):
    before = contents(saved.parent)
    real, count = getattr(os, call), 0

    def fails_once(*args, **options):
        nonlocal count
        count += 1
        if count == failing + 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fails_once)
        try:
            save(saved)
        except CheckpointError:
            assert count > failing
            assert contents(saved.parent) == before
        else:  # fewer calls than that, or one that can do without
            assert count <= failing or call in ("link", "mkdir", "fsync", "unlink")
            assert contents(saved) == {**NEW, "notes.txt": b"old notes.txt"}


def test_a_directory_in_the_way_of_a_file_is_refused(saved):
    (saved / "model.safetensors").mkdir()
    before = contents(saved.parent)
    with pytest.raises(CheckpointError, match="is a directory"):
        save(saved)
    assert contents(saved.parent) == before


def test_a_file_in_the_way_of_the_directory_is_refused(tmp_path):
    (tmp_path / "model").touch()
    with pytest.raises(CheckpointError, match="is a file"):
        save(tmp_path / "model")


def test_no_file_is_missing_at_any_moment_of_the_move(saved, monkeypatch):
    # What kill -9 would leave behind between any two steps.
    real = os.replace
    moments = []

    def watched(source, target):
        moments.append(contents(saved))
        real(source, target)
        moments.append(contents(saved))

    monkeypatch.setattr(os, "replace", watched)
    old = contents(saved)
    save(saved)
    assert len(moments) == 8
    for moment in moments:
        for name in old:
            assert moment[name] in (old[name], NEW.get(name))


def test_file_systems_without_hard_links_are_served(saved, monkeypatch):
    def refuses(*_, **__):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuses)
    save(saved)
    assert contents(saved) == {**NEW, "notes.txt": b"old notes.txt"}


def test_when_undoing_fails_too_the_old_files_are_kept_and_named(saved, monkeypatch):
    real = os.replace

    def fails(source, target):
        if target.name == "model.safetensors" or "old" in source.parts:
            raise OSError(errno.EIO, "Input/output error")
        real(source, target)

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(CheckpointError, match="by hand") as caught:
        save(saved)
    kept = str(caught.value).rsplit("by hand: ", 1)[1].split(" -> ")[0]
    with open(kept) as file:
        assert file.read() in ("old config.json", "old pooling")
