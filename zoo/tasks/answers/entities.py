"""Entities out of the labels of words, as graph ops, and their F1.

A sequence is read as `zoo.data.tags.spans` reads it: any scheme, and what none allows
as seqeval does by default.
"""

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from zoo.data import tags
from zoo.training.labels import counted

LETTERS = "OBIES"


class Boundaries(NamedTuple):
    """Where entities are among units `[B, U]`.

    Attributes:
        begin: bool, where one begins. `inside`: bool, where one is.
        end: int32, of the entity that a unit is in: its last unit.
        kind: int32, the number of its type; -1 outside.
    """

    begin: tf.Tensor
    inside: tf.Tensor
    end: tf.Tensor
    kind: tf.Tensor


class Decoder:
    """What the labels of a tagger spell out.

    Args:
        labels: Names of the labels, in order, such as "O" and "B-PER".

    Attributes:
        types: Types of entities, in the order in which labels name them.
    """

    def __init__(self, labels):
        split = [tags.split_tag(label) for label in labels]
        self.types = tuple(dict.fromkeys(kind for _, kind in split if kind))
        numbers = {kind: number for number, kind in enumerate(self.types)}
        self._letters = np.array([LETTERS.index(x) for x, _ in split], np.int32)
        self._kinds = np.array([numbers.get(kind, -1) for _, kind in split], np.int32)

    def __call__(self, labels, valid):
        """Finds entities.

        Args:
            labels: int `[B, U]`.
            valid: bool `[B, U]`, true at the first places of each row.
        """
        letter = tf.where(valid, tf.gather(self._letters, labels), 0)
        kind = tf.where(valid, tf.gather(self._kinds, labels), -1)
        outside, first, _, last, single = range(5)
        before, kind_before = _moved(letter, outside), _moved(kind, -1)
        begin = (letter == first) | (letter == single) | (kind != kind_before)
        begin |= (before == outside) | (before == last) | (before == single)
        begin &= letter != outside
        stops = _moved(begin | (letter == outside), True, back=True)
        inside = letter != outside
        # As many end as begin, so that the k-th end is that of the k-th entity.
        ends = tf.argsort(tf.cast(~(inside & stops), tf.int32), axis=1, stable=True)
        number = tf.maximum(tf.cumsum(tf.cast(begin, tf.int32), axis=1) - 1, 0)
        return Boundaries(begin, inside, tf.gather(ends, number, batch_dims=1), kind)


class Found(NamedTuple):
    """Entities `[B, E]`, E as many as the row has that has most.

    Attributes:
        count: int32 `[B]`: how many a row has; behind them stand zeros.
        kind: int32. `first`, `last`: int32, its units.
        score: float32, the mean of those of its units.
    """

    count: tf.Tensor
    kind: tf.Tensor
    first: tf.Tensor
    last: tf.Tensor
    score: tf.Tensor


def gather(boundaries, scores):
    """Entities side by side.

    Args:
        boundaries: A `Boundaries` of `[B, U]`.
        scores: float32 `[B, U]`.
    """
    begin = boundaries.begin
    count = tf.reduce_sum(tf.cast(begin, tf.int32), 1)
    most = tf.reduce_max(tf.concat([[0], count], 0))
    first = tf.argsort(tf.cast(~begin, tf.int32), axis=1, stable=True)[:, :most]
    there = tf.sequence_mask(count, most)
    last = tf.gather(boundaries.end, first, batch_dims=1)
    sums = tf.cumsum(tf.cast(scores, tf.float64), axis=1)
    sums = tf.pad(sums, [[0, 0], [1, 0]])
    total = tf.gather(sums, last + 1, batch_dims=1)
    total -= tf.gather(sums, first, batch_dims=1)
    size = tf.cast(tf.maximum(last - first + 1, 1), tf.float64)
    return Found(
        count,
        tf.where(there, tf.gather(boundaries.kind, first, batch_dims=1), 0),
        tf.where(there, first, 0),
        tf.where(there, last, 0),
        tf.where(there, tf.cast(total / size, tf.float32), 0.0),
    )


@keras.saving.register_keras_serializable(package="zoo")
class EntityF1(keras.metrics.Metric):
    """F1 of whole entities: right are those whose words and type are right.

    It equals seqeval's (micro average, default mode) on the same words. Labels are int
    `[B, T]`, -100 where none counts, predictions logits `[B, T, C]`.

    Args:
        labels: Names of the labels, in order.
    """

    def __init__(self, labels, *, name="f1", **kwargs):
        super().__init__(name=name, **kwargs)
        self.labels = tuple(labels)
        self._decode = Decoder(self.labels)
        self.counts = [
            self.add_weight(name=each, initializer="zeros")
            for each in ("right", "given", "wanted")
        ]

    def update_state(self, y_true, y_pred, sample_weight=None):
        labels = tf.cast(y_true, tf.int32)
        valid = counted(labels)
        order = tf.argsort(tf.cast(~valid, tf.int32), axis=1, stable=True)
        valid = tf.gather(valid, order, batch_dims=1)
        labels = tf.gather(labels, order, batch_dims=1)
        likeliest = tf.argmax(y_pred, -1, output_type=tf.int32)
        given = self._decode(tf.gather(likeliest, order, batch_dims=1), valid)
        wanted = self._decode(tf.where(valid, labels, 0), valid)
        right = given.begin & wanted.begin
        right &= (given.end == wanted.end) & (given.kind == wanted.kind)
        for weight, found in zip(
            self.counts, (right, given.begin, wanted.begin), strict=True
        ):
            weight.assign_add(tf.reduce_sum(tf.cast(found, weight.dtype)))

    def result(self):
        right, given, wanted = (tf.convert_to_tensor(weight) for weight in self.counts)
        return 2 * right / tf.maximum(given + wanted, 1.0)

    def get_config(self):
        return {**super().get_config(), "labels": list(self.labels)}


def score(wanted, given):
    """Precision, recall and F1 of whole entities (seqeval, micro average).

    Args:
        wanted, given: Tags of N sentences, lists of lists of str.

    Returns:
        Plain Python: "precision", "recall", "f1", and under "types" the same of each
        type with its number of "entities".
    """
    from seqeval.metrics import classification_report

    found = classification_report(wanted, given, output_dict=True, zero_division=0)
    rows = {
        kind: {
            "precision": float(row["precision"]),
            "recall": float(row["recall"]),
            "f1": float(row["f1-score"]),
            "entities": int(row["support"]),
        }
        for kind, row in found.items()
        if kind not in ("macro avg", "weighted avg")
    }
    total = rows.pop("micro avg")
    return {
        **{name: total[name] for name in ("precision", "recall", "f1")},
        "types": rows,
    }


def _moved(x, fill, *, back=False):
    """`x` `[B, U]` one place to the right, or back to the left."""
    edge = tf.fill([tf.shape(x)[0], 1], tf.cast(fill, x.dtype))
    return tf.concat([x[:, 1:], edge] if back else [edge, x[:, :-1]], 1)
