"""Files of a model directory: found locally or on the hub, read safely, replaced whole.

Everything that comes from a stranger's directory passes through here before a parser
sees it: names are plain basenames of regular files, JSON is capped in size and depth
and may not repeat a key.
"""

import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path

from zoo.errors import CheckpointError

# What is fetched from the hub. Pickles (.bin, .pt), .h5 and code are never asked for.
HUB_PATTERNS = (
    "*.safetensors",
    "*.safetensors.index.json",
    "*.json",
    "*.txt",
    "*.model",
    "*.jinja",
    "1_Pooling/config.json",
)


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


def read_json(path, *, limit=16 << 20, error=CheckpointError):
    """The JSON object in a file, of at most `limit` bytes and without repeated keys.

    Raises:
        error: naming the file, if it is missing, too large, or not a JSON object.
    """
    path = Path(path)
    return parse_json(read_bytes(path, limit=limit, error=error), path.name, error)


def read_bytes(path, *, limit, error=CheckpointError):
    """The bytes of a regular file of at most `limit` bytes."""
    path = Path(path)
    if not path.is_file():
        raise error(f"{path}: no such file.")
    size = path.stat().st_size
    if size > limit:
        raise error(
            f"{path.name} has {size:,} bytes; at most {limit:,} are read. "
            "Is this really the file it is named after?"
        )
    return path.read_bytes()


def parse_json(data, name, error=CheckpointError):
    """A JSON object from bytes. `name` is how error messages call it."""

    def unique(pairs):
        found = dict(pairs)
        if len(found) != len(pairs):
            seen = set()
            repeated = next(k for k, _ in pairs if k in seen or seen.add(k))
            raise error(f"{name}: the key {repeated!r} stands there twice.")
        return found

    try:
        value = json.loads(data, object_pairs_hook=unique)
    except (ValueError, RecursionError) as problem:
        if isinstance(problem, error):
            raise
        raise error(
            f"{name} is not valid JSON ({_first_line(problem)}). Fetch the file again."
        ) from problem
    if not isinstance(value, dict):
        raise error(f"{name}: expected a JSON object, found {type(value).__name__}.")
    return value


@contextlib.contextmanager
def staged_directory(target):
    """A temporary directory beside `target` whose files replace those of `target`.

    When the block ends, its files are moved into `target` one by one, over files of
    the same name; other files there stay. When the block or the move fails, `target`
    is left as it was.

    Args:
        target: Directory to write; made if it does not exist.

    Yields:
        Path of the temporary directory, on the same file system.
    """
    target = Path(target).expanduser()
    if target.exists() and not target.is_dir():
        raise CheckpointError(f"{target} is a file; a directory is to be written there.")
    parent = target.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=parent))
    try:
        new = stage / "new"
        new.mkdir()
        yield new
        for path in new.rglob("*"):
            if path.is_file():
                _flush(path)
        if target.exists():
            _replace_files(new, target, stage / "old")
        else:
            os.rename(new, target)
        _flush(parent)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _replace_files(new, target, old):
    """Moves each file of `new` over its namesake in `target`; undone if one fails."""
    done = []
    try:
        for path in sorted(p for p in new.rglob("*") if p.is_file()):
            name = path.relative_to(new)
            there, kept = target / name, old / name
            there.parent.mkdir(parents=True, exist_ok=True)
            if there.exists():
                kept.parent.mkdir(parents=True, exist_ok=True)
                os.rename(there, kept)
            done.append((there, kept))
            os.replace(path, there)
    except BaseException:
        for there, kept in reversed(done):
            if kept.exists():
                os.replace(kept, there)
            else:
                there.unlink(missing_ok=True)
        raise


def _flush(path):
    """Forces a file or directory to disk, so that a rename never exposes a hole."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _first_line(error):
    return (str(error).strip().splitlines() or [""])[0][:200]
