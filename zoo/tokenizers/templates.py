"""The "post_processor" section of tokenizer.json, as templates of special tokens."""

from dataclasses import dataclass, field

from zoo.errors import TokenizerError
from zoo.tokenizers import fields
from zoo.tokenizers.post_processing import Part, Template

WHERE = "tokenizer.json: post_processor"
A, B = Part("A", (), 0), Part("B", (), 0)


@dataclass(frozen=True)
class PostProcessor:
    """What happens to pieces after the model.

    Attributes:
        template: Special tokens around one text and two.
        trim_offsets: Whether offsets leave out the white space around a piece.
        add_prefix_space: Whether the text was given a space, of which the offsets of
            the first piece know.
    """

    template: Template = field(default_factory=Template)
    trim_offsets: bool = False
    add_prefix_space: bool = True


def read(section, size):
    """Reads the section.

    Args:
        section: The JSON object, or None.
        size: Size of the vocabulary, which bounds the ids.

    Raises:
        TokenizerError: for another type, a contradiction, or an id out of range.
    """
    if section is None:
        return PostProcessor()
    kind = fields.kind(section, WHERE)
    if kind not in _READERS:
        raise fields.not_supported(WHERE, kind, _READERS)
    found = _READERS[kind](section, size)
    for part in found.template.single + found.template.pair:
        for i in part.ids:
            _check_id(i, size)
    return found


def _check_id(i, size):
    if not isinstance(i, int) or isinstance(i, bool) or not 0 <= i < size:
        raise TokenizerError(
            f"{WHERE}: the id {fields.shown(i)} is not one of the {size:,} in the "
            "vocabulary."
        )


def _template(section, size):
    known = {
        "single": (list, fields.REQUIRED),
        "pair": (list, fields.REQUIRED),
        "special_tokens": (dict, fields.REQUIRED),
    }
    options = fields.options(section, WHERE, known)
    ids = {
        name: tuple(_special_ids(token, name))
        for name, token in options["special_tokens"].items()
    }
    single = tuple(_part(p, ids) for p in options["single"])
    pair = tuple(_part(p, ids) for p in options["pair"])
    if [p.source for p in single if p.source] != ["A"]:
        raise TokenizerError(f"{WHERE}: 'single' must hold the sequence A once.")
    if sorted(p.source for p in pair if p.source) != ["A", "B"]:
        raise TokenizerError(f"{WHERE}: 'pair' must hold the sequences A and B once.")
    return PostProcessor(Template(single, pair, second_type=None))


def _special_ids(token, name):
    known = {
        "id": (str, name),
        "ids": (list, fields.REQUIRED),
        "tokens": (list, []),
    }
    return fields.options(token, f"{WHERE}: special token {name!r}", known)["ids"]


def _part(item, ids):
    where = f"{WHERE}: template"
    known = {"Sequence": (dict, None), "SpecialToken": (dict, None)}
    options = fields.options(item, where, known)
    value = options["Sequence"] or options["SpecialToken"]
    read = fields.options(
        value, where, {"id": (str, fields.REQUIRED), "type_id": (int, 0)}
    )
    if options["Sequence"]:
        if read["id"] not in ("A", "B"):
            raise TokenizerError(f"{where}: sequence {read['id']!r}, expected A or B.")
        return Part(read["id"], (), read["type_id"])
    if read["id"] not in ids:
        raise TokenizerError(
            f"{where}: the special token {read['id']!r} is not declared."
        )
    return Part("", ids[read["id"]], read["type_id"])


def _bert(section, size):
    known = {"sep": (list, fields.REQUIRED), "cls": (list, fields.REQUIRED)}
    options = fields.options(section, WHERE, known)
    cls, sep = (_token_id(options[name], name) for name in ("cls", "sep"))
    single = (Part("", (cls,), 0), A, Part("", (sep,), 0))
    second = (Part("B", (), 1), Part("", (sep,), 1))
    return PostProcessor(Template(single, single + second))


def _roberta(section, size):
    known = {
        "sep": (list, fields.REQUIRED),
        "cls": (list, fields.REQUIRED),
        "trim_offsets": (bool, True),
        "add_prefix_space": (bool, True),
    }
    options = fields.options(section, WHERE, known)
    cls, sep = (_token_id(options[name], name) for name in ("cls", "sep"))
    end = Part("", (sep,), 0)
    single = (Part("", (cls,), 0), A, end)
    template = Template(single, (*single, end, B, end))
    return PostProcessor(template, options["trim_offsets"], options["add_prefix_space"])


def _token_id(pair, name):
    if len(pair) != 2 or not isinstance(pair[0], str):
        raise TokenizerError(f"{WHERE}: {name!r} must be a token and its id.")
    return pair[1]


def _byte_level(section, size):
    known = {
        "add_prefix_space": (bool, True),
        "trim_offsets": (bool, True),
        "use_regex": (bool, True),
    }
    options = fields.options(section, WHERE, known)
    return PostProcessor(
        trim_offsets=options["trim_offsets"],
        add_prefix_space=options["add_prefix_space"],
    )


def _sequence(section, size):
    known = {"processors": (list, fields.REQUIRED)}
    found = PostProcessor()
    templates = 0
    for item in fields.options(section, WHERE, known)["processors"]:
        kind = fields.kind(item, WHERE)
        if kind == "Sequence" or kind not in _READERS:
            raise fields.not_supported(f"{WHERE}: Sequence", kind, _READERS)
        one = _READERS[kind](item, size)
        if kind == "ByteLevel":
            found = PostProcessor(
                found.template, one.trim_offsets, one.add_prefix_space
            )
        else:
            templates += 1
            trims = found if found.trim_offsets else one
            found = PostProcessor(
                one.template, trims.trim_offsets, trims.add_prefix_space
            )
    if templates > 1:
        raise TokenizerError(f"{WHERE}: a Sequence with {templates} templates.")
    return found


_READERS = {
    "TemplateProcessing": _template,
    "BertProcessing": _bert,
    "RobertaProcessing": _roberta,
    "ByteLevel": _byte_level,
    "Sequence": _sequence,
}
