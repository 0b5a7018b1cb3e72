"""Files of a model directory: found locally or on the hub, read safely, replaced whole.

Everything that comes from a stranger's directory passes through here before a parser
sees it: names are plain basenames of regular files, JSON is capped in size, depth and
cost, and may not repeat a key.
"""

import contextlib
import fnmatch
import json
import os
import shutil
import tempfile
from pathlib import Path

from zoo.errors import CheckpointError

# What is fetched from the hub. Pickles (.bin, .pt), .h5 and code are never asked for,
# nor weights under other names: "consolidated.safetensors" would double the download.
HUB_PATTERNS = (
    "model.safetensors",
    "model-*.safetensors",
    "model.safetensors.index.json",
    "*.json",
    "*.txt",
    "*.model",
    "*.jinja",
    "1_Pooling/config.json",
)


def cache_directory(directory=None):
    """Where zoo keeps what it can make or fetch again, an absolute path.

    Args:
        directory: Another place. Default: `$ZOO_CACHE`, or `~/.cache/zoo`.
    """
    directory = directory or os.environ.get("ZOO_CACHE") or "~/.cache/zoo"
    return Path(directory).expanduser().absolute()


def find_directory(source, *, revision=None, patterns=HUB_PATTERNS):
    """The local directory that holds the files of `source`.

    Args:
        source: Path of a directory, or a hub id such as "google-bert/bert-base-cased".
        revision: Branch, tag or commit on the hub. Local directories have none.
        patterns: File names to fetch from the hub.

    Raises:
        CheckpointError: if `source` is neither, or the hub cannot be reached and its
            local cache does not have it.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        if revision is not None:
            raise CheckpointError(
                f"{source}: revision={revision!r} was given, but this is a local "
                "directory. Leave revision out, or pass a hub id."
            )
        return path
    if path.exists():
        raise CheckpointError(
            f"{source} is a file. Pass the directory that holds config.json and "
            "the *.safetensors files."
        )
    name = str(source)
    if name.count("/") > 1 or name.startswith((".", "/", "~")) or "\\" in name:
        raise CheckpointError(
            f"{source}: no such directory. Pass an existing directory, or a hub id "
            "of the form 'name' or 'owner/name'."
        )
    import huggingface_hub  # 0.2 s, and only needed for the hub

    try:
        return Path(
            huggingface_hub.snapshot_download(
                name, revision=revision, allow_patterns=list(patterns)
            )
        )
    except Exception as error:  # the hub client raises a wide family of errors
        at = f" at revision {revision!r}" if revision else ""
        raise CheckpointError(
            f"{source}: there is no such local directory, and the hub did not give "
            f"'{name}'{at} ({type(error).__name__}: {_first_line(error)}). Check the "
            "name and the connection; with HF_HUB_OFFLINE=1 only the local cache is "
            "read."
        ) from error


def find_gguf(source, *, revision=None):
    """The GGUF file that `source` names, or None if it names something else.

    Args:
        source: Path of a .gguf file; of a directory that has one, and no config.json;
            or "owner/name/file.gguf" on the hub.
        revision: As of `find_directory`.

    Raises:
        CheckpointError: if a directory has several, or the hub does not give the file.
    """
    path, name = Path(source).expanduser(), str(source)
    if path.is_dir() and not (path / "config.json").exists():
        found = sorted(entry.name for entry in path.glob("*.gguf"))
        if len(found) > 1:
            raise CheckpointError(
                f"{source}: there are {len(found)} GGUF files, {', '.join(found[:4])}. "
                "Pass the path of one."
            )
        return file_in(path, found[0]) if found else None
    if not name.endswith(".gguf") or path.is_dir():
        return None
    if path.exists() and revision is None:
        return path
    if path.exists():
        raise CheckpointError(
            f"{source}: revision={revision!r} was given, but this is a local file. "
            "Leave revision out."
        )
    owner, _, rest = name.partition("/")
    repository, _, file = rest.partition("/")
    if not (owner and repository and file) or "/" in file or name[0] in ".~":
        raise CheckpointError(
            f"{source}: there is no such file. Pass the path of a GGUF file, or "
            "'owner/name/file.gguf' for one on the hub."
        )
    import huggingface_hub  # 0.2 s, and only needed for the hub

    try:
        return Path(
            huggingface_hub.hf_hub_download(
                f"{owner}/{repository}", file, revision=revision
            )
        )
    except Exception as error:  # the hub client raises a wide family of errors
        raise CheckpointError(
            f"{source}: there is no such local file, and the hub did not give it "
            f"({type(error).__name__}: {_first_line(error)}). Check the name and the "
            "connection; with HF_HUB_OFFLINE=1 only the local cache is read."
        ) from error


def file_in(directory, name, *, error=CheckpointError):
    """The regular file called `name` that lies in `directory`, as a path without links.

    A symbolic link may lead to a file of the same directory. In the hub's cache, where
    `snapshots/<commit>/<name>` is a link to `blobs/<hash>`, it may also lead to a file
    of that `blobs` directory. A link to any other place is refused: names often come
    from a stranger's file.

    Args:
        directory: An existing directory.
        name: A plain file name, without any path.

    Raises:
        error: if `name` is not plain, leads elsewhere, or is not a regular file.
    """
    directory = Path(directory)
    if (
        not isinstance(name, str)
        or not name.isprintable()
        or name in ("", ".", "..")
        or any(sign in name for sign in "/\\:")
        or len(os.fsencode(name)) > 255
    ):
        raise error(
            f"{directory}: {shorten(name)} is not a plain file name. Only files that "
            "lie in the directory itself are read: fetch the directory again from a "
            "source that you trust."
        )
    try:
        home = directory.resolve()
        path = (home / name).resolve()
        if path.parent != home and path.parent not in _blobs(home):
            raise error(
                f"{directory}: {name} is a link that leads to {path}, outside the "
                "directory. Copy the file there, or pass the directory it lies in."
            )
        if not path.is_file():
            what = "is not a regular file" if path.exists() else "is not there"
            raise error(f"{directory}: {name} {what}. Fetch the directory again.")
    except (OSError, RuntimeError) as problem:  # no permission; a circle of links
        raise error(
            f"{directory}: {name} cannot be opened ({_first_line(problem)})."
        ) from problem
    return path


def _blobs(directory):
    """Where the links of a snapshot in the hub's cache lead to; nothing elsewhere."""
    return [
        commit.parent.parent / "blobs"
        for commit in (directory, *directory.parents)
        if commit.parent.name == "snapshots"
    ]


def read_json(path, *, limit=16 << 20, memory=None, error=CheckpointError):
    """The JSON object in a file, of at most `limit` bytes and without repeated keys.

    Args:
        path: The file.
        limit: Most bytes that the file may have.
        memory: See `parse_json`.

    Raises:
        error: naming the file, if it is missing, too large, or not a JSON object.
    """
    path = Path(path)
    data = read_bytes(path, limit=limit, error=error)
    return parse_json(data, path.name, error, memory=memory)


def read_bytes(path, *, limit, error=CheckpointError):
    """The bytes of a regular file of at most `limit` bytes."""
    path = Path(path)
    if not path.is_file():
        what = "is not a regular file" if path.exists() else "there is no such file"
        raise error(f"{path}: {what}.")
    try:
        with path.open("rb") as file:
            # Not `stat`: some files are longer than they say.
            data = file.read(limit + 1)
    except OSError as problem:
        raise error(
            f"{path}: the file cannot be read ({_first_line(problem)})."
        ) from problem
    if len(data) > limit:
        size = max(path.stat().st_size, len(data))
        raise error(
            f"{path.name} has {size:,} bytes; at most {limit:,} are read. "
            "Is this really the file it is named after?"
        )
    return data


def parse_json(data, name, error=CheckpointError, *, memory=None):
    """A JSON object from UTF-8 bytes, without repeated keys.

    Args:
        data: The text.
        name: How error messages call it.
        error: Class of the errors.
        memory: Most bytes of memory that parsing may take, by an upper bound that is
            found by counting signs before anything is parsed. A few megabytes of
            "{},{},{}" would take a hundred. None sets no bound.
    """

    def unique(pairs):
        found = dict(pairs)
        if len(found) != len(pairs):
            seen = set()
            repeated = next(k for k, _ in pairs if k in seen or seen.add(k))
            raise error(f"{name}: the key {shorten(repeated)} stands there twice.")
        return found

    if memory is not None and _parsing_cost(data) > memory:
        raise error(
            f"{name}: {len(data):,} bytes of JSON with {data.count(b':'):,} keys are "
            "more than any checkpoint of this kind has. Fetch the file again from a "
            "source that you trust."
        )
    try:
        # `json` itself would also take UTF-16 and UTF-32.
        value = json.loads(data.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as problem:
        if isinstance(problem, error):
            raise
        raise error(
            f"{name} is not valid JSON ({_first_line(problem)}). Fetch the file again."
        ) from problem
    if not isinstance(value, dict):
        raise error(f"{name}: expected a JSON object, found {type(value).__name__}.")
    return value


def _parsing_cost(data):
    """An upper bound of the memory that `json.loads` needs for `data`, in bytes."""
    # The bytes, the text, and the strings cut out of it: one byte a character in
    # ASCII, up to four otherwise.
    text = len(data) * (3 if data.isascii() else 9)
    keys = data.count(b":")
    values = sum(data.count(sign) for sign in (b",", b"[", b"{"))
    return text + 300 * keys + 100 * values


@contextlib.contextmanager
def staged_directory(target, *, replaces=(), error=CheckpointError):
    """A temporary directory beside `target` whose files replace those of `target`.

    When the block ends, its files are moved into `target` one by one, over files of
    the same name; at no moment is a file missing or half written. Then the files of
    `target` that match `replaces` and were not written anew are removed. Other files
    stay. When the block or the move fails, `target` is left as it was.

    Args:
        target: Directory to write; made if it does not exist. A link is followed.
        replaces: File name patterns (as in `fnmatch`) of what the new files stand in
            for as a whole, such as the shards of an earlier, larger save.
        error: Class of the errors.

    Yields:
        Path of the temporary directory, on the same file system.

    Raises:
        error: if the directory cannot be made or written, for example because the disk
            is full.
    """
    target = Path(target).expanduser()
    try:
        if target.exists() and not target.is_dir():
            raise error(
                f"{target} is a file; a directory is to be written there. Pass another "
                "name, or move the file away."
            )
        with _staged(target.resolve(), replaces) as stage:
            yield stage
    except OSError as problem:
        raise error(
            f"{target} could not be written ({problem}). What was there before is as "
            "it was. Free some space, or pass a directory that can be written."
        ) from problem


@contextlib.contextmanager
def _staged(target, replaces):
    parent = target.parent
    parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=parent))
    new, old = stage / "new", stage / "old"
    try:
        new.mkdir()
        yield new
        for path in _files(new):
            _flush(path)
        if target.exists():
            _replace_files(new, target, old, replaces)
        else:
            os.rename(new, target)
        for directory in (target, parent):
            with contextlib.suppress(OSError):  # not all file systems can
                _flush(directory)
    except _NotUndone:
        raise  # the only copies of some files are now in `old`
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        raise
    else:
        shutil.rmtree(stage, ignore_errors=True)


class _NotUndone(CheckpointError):
    """A failed move that could not be taken back either."""


def _replace_files(new, target, old, replaces):
    """Moves each file of `new` over its namesake in `target`; undone if one fails."""
    names = [path.relative_to(new) for path in _files(new)]
    stale = [
        path.relative_to(target)
        for path in target.iterdir()
        if any(fnmatch.fnmatchcase(path.name, pattern) for pattern in replaces)
        and (path.is_symlink() or path.is_file())
    ]
    done, made = [], []
    try:
        for name in names:
            there, kept = target / name, old / name
            made += _make_directories(there.parent)
            kept.parent.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(there):
                _keep(there, kept)
            done.append((there, kept))
            os.replace(new / name, there)
        for name in stale:
            if name not in names:
                old.mkdir(exist_ok=True)
                _keep(target / name, old / name)
                done.append((target / name, old / name))
                (target / name).unlink()
    except BaseException as failure:
        _undo(done, made, failure)
        raise


def _keep(there, kept):
    """Makes `kept` a second name of the file `there`."""
    if there.is_dir() and not there.is_symlink():
        raise CheckpointError(
            f"{there} is a directory; a file is to be written there. Move it away."
        )
    try:
        os.link(there, kept, follow_symlinks=False)
    except (OSError, NotImplementedError):  # file systems without hard links
        shutil.copy2(there, kept, follow_symlinks=False)


def _undo(done, made, failure):
    lost = []
    for there, kept in reversed(done):
        try:
            if os.path.lexists(kept):
                os.replace(kept, there)
            else:
                there.unlink(missing_ok=True)
        except OSError:
            lost.append((there, kept))
    for directory in reversed(made):
        with contextlib.suppress(OSError):
            directory.rmdir()
    if lost:
        pairs = ", ".join(f"{kept} -> {there}" for there, kept in lost)
        raise _NotUndone(
            f"Writing failed ({_first_line(failure)}), and so did putting back what "
            f"was there. Move these by hand: {pairs}."
        ) from failure


def _make_directories(path):
    """Makes a directory and its parents; the list of those that were not there."""
    missing = []
    while not path.exists():
        missing.append(path)
        path = path.parent
    for directory in reversed(missing):
        directory.mkdir()
    return missing[::-1]


def _files(directory):
    return sorted(path for path in directory.rglob("*") if path.is_file())


def _flush(path):
    """Forces a file or directory to disk, so that a rename never exposes a hole."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def shorten(value, length=80):
    """`repr` of a stranger's value, for an error message."""
    text = repr(value[: length + 1] if isinstance(value, str) else value)
    return text if len(text) <= length + 2 else f"{text[:length]}...'"


def _first_line(error):
    return (str(error).strip().splitlines() or [""])[0][:200]
