"""Readers of the user's own labelled texts: CSV, TSV and JSONL."""

import contextlib
import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path

from zoo.errors import DataError

FORMATS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
LONGEST_FIELD = 1 << 27


@dataclass(frozen=True)
class Table:
    """What was read from a file.

    Attributes:
        texts: Strings `[N]`.
        labels: Strings `[N]`, or None where no label column was asked for.
        pairs: Second texts `[N]`, or None.
        skipped: `(line, reason)` of each malformed line, in order.
        name: The file.
    """

    texts: list[str]
    labels: list[str] | None
    pairs: list[str] | None
    skipped: tuple[tuple[int, str], ...]
    name: str

    def report(self):
        """One line that says how much was read, and what was left out."""
        said = f"{self.name}: {len(self.texts):,} examples"
        if not self.skipped:
            return said
        few = "; ".join(f"line {line}: {reason}" for line, reason in self.skipped[:3])
        more = " ..." if len(self.skipped) > 3 else ""
        return f"{said}, {len(self.skipped):,} malformed lines left out ({few}{more})"


def read_table(path, *, text="text", label="label", pair=None, file_format=None):
    """Reads labelled texts from a file in UTF-8.

    CSV and TSV begin with a line of column names. In CSV a field may be quoted; in TSV
    quotes are plain characters, as in the GLUE files. JSONL has one object a line.

    Args:
        path: A .csv, .tsv or .jsonl file.
        text: Name of the column with the text.
        label: Name of the column with the label, whose values become strings without
            white space around them; None where there is none.
        pair: Name of the column with the second text of a pair, or None.
        file_format: "csv", "tsv" or "jsonl"; None: by the file's name.

    Returns:
        A Table. Malformed lines are left out and listed in it.

    Raises:
        DataError: if the file cannot be read, is empty, is not UTF-8, lacks a column,
            or has no line that is well-formed.
    """
    path = Path(path).expanduser()
    kind = file_format or FORMATS.get(path.suffix.lower())
    if kind not in FORMATS.values():
        raise DataError(
            f"{path}: expected a .csv, .tsv or .jsonl file. Rename it, or pass "
            "file_format."
        )
    content = _decode(path)
    wanted = [name for name in (text, label, pair) if name is not None]
    rows = _json_rows if kind == "jsonl" else _separated_rows
    found: dict[str, list[str]] = {name: [] for name in wanted}
    skipped = []
    for line, row in rows(content, path, kind, wanted):
        if not isinstance(row, str) and label is not None:
            row[label] = row[label].strip()
            row = row if row[label] else f"no {label!r}"
        if isinstance(row, str):
            skipped.append((line, row))
            continue
        for name in wanted:
            found[name].append(row[name])
    if not found[text]:
        why = f"line {skipped[0][0]}: {skipped[0][1]}" if skipped else "no lines"
        raise DataError(f"{path}: there is no example in it ({why}).")
    return Table(
        found[text],
        None if label is None else found[label],
        None if pair is None else found[pair],
        tuple(skipped),
        path.name,
    )


def _decode(path):
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    if not data.strip():
        raise DataError(f"{path} is empty.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        # Excel's "Unicode text" is UTF-16; it begins with a byte order mark.
        encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin1"
        raise DataError(
            f"{path}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8. "
            f"Convert the file, for example with iconv -f {encoding} -t utf-8."
        ) from error


def _separated_rows(content, path, kind, wanted):
    """Yields `(line, row by column)`, or `(line, reason)` for a malformed one."""
    lines = io.StringIO(content, newline="")
    if kind == "tsv":
        reader = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE, strict=True)
    else:
        reader = csv.reader(lines, strict=True)
    with _long_fields():
        line = 1
        try:
            header = next(row for row in reader if row)
            _check_columns(header, wanted, path)
            while True:
                line = reader.line_num + 1
                row = next(reader)
                if not row:
                    continue
                if len(row) != len(header):
                    yield line, f"{len(row)} fields, expected {len(header)}"
                else:
                    yield line, dict(zip(header, row, strict=True))
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"{path}, line {line}: {error}. Is a quote not closed, or not doubled?"
            ) from error


@contextlib.contextmanager
def _long_fields():
    before = csv.field_size_limit(LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _json_rows(content, path, kind, wanted):
    seen: set[str] = set()
    # Not splitlines(): it also splits at characters that JSON allows inside a string.
    for line, text in enumerate(content.split("\n"), 1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError):
            yield line, "not JSON"
            continue
        if not isinstance(row, dict):
            yield line, "not an object"
            continue
        seen.update(row)
        missing = [name for name in wanted if row.get(name) is None]
        odd = [name for name in wanted if isinstance(row.get(name), dict | list)]
        if missing or odd:
            reason = "no" if missing else "not text in"
            yield line, f"{reason} {(missing or odd)[0]!r}"
        else:
            yield line, {name: _as_text(row[name]) for name in wanted}
    if seen:
        _check_columns(sorted(seen), wanted, path)


def _as_text(value):
    return value if isinstance(value, str) else json.dumps(value)


def _check_columns(header, wanted, path):
    missing = [name for name in wanted if name not in header]
    repeated = [name for name in wanted if list(header).count(name) > 1]
    if missing or repeated:
        problem = f"lacks {missing}" if missing else f"has {repeated} twice"
        raise DataError(
            f"{path} {problem}; its columns are {', '.join(map(repr, header[:20]))}. "
            "Say which column holds the text and which the label."
        )
