"""What users pass to `fit`, `evaluate` and `predict`, read into one of two forms.

Texts come as lists, arrays or tensors of strings, as pairs, as `{"text": ..., "pair":
...}`, or as a `tf.data.Dataset` of any of these; token ids as arrays or a dictionary.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.errors import DataError, InputError

COLUMNS = ("text", "pair")


@dataclass(frozen=True)
class Memory:
    """Examples that are all there.

    Attributes:
        inputs: String tensors `[N]` by column, or arrays `[N, T]` by input name.
        textual: Which of the two.
        labels: Array `[N]`, or None. `weights`: float32 `[N]`, or None.
    """

    inputs: Mapping[str, Any]
    textual: bool
    labels: Any = None
    weights: Any = None

    @property
    def size(self) -> int:
        return int(next(iter(self.inputs.values())).shape[0])

    @property
    def rest(self) -> tuple:
        """Labels and weights, as they stand behind the inputs in a Keras batch."""
        return tuple(x for x in (self.labels, self.weights) if x is not None)

    def first(self, count):
        """The first so many examples; None: all."""
        return self._part(slice(None, count))

    def split(self, fraction):
        """The first examples, and the last `fraction` of them, as Keras does it."""
        kept = split_at(self.size, fraction)
        return self._part(slice(None, kept)), self._part(slice(kept, None))

    def _part(self, where):
        return replace(
            self,
            inputs={name: x[where] for name, x in self.inputs.items()},
            labels=None if self.labels is None else self.labels[where],
            weights=None if self.weights is None else self.weights[where],
        )


@dataclass(frozen=True)
class Stream:
    """Examples that a dataset yields, as `(inputs, *rest)`.

    Attributes:
        dataset: Its `inputs` are a dictionary of strings by column, or of ids.
        textual: Which of the two.
        batched: Whether an element is a batch.
        labelled: Whether labels stand behind the inputs.
    """

    dataset: tf.data.Dataset
    textual: bool
    batched: bool
    labelled: bool

    def split(self, fraction):
        raise InputError(
            f"validation_split={fraction} needs examples in memory, but x is a "
            "dataset. Pass validation_data."
        )


def read(x, labels=None, weights=None):
    """Examples in one of the two forms; labels stay as they are.

    Args:
        x: See the head of this file.
        labels: Sequence or array `[N]`. With a dataset, labels are part of it.
        weights: One number for each example.

    Raises:
        InputError: if x has none of these forms, or lengths differ.
        DataError: if x is empty.
    """
    if isinstance(x, tf.data.Dataset):
        if labels is not None or weights is not None:
            raise InputError(
                "x is a dataset, so labels and weights belong into it: let it yield "
                "(x, y) or (x, y, sample_weight), and leave y and sample_weight out."
            )
        return _read_dataset(x)
    inputs, textual = _read_inputs(x)
    examples = Memory(inputs, textual)
    if labels is not None:
        labels = _as_column(labels, "y", examples.size)
    if weights is not None:
        weights = _as_column(weights, "sample_weight", examples.size)
        if weights.dtype.kind not in "biuf":
            raise InputError(f"sample_weight holds {weights.dtype}; expected numbers.")
        weights = weights.astype(np.float32)
    if weights is not None and labels is None:
        raise InputError("sample_weight was given without y.")
    return replace(examples, labels=labels, weights=weights)


def is_one_text(x):
    """Whether `x` is a single text and not a batch."""
    return isinstance(x, str | bytes)


def holds_strings(x):
    """Whether examples are strings, and not ids."""
    if isinstance(x, tf.data.Dataset):
        spec = x.element_spec
        inputs = spec[0] if isinstance(spec, tuple) else spec
        return any(s.dtype == tf.string for s in tf.nest.flatten(inputs))
    if isinstance(x, dict):
        return "text" in x
    if isinstance(x, tf.Tensor):
        return x.dtype == tf.string
    if isinstance(x, np.ndarray):
        return x.dtype.kind in "OSU"
    first = next(iter(x), None) if isinstance(x, list | tuple) else None
    return not isinstance(first, int | list | tuple | np.ndarray)


def check_top_k(top_k):
    if not isinstance(top_k, int | np.integer) or top_k < 1:
        raise InputError(f"top_k={top_k!r}: expected a whole number from 1 on.")


def check_sizes(columns):
    """Refuses columns, by name, of different lengths."""
    sizes = {name: len(column) for name, column in columns.items()}
    if len(set(sizes.values())) > 1:
        raise InputError(f"the columns of x differ in length: {sizes}.")


def split_at(size, fraction):
    """How many of so many examples are trained on, where a fraction is held out.

    Raises:
        InputError: if it is no fraction.
        DataError: if nothing is left on one side.
    """
    if not 0 < fraction < 1:
        raise InputError(
            f"validation_split={fraction}: expected a fraction between 0 and 1."
        )
    kept = int(size * (1 - fraction))
    if not 0 < kept < size:
        raise DataError(
            f"validation_split={fraction} of {size} examples leaves {kept} to train on "
            f"and {size - kept} to validate on. Pass more examples, or "
            "validation_data."
        )
    return kept


# --- In memory ----------------------------------------------------------------------


def _read_inputs(x):
    if is_one_text(x) or getattr(x, "shape", None) == ():
        raise _wrong_form("one string")
    if x is None or hasattr(x, "columns"):  # a pandas table's columns are lists
        raise _wrong_form("None" if x is None else "a table, not one of its columns")
    if isinstance(x, Mapping):
        if "text" in x:
            return _read_columns(x), True
        return _read_numbers(x), False
    if isinstance(x, np.ndarray | tf.Tensor | tf.RaggedTensor):
        if _is_numeric(x):
            return _read_numbers({"input_ids": x}), False
        x = x.to_list() if isinstance(x, tf.RaggedTensor) else np.asarray(x).tolist()
    if not isinstance(x, Sequence):
        try:
            x = list(x)  # a pandas column
        except TypeError:
            raise _wrong_form(f"of type {type(x).__name__}") from None
    if not len(x):
        raise DataError("x is empty: there is no example.")
    first = x[0]
    if isinstance(first, list | tuple | np.ndarray):
        if len(first) and isinstance(first[0], str | bytes):
            return _read_pairs(x), True
        return _read_numbers({"input_ids": x}), False
    return {"text": _as_strings(x, "x")}, True


def _wrong_form(what):
    return InputError(
        f"x is {what}; expected a list of texts, of pairs of texts, a dataset, or a "
        "dictionary of token ids."
    )


def _read_columns(x):
    unknown = sorted(set(x) - set(COLUMNS))
    if unknown:
        raise InputError(f"x has columns {unknown}; expected 'text', and maybe 'pair'.")
    columns = {
        name: _as_strings(x[name], f"x[{name!r}]")
        for name in COLUMNS
        if name == "text" or x.get(name) is not None
    }
    check_sizes(columns)
    if not columns["text"].shape[0]:
        raise DataError("x is empty: there is no example.")
    return columns


def _read_pairs(x):
    for row, pair in enumerate(x):
        if not isinstance(pair, list | tuple | np.ndarray) or len(pair) != 2:
            size = len(pair) if isinstance(pair, list | tuple | np.ndarray) else "no"
            raise InputError(
                f"x[{row}] has {size} parts; the first example is a pair of texts, so "
                "each has to be two strings. For two columns pass {'text': [...], "
                "'pair': [...]}."
            )
    return {
        "text": _as_strings([pair[0] for pair in x], "x"),
        "pair": _as_strings([pair[1] for pair in x], "x"),
    }


def _as_strings(texts, name):
    """Texts as a string tensor `[N]`; half a surrogate pair becomes invalid UTF-8."""
    if isinstance(texts, tf.Tensor):
        if texts.dtype != tf.string or texts.shape.rank != 1:
            raise InputError(
                f"{name} is a {texts.dtype.name} tensor of shape {texts.shape}; "
                "expected strings [N]."
            )
        return texts
    if texts is None or is_one_text(texts):
        what = "None" if texts is None else "one string"
        raise InputError(f"{name} is {what}; expected a list of texts.")
    rows = []
    for row, text in enumerate(texts):
        if isinstance(text, str):
            text = text.encode("utf-8", "surrogatepass")
        elif not isinstance(text, bytes):
            raise InputError(
                f"{name}[{row}] is {_describe(text)}; expected a string. Remove rows "
                "without text first."
            )
        rows.append(text)
    return tf.constant(rows, tf.string, shape=[len(rows)])


def _read_numbers(x):
    arrays = {
        name: _as_rows(value, name) for name, value in x.items() if value is not None
    }
    if "input_ids" not in arrays:
        raise InputError(
            f"x has {sorted(map(str, x))}; expected 'text' (and maybe 'pair') for "
            "texts, or 'input_ids' (and maybe 'attention_mask', 'token_type_ids') for "
            "token ids."
        )
    check_sizes(arrays)
    if not len(arrays["input_ids"]):
        raise DataError("x is empty: there is no example.")
    ragged = isinstance(x["input_ids"], tf.RaggedTensor) or _is_uneven(x["input_ids"])
    if ragged and "attention_mask" not in arrays:
        arrays["attention_mask"] = _valid(x["input_ids"])
    return arrays


def _as_rows(value, name):
    """Rows of numbers `[N, T]`, with zeros behind the shorter ones."""
    if isinstance(value, tf.RaggedTensor):
        return value.to_tensor().numpy()
    if _is_uneven(value):
        return tf.ragged.constant([list(row) for row in value]).to_tensor().numpy()
    array = np.asarray(value)
    if array.ndim != 2 or array.dtype.kind not in "iub":
        raise InputError(
            f"{name} has shape {array.shape} and dtype {array.dtype}; expected rows of "
            "token numbers [N, T]."
        )
    return array.astype(np.int32)


def _valid(rows):
    if isinstance(rows, tf.RaggedTensor):
        return tf.ones_like(rows).to_tensor().numpy()
    return _as_rows([[1] * len(row) for row in rows], "attention_mask")


def _is_uneven(value):
    rows = isinstance(value, list | tuple) and all(map(np.iterable, value))
    return rows and len({len(row) for row in value}) > 1


def _is_numeric(x):
    return x.dtype.is_integer if tf.is_tensor(x) else x.dtype.kind in "iub"


def _as_column(values, name, size):
    if isinstance(values, tf.Tensor):
        values = values.numpy()
    given = values if isinstance(values, np.ndarray) else list(values)
    try:
        array = np.asarray(given)
    except ValueError:
        raise InputError(
            f"{name} has parts of different lengths; expected one value for each "
            "example."
        ) from None
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise InputError(
            f"{name} has shape {array.shape}; expected one value for each example."
        )
    if len(array) != size:
        raise InputError(f"x has {size} examples, but {name} has {len(array)}.")
    return array


def _describe(value):
    return "None" if value is None else f"{value!r} ({type(value).__name__})"


# --- Datasets -----------------------------------------------------------------------


def _read_dataset(dataset):
    if int(dataset.cardinality()) == 0:
        raise DataError("x is an empty dataset: there is no example.")
    spec = dataset.element_spec
    with_rest = isinstance(spec, tuple) and len(spec) <= 3
    inputs = spec[0] if with_rest else spec
    labelled = with_rest and len(spec) > 1
    columns = _text_columns(inputs)
    if columns is None:
        if not with_rest:
            dataset = dataset.map(lambda x: (x,))
        _check_ids(inputs)
        return Stream(dataset, textual=False, batched=True, labelled=labelled)
    ranks = {s.shape.rank for s in tf.nest.flatten(inputs)}
    if ranks not in ({0}, {1}):
        raise InputError(
            f"x is a dataset of strings of shape {tf.nest.flatten(inputs)[0].shape}; "
            "expected scalars, or batches [B]. Set the shape with tf.ensure_shape."
        )

    def arrange(*element):
        x, *rest = element if with_rest else (element[0],)
        return (columns(x), *rest)

    return Stream(
        dataset.map(arrange),
        textual=True,
        batched=ranks == {1},
        labelled=labelled,
    )


def _text_columns(spec):
    """A function from an element's inputs to its columns; None if it is not text."""
    if isinstance(spec, dict) and "text" in spec:
        unknown = sorted(set(spec) - set(COLUMNS))
        if unknown:
            raise InputError(
                f"the dataset has columns {unknown}; expected 'text', and maybe 'pair'."
            )
        return lambda x: x
    if isinstance(spec, tf.TensorSpec) and spec.dtype == tf.string:
        return lambda x: {"text": x}
    two = isinstance(spec, tuple | list) and len(spec) == 2
    if two and all(isinstance(s, tf.TensorSpec) and s.dtype == tf.string for s in spec):
        return lambda x: {"text": x[0], "pair": x[1]}
    return None


def _check_ids(spec):
    for part in tf.nest.flatten(spec):
        dense = isinstance(part, tf.TensorSpec)
        if dense and part.dtype.is_integer and part.shape.rank == 2:
            continue
        raise InputError(
            f"the dataset yields {spec}; expected strings, or batches of token ids "
            "[B, T]: call dataset.padded_batch(...) first."
        )
