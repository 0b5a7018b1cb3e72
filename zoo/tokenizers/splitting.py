"""Cutting strings in the graph: RE2 sets a separator, `tf.strings.split` cuts at it.

`tf.strings.regex_replace` without capture groups runs on RE2's DFA, seven times as fast
as TF Text's `regex_split`. The separator is the byte 0xFF, which valid UTF-8 never has:
no class of a pattern matches it, not even a negated one, so that a pattern never
reaches over a cut that was made before.
"""

import tensorflow as tf

from zoo.tokenizers import rows

SEPARATOR = b"\xff"
# RE2 takes overlong forms for any character, but not for these two ranges.
_VALID = r"[\x00-\x{D7FF}\x{E000}-\x{10FFFF}]*"


def repair(texts):
    """Strings `[N]` with what is not UTF-8 replaced by U+FFFD, as Python does."""

    def repaired():
        return tf.strings.unicode_transcode(
            texts, "UTF-8", "UTF-8", errors="replace", replacement_char=0xFFFD
        )

    # The look takes a tenth of the time of the repair, which hardly ever is needed.
    valid = tf.reduce_all(tf.strings.regex_full_match(texts, _VALID))
    return tf.cond(valid, lambda: texts, repaired)


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
    return _split(texts, SEPARATOR)


def between_spaces(texts):
    """Cuts strings `[N]` at ASCII white space: ragged `[N, (words)]`, none empty."""
    return _split(texts, b"")


def _split(texts, separator):
    found = tf.raw_ops.StringSplitV2(input=texts, sep=separator)
    # As tf.strings.split does it, in a fifth of the nodes.
    places = tf.range(tf.size(texts, tf.int64) + 1)
    splits = tf.raw_ops.LowerBound(
        sorted_inputs=found.indices[None, :, 0],
        values=places[None],
        out_type=tf.int64,
    )
    return rows.ragged(found.values, splits[0])
