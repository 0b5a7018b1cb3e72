"""Metrics of token predictions; label -100 does not count."""

import keras
import tensorflow as tf

from zoo.training.chunked_cross_entropy import Assessed
from zoo.training.labels import counted
from zoo.training.losses import like, token_losses


class TokenMean(keras.metrics.Mean):
    """Mean over all labels that count, of what `values` gives for each.

    Predictions are logits `[B, T, V]`, or an Assessed of `[B, T]` in their place.
    """

    def update_state(self, y_true, y_pred, sample_weight=None):
        labels = tf.convert_to_tensor(y_true)
        if not labels.dtype.is_integer:
            labels = tf.cast(labels, tf.int32)
        weights = tf.cast(counted(labels), tf.float32)
        if sample_weight is not None:
            weights *= like(sample_weight, weights)
        return super().update_state(self.values(labels, y_pred), weights)

    def values(self, labels, logits):
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="zoo")
class Perplexity(TokenMean):
    """`exp` of the mean `-log p(label)` of labels `[B, T]`, logits `[B, T, V]`."""

    def __init__(self, name="perplexity", **kwargs):
        super().__init__(name=name, **kwargs)

    def values(self, labels, logits):
        if isinstance(logits, Assessed):
            return logits.losses
        return token_losses(labels, logits)

    def result(self):
        return tf.exp(super().result())


@keras.saving.register_keras_serializable(package="zoo")
class TokenAccuracy(TokenMean):
    """Share of the tokens with a label whose likeliest token is that label."""

    def __init__(self, name="accuracy", **kwargs):
        super().__init__(name=name, **kwargs)

    def values(self, labels, logits):
        if isinstance(logits, Assessed):
            return tf.cast(logits.correct, tf.float32)
        likeliest = tf.argmax(logits, -1, output_type=tf.int32)
        return tf.cast(tf.equal(likeliest, tf.cast(labels, tf.int32)), tf.float32)


@keras.saving.register_keras_serializable(package="zoo")
class SpanMatch(TokenMean):
    """Share of spans, labels `[B, 2]`, whose first and last token are the likeliest.

    Predictions are logits of places, `[B, 2, T]`.
    """

    def __init__(self, name="exact_match", **kwargs):
        super().__init__(name=name, **kwargs)

    def values(self, labels, logits):
        likeliest = tf.argmax(logits, -1, output_type=tf.int32)
        both = tf.reduce_all(tf.equal(likeliest, tf.cast(labels, tf.int32)), -1)
        return tf.repeat(tf.cast(both, tf.float32)[:, None], 2, axis=1)
