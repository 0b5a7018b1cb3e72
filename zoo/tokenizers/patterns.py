"""Split patterns of tokenizer.json, put into RE2's language.

The patterns are Oniguruma's. Where RE2 has the same construct it is kept, with classes
spelled out; the one look-ahead that GPT-2 and its heirs use, "white space not followed
by something else", becomes a cut made beforehand.
"""

import re

from zoo.errors import TokenizerError
from zoo.tokenizers import fields, unicode
from zoo.tokenizers.words import Cut

_ENDINGS = "'s|'t|'re|'ve|'m|'ll|'d"
_BLANKS = r"\s+(?!\S)|\s+"
_PUNCTUATION = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
_UPPER = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"

GPT2 = rf"{_ENDINGS}| ?\p{{L}}+| ?\p{{N}}+| ?[^\s\p{{L}}\p{{N}}]+|{_BLANKS}"
_CL100K = rf"(?i:{_ENDINGS})|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|"
LLAMA3 = rf"{_CL100K}\p{{N}}{{1,3}}|{_PUNCTUATION}|{_BLANKS}"
QWEN2 = rf"{_CL100K}\p{{N}}|{_PUNCTUATION}|{_BLANKS}"
O200K = (
    rf"{_UPPER}*{_LOWER}+(?i:{_ENDINGS})?|{_UPPER}+{_LOWER}*(?i:{_ENDINGS})?|"
    rf"\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+|{_BLANKS}"
)

# Every character is in some match of these, so that cutting behind matches is enough.
# True where a line break at the end of a run of white space stays with the run.
TOTAL = {GPT2: False, LLAMA3: True, QWEN2: True, O200K: True}

# Patterns without look-ahead, of which only the matches are split off.
_PLAIN = re.compile(
    r"(?:\\p\{(?:L|N|M|Lu|Lt|Lm|Lo|Ll|P|S)\}|\\s|\\r|\\n|[^\\\[\]()?*+{}|^$.])"
    r"(?:\{1,3\}|\{2,\}|\+)?"
)


def cuts(regex, where):
    """The passes that cut text as "Split", isolated, does with a pattern.

    Args:
        regex: The pattern of the file.
        where: How errors call it.

    Returns:
        list of `Cut`.

    Raises:
        TokenizerError: if the pattern is not one that is known to be exact.
    """
    if regex in TOTAL:
        return total(regex)
    if is_plain(regex):
        return [Cut(translated(regex), "around")]
    raise TokenizerError(
        f"{where}: the pattern {regex[:200]!r} cannot be honoured exactly and is "
        "refused. Known are those of GPT-2, Llama 3, Qwen 2 and GPT-4o, and single "
        "classes such as \\p{N}{1,3}."
    )


def is_plain(regex):
    """Whether a pattern is one character or class, once or repeated."""
    return _PLAIN.fullmatch(regex) is not None


def total(regex):
    """The passes for one of the patterns that match every character."""
    last = unicode.as_ranges(
        unicode.members("regex_s") - ({10, 13} if TOTAL[regex] else set())
    )
    # "a   b": white space before a word keeps its last character for the word.
    run, space = unicode.one_of("regex_s"), unicode.one_of(last)
    apart = Cut(f"({run})({space}{unicode.none_of('regex_s')})", "between")
    return [apart, Cut(translated(regex.replace(_BLANKS, r"\s+")), "after")]


def translated(regex):
    r"""A pattern with `\p{..}` and `\s` spelled out, in groups that do not capture."""
    out, in_class = [], False
    for token in re.findall(r"\\p\{\w+\}|\\.|.", regex, re.DOTALL):
        if token == "\\s" or token.startswith("\\p"):
            name = "s" if token == "\\s" else token[3:-1]
            spelled = unicode.inside(f"regex_{name}")
            token = spelled if in_class else f"[{spelled}]"
        elif token in "[]":
            in_class = token == "["
        out.append(token)
    return f"(?:{''.join(out)})"


def literal_pattern(pattern, where):
    """The text of a {"String": ...} pattern, or of a regex of plain characters."""
    known = {"String": (str, None), "Regex": (str, None)}
    options = fields.options(pattern, where, known)
    if options["String"]:
        return options["String"]
    regex = options["Regex"] or ""
    if regex and re.fullmatch(r"[^\\^$.|?*+()\[\]{}]+", regex):
        return regex
    raise fields.not_supported(
        where, f"the pattern {fields.shown(pattern)}", ["String"]
    )
