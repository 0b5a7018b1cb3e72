"""Cleaning of raw text by rules, and the report of what they did."""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO

from zoo.data.cleaning_rules import RULES, Removed
from zoo.data.records import Records
from zoo.errors import DataError, InputError
from zoo.files import staged_directory

FORMS = ("NFC", "NFKC")
EXAMPLES = 3  # of each rule, kept for the report
SHOWN = 200  # characters of an example


@dataclass(frozen=True)
class Cleaning:
    """Which rules are applied, in their order, and their thresholds.

    Attributes:
        rules: Names out of `RULES`.
        normalization: Unicode form, "NFC" or "NFKC" (which also makes full-width and
            other compatibility characters plain).
        min_words, max_words: A record with fewer or more is left out.
        max_symbols: Largest share of characters that are neither letters, digits nor
            white space.
        near_duplicates: Jaccard similarity of two records' character shingles from
            which on the later one is left out.
    """

    rules: Sequence[str] = (
        *("markup", "unicode", "control", "boilerplate", "whitespace"),
        *("length", "symbols", "repetition", "exact", "near"),
    )
    normalization: str = "NFC"
    min_words: int = 3
    max_words: int = 1_000_000
    max_symbols: float = 0.4
    near_duplicates: float = 0.8

    def __post_init__(self):
        unknown = [name for name in self.rules if name not in RULES]
        if unknown:
            raise InputError(
                f"rules: {unknown} are not known. Known: {', '.join(RULES)}."
            )
        if self.normalization not in FORMS:
            raise InputError(
                f"normalization={self.normalization!r}: expected one of "
                f"{', '.join(FORMS)}. Leave the rule 'unicode' out for none."
            )
        for name in ("max_symbols", "near_duplicates"):
            if not 0 < getattr(self, name) <= 1:
                raise InputError(f"{name}={getattr(self, name)}: expected (0, 1].")
        if not 0 <= self.min_words <= self.max_words:
            raise InputError(
                f"min_words={self.min_words}, max_words={self.max_words}: expected "
                "0 <= min_words <= max_words."
            )


@dataclass
class RuleReport:
    """What one rule did: records it changed and removed, and a few of them."""

    changed: int = 0
    removed: int = 0
    examples: list[dict] = field(default_factory=list)


@dataclass
class Report:
    """What cleaning did.

    Attributes:
        records, kept: Records seen, and those that are left.
        malformed: Those that could not be read, which are no `records`.
        characters, kept_characters: The same in characters.
        rules: RuleReport by rule.
    """

    records: int = 0
    kept: int = 0
    malformed: int = 0
    characters: int = 0
    kept_characters: int = 0
    rules: dict[str, RuleReport] = field(default_factory=dict)

    def to_dict(self):
        """The report as what JSON has."""
        own = {name: value for name, value in vars(self).items() if name != "rules"}
        return {**own, "rules": {n: vars(rule) for n, rule in self.rules.items()}}

    def lines(self):
        """The report for people."""
        share = self.kept / max(self.records, 1)
        yield (
            f"{self.kept:,} of {self.records:,} records kept ({share:.1%}); "
            f"{self.kept_characters:,} of {self.characters:,} characters"
        )
        if self.malformed:
            yield f"{self.malformed:,} malformed records were left out before"
        yield f"{'rule':12}{'changed':>12}{'removed':>12}"
        for name, rule in self.rules.items():
            yield f"{name:12}{rule.changed:12,}{rule.removed:12,}"
            for example in rule.examples:
                after = example["after"]
                after = f"left out: {example['why']}" if after is None else repr(after)
                yield f"    {example['before']!r}"
                yield f"    -> {after}"


class Cleaner:
    """Applies rules to one record after the other, and remembers what it has seen.

    Args:
        cleaning: Cleaning.

    Attributes:
        report: Report.
    """

    def __init__(self, cleaning=None):
        cleaning = cleaning or Cleaning()
        self._rules = {name: RULES[name](cleaning) for name in cleaning.rules}
        self.report = Report(rules={name: RuleReport() for name in self._rules})

    def __call__(self, text):
        """The clean text, or None where the record is to be left out."""
        self.report.records += 1
        self.report.characters += len(text)
        for name, rule in self._rules.items():
            after = rule(text)
            if after is not text and after != text:
                self._note(self.report.rules[name], text, after)
            if isinstance(after, Removed):
                return None
            text = after
        self.report.kept += 1
        self.report.kept_characters += len(text)
        return text

    def _note(self, rule, before, after):
        removed = isinstance(after, Removed)
        if removed:
            rule.removed += 1
        else:
            rule.changed += 1
        if len(rule.examples) < EXAMPLES:
            before, shown = _difference(before, "" if removed else after)
            rule.examples.append(
                {
                    "before": before,
                    "after": None if removed else shown,
                    "why": str(after) if removed else None,
                }
            )


def clean_files(paths, output, cleaning=None, *, text="text", progress=None, **options):
    """Cleans the records of files and writes what is left.

    A file of lines becomes a file of lines, `NAME.txt`; any other becomes `NAME.jsonl`
    with all its columns. The same input gives the same output.

    Args:
        paths: As of `Records`.
        output: Directory; it gets the files when all of them are complete.
        cleaning: Cleaning.
        text: Column that is cleaned.
        progress: Called with the Report after each record.
        options: Of `Records`.

    Returns:
        Report.

    Raises:
        DataError: as of `Records`; or if no record has the column.
    """
    cleaner, records = Cleaner(cleaning), Records(paths, **options)
    report = cleaner.report
    names = None
    with staged_directory(output, error=DataError) as stage, _Writers(stage) as writers:
        for file, row in records.with_files():
            writer = writers.of(file)
            content = row.get(text)
            names = names or list(row)
            if not isinstance(content, str):
                report.malformed += 1
                continue
            content = cleaner(content)
            if content is not None:
                writer.write({**row, text: content}, content)
            if progress is not None:
                progress(report)
        if not report.records:
            raise DataError(
                f"{records.files[0]}: no record has text in a column {text!r}; there "
                f"are {', '.join(map(repr, names[:20]))}. Say which column holds the "
                "text."
            )
    report.malformed += records.malformed_count
    return report


class _Writers:
    """One file of what is left for each file that was read."""

    def __init__(self, directory):
        self.directory = directory
        self.open = {}
        self.names = set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for writer in self.open.values():
            writer.file.close()

    def of(self, source):
        if source not in self.open:
            for writer in self.open.values():
                writer.file.close()  # files come one after the other
            ending = "txt" if source.lines_alone else "jsonl"
            stem = source.path.name.removesuffix(".gz").rsplit(".", 1)[0]
            numbers = itertools.count(2)
            name = f"{stem}.{ending}"
            while name in self.names:
                name = f"{stem}-{next(numbers)}.{ending}"
            self.names.add(name)
            path = self.directory / name
            file = open(path, "w", encoding="utf-8", newline="\n")  # noqa: SIM115
            self.open[source] = _Writer(file, source.lines_alone)
        return self.open[source]


@dataclass
class _Writer:
    file: IO[str]
    lines_alone: bool

    def write(self, row, text):
        if self.lines_alone:
            line = " ".join(text.split("\n"))
        else:
            line = json.dumps(row, ensure_ascii=False, default=str)
        self.file.write(f"{line}\n")


def _difference(before, after):
    """The part of two texts where they differ, with what stands around it, short."""
    start = 0
    for one, other in zip(before, after, strict=False):
        if one != other:
            break
        start += 1
    start = max(0, start - SHOWN // 4) if after else 0
    return tuple(
        ("..." if start else "")
        + text[start : start + SHOWN]
        + ("..." if len(text) > start + SHOWN else "")
        for text in (before, after)
    )
