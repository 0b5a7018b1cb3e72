"""The "normalizer" section of tokenizer.json, as graph ops on whole texts."""

import functools

import numpy as np
import tensorflow as tf

from zoo.errors import TokenizerError
from zoo.tokenizers import (
    character_map,
    fields,
    patterns,
    precompiled,
    rewrites,
    splitting,
    unicode,
)
from zoo.tokenizers.patterns import literal_pattern
from zoo.tokenizers.precompiled import Precompiled
from zoo.tokenizers.rewrites import Rewrites
from zoo.tokenizers.words import BertWords

WHERE = "tokenizer.json: normalizer"
BERT_OPTIONS = {
    "clean_text": (bool, True),
    "handle_chinese_chars": (bool, True),
    "strip_accents": ((bool, type(None)), None),
    "lowercase": (bool, True),
}


class Characters:
    """Rewrites texts character by character.

    Args:
        steps: `Rewrites`, and steps of `character_map`.
    """

    def __init__(self, steps):
        self.steps = tuple(
            character_map.CharacterMap(s) if isinstance(s, Rewrites) else s
            for s in steps
        )
        tables = [
            s if isinstance(s, Rewrites) else getattr(s, "table", None) for s in steps
        ]
        tables = [table for table in tables if table is not None]
        small = rewrites.compose(*tables, points=range(128))
        self._ascii = _ascii_rewrites(dict(small.items()))
        if any(isinstance(s, Precompiled) for s in steps):
            # One grapheme, so one rule for both.
            self._ascii.insert(0, (r"\r\n", b"\r"))

    def __call__(self, texts):
        """Strings `[N]` to strings `[N]`."""
        return (
            character_map.rewrite(texts, self.steps, self._plain)
            if self.steps
            else texts
        )

    def aligned(self, text):
        """As `__call__`, for an `AlignedText`."""
        for step in self.steps:
            text = text.mapped(step)
        return text

    def _plain(self, texts):
        for pattern, new in self._ascii:
            if new is None:
                texts = tf.strings.lower(texts)
            else:
                texts = splitting.replace(texts, pattern, new)
        return texts


class Replaced:
    """Replaces every match of a pattern; `global_=False` only the first."""

    def __init__(self, pattern, text, *, global_=True):
        self.pattern, self.global_ = pattern, global_
        self.text = text.replace("\\", r"\\").encode()

    def __call__(self, texts):
        """Strings `[N]` to strings `[N]`."""
        return tf.strings.regex_replace(texts, self.pattern, self.text, self.global_)

    def aligned(self, text):
        """As `__call__`, for an `AlignedText`."""
        return text.replaced(self.pattern, self.text.replace(b"\\\\", b"\\"))


class Prepended:
    """Puts a text before each text that is not empty."""

    def __init__(self, text):
        self.text = text

    def __call__(self, texts):
        """Strings `[N]` to strings `[N]`."""
        longer = tf.strings.join([self.text, texts])
        return tf.where(tf.strings.length(texts) > 0, longer, texts)

    def aligned(self, text):
        """As `__call__`, for an `AlignedText`."""
        return text.prefixed(self.text, tf.strings.length(text.texts) > 0)


class UnicodeForm:
    """NFC or another form, by the ICU that TF Text has."""

    def __init__(self, form):
        self.form = form

    def __call__(self, texts):
        """Strings `[N]` to strings `[N]`."""
        import tensorflow_text as tf_text

        return tf_text.normalize_utf8(texts, self.form)

    def aligned(self, text):
        """Refused: ICU does not say which characters it has put together."""
        raise TokenizerError(
            f"return_offsets: the normaliser {self.form} keeps no offsets in the graph."
        )


class Chain:
    """Normalisers one after the other."""

    def __init__(self, steps):
        self.steps = tuple(steps)

    def __call__(self, texts):
        """Strings `[N]` to strings `[N]`."""
        for step in self.steps:
            texts = step(texts)
        return texts

    def aligned(self, text):
        """As `__call__`, for an `AlignedText`."""
        for step in self.steps:
            text = step.aligned(text)
        return text


def read(section):
    """Reads the section, a JSON object or None, to a `Chain` or None.

    Raises:
        TokenizerError: naming what cannot be honoured.
    """
    steps = _steps(section) if section is not None else []
    return Chain(steps) if steps else None


def _steps(section):
    kind = fields.kind(section, WHERE)
    if kind not in _KINDS:
        raise fields.not_supported(WHERE, kind, _KINDS)
    known, make = _KINDS[kind]
    if kind == "BertNormalizer":
        return _bert(section)
    return make(fields.options(section, WHERE, known))


def _sequence(options):
    return [step for section in options["normalizers"] for step in _steps(section)]


def _bert(section):
    return [_bert_characters(**fields.options(section, WHERE, BERT_OPTIONS))]


@functools.cache
def _bert_characters(**options):
    steps, chinese = _bert_tables(**options)
    spaces = np.full_like(chinese, 0x20)
    around = np.stack([spaces, chinese, spaces], axis=1).ravel()
    spaced = Rewrites(chinese, np.full_like(chinese, 3), around)
    return Characters([rewrites.compose(spaced, steps[0]), *steps[1:]])


def _nmt(options):
    removed = Rewrites.to(unicode.points("nmt_removed"))
    spaces = Rewrites.to(unicode.points("nmt_space"), [0x20])
    return [Characters([rewrites.join(removed, spaces)])]


def _strip(options):
    space = unicode.one_of("space")
    steps = []
    if options["strip_left"]:
        steps.append(Replaced(rf"\A{space}+", "", global_=False))
    if options["strip_right"]:
        steps.append(Replaced(rf"{space}+\z", "", global_=False))
    return steps


def _decompose(options):
    return [Characters([unicode.mapping("decompose"), character_map.CanonicalOrder()])]


def _replace(options):
    regex = options["pattern"].get("Regex")
    if isinstance(regex, str) and patterns.is_plain(regex):
        return [Replaced(patterns.translated(regex), options["content"])]
    text = literal_pattern(options["pattern"], WHERE)
    return [Replaced(unicode.literal(text), options["content"])]


_KINDS = {
    "Sequence": ({"normalizers": (list, fields.REQUIRED)}, _sequence),
    "BertNormalizer": (BERT_OPTIONS, None),
    "Lowercase": ({}, lambda options: [Characters([unicode.mapping("lower")])]),
    "StripAccents": (
        {},
        lambda options: [Characters([Rewrites.to(unicode.points("accent"))])],
    ),
    "Strip": ({"strip_left": (bool, True), "strip_right": (bool, True)}, _strip),
    "Nmt": ({}, _nmt),
    "NFD": ({}, _decompose),
    "NFC": ({}, lambda options: [UnicodeForm("NFC")]),
    "NFKC": ({}, lambda options: [UnicodeForm("NFKC")]),
    "NFKD": ({}, lambda options: [UnicodeForm("NFKD")]),
    "Precompiled": (
        {"precompiled_charsmap": (str, fields.REQUIRED)},
        lambda options: [
            Characters([Precompiled(precompiled.read(options["precompiled_charsmap"]))])
        ],
    ),
    "Prepend": (
        {"prepend": (str, fields.REQUIRED)},
        lambda options: [Prepended(options["prepend"])],
    ),
    "Replace": (
        {"pattern": (dict, fields.REQUIRED), "content": (str, fields.REQUIRED)},
        _replace,
    ),
}


def _ascii_rewrites(table):
    """`(pattern, new text)` for a table of ASCII; lower-casing is `None`."""
    upper = {c: (c + 32,) for c in range(65, 91)}
    small = dict(table)
    rewrites: list[tuple[str, bytes | None]] = []
    if upper.items() <= small.items():
        rewrites.append(("", None))
        small = {c: new for c, new in small.items() if c not in upper}
    for new in dict.fromkeys(small.values()):
        points = unicode.as_ranges(c for c, n in small.items() if n == new)
        text = "".join(map(chr, new)).replace("\\", r"\\")
        rewrites.append((unicode.one_of(points), text.encode()))
    return rewrites


def bert_words(section):
    """What BertNormalizer does, for words that are cut before they are normalised.

    Returns:
        The Characters of a word, which puts no spaces around Chinese ones; and the
        BertWords that cuts.
    """
    return _bert_words(**fields.options(section, WHERE, BERT_OPTIONS))


@functools.cache
def _bert_words(**options):
    steps, chinese = _bert_tables(**options)
    tables = [step for step in steps if isinstance(step, Rewrites)]
    return Characters(steps), BertWords(rewrites.compose(*tables), chinese)


@functools.cache
def _bert_tables(*, clean_text, handle_chinese_chars, strip_accents, lowercase):
    """Steps of `Characters` without spaces around Chinese characters; and these."""
    clean = lower = Rewrites.of({})
    if clean_text:
        removed = Rewrites.to(unicode.points("bert_control"))
        spaces = Rewrites.to(unicode.points("bert_space"), [0x20])
        clean = rewrites.join(removed, spaces)
    if lowercase:
        lower = unicode.mapping("lower")
    if lowercase if strip_accents is None else strip_accents:
        decomposed = rewrites.compose(clean, unicode.mapping("decompose"))
        marks = Rewrites.to(unicode.points("mark"))
        order = character_map.CanonicalOrder()
        steps = [decomposed, order, rewrites.compose(marks, lower)]
    else:
        steps = [rewrites.compose(clean, lower)]
    chinese = unicode.points("bert_cjk")
    return steps, chinese if handle_chinese_chars else chinese[:0]
