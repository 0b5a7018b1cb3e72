"""Character classes and character maps, by the tables of the `tokenizers` library.

Patterns spell their classes out as ranges, so that RE2's own tables, which are of
another age, never decide anything.
"""

import functools

import numpy as np

from zoo.tokenizers import rewrites, unicode_tables

HANGUL = np.arange(0xAC00, 0xD7A4)
_LEADS, _VOWELS, _TAILS = 0x1100, 0x1161, 0x11A7


@functools.cache
def ranges(name):
    """Sorted `(first, last)` pairs of the code points of a class."""
    return tuple(_parse_range(word) for word in unicode_tables.CLASSES[name].split())


@functools.cache
def members(name):
    """The code points of a class, as a frozen set."""
    return frozenset(points(name).tolist())


@functools.cache
def points(name):
    """The code points of a class, as a sorted array that nobody may change."""
    found = np.concatenate([np.arange(a, b + 1) for a, b in ranges(name)])
    found.flags.writeable = False
    return found


def as_ranges(code_points):
    """Sorted `(first, last)` pairs that cover code points."""
    if not isinstance(code_points, np.ndarray):
        code_points = np.fromiter(code_points, np.int64)
    points = rewrites.union(code_points)
    if not points.size:
        return ()
    breaks = np.flatnonzero(np.diff(points) != 1)
    firsts = points[np.concatenate([[0], breaks + 1])]
    lasts = points[np.concatenate([breaks, [len(points) - 1]])]
    return tuple(zip(firsts.tolist(), lasts.tolist(), strict=True))


def inside(*classes):
    """What stands between the brackets of an RE2 class: names or pairs of points."""
    pairs = [p for c in classes for p in (ranges(c) if isinstance(c, str) else c)]
    return "".join(_spelled(a) + ("-" + _spelled(b) if b > a else "") for a, b in pairs)


def one_of(*classes):
    """An RE2 pattern for one character of the classes (of none: one never matched)."""
    return f"[{inside(*classes)}]" if inside(*classes) else r"[^\x00-\x{10FFFF}]"


def none_of(*classes):
    """An RE2 pattern for one character outside the classes."""
    return f"[^{inside(*classes)}]" if inside(*classes) else r"[\x00-\x{10FFFF}]"


def literal(text):
    """An RE2 pattern that matches `text` and nothing else."""
    return "".join(c if c.isascii() and c.isalnum() else _spelled(ord(c)) for c in text)


@functools.cache
def mapping(name):
    """What becomes of the code points that a map changes: `Rewrites`.

    Args:
        name: "lower" (character by character, no context) or "decompose" (canonical,
            to the end, Hangul included).
    """
    table = {}
    for word in unicode_tables.MAPS[name].split():
        source, target = word.split(":")
        table[int(source, 16)] = tuple(int(t, 16) for t in target.split("+"))
    found = rewrites.Rewrites.of(table)
    return rewrites.join(found, _hangul()) if name == "decompose" else found


@functools.cache
def combining_classes():
    """Code point -> canonical combining class, where it is not 0."""
    found: dict[int, int] = {}
    for word in unicode_tables.COMBINING.split():
        value, parts = word.split(":")
        for part in parts.split(","):
            first, last = _parse_range(part)
            found.update((c, int(value)) for c in range(first, last + 1))
    return found


def _hangul():
    """Two or three conjoining letters for each Hangul syllable (Unicode, 3.12)."""
    index = HANGUL - HANGUL[0]
    lead, vowel, tail = index // 588, index % 588 // 28, index % 28
    letters = np.stack([_LEADS + lead, _VOWELS + vowel, _TAILS + tail], axis=1)
    has_tail = tail > 0
    kept = np.stack([has_tail | True, has_tail | True, has_tail], axis=1)
    return rewrites.Rewrites(HANGUL, 2 + has_tail, letters[kept])


def _parse_range(word):
    first, _, last = word.partition("-")
    return int(first, 16), int(last or first, 16)


def _spelled(code_point):
    return f"\\x{{{code_point:x}}}"
