"""Prompts: read in any form, and put into one array of a width that many share."""

import numpy as np
import tensorflow as tf

from zoo.errors import ConfigError, InputError

SMALLEST = 8


def read_rows(given, *, name, encode, vocab_size):
    """Rows of ids from a text or texts, from ids or rows of ids, padded or not.

    Args:
        given: One of these, in Python, NumPy or TensorFlow; or a dictionary of
            `input_ids` and, where rows are padded, `attention_mask`, both `[B, T]`.
        name: What to call it in errors, a plural.
        encode: List of texts -> lists of ids.
        vocab_size: V.

    Returns:
        Lists of ids, of which some may be empty; "text" or "ids"; and whether it was a
        single one.

    Raises:
        InputError: if it is nothing of these, or an id is outside the vocabulary.
    """
    kind, single = "ids", False
    if isinstance(given, str | bytes):
        given, single = [given], True
    if isinstance(given, dict):
        rows = _masked(given, name)
    else:
        if tf.is_tensor(given) and given.dtype == tf.string:
            if given.shape.rank > 1:
                raise InputError(
                    f"{name} are texts of shape {given.shape}; expected [B]."
                )
            given = list(np.atleast_1d(given.numpy()))
        if isinstance(given, tf.Tensor | tf.RaggedTensor):
            given = given.numpy()
        if not np.iterable(given):
            raise InputError(
                f"{name}={given!r}: expected a text, a list of texts, or ids."
            )
        rows = list(given)
        if rows and isinstance(rows[0], str | bytes):
            kind, rows = "text", encode(rows)
        elif rows and np.ndim(rows[0]) == 0:
            rows, single = [rows], True
    return [_read_row(row, name, vocab_size) for row in rows], kind, single


def begun(row, bos_token_id):
    """A row of ids, or the begin token where it is empty."""
    if not row and bos_token_id is None:
        raise InputError(
            "a prompt is empty, and the model has no bos_token_id to begin with. Give "
            "at least one token, or bos_token_id."
        )
    return row or [bos_token_id]


def has_sources(model):
    """Whether a model answers sources, which it encodes, and continues no prompts."""
    return model.prompt_name != "input_ids"


def first_token(decoder_start_token_id):
    """The id that a decoder's answer to a source begins with."""
    if decoder_start_token_id is None:
        raise ConfigError(
            "nothing says which token the decoder begins with: the checkpoint has no "
            "decoder_start_token_id. Pass it, or set it in the configuration."
        )
    return decoder_start_token_id


def _read_row(row, name, vocab_size):
    ids = _array(row, f"one of the {name}")
    if ids.size == 0:
        return []
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise InputError(
            f"one of the {name} is {ids.dtype} with {ids.ndim} dimensions; expected a "
            "text, or a list of ids."
        )
    if ids.min() < 0 or ids.max() >= vocab_size:
        wrong = ids.min() if ids.min() < 0 else ids.max()
        raise InputError(
            f"one of the {name} has the id {wrong}; the vocabulary has 0 to "
            f"{vocab_size - 1}."
        )
    return ids.tolist()


def _masked(inputs, name):
    """The valid ids of each row of `input_ids` and `attention_mask`."""
    unknown = sorted(set(inputs) - {"input_ids", "attention_mask"})
    if unknown or "input_ids" not in inputs:
        raise InputError(
            f"{name} are a dictionary with {sorted(inputs)}; expected input_ids and, "
            "where rows are padded, attention_mask."
        )
    ids = _array(inputs["input_ids"], "input_ids")
    mask = inputs.get("attention_mask")
    mask = _array(np.ones_like(ids) if mask is None else mask, "attention_mask")
    if ids.ndim != 2 or mask.shape != ids.shape:
        raise InputError(
            f"input_ids has shape {ids.shape} and attention_mask {mask.shape}; "
            "expected [B, T] both."
        )
    return [row[keep != 0] for row, keep in zip(ids, mask, strict=True)]


def _array(values, name):
    """`values` as an array; rows of unequal length are none."""
    try:
        return np.asarray(values)
    except ValueError:
        raise InputError(
            f"{name} has rows of unequal length. Give a list of lists of ids, or pad "
            "them and say where with attention_mask."
        ) from None


def room(count, step):
    """`count` rounded up to a multiple of `step`."""
    return -(-count // step) * step


def bucket(length):
    """The power of two, 8 at least, that a length is padded to: one compile serves."""
    return max(SMALLEST, 1 << (length - 1).bit_length())


def stacked(rows, *, side, fill=0, exact=False):
    """Rows as an array.

    Args:
        rows: Lists of ids, none empty.
        side: Where the padding stands, "left" or "right".
        fill: Id that stands there.
        exact: Pad to the longest row only, and not to its bucket.

    Returns:
        int32 `[B, T]`, and how much of each row is padding, int32 `[B]`.
    """
    longest = max(len(row) for row in rows)
    width = longest if exact else bucket(longest)
    ids = np.full((len(rows), width), fill, np.int32)
    for i, row in enumerate(rows):
        if side == "left":
            ids[i, width - len(row) :] = row
        else:
            ids[i, : len(row)] = row
    padding = np.array([width - len(row) for row in rows], np.int32)
    return ids, padding
