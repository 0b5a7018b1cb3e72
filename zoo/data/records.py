"""`Records`: records of many files, streamed in order or read by number.

Shuffling of a whole corpus and resuming at any step need records by number. One pass
over the files notes where each record stands, 16 bytes a record; from then on any of
them is read from its place, and nothing else is. Of large files that is kept on disk.
"""

import glob
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zoo.data.formats import open_file
from zoo.data.places import EXAMPLES, find_places
from zoo.errors import DataError, InputError


class Malformed(NamedTuple):
    """A record that was left out: its file, its line, and why."""

    file: str
    line: int
    reason: str


class Records:
    """The records of files.

    Iterating streams them in the order of files and lines. `size`, `records[number]`
    and `read` know a record by its number among the well-formed ones; the first use of
    these makes a pass over the files. What it finds in a large one is kept for the next
    start (`zoo.data.places`).

    Args:
        paths: File, pattern such as "corpus/**/*.jsonl", or a list of these. The files
            of a pattern are sorted; a file that was named already is not read twice.
        columns: Names of the columns whose values are wanted, as text; a record without
            one is malformed. None: all, as the files have them.
        file_format, unit, encoding: As of `formats.open_file`.
        on_malformed: "skip" leaves malformed records out and counts them, "raise" stops
            at the first one.
        shard: `(index, count)`: every count-th record from the index-th one on, for
            worker `index` of `count`.

    Attributes:
        files: Paths, in order.
        malformed: The first few of the malformed records that the last pass has found.
        malformed_count: How many there were.

    Raises:
        DataError: if there is no such file, a file is not in the format and encoding
            expected or lacks a column, or there is no record in the files.
        InputError: if an option has another form.
    """

    def __init__(
        self,
        paths,
        *,
        columns=None,
        file_format=None,
        unit="line",
        encoding="utf-8",
        on_malformed="skip",
        shard=(0, 1),
    ):
        if on_malformed not in ("skip", "raise"):
            raise InputError(
                f"on_malformed={on_malformed!r}: expected 'skip' or 'raise'."
            )
        if isinstance(columns, str):
            columns = (columns,)
        self.files = find_files(paths)
        self.columns = None if columns is None else tuple(columns)
        self.shard = checked_shard(shard)
        self.on_malformed = on_malformed
        self.malformed: list[Malformed] = []
        self.malformed_count = 0
        self._sources = [
            open_file(
                path,
                columns=self.columns,
                file_format=file_format,
                unit=unit,
                encoding=encoding,
            )
            for path in self.files
        ]
        self._places = None

    def __iter__(self):
        for _, row in self.with_files():
            yield row

    def with_files(self):
        """Iterates as ever, over `(RecordFile, row)`."""
        index, count = self.shard
        for number, (file, found) in enumerate(self._scan()):
            if number % count == index:
                yield self._sources[file], found.row

    @property  # and not `__len__`, which `list(records)` would call
    def size(self):
        """How many records there are, of this shard."""
        index, count = self.shard
        _, ends = self._index()
        return max(0, -(-(int(ends[-1]) - index) // count))

    def __getitem__(self, number):
        if not -self.size <= number < self.size:
            raise IndexError(f"record {number} of {self.size}")
        return self.read([number % self.size])[0]

    def read(self, numbers):
        """The rows with these numbers, in their order.

        Raises:
            DataError: if a file has changed since its records were counted.
        """
        every, ends = self._index()
        index, count = self.shard
        numbers = np.asarray(numbers, np.int64) * count + index
        of_file = np.searchsorted(ends, numbers, side="right")
        rows: list = [None] * len(numbers)
        for file in np.unique(of_file):
            source, places = self._sources[file], every[file]
            before = ends[file] - len(places.starts)
            if source.stamp() != places.stamp:
                raise DataError(
                    f"{source.path} has changed since its records were counted. Make "
                    "the Records anew."
                )
            with source.opened() as opened:
                for i in np.flatnonzero(of_file == file):
                    start = int(places.starts[numbers[i] - before])
                    stop = start + int(places.sizes[numbers[i] - before])
                    rows[i] = source.read(opened, start, stop)
        return rows

    def gather(self, numbers):
        """As `read`, in a graph: string columns `[N]` for numbers `[N]`.

        Raises:
            InputError: if it was not said which columns there are.
        """
        import tensorflow as tf

        if not self.columns:
            raise InputError("Records for a dataset need columns=(...), the names.")
        names = self.columns

        def read(numbers):
            rows = self.read(numbers)
            return [
                np.array([_as_bytes(row[name]) for row in rows], object)
                for name in names
            ]

        values = tf.numpy_function(read, [numbers], [tf.string] * len(names))
        return {
            name: tf.ensure_shape(value, [None])
            for name, value in zip(names, values, strict=True)
        }

    def report(self):
        """One line that says what the last pass has left out."""
        files = f"{len(self.files):,} file{'s' * (len(self.files) != 1)}"
        if not self.malformed_count:
            return f"{files}, nothing malformed"
        few = "; ".join(
            f"{Path(each.file).name} line {each.line}: {each.reason}"
            for each in self.malformed[:3]
        )
        more = " ..." if self.malformed_count > 3 else ""
        return f"{files}, {self.malformed_count:,} malformed left out ({few}{more})"

    def _scan(self):
        """Yields number of the file and Found, of all shards."""
        self.malformed, self.malformed_count = [], 0
        some = False
        for i, source in enumerate(self._sources):
            for found in source.scan():
                if isinstance(found.row, str):
                    self._note(source, found.line, found.row)
                else:
                    some = True
                    yield i, found
        if not some:
            raise DataError(self._emptiness())

    def _note(self, source, line, reason):
        fault = Malformed(str(source.path), line, reason)
        if self.on_malformed == "raise":
            raise DataError(f"{fault.file}, line {fault.line}: {fault.reason}.")
        self.malformed_count += 1
        if len(self.malformed) < EXAMPLES:
            self.malformed.append(fault)

    def _emptiness(self):
        where = str(self.files[0])
        if len(self.files) > 1:
            where += f" and {len(self.files) - 1} other files"
        if all(source.blank for source in self._sources):
            return f"{where}: empty."
        why = "no lines"
        if self.malformed:
            why = f"line {self.malformed[0].line}: {self.malformed[0].reason}"
        return f"{where}: there is no record in it ({why})."

    def _index(self):
        """Places of each file, and how many records there are up to its end."""
        if self._places is None:
            for source in self._sources:
                with source.opened():
                    pass  # what cannot be read by number is said before the pass
            self.malformed, self.malformed_count = [], 0
            every = [self._places_of(source) for source in self._sources]
            ends = np.cumsum([len(places.starts) for places in every])
            if not ends[-1]:
                raise DataError(self._emptiness())
            self._places = every, ends
        return self._places

    def _places_of(self, source):
        strict = self.on_malformed == "raise"
        places = find_places(source, stop_at_malformed=strict)
        for line, reason in places.malformed:
            self._note(source, line, reason)
        self.malformed_count += places.malformed_count - len(places.malformed)
        return places


def find_files(paths):
    """The files that paths and patterns name, in order, each once.

    Raises:
        DataError: if a file is not there, or a pattern matches none.
    """
    if isinstance(paths, str | Path):
        paths = [paths]
    found: dict[Path, Path] = {}
    for path in paths:
        for file in _matches(Path(path).expanduser()):
            found.setdefault(file.resolve(), file)
    if not found:
        raise DataError("No files were given.")
    return list(found.values())


def _matches(path):
    if path.is_dir():
        raise DataError(
            f"{path} is a directory. Say which of its files, for example "
            f"{path / '*.jsonl'}."
        )
    if path.exists() or not glob.has_magic(str(path)):
        if not path.exists():
            raise DataError(f"{path} cannot be read: No such file or directory.")
        return [path]
    files = [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
    files = [file for file in files if file.is_file()]
    if not files:
        raise DataError(f"{path}: no file matches this pattern.")
    return files


def _as_bytes(text):
    return text.encode("utf-8", "surrogatepass")  # the tokenizer repairs half a pair


def checked_shard(shard):
    """`(index, count)` of a worker, as int.

    Raises:
        InputError: if it is not of this form.
    """
    try:
        index, count = (int(number) for number in shard)
    except (TypeError, ValueError):
        index, count = -1, 0
    if not 0 <= index < count:
        raise InputError(
            f"shard={shard!r}: expected (index, count) with 0 <= index < count."
        )
    return index, count
