"""Cross-entropy on logits, of tokens or of texts; label -100 does not count."""

import keras
import tensorflow as tf

from zoo.errors import ConfigError
from zoo.training.labels import counted


@keras.saving.register_keras_serializable(package="zoo")
class CrossEntropy(keras.losses.Loss):
    """Mean of `-log p(label)` over all labels of the batch that count.

    Labels are int `[B, T]` or `[B]`, logits `[B, T, V]` or `[B, C]`. Weights, `[B]` or
    of the shape of the labels, scale the sum and not the number that it is divided by,
    as in Keras. Computed in float32.

    Args:
        label_smoothing: Share of each label's probability that is spread evenly over
            the vocabulary (Szegedy et al. 2015, arXiv:1512.00567).
        name: That of Keras's loss for such labels, of probabilities.
    """

    def __init__(
        self, *, label_smoothing=0.0, name="sparse_categorical_crossentropy", **kwargs
    ):
        super().__init__(name=name, **kwargs)
        if not 0 <= label_smoothing < 1:
            raise ConfigError(
                f"label_smoothing={label_smoothing!r}: expected a share in [0, 1)."
            )
        self.label_smoothing = float(label_smoothing)

    def __call__(self, y_true, y_pred, sample_weight=None):
        labels = tf.convert_to_tensor(y_true)
        if not labels.dtype.is_integer:
            labels = tf.cast(labels, tf.int32)
        values = token_losses(labels, y_pred, label_smoothing=self.label_smoothing)
        if sample_weight is not None:
            values *= like(sample_weight, values)
        return tf.reduce_sum(values) / tf.maximum(self.count(labels), 1.0)

    def call(self, y_true, y_pred):
        return token_losses(y_true, y_pred, label_smoothing=self.label_smoothing)

    def count(self, labels):
        """How many labels the mean is of, float32."""
        return tf.reduce_sum(tf.cast(counted(tf.convert_to_tensor(labels)), tf.float32))

    def get_config(self):
        return {"label_smoothing": self.label_smoothing, "name": self.name}


def token_losses(labels, logits, *, label_smoothing=0.0):
    """`-log p(label)` in float32, of the shape of `labels`; 0 where none counts."""
    logits, valid = tf.cast(logits, tf.float32), counted(labels)
    labels = tf.where(valid, labels, 0)
    values = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    if label_smoothing:
        evenly = tf.reduce_logsumexp(logits, -1) - tf.reduce_mean(logits, -1)
        values += label_smoothing * (evenly - values)
    return tf.where(valid, values, 0.0)


def like(weights, values):
    """Weights `[B]` or `[B, T]` as float32 that broadcasts against `[B, T]`."""
    weights = tf.cast(weights, tf.float32)
    if weights.shape.rank == values.shape.rank - 1:
        weights = weights[..., None]
    return weights
