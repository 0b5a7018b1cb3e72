"""SentencePiece's compiled normaliser ("Precompiled"), as `tokenizers` applies it.

The rules are a trie from text to text. `tokenizers` does not apply the longest rule, as
SentencePiece does: it asks for each grapheme of less than six bytes as a whole, takes
the shortest rule that the grapheme begins with, and puts its text for all of it.
"""

import base64
import binascii
import struct

import numpy as np
import tensorflow as tf

from zoo.errors import TokenizerError
from zoo.tokenizers import rows, unicode
from zoo.tokenizers.character_map import CharacterMap, lookup, paged
from zoo.tokenizers.rewrites import Rewrites
from zoo.tokenizers.tables import captured

WHERE = "tokenizer.json: Precompiled"
_LARGEST = 16 << 20
# No rule for more bytes is ever asked for.
_LONGEST = 5
_MOST_RULES = 1 << 20
# How a character takes part in a grapheme.
_CONTROL, _EXTEND, _PREPEND, _CR, _LF = 1, 2, 3, 4, 5


class Precompiled(CharacterMap):
    """A `CharacterMap` that also has rules for two characters.

    Args:
        rules: Text -> text, as `read` gives them.
    """

    def __init__(self, rules):
        single, pairs = _shortest(rules)
        self.table = Rewrites.of(single)
        super().__init__(self.table, further=[*pairs.values(), ()])
        slots = {pair: slot for slot, pair in enumerate(pairs, len(self.table) + 1)}
        self._gone = len(self.table) + len(pairs) + 1
        keys = sorted((a << 21 | b, slots[a, b]) for a, b in pairs) or [(-1, 0)]
        pair_keys, pair_slots = zip(*keys, strict=True)
        self._pair_keys = captured(pair_keys, tf.int64)
        self._pair_slots = captured(pair_slots, tf.int32)
        kinds = {c: _CONTROL for c in unicode.members("grapheme_control")}
        kinds.update((c, _EXTEND) for c in unicode.members("grapheme_extend"))
        kinds.update((c, _PREPEND) for c in unicode.members("grapheme_prepend"))
        self._kinds = paged({**kinds, 13: _CR, 10: _LF})

    def slots(self, characters):
        """The entry for each character, which depends on its grapheme."""
        values = characters.values
        single = super().slots(characters)
        kinds = lookup(self._kinds[0], self._kinds[1], values)
        first = rows.firsts(characters.row_splits)
        before = tf.concat([[0], kinds[:-1]], 0)[: tf.size(kinds)]
        apart = (before == _CONTROL) | (before == _CR) | (before == _LF)
        joins = ((kinds == _EXTEND) & ~apart) | ((kinds == _LF) & (before == _CR))
        joins |= (before == _PREPEND) & ((kinds == 0) | (kinds == _PREPEND))
        joins &= ~first
        return tf.cond(
            tf.reduce_any(joins),
            lambda: self._in_graphemes(values, single, joins),
            lambda: single,
        )

    def _in_graphemes(self, values, single, joins):
        grapheme = tf.cumsum(tf.cast(~joins, tf.int32)) - 1
        count = grapheme[-1] + 1
        size = tf.where(values < 0x80, 1, tf.where(values < 0x800, 2, 3))
        size += tf.cast(values >= 0x10000, tf.int32)
        small = tf.math.unsorted_segment_sum(size, grapheme, count) < 6
        # The second character of each grapheme decides with the first.
        after = tf.concat([values[1:], [0]], 0)
        joined = tf.concat([joins[1:], [False]], 0)
        slot = tf.where((single == 0) & joined, self._pair(values, after), single)
        starts = rows.taken(slot, ~joins)
        whole = tf.gather(small & (starts > 0), grapheme)
        return tf.where(whole, tf.where(joins, self._gone, slot), single)

    def _pair(self, one, two):
        key = tf.cast(one, tf.int64) * (1 << 21) + tf.cast(two, tf.int64)
        place = tf.searchsorted(self._pair_keys, key)
        place = tf.minimum(place, len(self._pair_keys) - 1)
        same = tf.gather(self._pair_keys, place) == key
        return tf.where(same, tf.gather(self._pair_slots, place), 0)


def read(charsmap):
    """The rules of a base64 charsmap: text -> text.

    Raises:
        TokenizerError: if it is damaged.
    """
    try:
        data = base64.b64decode(charsmap, validate=True)
    except (binascii.Error, ValueError) as error:
        raise TokenizerError(f"{WHERE}: the charsmap is not base64.") from error
    return rules(data)


def rules(data):
    """The rules of a charsmap: size of a double array, the array, texts behind it."""
    if len(data) < 8 or len(data) > _LARGEST:
        raise TokenizerError(f"{WHERE}: a charsmap of {len(data):,} bytes.")
    size = struct.unpack_from("<I", data)[0]
    if size % 4 or not 4 <= size <= len(data) - 4:
        raise TokenizerError(
            f"{WHERE}: the trie claims {size:,} bytes of {len(data):,}."
        )
    units = np.frombuffer(data, "<u4", size // 4, offset=4).astype(np.int64)
    texts = data[4 + size :]
    return {key: _text(texts, place) for key, place in _entries(units)}


def _text(texts, place):
    end = texts.find(b"\0", place)
    try:
        if not 0 <= place < len(texts) or end < 0:
            raise ValueError("it lies outside")
        return texts[place:end].decode()
    except ValueError as error:
        raise TokenizerError(
            f"{WHERE}: the text at {place} is damaged ({error})."
        ) from error


def _entries(units):
    """Short keys and their values of a darts-clone double array, breadth first."""
    labels = np.arange(1, 256)
    places, keys = np.array([0]) ^ _offset(units[:1]), [b""]
    for _ in range(_LONGEST):
        children = places[:, None] ^ labels[None, :]
        inside = children < len(units)
        units_of = np.where(inside, units[np.where(inside, children, 0)], 0)
        parent, label = np.nonzero(inside & (units_of & 0x800000FF == labels))
        children = children[parent, label]
        keys = [keys[p] + bytes([c + 1]) for p, c in zip(parent, label, strict=True)]
        if len(keys) > _MOST_RULES:
            raise TokenizerError(f"{WHERE}: the trie runs in a circle.")
        unit = units[children]
        places = children ^ _offset(unit)
        for n in np.flatnonzero(unit >> 8 & 1):
            yield _key(keys[n]), _value(units, places[n])


def _key(key):
    try:
        return key.decode()
    except UnicodeDecodeError:
        raise TokenizerError(f"{WHERE}: the rule for {key!r} is not UTF-8.") from None


def _value(units, place):
    if place >= len(units):
        raise TokenizerError(f"{WHERE}: the trie points outside of itself.")
    return int(units[place] & 0x7FFFFFFF)


def _offset(unit):
    return (unit >> 10) << ((unit & 0x200) >> 6)


def _shortest(all_rules):
    """The rules that a grapheme of less than six bytes can meet.

    Returns:
        dict for single characters and dict for pairs, to tuples of code points.
    """
    single = {ord(k): _points(v) for k, v in all_rules.items() if len(k) == 1}
    pairs = {
        (ord(k[0]), ord(k[1])): _points(v)
        for k, v in all_rules.items()
        if len(k) == 2 and ord(k[0]) not in single and len(k.encode()) < 6
    }
    for key in all_rules:
        longer = len(key) > 2 and len(key.encode()) < 6
        if (
            longer
            and ord(key[0]) not in single
            and tuple(map(ord, key[:2])) not in pairs
        ):
            raise TokenizerError(f"{WHERE}: the rule for {key!r} cannot be honoured.")
    # A rule to the same text changes nothing by itself, but a grapheme loses its rest.
    return single, pairs


def _points(text):
    return tuple(map(ord, text))


def compiled(all_rules):
    """A charsmap with the rules, bytes: what `rules` reads.

    Simple and slow; for small sets, such as those of tests and tools.

    Args:
        all_rules: Text -> text.
    """
    texts, trie = b"", {}
    for key, new in all_rules.items():
        node = trie
        for byte in key.encode():
            node = node.setdefault(byte, {})
        node[None] = len(texts)
        texts += new.encode() + b"\0"
    units = {0: 0}
    _place(trie, 0, units, bases=set())
    array = [units.get(place, 0) for place in range(max(units) + 256)]
    data = struct.pack(f"<{len(array)}I", *array)
    return struct.pack("<I", len(data)) + data + texts


def _place(node, place, units, bases):
    """Finds room for the children of a node, and for theirs.

    No two nodes share a base, or the children of one would be those of the other.
    """
    labels = [0 if label is None else label for label in node]
    taken = units.keys()
    base = next(
        b
        for b in range(1, 1 << 21)
        if b not in bases and not {b ^ c for c in labels} & taken
    )
    bases.add(base)
    units[place] |= (place ^ base) << 10 | (None in node) << 8
    for label, child in node.items():
        units[base ^ (label or 0)] = child | 1 << 31 if label is None else label
    for label, child in node.items():
        if label is not None:
            _place(child, base ^ label, units, bases)
