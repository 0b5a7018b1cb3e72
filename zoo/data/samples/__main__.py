"""`python -m zoo.data.samples NAME...`: fetches samples, or lists what there is."""

import sys

from zoo.data.samples import SAMPLES, fetch
from zoo.errors import DataError


def main(names):
    """Fetches the named samples; without names, lists what there is."""
    for name in names:
        print(fetch(name))
    if not names:
        for sample in SAMPLES.values():
            print(f"{sample.name:22}{sample.about} ({sample.licence})")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except DataError as error:
        sys.exit(f"error: {error}")
