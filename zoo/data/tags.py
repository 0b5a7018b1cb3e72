"""Tags of words, one a word: BIO, BIOES, IOB1 and IO, and the spans they spell out.

A tag is "O" or a letter, a hyphen and a type: "B-PER". B begins a span and I continues
one; in BIOES, E ends one and S is a span of one word. L and U stand for E and S (as in
BILOU), M for I (as in BMES). A tag of another form, such as "PER", is an I of that type
(IO). Sequences that a scheme does not allow are read as seqeval reads them by default,
which is how CoNLL's own script does: nothing is dropped.
"""

import functools
from collections.abc import Iterable
from typing import NamedTuple

from zoo.errors import DataError

SCHEMES = ("BIO", "BIOES", "IOB1", "IO")
OUTSIDE = "O"
# Letter -> what it means.
LETTERS = {**{letter: letter for letter in "BIES"}, "L": "E", "U": "S", "M": "I"}


class Span(NamedTuple):
    """Words of one type: the first, and the one behind the last."""

    type: str
    start: int
    end: int


@functools.cache
def split_tag(tag):
    """Letter and type: one of "O", "B", "I", "E", "S", and a str."""
    if tag == OUTSIDE:
        return OUTSIDE, ""
    letter, hyphen, kind = tag.partition("-")
    if hyphen and kind and letter in LETTERS:
        return LETTERS[letter], kind
    return "I", tag


def begins(before, tag):
    """Whether a span begins at a tag, given the one before; both as `split_tag`."""
    if tag[0] == OUTSIDE:
        return False
    return tag[0] in "BS" or before[0] in "OES" or before[1] != tag[1]


def spans(tags):
    """The spans of a sentence, a list of `Span`, from its tags in any scheme."""
    found: list[Span] = []
    start, before = 0, (OUTSIDE, "")
    for place, tag in enumerate(map(split_tag, [*tags, OUTSIDE])):
        if before[0] != OUTSIDE and (tag[0] == OUTSIDE or begins(before, tag)):
            found.append(Span(before[1], start, place))
        if begins(before, tag):
            start = place
        before = tag
    return found


def write(spans, length, scheme="BIO"):
    """Tags of a sentence of so many words.

    Args:
        spans: `(type, start, end)` in order, that do not overlap.
        length: Number of words.
        scheme: One of `SCHEMES`. IO cannot tell neighbours of one type apart.
    """
    check_scheme(scheme)
    tags = [OUTSIDE] * length
    for kind, start, end in spans:
        letters = ["I"] * (end - start)
        # In IOB1, B is only for what would be taken for one with the span before.
        joins = start and tags[start - 1].partition("-")[2] == kind
        if scheme in ("BIO", "BIOES") or (scheme == "IOB1" and joins):
            letters[0] = "B"
        if scheme == "BIOES":
            letters[-1] = "S" if end - start == 1 else "E"
        tags[start:end] = [f"{letter}-{kind}" for letter in letters]
    return tags


def convert(tags, scheme):
    """The tags of a sentence in another scheme."""
    return write(spans(tags), len(tags), scheme)


def scheme_of(sentences: Iterable[list[str]]):
    """The scheme that the tags of sentences are in, one of `SCHEMES`."""
    letters, strict = set(), True
    for tags in sentences:
        before = (OUTSIDE, "")
        for tag in map(split_tag, tags):
            letters.add(tag[0])
            strict = strict and not (tag[0] == "I" and begins(before, tag))
            before = tag
    if letters & {"E", "S"}:
        return "BIOES"
    if "B" not in letters:
        return "IO" if "I" in letters else "BIO"
    return "BIO" if strict else "IOB1"


def labels(types, scheme="BIO"):
    """All tags of these types, "O" first: what a tagger is to choose from."""
    check_scheme(scheme)
    letters = {"BIO": "BI", "IOB1": "BI", "BIOES": "BIES", "IO": "I"}[scheme]
    return [OUTSIDE, *(f"{letter}-{kind}" for kind in types for letter in letters)]


def check_scheme(scheme):
    if scheme not in SCHEMES:
        raise DataError(f"scheme={scheme!r}: expected one of {', '.join(SCHEMES)}.")
