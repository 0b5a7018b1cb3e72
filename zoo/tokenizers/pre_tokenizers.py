"""The "pre_tokenizer" section of tokenizer.json, as steps that cut text into words."""

from dataclasses import dataclass, field

from zoo.errors import TokenizerError
from zoo.tokenizers import fields, patterns, unicode
from zoo.tokenizers.patterns import literal_pattern
from zoo.tokenizers.words import Change, Cut, Prefix

WHERE = "tokenizer.json: pre_tokenizer"


@dataclass
class PreTokenizer:
    """What the section says.

    Attributes:
        steps: For `Words`.
        byte_level: Whether words become bytes in GPT-2's alphabet at the end.
        bert: Whether it is BertPreTokenizer and nothing else.
    """

    steps: list = field(default_factory=list)
    byte_level: bool = False
    bert: bool = False


def read(section):
    """Reads the section, a JSON object or None.

    Raises:
        TokenizerError: naming what cannot be honoured.
    """
    found = PreTokenizer()
    if section is not None:
        found.bert = section.get("type") == "BertPreTokenizer"
        _read(section, found)
    return found


def _read(section, found):
    kind = fields.kind(section, WHERE)
    if kind not in _KINDS:
        raise fields.not_supported(WHERE, kind, _KINDS)
    if found.byte_level:
        raise fields.not_supported(
            WHERE, f"{kind} behind ByteLevel", ["ByteLevel last"]
        )
    known, add = _KINDS[kind]
    add(found, fields.options(section, WHERE, known))


def _sequence(found, options):
    for section in options["pretokenizers"]:
        _read(section, found)


def _byte_level(found, options):
    if options["add_prefix_space"]:
        if found.steps:
            raise fields.not_supported(
                WHERE,
                "add_prefix_space behind another step",
                ["add_prefix_space=false"],
            )
        found.steps.append(Prefix(" "))
    if options["use_regex"]:
        found.steps += patterns.total(patterns.GPT2)
    found.byte_level = True


def _split(found, options):
    where = f"{WHERE}: Split"
    regex = options["pattern"].get("Regex")
    behavior = options["behavior"]
    if regex is not None and behavior == "Isolated" and not options["invert"]:
        cuts = patterns.cuts(fields.text(regex, where), where)
        if len(cuts) > 1 and any(isinstance(s, Prefix) for s in found.steps):
            raise fields.not_supported(
                where, "a Split behind a prefix", ["Split first"]
            )
        found.steps += cuts
        return
    # The pattern of GPT-2's heirs, inverted: what matches is kept, and all matches.
    if regex in patterns.TOTAL and behavior == "Removed" and options["invert"]:
        found.steps += patterns.total(regex)
        return
    if options["invert"]:
        raise fields.not_supported(where, "invert", ["invert=false"])
    found.steps += _behaviour(
        unicode.literal(literal_pattern(options["pattern"], where)), behavior, where
    )


def _behaviour(pattern, behavior, where):
    places = {
        "Isolated": "around",
        "Removed": "instead",
        "MergedWithPrevious": "after",
        "MergedWithNext": "before",
    }
    if behavior == "Contiguous":
        return [Cut(f"(?:{pattern})+", "around")]
    if behavior not in places:
        raise fields.not_supported(where, f"behavior {behavior!r}", places)
    return [Cut(pattern, places[behavior])]


def _digits(found, options):
    digit = unicode.one_of("numeric")
    one = digit if options["individual_digits"] else digit + "+"
    found.steps.append(Cut(one, "around"))


def _punctuation(found, options):
    mark = unicode.one_of("punctuation")
    found.steps += _behaviour(mark, options["behavior"], f"{WHERE}: Punctuation")


def _whitespace(found, options):
    space = unicode.as_ranges(unicode.members("space") - unicode.members("word"))
    found.steps.append(Cut(unicode.one_of(space) + "+", "instead"))
    found.steps.append(Cut(unicode.one_of("word") + "+", "around"))


def _whitespace_split(found, options):
    found.steps.append(Cut(unicode.one_of("space") + "+", "instead"))


def _bert(found, options):
    _whitespace_split(found, options)
    found.steps.append(Cut(unicode.one_of("punctuation"), "around"))


def _metaspace(found, options):
    mark, scheme = options["replacement"], options["prepend_scheme"]
    if len(mark) != 1:
        raise TokenizerError(f"{WHERE}: replacement {mark!r}, expected one character.")
    if scheme is None:
        scheme = "never" if options["add_prefix_space"] is False else "always"
    if scheme not in ("always", "first", "never"):
        raise fields.not_supported(
            WHERE, f"prepend_scheme {scheme!r}", ["always", "first", "never"]
        )
    if scheme == "first" and found.steps:
        raise fields.not_supported(
            WHERE, "prepend_scheme 'first' behind a step", ["always", "never"]
        )
    found.steps.append(Change(" ", mark))
    if scheme != "never":
        found.steps.append(Prefix(mark, only_first=scheme == "first"))
    if options["split"]:
        found.steps.append(Cut(unicode.literal(mark), "before"))


_KINDS = {
    "Sequence": ({"pretokenizers": (list, fields.REQUIRED)}, _sequence),
    "ByteLevel": (
        {
            "add_prefix_space": (bool, True),
            "trim_offsets": (bool, True),
            "use_regex": (bool, True),
        },
        _byte_level,
    ),
    "Split": (
        {
            "pattern": (dict, fields.REQUIRED),
            "behavior": (str, fields.REQUIRED),
            "invert": (bool, False),
        },
        _split,
    ),
    "Digits": ({"individual_digits": (bool, False)}, _digits),
    "Punctuation": ({"behavior": (str, "Isolated")}, _punctuation),
    "Whitespace": ({}, _whitespace),
    "WhitespaceSplit": ({}, _whitespace_split),
    "BertPreTokenizer": ({}, _bert),
    "Metaspace": (
        {
            "replacement": (str, "\u2581"),
            "prepend_scheme": (str, None),
            "add_prefix_space": (bool, None),
            "split": (bool, True),
        },
        _metaspace,
    ),
}
