"""Labels of tokens beside their ids, `[N, T]`: where they are passed, and which fit."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from zoo.errors import InputError
from zoo.training.labels import IGNORED


def apart(x, labels):
    """Inputs without the labels among them, and the labels."""
    if isinstance(x, tf.data.Dataset):
        spec = x.element_spec
        if isinstance(spec, tuple) and len(spec) == 1:
            x = x.map(lambda inputs: inputs)
            spec = x.element_spec
        if isinstance(spec, Mapping) and "labels" in spec:
            names = sorted(spec.keys() - {"labels"})
            x = x.map(lambda row: ({name: row[name] for name in names}, row["labels"]))
        return x, labels
    if isinstance(x, Mapping) and "labels" in x:
        if labels is not None:
            raise InputError("labels were given twice: among the inputs and as y.")
        labels = x["labels"]
        x = {name: value for name, value in x.items() if name != "labels"}
    return x, labels


def check_dataset(dataset):
    """Refuses a dataset of `(inputs, labels, ...)` without a label for each token."""
    rank = dataset.element_spec[1].shape.rank
    if rank != 2:
        raise InputError(
            f"the dataset yields labels of rank {rank}; expected one for each token, "
            f"[B, T], {IGNORED} where it does not count."
        )


def read(labels, shape, size, *, what):
    """Labels in memory as int32 `[N, T]`.

    Args:
        labels: Rows of numbers; shorter ones are filled up.
        shape: N and T.
        size: How many labels there are.
        what: What they are, for messages: "token ids", say.

    Raises:
        InputError: if they are missing, of another shape, or not among them.
    """
    if labels is None:
        raise InputError(
            "labels are missing: pass {'input_ids': ..., 'labels': ...} with a label "
            f"for each token, [N, T], {IGNORED} where it does not count."
        )
    found = _rows(labels)
    if found.shape != shape or found.dtype.kind not in "iu":
        raise InputError(
            f"labels have shape {found.shape} and dtype {found.dtype}; expected a "
            f"number for each token, {shape} as input_ids."
        )
    wrong = found[(found != IGNORED) & ((found < 0) | (found >= size))]
    if wrong.size:
        raise InputError(
            f"labels have {wrong[0]}; expected {what} from 0 to {size - 1}, or "
            f"{IGNORED} where a token does not count."
        )
    return found.astype(np.int32)


def read_weights(weights, count):
    """One weight for each example, float32 `[N]`, or None."""
    if weights is None:
        return None
    weights = np.asarray(weights, np.float32)
    if weights.shape != (count,):
        raise InputError(
            f"sample_weight has shape {weights.shape}; expected one number for each of "
            f"the {count} examples."
        )
    return weights


def _rows(labels):
    """Labels `[N, T]`, with `IGNORED` behind the shorter rows."""
    if not isinstance(labels, np.ndarray | tf.Tensor | tf.RaggedTensor):
        rows = [np.asarray(row) for row in labels]
        if len({row.shape for row in rows}) < 2:
            return np.asarray(rows)
        labels = tf.ragged.constant([row.tolist() for row in rows])
    if isinstance(labels, tf.RaggedTensor):
        labels = labels.to_tensor(IGNORED)
    return np.asarray(labels)
