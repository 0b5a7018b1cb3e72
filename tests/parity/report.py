"""The table of the README: how far zoo is from the reference, family by family.

python -m tests.parity.report
"""

import functools
import tempfile

from tests.parity import comparison
from tests.parity.cases import CASES, HEADS

COLUMNS = ("output", "states", "loss", "gradients")


def largest_distances(names, compare):
    """For each kind of result, the largest distance over some cases."""
    largest = dict.fromkeys(COLUMNS, 0.0)
    for name in names:
        with tempfile.TemporaryDirectory() as directory:
            found = compare(name, directory)
        largest = {kind: max(largest[kind], found[kind]) for kind in COLUMNS}
    return largest


def table(rows):
    """Markdown, of a dictionary of family to number of cases and distances."""
    lines = [
        "| family | configurations | outputs | hidden states | loss | gradients |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for family, (count, found) in rows.items():
        figures = " | ".join(f"{found[kind]:.1e}" for kind in COLUMNS)
        lines.append(f"| {family} | {count} | {figures} |")
    return "\n".join(lines)


def main():
    rows = {}
    for family, cases in CASES.items():
        compare = functools.partial(comparison.compare, family)
        rows[family] = len(cases), largest_distances(cases, compare)
    rows["task heads of all families"] = (
        len(HEADS),
        largest_distances(HEADS, comparison.compare_head),
    )
    print(table(rows))


if __name__ == "__main__":
    main()
