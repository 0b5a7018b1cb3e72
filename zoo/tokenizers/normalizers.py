"""The "normalizer" section of tokenizer.json, as graph ops on whole texts."""

import tensorflow as tf

from zoo.tokenizers import character_map, fields, splitting, unicode

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
        steps: Tables code point -> code points, and `CanonicalOrder`s between them.
    """

    def __init__(self, steps):
        self.steps = tuple(
            character_map.CharacterMap(s) if isinstance(s, dict) else s for s in steps
        )
        first = steps[0] if steps and isinstance(steps[0], dict) else {}
        rest = [s for s in steps[1:] if isinstance(s, dict)]
        whole = character_map.compose(first, *rest)
        self._ascii = _ascii_rewrites(whole)

    def __call__(self, texts):
        """Strings `[N]` to strings `[N]`."""
        for pattern, new in self._ascii:
            if new is None:
                texts = tf.strings.lower(texts)
            else:
                texts = splitting.replace(texts, pattern, new)
        return character_map.rewrite(texts, self.steps)


def _ascii_rewrites(table):
    """`(pattern, new text)` for the ASCII part of a table; lower-casing is `None`."""
    upper = {c: (c + 32,) for c in range(65, 91)}
    small = {c: new for c, new in table.items() if c < 128}
    rewrites: list[tuple[str, bytes | None]] = []
    if upper.items() <= small.items():
        rewrites.append(("", None))
        small = {c: new for c, new in small.items() if c not in upper}
    for new in dict.fromkeys(small.values()):
        points = unicode.as_ranges(c for c, n in small.items() if n == new)
        text = "".join(map(chr, new)).replace("\\", r"\\")
        rewrites.append((unicode.one_of(points), text.encode()))
    return rewrites


def bert_tables(section):
    """What BertNormalizer does, as steps of `Characters`.

    Returns:
        The steps without the spaces around Chinese characters, and the code points of
        the latter.
    """
    options = fields.options(section, WHERE, BERT_OPTIONS)
    clean: dict[int, tuple] = {}
    lower: dict[int, tuple] = {}
    if options["clean_text"]:
        clean = {c: () for c in unicode.members("bert_control")}
        clean.update((c, (0x20,)) for c in unicode.members("bert_space"))
    if options["lowercase"]:
        lower = unicode.mapping("lower")
    strip = options["strip_accents"]
    if strip if strip is not None else options["lowercase"]:
        decomposed = character_map.compose(clean, unicode.mapping("decompose"))
        marks = {c: () for c in unicode.members("mark")}
        order = character_map.CanonicalOrder()
        steps = [decomposed, order, character_map.compose(marks, lower)]
    else:
        steps = [character_map.compose(clean, lower)]
    chinese = unicode.members("bert_cjk") if options["handle_chinese_chars"] else ()
    return steps, frozenset(chinese)
