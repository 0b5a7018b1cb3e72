"""The rules of cleaning: those that repair a record, and those that leave it out.

The rules know no language. What others count in words is counted in words where a
script has spaces between them, and in characters where it has none (Chinese, Japanese,
Thai ...). Thresholds of the repetition rule are those of Gopher (Rae et al. 2021,
arXiv:2112.11446, table A1).

A rule is a function of a Cleaning that gives a function from text to text, or to
Removed.
"""

import functools
import hashlib
import html
import re
import unicodedata
from collections import Counter

import numpy as np

from zoo.data.duplicates import NearDuplicates
from zoo.data.words import words_of

FEW_WORDS = 30  # of a line that may be boiler-plate
ENOUGH_WORDS = 30  # for shares of n-grams to say anything


class Removed(str):
    """Instead of a text: why there is none any more."""


# -- Rules that repair


def _markup(cleaning):
    """HTML and XML: tags, comments, scripts and styles go, entities become text."""

    def apply(text):
        if "<" in text:
            text = _without(text, "<!--", "-->")
            for name in ("script", "style", "noscript", "template"):
                text = _without_element(text, name)
            text = TAG.sub(_in_place_of_tag, text)
        return ENTITY.sub(_entity, text) if "&" in text else text

    return apply


BLOCKS = (
    "address article aside blockquote body br center dd div dl dt fieldset figcaption "
    "figure footer form h1 h2 h3 h4 h5 h6 head header hr html li main nav ol option p "
    "pre section select table tbody tfoot thead title tr ul"
)
CELLS = "td th"
INLINE = (
    "a abbr acronym audio b base bdi bdo big button canvas caption cite code col "
    "colgroup data datalist del details dfn dialog em embed font frame frameset i "
    "iframe img input ins kbd label legend link map mark meta meter noframes object "
    "optgroup output param picture progress q rp rt ruby s samp small source span "
    "strike strong sub summary sup svg path textarea time track tt u var video wbr "
    "area script style noscript template"
)
# `a < b` and `List<T>` are no tags: only names that HTML has count.
TAG = re.compile(
    rf"<(?:/?({'|'.join(f'{BLOCKS} {CELLS} {INLINE}'.split())})(?=[\s/>])|[!?][a-z[])"
    "[^<>]*>",
    re.IGNORECASE,
)
ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][\da-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")


def _in_place_of_tag(match):
    name = (match[1] or "").lower()
    if name in BLOCKS.split():
        return "\n"
    return " " if name in CELLS.split() else ""


def _entity(match):
    return html.unescape(match[0])


def _without(text, begin, end):
    """The text without what stands from each `begin` to the next `end`."""
    parts, place = [], 0
    while (start := text.find(begin, place)) >= 0:
        stop = text.find(end, start + len(begin))
        if stop < 0:  # nor is there one behind any later `begin`
            break
        parts.append(text[place:start])
        place = stop + len(end)
    return "".join([*parts, text[place:]])


def _without_element(text, name):
    begin = re.compile(rf"<{name}(?=[\s>])", re.IGNORECASE)
    end = re.compile(rf"</{name}\s*>", re.IGNORECASE)
    parts, place = [], 0
    while start := begin.search(text, place):
        stop = end.search(text, start.end())
        if stop is None:
            break
        parts += [text[place : start.start()], "\n"]
        place = stop.end()
    return "".join([*parts, text[place:]])


def _unicode(cleaning):
    """One Unicode form for what looks the same."""
    return functools.partial(unicodedata.normalize, cleaning.normalization)


# The joiners U+200C and U+200D are letters' business in Persian, Hindi and emoji.
INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u206f\ufeff\ufff9-\ufffb\ufdd0-\ufdef\ue000-\uf8ff\ud800-\udfff"
    "\U000f0000-\U0010ffff]|[\ufffe\uffff]"
)
LINE_ENDS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")


def _control(cleaning):
    """Control, invisible and private-use characters go; lines end with U+000A."""

    def apply(text):
        return INVISIBLE.sub("", LINE_ENDS.sub("\n", text))

    return apply


def _whitespace(cleaning):
    """Plain spaces; none at the ends of lines, and one blank line at most."""

    def apply(text):
        text = SPACES.sub(" ", text)
        lines = [line.rstrip() for line in text.split("\n")]
        return BLANK_LINES.sub("\n\n", "\n".join(lines)).strip()

    return apply


SPACES = re.compile("[\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]")
BLANK_LINES = re.compile("\n{3,}")

# A short line with one of these says nothing about anything.
PHRASES = re.compile(
    "|".join(
        (
            r"all rights reserved|copyright ©|©\s*(?:copyright\s*)?(?:19|20)\d\d",
            r"alle rechte vorbehalten|tous droits réservés|todos los derechos",
            "版权所有|版權所有|保留所有权利|icp备|公网安备|無断転載",
            r"enable javascript|javascript (?:is|must be|to be)|启用\s*javascript",
            r"(?:use|uses|using|accept) cookies|cookie policy|privacy policy|隐私政策",
            r"terms (?:of|and) (?:use|service|conditions)|impressum|datenschutzerkl",
            "click here to|read more[.…]|点击(?:这里|此处|下载|查看)|扫码关注",
            "share (?:on|this)|follow us|subscribe to our|分享到|[上下]一篇|返回顶部",
            "lorem ipsum",
        )
    ),
    re.IGNORECASE,
)
ADDRESS = re.compile(r"\W*(?:https?://|www\.)\S+\W*|\W*\S+@\S+\.\w+\W*", re.IGNORECASE)
RULER = re.compile(r"[-=_*~#.·•|+<>/\\\s]{3,}")
MENU = re.compile(r"\s*[|»›·•]\s*|\s+[>/]\s+")


def _boilerplate(cleaning):
    """Short lines that are menus, notices, bare addresses or rulers go."""

    def apply(text):
        lines = text.split("\n")
        kept = [line for line in lines if not _is_boilerplate(line)]
        if len(kept) == len(lines):
            return text
        text = "\n".join(kept)
        return text if text.strip() else Removed("nothing but boiler-plate")

    return apply


def _is_boilerplate(line):
    if not line or line.isspace() or len(line) > 400:
        return False
    if RULER.fullmatch(line) or ADDRESS.fullmatch(line):
        return True
    parts = [part for part in MENU.split(line) if part]
    if len(parts) > 3 and all(len(words_of(part)) <= 4 for part in parts):
        return True
    return bool(PHRASES.search(line)) and len(words_of(line)) <= FEW_WORDS


# -- Rules that leave out


def _length(cleaning):
    """Records of too few or too many words."""

    def apply(text):
        count = len(words_of(text))
        if count < cleaning.min_words:
            return Removed(f"words: {count}, fewer than {cleaning.min_words}")
        if count > cleaning.max_words:
            return Removed(f"words: {count}, more than {cleaning.max_words}")
        return text

    return apply


def _symbols(cleaning):
    """Records of signs rather than words."""

    def apply(text):
        rest = Counter(NOT_LETTERS.findall(text))
        # Vowel signs and accents are marks, which belong to letters.
        symbols = sum(
            count
            for sign, count in rest.items()
            if unicodedata.category(sign)[0] not in "M"
        )
        share = symbols / max(len(text) - len(re.findall(r"\s", text)), 1)
        if share > cleaning.max_symbols:
            return Removed(f"{share:.0%} of it are symbols")
        return text

    return apply


NOT_LETTERS = re.compile(r"[^\w\s]")
LINES, LINE_CHARACTERS = 0.30, 0.20
MOST_COMMON = {2: 0.20, 3: 0.18, 4: 0.16}
REPEATED = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}


def _repetition(cleaning):
    """Records that say the same again and again, by lines and by n-grams of words."""

    def apply(text):
        lines = [line.strip() for line in text.split("\n") if line.strip()]
        if len(lines) > 3:
            counts = Counter(lines)
            again = len(lines) - len(counts)
            if again / len(lines) > LINES:
                return Removed(f"{again / len(lines):.0%} of its lines come again")
            signs = sum(len(line) * (n - 1) for line, n in counts.items())
            share = signs / sum(map(len, lines))
            if share > LINE_CHARACTERS:
                return Removed(f"{share:.0%} of it are lines that come again")
        words = words_of(text)
        if len(words) < ENOUGH_WORDS:
            return text
        ids, sizes = _numbered(words)
        total = sizes.sum()
        for n, limit in MOST_COMMON.items():
            share = _most_common(ids, sizes, n) / total
            if share > limit:
                return Removed(f"one {n}-gram is {share:.0%} of it")
        for n, limit in REPEATED.items():
            share = _repeated(ids, sizes, n) / total
            if share > limit:
                return Removed(f"{n}-grams that come again are {share:.0%} of it")
        return text

    return apply


def _numbered(words):
    numbers: dict[str, int] = {}
    ids = np.array([numbers.setdefault(word, len(numbers)) for word in words])
    return ids, np.array([len(word) for word in words])


def _ngrams(ids, n):
    """A number for the n-gram that begins at each place."""
    found = ids[: len(ids) - n + 1].astype(np.uint64)
    for i in range(1, n):
        found = found * np.uint64(0x9E3779B97F4A7C15) + ids[
            i : len(ids) - n + 1 + i
        ].astype(np.uint64)
    return found


def _most_common(ids, sizes, n):
    """Characters that one n-gram takes, at most; what is said twice does not count."""
    _, first, counts = np.unique(_ngrams(ids, n), return_index=True, return_counts=True)
    if counts.max() < 3:
        return 0
    ends = np.concatenate([[0], np.cumsum(sizes)])
    return int((counts * (ends[first + n] - ends[first]))[counts > 2].max())


def _repeated(ids, sizes, n):
    """Characters of n-grams that have come before, each counted once."""
    grams = _ngrams(ids, n)
    again = np.ones(len(grams), bool)
    again[np.unique(grams, return_index=True)[1]] = False
    covered = np.zeros(len(ids), bool)
    for i in range(n):
        covered[i : i + len(again)] |= again
    return int(sizes[covered].sum())


def _exact(cleaning):
    """Records that have come before, but for white space."""
    seen: set[bytes] = set()

    def apply(text):
        plain = " ".join(text.split()).encode("utf-8", "surrogatepass")
        key = hashlib.blake2b(plain, digest_size=16).digest()
        if key in seen:
            return Removed("has come before")
        seen.add(key)
        return text

    return apply


def _near(cleaning):
    """Records nearly all of whose characters have come before in the same order."""
    duplicates = NearDuplicates(cleaning.near_duplicates)

    def apply(text):
        found = duplicates.add(text)
        if found is None:
            return text
        number, similarity = found
        return Removed(f"{similarity:.0%} like record {number + 1:,} that was kept")

    return apply


RULES = {
    "markup": _markup,
    "unicode": _unicode,
    "control": _control,
    "boilerplate": _boilerplate,
    "whitespace": _whitespace,
    "length": _length,
    "symbols": _symbols,
    "repetition": _repetition,
    "exact": _exact,
    "near": _near,
}
