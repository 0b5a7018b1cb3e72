"""Files of records: text, JSONL, CSV, TSV, Parquet and TFRecord.

Each format is a class that streams the records of a file in order (`scan`) and reads
one at its place (`read`). No file is held in memory; of Parquet, a row group is.
"""

import codecs
import contextlib
import csv
import gzip
import io
import json
import os
import zlib
from pathlib import Path
from typing import ClassVar, NamedTuple

from zoo.errors import DataError

SUFFIXES = {
    ".txt": "text",
    ".text": "text",
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".tfrecord": "tfrecord",
    ".tfrecords": "tfrecord",
}
UNITS = ("line", "paragraph", "file")
LONGEST_FIELD = 1 << 27
ROW_GROUPS = 4  # of a Parquet file, kept decoded for reads at random
TEXT_COLUMN = "text"


class Found(NamedTuple):
    """What stands at one place of a file.

    Attributes:
        line: Line, or record where there are no lines, from 1 on.
        start, stop: Place: first byte and the one behind the last; in a Parquet file
            the row, and 0.
        row: Values by column; or why there is none, a str.
    """

    line: int
    start: int
    stop: int
    row: dict | str


def open_file(path, *, columns=None, file_format=None, unit="line", encoding="utf-8"):
    """The file of records at a path, read by nobody yet.

    Args:
        path: A file; a name that ends in .gz is unpacked while it is read.
        columns: Names of columns whose values are wanted, as text; a record without
            one is malformed. None: all, as the file has them.
        file_format: "text", "csv", "tsv", "jsonl", "parquet" or "tfrecord"; None: by
            the file's name.
        unit: What is one record of a text file: "line" (blank ones are none),
            "paragraph" (between blank lines) or "file". Its only column is "text".
        encoding: Of text, CSV, TSV and JSONL; UTF-16 and UTF-32 are not read.

    Raises:
        DataError: if the format is not known.
    """
    path = Path(path).expanduser()
    kind = file_format or _kind(path)
    if kind not in READERS:
        raise DataError(
            f"{path}: expected a file whose name ends in {', '.join(SUFFIXES)} (or in "
            f"one of these and .gz). Rename it, or pass file_format: "
            f"{', '.join(READERS)}."
        )
    if unit not in UNITS:
        raise DataError(f"unit={unit!r}: expected one of {', '.join(UNITS)}.")
    columns = None if columns is None else tuple(columns)
    return READERS[kind](path, columns, encoding=encoding, unit=unit)


def skipped_lines(skipped):
    """How many lines were skipped, and of the first ones why.

    Args:
        skipped: `(line, reason)` of each.

    Returns:
        Such as "2 (line 3: 1 fields, expected 2; line 9: ...)".
    """
    few = "; ".join(f"line {line}: {reason}" for line, reason in skipped[:3])
    return f"{len(skipped):,} ({few}{' ...' if len(skipped) > 3 else ''})"


def _kind(path):
    name = path.with_suffix("") if path.suffix == ".gz" else path
    return SUFFIXES.get(name.suffix.lower())


class RecordFile:
    """What the formats share.

    Attributes:
        path: The file.
        columns: Names of the wanted columns, or None.
        blank: Whether the last scan has found nothing but white space so far.
        header: Names of columns that the file's first line has, where a record alone
            does not tell them; known after a scan.
    """

    header: list[str] | None = None

    def __init__(self, path, columns, *, encoding="utf-8", unit="line"):
        self.path = path
        self.columns = columns
        self.encoding = _checked_encoding(encoding)
        self.unit = unit
        self.packed = path.suffix == ".gz"
        self.blank = True

    def scan(self):
        """Yields a Found for each record, in order.

        Raises:
            DataError: if the file cannot be read, is in another encoding, or lacks a
                column.
        """
        raise NotImplementedError

    def read(self, source, start, stop):
        """The row at a place, from what `opened` gave."""
        raise NotImplementedError

    @contextlib.contextmanager
    def opened(self):
        """The file open for `read`."""
        if self.packed:
            raise DataError(
                f"{self.path} is compressed: it can be read from its beginning and not "
                "by record number. Unpack it."
            )
        with _readable(self.path), open(self.path, "rb") as file:
            yield file

    @property
    def lines_alone(self):
        """Whether each record is one line of plain text."""
        return isinstance(self, TextFile) and self.unit == "line"

    @property
    def reading(self):
        """How the file is read: all that decides which records it has."""
        return {
            "as": type(self).__name__,
            "columns": None if self.columns is None else list(self.columns),
            "encoding": self.encoding,
            "unit": self.unit,
        }

    def stamp(self):
        """What changes when the file does: its size, and when it was written to."""
        with _readable(self.path):
            stat = os.stat(self.path)
        return stat.st_size, stat.st_mtime_ns

    def check_columns(self, names):
        """Refuses a file that has a wanted column never, or twice."""
        names, wanted = list(names), self.columns
        wanted = names if wanted is None else wanted
        missing = [name for name in wanted if name not in names]
        repeated = sorted({name for name in wanted if names.count(name) > 1})
        if missing or repeated:
            problem = f"lacks {missing}" if missing else f"has {repeated} twice"
            raise DataError(
                f"{self.path} {problem}; its columns are "
                f"{', '.join(map(repr, names[:20]))}. "
                "Say which columns hold what is wanted."
            )

    def chosen(self, row):
        """The wanted columns of a row as text; or why there are none, a str."""
        if self.columns is None:
            return row
        missing = [name for name in self.columns if row.get(name) is None]
        if missing:
            return f"no {missing[0]!r}"
        chosen = {name: _as_text(row[name]) for name in self.columns}
        odd = [name for name, value in chosen.items() if value is None]
        return f"not text in {odd[0]!r}" if odd else chosen

    # -- Of those that consist of lines

    def lines(self):
        """Yields line number, first byte and bytes of each line."""
        self.blank = True
        with _readable(self.path), self._open() as file:
            start = 0
            for number, data in enumerate(file, 1):
                end = start + len(data)
                if number == 1 and self.encoding == "utf-8":
                    data = data.removeprefix(codecs.BOM_UTF8)
                self.blank = self.blank and not data.strip()
                yield number, end - len(data), data
                start = end

    def _open(self):
        return gzip.open(self.path) if self.packed else open(self.path, "rb")

    def decode(self, data, line):
        try:
            return data.decode(self.encoding)
        except UnicodeDecodeError as error:
            line += data.count(b"\n", 0, error.start)
            # Excel's "Unicode text" is UTF-16; it begins with a byte order mark.
            marks = codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE
            other = "utf-16" if line == 1 and data[:2] in marks else "latin1"
            raise DataError(
                f"{self.path}, line {line}: byte 0x{data[error.start]:02x} is not "
                f"{self.encoding.upper()}. Convert the file, for example with iconv "
                f"-f {other} -t utf-8, or pass its encoding."
            ) from error

    def _bytes(self, file, start, stop):
        file.seek(start)
        return file.read(stop - start)


class TextFile(RecordFile):
    """Plain text; a record is a line, a paragraph or the file."""

    def __init__(self, path, columns, **options):
        super().__init__(path, columns, **options)
        self.check_columns([TEXT_COLUMN])

    def scan(self):
        kept: list[bytes] = []
        first = begin = end = 0
        for line, start, data in self.lines():
            blank = not data.strip()
            if self.unit == "line" and not blank:
                yield Found(line, start, start + len(data), self._row(data, line))
            elif self.unit == "file" or not blank:
                if not kept:
                    first, begin = line, start
                kept.append(data)
                end = start + len(data)
            elif kept:
                yield Found(first, begin, end, self._row(b"".join(kept), first))
                kept = []
        if kept and not self.blank:
            yield Found(first, begin, end, self._row(b"".join(kept), first))

    def read(self, source, start, stop):
        return self._row(self._bytes(source, start, stop), 1)

    def _row(self, data, line):
        text = self.decode(data, line).replace("\r\n", "\n")
        return {
            TEXT_COLUMN: text.strip("\n") if self.unit == "file" else text.rstrip("\n")
        }


class JsonLinesFile(RecordFile):
    """One JSON object a line (jsonlines.org)."""

    def scan(self):
        seen: set[str] = set()
        found = False
        # Lines as bytes have them: JSON allows other ends of lines inside a string.
        for line, start, data in self.lines():
            if not data.strip():
                continue
            row = self._row(data, line, seen if not found else None)
            found = found or not isinstance(row, str)
            yield Found(line, start, start + len(data), row)
        if seen and not found:
            self.check_columns(sorted(seen))

    def read(self, source, start, stop):
        return self._row(self._bytes(source, start, stop), 1)

    def _row(self, data, line, seen=None):
        text = self.decode(data, line)
        try:
            row = json.loads(text)
        except (ValueError, RecursionError):
            return "not JSON"
        if not isinstance(row, dict):
            return "not an object"
        if seen is not None:
            seen.update(row)
        return self.chosen(row)


class SeparatedFile(RecordFile):
    """CSV (RFC 4180) and TSV: the first line names the columns.

    In CSV a field may be quoted; in TSV quotes are plain characters, as in the GLUE
    files.
    """

    dialect: ClassVar[dict] = {"strict": True}

    def scan(self):
        end = 0

        def lines():
            nonlocal end
            for number, start, data in self.lines():
                end = start + len(data)
                yield self.decode(data, number)

        line, reader = 1, csv.reader(lines(), **self.dialect)
        with _long_fields():
            try:
                self.header = next(row for row in reader if "".join(row).strip())
                self.check_columns(self.header)
                while True:
                    line, start = reader.line_num + 1, end
                    fields = next(reader)
                    if fields:
                        yield Found(line, start, end, self._row(fields))
            except StopIteration:
                return
            except csv.Error as error:
                raise DataError(
                    f"{self.path}, line {line}: {error}. Is a quote not closed, or not "
                    "doubled?"
                ) from error

    def read(self, source, start, stop):
        text = self.decode(self._bytes(source, start, stop), 1)
        with _long_fields():
            return self._row(
                next(csv.reader(io.StringIO(text, newline=""), **self.dialect))
            )

    def _row(self, fields):
        if len(fields) != len(self.header):
            return f"{len(fields)} fields, expected {len(self.header)}"
        row = dict(zip(self.header, fields, strict=True))
        return (
            row if self.columns is None else {name: row[name] for name in self.columns}
        )


class TabSeparatedFile(SeparatedFile):
    """Fields between tabs, without quotes."""

    dialect: ClassVar[dict] = {"delimiter": "\t", "quoting": csv.QUOTE_NONE}


class ParquetFile(RecordFile):
    """Apache Parquet, through pyarrow. A row group is decoded as a whole."""

    def scan(self):
        with self.opened() as (file, _):
            columns = None if self.columns is None else list(self.columns)
            number = 0
            for batch in file.iter_batches(batch_size=1024, columns=columns):
                for row in batch.to_pylist():
                    self.blank = False
                    number += 1
                    yield Found(number, number - 1, 0, self.chosen(row))

    @contextlib.contextmanager
    def opened(self):
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.blank = True
        with _readable(self.path):
            try:
                file = pq.ParquetFile(self.path)
            except pa.ArrowException as error:
                raise DataError(
                    f"{self.path} is not a Parquet file ({_first_line(error)})."
                ) from error
            with file:
                self.check_columns(file.schema_arrow.names)
                yield file, self._group_starts(file)

    def _group_starts(self, file):
        starts = [0]
        for i in range(file.num_row_groups):
            starts.append(starts[-1] + file.metadata.row_group(i).num_rows)
        return starts

    def read(self, source, start, stop):
        import bisect

        file, starts = source
        group = bisect.bisect_right(starts, start) - 1
        table = self._groups.get(group)
        if table is None:
            columns = None if self.columns is None else list(self.columns)
            table = file.read_row_group(group, columns=columns)
            while len(self._groups) >= ROW_GROUPS:
                self._groups.pop(next(iter(self._groups)))
            self._groups[group] = table
        [row] = table.slice(start - starts[group], 1).to_pylist()
        return self.chosen(row)

    def __init__(self, path, columns, **options):
        super().__init__(path, columns, **options)
        self._groups: dict = {}


class TFRecordFile(RecordFile):
    """TFRecord of `tf.train.Example`. Checksums are compared while it is scanned.

    A feature of one value is that value, else a list; bytes are text if UTF-8.
    """

    _HEADER, _FOOTER = 12, 4  # a length and its checksum; the data's checksum

    def scan(self):
        import tensorflow as tf

        self.blank = True
        with _readable(self.path), open(self.path, "rb"):
            kind = "GZIP" if self.packed else ""
            data = tf.data.TFRecordDataset(str(self.path), kind).batch(64)
        number = start = 0
        seen: set[str] = set()
        found = False
        try:
            for batch in data.as_numpy_iterator():
                for content in batch:
                    self.blank = False
                    number += 1
                    stop = start + len(content) + self._HEADER + self._FOOTER
                    row = self._row(content, None if found else seen)
                    found = found or not isinstance(row, str)
                    yield Found(number, start, stop, row)
                    start = stop
        except tf.errors.OpError as error:
            raise DataError(
                f"{self.path} is damaged, or is no TFRecord file: what follows record "
                f"{number:,} cannot be read ({_first_line(error)})."
            ) from error
        if seen and not found:
            self.check_columns(sorted(seen))

    def read(self, source, start, stop):
        return self._row(self._bytes(source, start + self._HEADER, stop - self._FOOTER))

    def _row(self, content, seen=None):
        import tensorflow as tf
        from google.protobuf.message import DecodeError

        try:
            features = tf.train.Example.FromString(content).features.feature
        except DecodeError:
            return "not a tf.train.Example"
        row = {name: _feature(feature) for name, feature in features.items()}
        if seen is not None:
            seen.update(row)
        return self.chosen(row)


READERS = {
    "text": TextFile,
    "csv": SeparatedFile,
    "tsv": TabSeparatedFile,
    "jsonl": JsonLinesFile,
    "parquet": ParquetFile,
    "tfrecord": TFRecordFile,
}


def _feature(feature):
    kind = feature.WhichOneof("kind")
    if kind is None:
        return None
    values = list(getattr(feature, kind).value)
    if kind == "bytes_list":
        values = [_text_or_bytes(value) for value in values]
    return values[0] if len(values) == 1 else values


def _text_or_bytes(value):
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _as_text(value):
    """A value as text, or None for one that has no obvious form."""
    if isinstance(value, bytes):
        value = _text_or_bytes(value)
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list | bytes):
        return None
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    return str(value)  # dates and decimals of Parquet


def _checked_encoding(encoding):
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        raise DataError(f"encoding={encoding!r} is not known to Python.") from None
    if name == "utf-8-sig":
        name = "utf-8"
    try:
        plain = "a\n".encode(name) == b"a\n"
    except (LookupError, UnicodeError, TypeError):
        plain = False
    if not plain:
        raise DataError(
            f"encoding={encoding!r}: lines are found by the byte of their end, which "
            "this encoding does not have. Convert the file with iconv -f "
            f"{encoding} -t utf-8."
        )
    return name


@contextlib.contextmanager
def _readable(path):
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or _first_line(error)
        raise DataError(f"{path} cannot be read: {why}.") from error


@contextlib.contextmanager
def _long_fields():
    before = csv.field_size_limit(LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _first_line(error):
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
