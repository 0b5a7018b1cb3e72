"""Where each record of a file stands: found in one pass, and kept on disk.

A pass over a large file takes minutes, and what it finds changes only with the file. It
is kept in zoo's cache directory, one file for each way to read one file, and mapped
into memory at the next start. What is damaged there, or of a file that has changed
since, is found anew.
"""

import array
import contextlib
import functools
import hashlib
import json
import logging
import os
import struct
import sys
import tempfile
import time
import zlib
from dataclasses import dataclass

import numpy as np

from zoo.files import cache_directory

logger = logging.getLogger("zoo")

VERSION = 1  # to be raised when a reader finds other records, or the form changes
LARGE = 1 << 23  # bytes; a smaller file is passed over in a fraction of a second
EXAMPLES = 20  # malformed records that are kept to be shown
# A file system may count time in steps of two seconds. What has changed just now could
# change again and look the same, so it is not kept.
FRESH = 2 * 10**9  # nanoseconds
CHUNK = 1 << 26  # bytes of which a checksum is taken at once
FIRST_NEWS, LAST_NEWS = 5, 60  # seconds between two lines of progress; they grow

# A file: this head (magic, checksum of all that follows, bytes of the description), the
# description (JSON, spaces up to a multiple of 8), `starts`, `sizes`.
HEAD = struct.Struct("<8sII")
MAGIC = b"zooplace"
NUMBER = "<i8"


@dataclass(frozen=True)
class Places:
    """Where the N well-formed records of a file stand.

    Attributes:
        starts: First byte of each, or its row in a Parquet file, int64 `[N]`.
        sizes: Bytes of each, int64 `[N]`.
        stamp: `RecordFile.stamp` of the file in which they stand there.
        malformed: `(line, reason)` of the first few of the others.
        malformed_count: How many others there are.
    """

    starts: np.ndarray
    sizes: np.ndarray
    stamp: tuple[int, int]
    malformed: list[tuple[int, str]]
    malformed_count: int


def find_places(source, *, stop_at_malformed=False):
    """The Places of a file, from the cache or by a pass.

    Args:
        source: RecordFile.
        stop_at_malformed: Whether a pass ends at the first malformed record.

    Raises:
        DataError: as `RecordFile.scan`.
    """
    stamp = source.stamp()
    size, changed = stamp
    about = {
        "version": VERSION,
        "path": str(source.path.resolve()),
        "reading": source.reading,
        "stamp": list(stamp),
    }
    kept = _kept_at(about) if size >= LARGE else None
    if kept is not None and (places := _load(kept, about, source)) is not None:
        return places
    fresh = abs(time.time_ns() - changed) < FRESH
    places = _pass_over(source, stamp, stop_at_malformed)
    cut_short = stop_at_malformed and places.malformed_count
    if kept is None or fresh or cut_short or not len(places.starts):
        return places
    if source.stamp() != stamp:  # it has changed under the pass: reading will tell
        return places
    try:
        _store(kept, places, {**about, "header": source.header})
    except OSError as error:
        _say_unwritable(str(kept.parent), error.strerror)
        return places
    # Mapped, they need no memory of this process.
    return _load(kept, about, source) or places


def _pass_over(source, stamp, stop_at_malformed):
    starts, sizes = array.array("q"), array.array("q")
    malformed: list[tuple[int, str]] = []
    malformed_count = 0
    news = _News(source, stamp[0])
    for found in source.scan():
        if isinstance(found.row, str):
            malformed_count += 1
            if len(malformed) < EXAMPLES:
                malformed.append((found.line, found.row))
            if stop_at_malformed:
                break
        else:
            starts.append(found.start)
            sizes.append(max(found.stop - found.start, 0))
            if not len(starts) % 1024:
                news.tell(len(starts), found.stop)
    return Places(_array(starts), _array(sizes), stamp, malformed, malformed_count)


def _array(numbers):
    return np.frombuffer(numbers, np.int64) if numbers else np.empty(0, np.int64)


class _News:
    """Lines on standard error while a pass takes long."""

    def __init__(self, source, size):
        self.name = source.path.name
        self.size = size
        self.wait = FIRST_NEWS
        self.next = time.monotonic() + self.wait

    def tell(self, records, byte):
        if time.monotonic() < self.next:
            return
        share = f" ({byte / self.size:.0%} of the file)" if byte else ""
        print(
            f"Looking for the records of {self.name}: {records:,} so far{share}.",
            file=sys.stderr,
        )
        self.wait = min(2 * self.wait, LAST_NEWS)
        self.next = time.monotonic() + self.wait


# --- On disk -------------------------------------------------------------------------


def _kept_at(about):
    """The file for one way to read one file, whatever is in it; None: no cache."""
    key = json.dumps([about["path"], about["reading"]], sort_keys=True)
    name = f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.places"
    try:
        return cache_directory() / "places" / name
    except RuntimeError as error:  # nobody's home directory is known
        _say_unwritable("the cache directory", str(error))
        return None


def _load(path, about, source):
    """What was kept there, mapped into memory; None if it cannot be used."""
    try:
        with open(path, "rb") as file:
            magic, checksum, length = HEAD.unpack(file.read(HEAD.size))
            content = np.memmap(file, np.uint8, "r", offset=HEAD.size)
        if magic != MAGIC or _checksum([content]) != checksum:
            return None
        found = json.loads(content[:length].tobytes())
        if any(found[name] != value for name, value in about.items()):
            return None
        starts, sizes = content[length:].view(NUMBER).reshape(2, found["count"])
        malformed = [(line, reason) for line, reason in found["malformed"]]
        count = int(found["malformed_count"])
        header = found["header"]
    except (OSError, KeyError, TypeError, ValueError, struct.error):
        return None
    source.header = header
    return Places(starts, sizes, tuple(about["stamp"]), malformed, count)


def _store(path, places, about):
    """Writes beside and renames: who reads the old file, or writes as well, may."""
    about = {
        **about,
        "count": len(places.starts),
        "malformed": places.malformed,
        "malformed_count": places.malformed_count,
    }
    text = json.dumps(about).encode()
    text += b" " * (-len(text) % 8)
    numbers = (x.astype(NUMBER, copy=False) for x in (places.starts, places.sizes))
    parts = [text, *numbers]
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "wb") as file:
            file.write(HEAD.pack(MAGIC, _checksum(parts), len(text)))
            for part in parts:
                file.write(part)
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise


def _checksum(parts):
    found = 0
    for part in parts:
        view = memoryview(part).cast("B")
        for start in range(0, len(view), CHUNK):
            found = zlib.crc32(view[start : start + CHUNK], found)
    return found


@functools.cache  # one line, however many files there are
def _say_unwritable(directory, why):
    logger.warning(
        "Where the records of large files stand cannot be kept in %s (%s): it is found "
        "anew at each start. Set ZOO_CACHE to a directory that can be written.",
        directory,
        why,
    )
