"""From ids back to text: the "decoder" section of tokenizer.json as graph ops.

What a decoder does to one token is done when it is read, for every token of the
vocabulary: once for a token that stands first, once for any other place.
"""

import re
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from zoo.tokenizers import fields, rows, splitting, unicode
from zoo.tokenizers.byte_alphabet import BYTE_OF
from zoo.tokenizers.patterns import literal_pattern

WHERE = "tokenizer.json: decoder"
_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2}|\+[0-9A-Fa-f])>")
_CLEANUP = (
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" do not", " don't"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
)


class Spelling(NamedTuple):
    """What each token adds to a text, special tokens left out.

    A text is the bytes of its tokens, one behind another. (Runs of byte tokens that are
    not UTF-8 are shown as U+FFFD besides.)

    Attributes:
        first, rest: Bytes of each id where it is the first token, and elsewhere.
        shown: Whether it is a token that is not special, bool `[vocab_size]`.
        stripped: What a text loses at its beginning, bytes, and how often at most.
    """

    first: np.ndarray
    rest: np.ndarray
    shown: np.ndarray
    stripped: tuple[bytes, int]


class Decoder:
    """Ids to text.

    Args:
        section: The JSON object, or None: tokens are joined by spaces.
        pieces: Token of each id, or None for an id that nobody has.
        special: Ids that are left out on request.

    Raises:
        TokenizerError: for a step that is not known, or not in this order.
    """

    def __init__(self, section, pieces, special):
        known = [piece is not None for piece in pieces]
        self._first = [piece or "" for piece in pieces]
        self._rest = list(self._first)
        self._bytes = None
        self._fused = False
        self._repair = False
        self._finish = []
        self._stripped = (b"", 0)
        if section is None:
            self._rest = [" " + piece for piece in self._rest]
        else:
            self._read(section)
        self._tables = np.array(
            [*map(_encoded, self._first), *map(_encoded, self._rest)], object
        )
        self._known = np.array(known)
        self._ordinary = self._known.copy()
        self._ordinary[list(special)] = False
        size = len(known)
        self.spelling = Spelling(
            first=self._tables[:size],
            rest=self._tables[size:],
            shown=self._ordinary,
            stripped=self._stripped,
        )

    def __call__(self, ids, *, skip_special_tokens):
        """Ids, ragged int32 `[N, (tokens)]`, to strings `[N]`."""
        size = len(self._known)
        keep = self._ordinary if skip_special_tokens else self._known
        inside = (ids.values >= 0) & (ids.values < size)
        kept = inside & tf.gather(keep, tf.where(inside, ids.values, 0))
        ids = rows.keep(ids, kept)
        first = rows.firsts(ids.row_splits)
        tokens = tf.gather(self._tables, ids.values + tf.where(first, 0, size))
        if self._bytes is not None:
            is_byte = tf.gather(self._bytes, ids.values)
            tokens = _join_bytes(tokens, is_byte, first)
        row = rows.row_ids(ids.row_splits)
        texts = tf.strings.unsorted_segment_join(tokens, row, ids.nrows())
        for pattern, new in self._finish:
            texts = tf.strings.regex_replace(texts, pattern, new, replace_global=False)
        return splitting.repair(texts) if self._repair else texts

    def _read(self, section):
        kind = fields.kind(section, WHERE)
        if kind not in _STEPS:
            raise fields.not_supported(WHERE, kind, _STEPS)
        known, step = _STEPS[kind]
        step(self, fields.options(section, WHERE, known))

    def _each(self, change):
        self._must_be_tokens()
        self._first = [change(token, True) for token in self._first]
        self._rest = [change(token, False) for token in self._rest]

    def _must_be_tokens(self):
        if self._fused or self._bytes is not None:
            raise fields.not_supported(
                WHERE, "a step behind Fuse, ByteFallback or ByteLevel", ["Strip"]
            )

    def _sequence(self, options):
        for section in options["decoders"]:
            self._read(section)

    def _byte_level(self, options):
        self._each(lambda token, first: _as_bytes(token))
        self._fused = self._repair = True

    def _word_piece(self, options):
        prefix, cleanup = options["prefix"], options["cleanup"]

        def change(token, first):
            if not first:
                joins = token.startswith(prefix)
                token = token[len(prefix) :] if joins else " " + token
            for old, new in _CLEANUP if cleanup else ():
                token = token.replace(old, new)
            return token

        self._each(change)

    def _metaspace(self, options):
        mark, scheme = options["replacement"], options["prepend_scheme"]

        def change(token, first):
            return token.replace(mark, "" if first and scheme != "never" else " ")

        self._each(change)

    def _replace(self, options):
        old = literal_pattern(options["pattern"], WHERE)
        new = options["content"]
        self._each(lambda token, first: token.replace(old, new))

    def _byte_fallback(self, options):
        self._must_be_tokens()
        found = [_BYTE_TOKEN.fullmatch(token) for token in self._first]
        self._bytes = np.array([m is not None for m in found])
        as_bytes = [
            bytes([int(m[1], 16)]) if m else t
            for m, t in zip(found, self._first, strict=True)
        ]
        if self._rest != self._first:
            raise fields.not_supported(
                WHERE, "ByteFallback behind Metaspace", ["Replace"]
            )
        self._first = self._rest = as_bytes

    def _fuse(self, options):
        self._fused = True

    def _strip(self, options):
        mark, start, stop = options["content"], options["start"], options["stop"]
        if self._bytes is not None and not self._fused:
            self._must_be_tokens()
        if self._fused:
            one = unicode.literal(mark)
            self._finish.append((rf"\A(?:{one}){{0,{start}}}", b""))
            self._finish.append((rf"(?:{one}){{0,{stop}}}\z", b""))
            if stop:
                raise fields.not_supported(
                    WHERE, "Strip at the end of a text", ["start"]
                )
            self._finish.pop()
            if start:
                self._stripped = (mark.encode(), self._stripped[1] + start)
        else:
            self._each(lambda token, first: _stripped(token, mark, start, stop))


_MARK = {"content": (str, fields.REQUIRED)}
_STEPS = {
    "Sequence": ({"decoders": (list, fields.REQUIRED)}, Decoder._sequence),
    "ByteLevel": (
        {
            "add_prefix_space": (bool, True),
            "trim_offsets": (bool, True),
            "use_regex": (bool, True),
        },
        Decoder._byte_level,
    ),
    "WordPiece": (
        {"prefix": (str, "##"), "cleanup": (bool, True)},
        Decoder._word_piece,
    ),
    "Metaspace": (
        {
            "replacement": (str, "\u2581"),
            "prepend_scheme": (str, "always"),
            "split": (bool, True),
            "add_prefix_space": (bool, True),
        },
        Decoder._metaspace,
    ),
    "Replace": ({"pattern": (dict, fields.REQUIRED), **_MARK}, Decoder._replace),
    "ByteFallback": ({}, Decoder._byte_fallback),
    "Fuse": ({}, Decoder._fuse),
    "Strip": ({**_MARK, "start": (int, 0), "stop": (int, 0)}, Decoder._strip),
}


def _join_bytes(tokens, is_byte, first):
    """Puts runs of byte tokens together where they are UTF-8; else U+FFFD for each."""
    joins = is_byte[1:] & is_byte[:-1] & ~first[1:]
    starts = tf.concat([[True], ~joins], 0)[: tf.size(is_byte)]
    run = tf.cumsum(tf.cast(starts, tf.int32)) - 1
    places = tf.where(starts)
    texts = tf.strings.unsorted_segment_join(tokens, run, tf.shape(places)[0])
    broken = tf.gather(splitting.repair(texts) != texts, run)
    # A run may be long: its text stands once, where it begins.
    whole = tf.scatter_nd(places, texts, tf.shape(tokens, tf.int64))
    return tf.where(is_byte, tf.where(broken, "\ufffd", whole), tokens)


def _as_bytes(token):
    try:
        return bytes(BYTE_OF[c] for c in token)
    except KeyError:  # an added token that holds other characters
        return token.encode()


def _stripped(token, mark, start, stop):
    for _ in range(start):
        token = token.removeprefix(mark)
    for _ in range(stop):
        token = token.removesuffix(mark)
    return token


def _encoded(token):
    return token if isinstance(token, bytes) else token.encode()
