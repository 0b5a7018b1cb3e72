"""Crf: a linear-chain conditional random field over a sequence of scores.

Lafferty, McCallum and Pereira 2001; as the head of a tagger, Lample et al. 2016
(arXiv:1603.01360). The likelihood of a sequence of labels is that of the whole path:
its scores, and those of its transitions, against all other paths.
"""

import keras
import tensorflow as tf

from zoo.layers.initializers import Normal


@keras.saving.register_keras_serializable(package="zoo")
class Crf(keras.layers.Layer):
    """Scores of transitions between labels, and what follows from them.

    Emissions are float `[B, T, C]`, labels int `[B, T]`, masks `[B, T]`, non-zero where
    a place counts. A place that does not is passed over, wherever it stands: its
    neighbours are next to each other. A row of which none counts has the one path of
    length 0. All is computed in float32.

    Args:
        labels: C, number of labels.
        stddev: Standard deviation of new transitions.

    Attributes:
        transitions: `[C, C]`, from the label of the row to that of the column.
        start_transitions, end_transitions: `[C]`, of the first and of the last label.
    """

    def __init__(self, labels, *, stddev=0.02, **kwargs):
        super().__init__(**kwargs)
        self.labels = labels
        self.stddev = stddev

    def build(self, input_shape=None):
        if self.built:
            return
        shape = (self.labels,)
        self.transitions = self.add_weight(
            name="transitions", shape=shape * 2, initializer=Normal(self.stddev)
        )
        self.start_transitions = self.add_weight(
            name="start_transitions", shape=shape, initializer="zeros"
        )
        self.end_transitions = self.add_weight(
            name="end_transitions", shape=shape, initializer="zeros"
        )
        self.built = True

    def call(self, emissions, mask=None):
        """The likeliest labels, as `viterbi`."""
        return self.viterbi(emissions, mask)

    def log_likelihood(self, emissions, labels, mask=None):
        """`log p(labels)` of each row, float32 `[B]`."""
        packed = _Packed(emissions, mask)
        labels = packed.take(tf.where(packed.given, tf.cast(labels, tf.int32), 0))
        return self._score(packed, labels) - self._log_partition(packed)

    def log_partition(self, emissions, mask=None):
        """Logarithm of the sum over all paths of `exp(score)`, float32 `[B]`."""
        return self._log_partition(_Packed(emissions, mask))

    def marginals(self, emissions, mask=None):
        """Probability of each label at each place, float32 `[B, T, C]`.

        Of places that do not count it is 0.
        """
        packed = _Packed(emissions, mask)
        found = tf.nn.softmax(self._forward(packed) + self._backward(packed))
        return packed.put_back(tf.where(packed.valid[..., None], found, 0.0))

    def viterbi(self, emissions, mask=None):
        """The likeliest path (Viterbi 1967): labels int32 `[B, T]`.

        Of places that do not count it is 0. Of equal paths, that with the smaller last
        labels.
        """
        packed = _Packed(emissions, mask)
        transitions = self._float(self.transitions)

        def step(carry, given):
            scores, _ = carry
            emission, valid = given
            paths = scores[:, :, None] + transitions
            best = tf.reduce_max(paths, 1) + emission
            origin = tf.argmax(paths, 1, output_type=tf.int32)
            stay = tf.range(self.labels)[None]
            valid = valid[:, None]
            return tf.where(valid, best, scores), tf.where(valid, origin, stay)

        first = self._first(packed)
        nowhere = tf.zeros_like(first, tf.int32)
        scores, origins = tf.scan(step, packed.later(), (first, nowhere))
        last = tf.argmax(
            scores[-1] + self._float(self.end_transitions), -1, output_type=tf.int32
        )

        def back(label, origin):
            return tf.gather(origin, label, axis=1, batch_dims=1)

        path = tf.transpose(tf.scan(back, origins, last, reverse=True))
        return packed.put_back(tf.where(packed.valid, path, 0))

    # --- The two passes over a row ----------------------------------------------------

    def _score(self, packed, labels):
        """Score of a path, `[B]`."""
        one_hot = tf.one_hot(labels, self.labels)
        valid = tf.cast(packed.valid, tf.float32)
        emitted = tf.reduce_sum(packed.emissions * one_hot, -1) * valid
        moves = tf.einsum(
            "bti,ij,btj->bt",
            one_hot[:, :-1],
            self._float(self.transitions),
            one_hot[:, 1:],
        )
        score = tf.reduce_sum(emitted, 1) + tf.reduce_sum(moves * valid[:, 1:], 1)
        last = tf.gather(one_hot, tf.maximum(packed.length - 1, 0), batch_dims=1)
        ends = tf.einsum("bi,i->b", one_hot[:, 0], self._float(self.start_transitions))
        ends += tf.einsum("bi,i->b", last, self._float(self.end_transitions))
        return score + tf.where(packed.length > 0, ends, 0.0)

    def _log_partition(self, packed):
        last = self._forward(packed)[:, -1]
        total = tf.reduce_logsumexp(last + self._float(self.end_transitions), -1)
        return tf.where(packed.length > 0, total, 0.0)

    def _forward(self, packed):
        """Log-sum of the paths up to each place that end with each label, `[B, T, C]`.

        Behind the last place it stays.
        """
        transitions = self._float(self.transitions)

        def step(scores, given):
            emission, valid = given
            new = tf.reduce_logsumexp(scores[:, :, None] + transitions, 1) + emission
            return tf.where(valid[:, None], new, scores)

        first = self._first(packed)
        found = tf.scan(step, packed.later(), first)
        return tf.transpose(tf.concat([first[None], found[:-1]], 0), [1, 0, 2])

    def _backward(self, packed):
        """Log-sum of the paths behind each place, given its label, `[B, T, C]`."""
        transitions = self._float(self.transitions)

        def step(scores, given):
            emission, valid = given
            new = tf.reduce_logsumexp(transitions + (scores + emission)[:, None], 2)
            return tf.where(valid[:, None], new, scores)

        ends = tf.ones_like(packed.emissions[:, :1]) * self._float(self.end_transitions)
        found = tf.scan(step, packed.later(), ends[:, 0], reverse=True)
        return tf.transpose(found, [1, 0, 2])

    def _first(self, packed):
        return packed.emissions[:, 0] + self._float(self.start_transitions)

    @staticmethod
    def _float(weight):
        return tf.cast(weight, tf.float32)

    def compute_output_shape(self, input_shape):
        return input_shape[:-1]

    def get_config(self):
        return {
            **super().get_config(),
            "labels": self.labels,
            "stddev": self.stddev,
        }


class _Packed:
    """Rows whose places that count stand first.

    Attributes:
        emissions: float32 `[B, T, C]`, T at least 1.
        given: bool `[B, T]`, where places counted before they were moved.
        valid: bool `[B, T]`, where they count now. `length`: their number, `[B]`.
    """

    def __init__(self, emissions, mask):
        emissions = tf.cast(emissions, tf.float32)
        if mask is None:
            mask = tf.ones(tf.shape(emissions)[:2], tf.bool)
        self.given = tf.cast(mask, tf.bool)
        self.order = tf.argsort(tf.cast(~self.given, tf.int32), axis=1, stable=True)
        self.length = tf.reduce_sum(tf.cast(self.given, tf.int32), 1)
        self.emissions = self.take(emissions)
        self.valid = self.take(self.given)

    def take(self, x):
        return tf.gather(x, self.order, batch_dims=1)

    def put_back(self, x):
        return tf.gather(x, tf.argsort(self.order, axis=1), batch_dims=1)

    def later(self):
        """Emissions and validity of all places but the first, time before batch.

        Behind the last stands one that does not count: a scan over none fails where
        the size of the batch is not known.
        """
        emissions = tf.pad(self.emissions[:, 1:], [[0, 0], [0, 1], [0, 0]])
        valid = tf.pad(self.valid[:, 1:], [[0, 0], [0, 1]])
        return tf.transpose(emissions, [1, 0, 2]), tf.transpose(valid)
