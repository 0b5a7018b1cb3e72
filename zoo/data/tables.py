"""The user's own labelled texts, read whole from a file."""

from dataclasses import dataclass

from zoo.data.formats import open_file, skipped_lines
from zoo.errors import DataError


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
        return f"{said}, malformed lines left out: {skipped_lines(self.skipped)}"


def read_table(
    path, *, text="text", label="label", pair=None, file_format=None, encoding="utf-8"
):
    """Reads labelled texts from a file.

    CSV and TSV begin with a line of column names. In CSV a field may be quoted; in TSV
    quotes are plain characters, as in the GLUE files. JSONL has one object a line.

    Args:
        path: A .csv, .tsv, .jsonl, .parquet or .tfrecord file.
        text: Name of the column with the text.
        label: Name of the column with the label, whose values become strings without
            white space around them; None where there is none.
        pair: Name of the column with the second text of a pair, or None.
        file_format: As of `formats.open_file`; None: by the file's name.
        encoding: Of CSV, TSV and JSONL.

    Returns:
        A Table. Malformed lines are left out and listed in it.

    Raises:
        DataError: if the file cannot be read, is empty, has another encoding, lacks a
            column, or has no line that is well-formed.
    """
    wanted = [name for name in (text, label, pair) if name is not None]
    file = open_file(path, columns=wanted, file_format=file_format, encoding=encoding)
    found: dict[str, list[str]] = {name: [] for name in wanted}
    skipped = []
    for line, _, _, row in file.scan():
        if not isinstance(row, str) and label is not None:
            row[label] = row[label].strip()
            row = row if row[label] else f"no {label!r}"
        if isinstance(row, str):
            skipped.append((line, row))
            continue
        for name in wanted:
            found[name].append(row[name])
    if file.blank:
        raise DataError(f"{file.path} is empty.")
    if not found[text]:
        why = f"line {skipped[0][0]}: {skipped[0][1]}" if skipped else "no lines"
        raise DataError(f"{file.path}: there is no example in it ({why}).")
    return Table(
        found[text],
        None if label is None else found[label],
        None if pair is None else found[pair],
        tuple(skipped),
        file.path.name,
    )
