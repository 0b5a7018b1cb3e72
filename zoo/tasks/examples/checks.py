"""Checks inside tf.data, and the errors of zoo that their failures become outside."""

import contextlib
import re

import tensorflow as tf

from zoo.errors import DataError, InputError

# Begins the messages of such checks, so that they are recognised.
COMPLAINT = "zoo says:"


def require(right, said, given, result):
    """`result`, once all of `right` holds; else `given` is shown where it does not."""
    wrong = tf.boolean_mask(tf.reshape(given, [-1]), tf.reshape(~right, [-1]))
    check = tf.debugging.Assert(tf.reduce_all(right), [f"{COMPLAINT} {said}", wrong])
    with tf.control_dependencies([check]):
        return tf.identity(result)


@contextlib.contextmanager
def clear_errors():
    """Turns the complaint of a check inside tf.data into the error of its own."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        said = re.search(rf"\[{COMPLAINT} ([^\]]*)\](?: \[(.*?)\])?", str(error), re.S)
        if said is None:
            raise
        text = " ".join(part for part in said.groups() if part)
        raise InputError(text) from None
    except UnboundLocalError:  # Keras's `predict` on a dataset that yields nothing
        raise no_example() from None


def no_example():
    """The error of a dataset that yields nothing."""
    return DataError("x is an empty dataset: there is no example.")
