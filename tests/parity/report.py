"""The table of the README: how far zoo is from the reference, family by family.

python -m tests.parity.report
"""

import sys
import tempfile

from tests.parity import comparison
from tests.parity.cases import CASES

COLUMNS = ("output", "states", "loss", "gradients")


def largest_distances(family):
    """For each kind of result, the largest distance over all cases of a family."""
    largest = dict.fromkeys(COLUMNS, 0.0)
    for name in CASES[family]:
        with tempfile.TemporaryDirectory() as directory:
            found = comparison.compare(family, name, directory)
        largest = {kind: max(largest[kind], found[kind]) for kind in COLUMNS}
    return largest


def table(rows):
    """Markdown, of a dictionary of family to distances."""
    lines = [
        "| family | configurations | outputs | hidden states | loss | gradients |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for family, found in rows.items():
        figures = " | ".join(f"{found[kind]:.1e}" for kind in COLUMNS)
        lines.append(f"| {family} | {len(CASES[family])} | {figures} |")
    return "\n".join(lines)


def main():
    rows = {}
    for family in CASES:
        rows[family] = largest_distances(family)
        print(family, rows[family], file=sys.stderr)
    print(table(rows))


if __name__ == "__main__":
    main()
