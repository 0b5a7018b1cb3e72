"""Prompts of mixed length as one array, of a width that many share."""

import numpy as np

SMALLEST = 8


def room(count, step):
    """`count` rounded up to a multiple of `step`."""
    return -(-count // step) * step


def bucket(length):
    """The power of two, 8 at least, that a length is padded to: one compile serves."""
    return max(SMALLEST, 1 << (length - 1).bit_length())


def stacked(rows, *, side, fill=0, exact=False):
    """Rows as an array.

    Args:
        rows: Lists of ids, none empty.
        side: Where the padding stands, "left" or "right".
        fill: Id that stands there.
        exact: Pad to the longest row only, and not to its bucket.

    Returns:
        int32 `[B, T]`, and how much of each row is padding, int32 `[B]`.
    """
    longest = max(len(row) for row in rows)
    width = longest if exact else bucket(longest)
    ids = np.full((len(rows), width), fill, np.int32)
    for i, row in enumerate(rows):
        if side == "left":
            ids[i, width - len(row) :] = row
        else:
            ids[i, : len(row)] = row
    padding = np.array([width - len(row) for row in rows], np.int32)
    return ids, padding
