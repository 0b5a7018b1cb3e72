"""How much texts vary: the share of different n-grams (Li et al. 2016)."""

from zoo.data.words import words_of
from zoo.errors import InputError


def distinct(groups, n):
    """Different n-grams divided by all of them, of groups (arXiv:1510.03055).

    The share falls the more n-grams there are; so of each group as many are looked at,
    from the beginning on, as the smallest one has. An n-gram is words in a row, and a
    word a run of letters and digits; in scripts without spaces, a character.

    Args:
        groups: Name -> list of str.
        n: Words in a row.

    Returns:
        Name -> float from 0 to 1; 0 where the smallest group has none.
    """
    if n < 1:
        raise InputError(f"n={n}: expected 1 or more.")
    found = {}
    for name, texts in groups.items():
        rows = map(words_of, texts)
        found[name] = [
            tuple(words[i : i + n]) for words in rows for i in range(len(words) - n + 1)
        ]
    least = min(map(len, found.values()), default=0)
    return {
        name: len(set(grams[:least])) / least if least else 0.0
        for name, grams in found.items()
    }
