"""Tables that say what becomes of each character, as arrays of code points.

As dictionaries they took more than a second to go through: the characters that BERT
removes or puts between spaces are more than 200,000.
"""

import numpy as np

COUNT = 0x110000  # of code points


class Rewrites:
    """Code point -> none, one or several code points. What is not in it stays.

    Args:
        points: Code points, sorted, each once `[N]`.
        lengths: How many code points each of them becomes `[N]`.
        values: What they become, one after the other `[sum of lengths]`.
    """

    def __init__(self, points, lengths, values):
        self.points, self.lengths, self.values = (
            np.asarray(array, np.int64) for array in (points, lengths, values)
        )
        self._starts = np.cumsum(self.lengths) - self.lengths

    @classmethod
    def of(cls, table):
        """Those of a dictionary code point -> sequence of code points."""
        points = sorted(table)
        values = [value for point in points for value in table[point]]
        return cls(points, [len(table[point]) for point in points], values)

    @classmethod
    def to(cls, points, new=()):
        """Each of the points `[N]`, sorted, to the same sequence of code points."""
        return cls(points, np.full(len(points), len(new)), np.tile(new, len(points)))

    def __len__(self):
        return len(self.points)

    def items(self):
        """Pairs of a code point and the tuple that it becomes."""
        ends = self._starts + self.lengths
        for point, start, end in zip(self.points, self._starts, ends, strict=True):
            yield int(point), tuple(self.values[start:end].tolist())

    def apply(self, points):
        """What code points `[N]` become: `lengths` `[N]` and `values`, as of a table.

        The points may come in any order and more than once.
        """
        points = np.asarray(points, np.int64)
        places = np.searchsorted(self.points, points)
        known = np.append(self.points, -1)[places] == points
        # What is not known is found behind the values.
        stays = len(self.values) + np.arange(len(points))
        starts = np.where(known, np.append(self._starts, 0)[places], stays)
        lengths = np.where(known, np.append(self.lengths, 0)[places], 1)
        values = np.concatenate([self.values, points])
        return lengths, values[_within(starts, lengths)]


def join(*tables):
    """One table with the entries of all; where several have one, that of the last."""
    lengths = np.concatenate([table.lengths for table in tables])
    starts = np.cumsum(lengths) - lengths
    values = np.concatenate([table.values for table in tables])
    entries = np.full(COUNT, -1)
    entries[np.concatenate([table.points for table in tables])] = np.arange(len(starts))
    points = np.flatnonzero(entries >= 0)
    entries = entries[points]
    places = _within(starts[entries], lengths[entries])
    return Rewrites(points, lengths[entries], values[places])


def compose(*tables, points=None):
    """One table that does what the tables do one after the other.

    Args:
        points: Characters that it is to be of, sorted; None: all that a table has.
    """
    if points is None:
        points = union(*(table.points for table in tables))
    points = values = np.asarray(points, np.int64)
    owners = np.arange(len(points))
    for table in tables:
        lengths, values = table.apply(values)
        owners = np.repeat(owners, lengths)
    lengths = np.bincount(owners, minlength=len(points))
    changed = np.full(len(points), True)
    changed[owners[values == points[owners]]] = False
    changed |= lengths != 1
    return Rewrites(points[changed], lengths[changed], values[changed[owners]])


def union(*points):
    """Sorted code points, each once, of arrays of them."""
    there = np.zeros(COUNT, bool)
    there[np.concatenate(points)] = True
    return np.flatnonzero(there)


def any_in(lengths, values, points):
    """Whether each of several sequences, as of a table, has one of the points."""
    owners = np.repeat(np.arange(len(lengths)), lengths)
    found = owners[np.isin(values, points)]
    return np.bincount(found, minlength=len(lengths)) > 0


def _within(starts, lengths):
    """Places of the elements of segments, one segment after the other."""
    shifts = starts - (np.cumsum(lengths) - lengths)
    return np.arange(lengths.sum()) + np.repeat(shifts, lengths)
