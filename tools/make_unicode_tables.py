"""Writes zoo/tokenizers/unicode_tables.py: the characters as `tokenizers` sees them.

Every Unicode library has its own age. The tokenizer files that zoo reads were made with
the tables inside the Rust crates of `tokenizers`, so these are read off that library,
one code point at a time, and written down as text. Run it again after an update:

    python tools/make_unicode_tables.py
"""

import textwrap
import unicodedata
from pathlib import Path

from tokenizers import Regex, normalizers, pre_tokenizers

from zoo.tokenizers.precompiled import compiled

TARGET = Path(__file__).parents[1] / "zoo" / "tokenizers" / "unicode_tables.py"
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
HANGUL = range(0xAC00, 0xD7A4)
RARE = ("Cc", "Cf", "Zl", "Zp", "Lo", "Cn")  # what controls and prepended marks are

HEADER = '''"""Unicode as `tokenizers` sees it, written by tools/make_unicode_tables.py.

Do not edit. `CLASSES` holds ranges of code points in hexadecimal: "9-d 20". `MAPS`
holds "from:to+to" per code point; Hangul syllables, which decompose by rule, are left
out. `COMBINING` holds classes "class:ranges".
"""
'''


def main():
    bert = normalizers.BertNormalizer
    options = dict(handle_chinese_chars=False, strip_accents=False, lowercase=False)
    clean = changes(bert(clean_text=True, **options))
    options["clean_text"] = False
    cjk = changes(bert(**{**options, "handle_chinese_chars": True}))
    lower = changes(normalizers.Lowercase())
    decomposed = changes(normalizers.NFD())
    accents = changes(normalizers.StripAccents())
    nmt = changes(normalizers.Nmt())
    stripped = changes(bert(**{**options, "strip_accents": True}))
    marks = {c for c, new in stripped.items() if new == ""}
    check_accents(decomposed, stripped, marks)
    classes = {
        "bert_control": {c for c, new in clean.items() if new == ""},
        "bert_space": {c for c, new in clean.items() if new == " "},
        "bert_cjk": set(cjk),
        "mark": marks,  # of BertNormalizer, which strips fewer than StripAccents
        "accent": {c for c, new in accents.items() if new == ""},
        "nmt_removed": {c for c, new in nmt.items() if new == ""},
        "nmt_space": {c for c, new in nmt.items() if new == " "},
        "punctuation": split_off(pre_tokenizers.Punctuation()),
        "space": split_off(pre_tokenizers.WhitespaceSplit()),
        "numeric": split_off(pre_tokenizers.Digits(True)),
        "word": set(CODE_POINTS) - split_off(pre_tokenizers.Whitespace()),
    }
    classes |= grapheme_classes()
    for name in ("L", "N", "M", "Lu", "Lt", "Lm", "Lo", "Ll", "P", "S", "s"):
        classes[f"regex_{name}"] = matched(
            rf"\{name}" if name == "s" else rf"\p{{{name}}}"
        )
    by_rule = {c: new for c, new in decomposed.items() if c not in HANGUL}
    text = HEADER + "CLASSES = {\n"
    for name, members in classes.items():
        text += f'    "{name}": """\n{wrapped(ranges(members))}\n""",\n'
    text += "}\n\nMAPS = {\n"
    for name, table in (("lower", lower), ("decompose", by_rule)):
        pairs = [
            f"{c:x}:{'+'.join(f'{ord(n):x}' for n in new)}" for c, new in table.items()
        ]
        text += f'    "{name}": """\n{wrapped(pairs)}\n""",\n'
    text += '}\n\nCOMBINING = """\n'
    for value, members in combining_classes().items():
        text += wrapped([f"{value}:{','.join(ranges(members))}"]) + "\n"
    TARGET.write_text(text + '"""\n', encoding="ascii")


def changes(normalizer):
    """Code point -> string, for each one that the normaliser changes."""
    found = {c: normalizer.normalize_str(chr(c)) for c in CODE_POINTS}
    return {c: new for c, new in found.items() if new != chr(c)}


def split_off(pre_tokenizer):
    """The code points that do not stay in one word between two letters."""
    whole = pre_tokenizer.pre_tokenize_str
    return {c for c in CODE_POINTS if len(whole(f"a{chr(c)}a")) != 1}


def matched(pattern):
    """The code points that the regular expressions of tokenizer.json match."""
    split = pre_tokenizers.Split(Regex(pattern), "isolated").pre_tokenize_str
    # NUL is in none of the classes asked for, so a match is a second piece.
    return {c for c in CODE_POINTS if len(split(f"\0{chr(c)}")) == 2}


def check_accents(decomposed, stripped, marks):
    """Stripping accents is decomposing and dropping marks, or nothing holds."""
    for c in CODE_POINTS:
        new = decomposed.get(c, chr(c))
        expected = "".join(n for n in new if ord(n) not in marks)
        assert stripped.get(c, chr(c)) == expected, hex(c)


def grapheme_classes():
    """How characters join in graphemes of less than six bytes.

    A rule for the first character of such a grapheme rewrites all of it.
    """

    def taken_whole(first, text):
        charsmap = compiled({first: "?"})
        return normalizers.Precompiled(charsmap).normalize_str(text) == "?"

    behind_a = normalizers.Precompiled(compiled({"a": "?"})).normalize_str
    rare = [c for c in CODE_POINTS if is_rare(c)]
    short = [c for c in rare if c < 0x10000]
    return {
        "grapheme_extend": {c for c in CODE_POINTS if behind_a(f"a{chr(c)}") == "?"},
        "grapheme_control": {
            c for c in short if not taken_whole(chr(c), f"{chr(c)}\u0301")
        },
        "grapheme_prepend": {c for c in rare if taken_whole(chr(c), f"{chr(c)}b")},
    }


def is_rare(c):
    """Whether a character may be a control, or be prepended; Han and Hangul are not."""
    kind = unicodedata.category(chr(c))
    wanted = (range(0x3400), range(0xFB00, 0x20000), range(0xE0000, 0xE1000))
    return kind in RARE and any(c in points for points in wanted)


def combining_classes():
    """Canonical combining class -> code points, as far as NFD reorders them."""
    nfd = normalizers.NFD().normalize_str
    lowest, found = "\u0334", {}
    for c in CODE_POINTS:
        if nfd(chr(c)) != chr(c):
            continue  # never seen by the ordering, which comes after decomposition
        value = unicodedata.combining(chr(c))
        reordered = nfd(f"a{chr(c)}{lowest}") != f"a{chr(c)}{lowest}"
        if reordered or value == 1:
            assert value, f"U+{c:04X} has a class that Python does not know"
            found.setdefault(value, set()).add(c)
    return dict(sorted(found.items()))


def ranges(members):
    """Sorted hexadecimal ranges of a set of code points."""
    found = []
    for c in sorted(members):
        if found and found[-1][1] == c - 1:
            found[-1][1] = c
        else:
            found.append([c, c])
    return [f"{a:x}" if a == b else f"{a:x}-{b:x}" for a, b in found]


def wrapped(words):
    return textwrap.fill(
        " ".join(words), 88, break_long_words=False, break_on_hyphens=False
    )


if __name__ == "__main__":
    main()
