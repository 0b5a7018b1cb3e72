"""Near-duplicates by MinHash and locality-sensitive hashing (Broder 1997)."""

import re

import numpy as np

from zoo.data.words import lacks_spaces
from zoo.errors import InputError

PERMUTATIONS = 128
AT_ONCE = 4096  # shingles; each takes a kilobyte while it is hashed


class NearDuplicates:
    """Texts of which none is nearly like another.

    Two texts are alike by the Jaccard similarity of their sets of shingles: 5
    characters in a row, or 3 in scripts without spaces; case and the kind of white
    space do not count. It is estimated, with a standard error of at most 0.045.

    Args:
        threshold: Similarity from which on a text counts as a duplicate.
    """

    def __init__(self, threshold=0.8):
        from datasketch import MinHash, MinHashLSH  # 0.5 s, with scipy

        if not 0 < threshold <= 1:
            raise InputError(f"threshold={threshold}: expected (0, 1].")
        self.threshold = threshold
        self._empty = MinHash(PERMUTATIONS, seed=1, hashfunc=_as_it_is)
        self._index = MinHashLSH(min(threshold, 0.99), PERMUTATIONS)
        self._signatures: list[np.ndarray] = []

    def add(self, text):
        """Takes a text in, if it is new.

        Returns:
            None; or number, in the order of taking in, and similarity of the text that
            is most like it.
        """
        signature = self._empty.copy()
        shingles = _shingles(text)
        for start in range(0, len(shingles), AT_ONCE):
            signature.update_batch(shingles[start : start + AT_ONCE])
        values = signature.hashvalues.astype(np.uint32)
        best = max(
            (
                (np.mean(self._signatures[number] == values), -number)
                for number in self._index.query(signature)
            ),
            default=(0, 0),
        )
        if best[0] >= self.threshold:
            return -best[1], float(best[0])
        self._index.insert(len(self._signatures), signature, check_duplication=False)
        self._signatures.append(values)
        return None


def _as_it_is(value):
    return value


def _shingles(text):
    """A number below 2 ** 32 for each different shingle, sorted."""
    text = re.sub(r"\s+", " ", text.casefold()).strip()
    size = min(3 if lacks_spaces(text) else 5, max(len(text), 1))
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    count = max(len(codes) - size + 1, 0)
    numbers = np.zeros(count, np.uint64)
    for i in range(size):
        numbers = numbers * np.uint64(0x9E3779B97F4A7C15) + codes[i : i + count]
    numbers ^= numbers >> np.uint64(29)
    numbers *= np.uint64(0xBF58476D1CE4E5B9)
    return np.unique(numbers >> np.uint64(32))
