"""Archives: the members of a sample are taken out of zip, tar or xz, and no other."""

import contextlib
import functools
import lzma
import re
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from zoo.errors import DataError

# No sample comes near this; an archive that claims more is not what we pinned.
LARGEST_MEMBER = 1 << 30


def unpack(sample, archive, target):
    """Writes the members of the sample, and nothing else, below `target`.

    Returns:
        Their paths there.
    """
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(open(archive, "rb"))
        members = _members(sample, archive.name, file)
        if sample.within:
            inner = stack.enter_context(_open(sample, members, sample.within))
            members = _members(sample, sample.within, inner)
        chosen = dict(sample.members)
        if sample.pattern:
            names = [each.name for each in members]
            chosen.update({n: n for n in names if re.fullmatch(sample.pattern, n)})
        for name, relative in chosen.items():
            path = target / _plain(sample, relative)
            path.parent.mkdir(parents=True, exist_ok=True)
            with _open(sample, members, name) as read, open(path, "xb") as write:
                shutil.copyfileobj(read, write, 1 << 20)
        return [*chosen.values()]


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    is_regular: bool
    open: Callable


def _members(sample, name, file):
    """The entries of a zip or tar archive, out of a seekable file."""
    try:
        if name.endswith((".whl", ".zip")):
            zipped = zipfile.ZipFile(file)
            return [
                _Member(
                    entry.filename,
                    entry.file_size,
                    # 0 stands there when the archive was not made on Unix.
                    stat.S_IFMT(entry.external_attr >> 16) in (0, stat.S_IFREG)
                    and not entry.is_dir(),
                    functools.partial(zipped.open, entry),
                )
                for entry in zipped.infolist()
            ]
        if name.endswith(".xz") and not name.endswith(".tar.xz"):
            single = functools.partial(lzma.open, file)
            return [_Member(name.removesuffix(".xz"), 0, True, single)]
        tarred = tarfile.open(fileobj=file, mode="r:*")  # noqa: SIM115
        return [
            _Member(
                entry.name,
                entry.size,
                entry.isreg(),
                functools.partial(tarred.extractfile, entry),
            )
            for entry in tarred.getmembers()
        ]
    except (EOFError, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise _damaged(sample, f"{name} cannot be read ({error})") from error


def _open(sample, members, name):
    """A readable file over the bytes of one regular, uniquely named member."""
    _plain(sample, name)
    found = [member for member in members if member.name == name]
    if len(found) != 1:
        raise _damaged(sample, f"'{name}' stands in it {len(found)} times")
    if not found[0].is_regular:
        raise _damaged(sample, f"'{name}' is not a regular file")
    if found[0].size > LARGEST_MEMBER:
        raise _damaged(sample, f"'{name}' claims {found[0].size:,} bytes")
    return found[0].open()


def _damaged(sample, reason):
    return DataError(
        f"sample '{sample.name}': {sample.file} is not the archive that its row in "
        f"zoo.data.samples.table describes: {reason}. Correct the row."
    )


def _plain(sample, name):
    """`name`, if it stays below the directory that it is written to."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or not path.parts:
        raise _damaged(sample, f"'{name}' does not stay inside its directory")
    return name
