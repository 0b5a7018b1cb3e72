"""TextEmbedder: one vector for each text, as sentence-transformers makes them."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from zoo.config import TransformerConfig
from zoo.errors import InputError
from zoo.tasks.answers.pooling import Pooling, pool
from zoo.tasks.bodies import DecoderBody, EncoderBody, SourceBody
from zoo.tasks.examples import forms
from zoo.tasks.examples.sets import texts_of
from zoo.tasks.task import Task


@keras.saving.register_keras_serializable(package="zoo")
class TextEmbedder(Task):
    """An encoder whose token vectors are pooled into one vector for each text.

    Or a decoder, or the encoder of an encoder-decoder.

    Calling it with token ids gives embeddings, float32 `[B, D]`, and so does `predict`
    with texts. `from_pretrained` reads how to pool from `1_Pooling/config.json`,
    `modules.json` and `sentence_bert_config.json`; without them, "mean".

    Args:
        config: TransformerConfig.
        pooling: "cls", "max", "mean", "mean_sqrt_len", or several of them, whose
            vectors then stand side by side.
        normalize: Whether embeddings have length 1.
        tokenizer, max_length, dtype: As of `Task`.
    """

    bodies = (EncoderBody, DecoderBody, SourceBody)

    def __init__(
        self, config, *, pooling="mean", normalize=False, lowercase=False, **kwargs
    ):
        super().__init__(self.adapt_config(TransformerConfig.of(config)), **kwargs)
        self.pooling = Pooling(pooling, normalize, lowercase=lowercase)
        self.build()

    @classmethod
    def adapt_config(cls, config):
        return config.replace(pooler=False)

    def build_head(self):
        pass

    def head(self, states, inputs, training=None):
        mask = inputs.get("attention_mask")
        if mask is None:
            mask = tf.ones_like(inputs["input_ids"])
        embeddings = pool(states, mask, self.pooling.modes)
        return unit(embeddings) if self.pooling.normalize else embeddings

    def encode(self, columns):
        if self.pooling.lowercase:
            columns = {
                name: tf.strings.lower(texts, encoding="utf-8")
                for name, texts in columns.items()
            }
        return super().encode(columns)

    def embed(self, texts, *, batch_size=None, normalize=None):
        """Embeddings of texts, in the order given.

        Args:
            texts: One text, a list of texts, or what else `predict` takes.
            batch_size: Texts at a time; None: 32.
            normalize: Whether they have length 1; None: as the checkpoint says.

        Returns:
            float32 array `[N, D]`; `[D]` for a single text.
        """
        single = forms.is_one_text(texts)
        if isinstance(texts, list | tuple) and not texts:
            return np.zeros([0, self.width], np.float32)
        was = self.normalize
        self.normalize = was if normalize is None else bool(normalize)
        try:
            found = self.predict([texts] if single else texts, batch_size, verbose=0)
        finally:
            self.normalize = was
        return found[0] if single else found

    def respond(self, inputs, *, batch_size=None, normalize=None):
        """As `embed`, for a list, as lists of float."""
        texts = texts_of(inputs)
        return self.embed(texts, batch_size=batch_size, normalize=normalize).tolist()

    def similarity(self, texts, others=None):
        """Cosine similarity of each text to each of `others`, float32 `[N, M]`.

        Args:
            texts: Texts, or embeddings `[N, D]`.
            others: The same; None: `texts` themselves.
        """
        first = self._vectors(texts)
        second = first if others is None else self._vectors(others)
        return first @ second.T

    def _vectors(self, given):
        if forms.is_one_text(given):
            given = [given]
        array = isinstance(given, np.ndarray | tf.Tensor)
        numeric = array and np.asarray(given).dtype.kind == "f"
        found = np.atleast_2d(given) if numeric else self.embed(given)
        if found.ndim != 2 or found.shape[1] != self.width:
            raise InputError(
                f"embeddings have shape {found.shape}; those of this model have "
                f"[N, {self.width}]."
            )
        return unit(tf.constant(found, tf.float32)).numpy()

    @property
    def normalize(self):
        """Whether embeddings have length 1."""
        return self.pooling.normalize

    @normalize.setter
    def normalize(self, value):
        if value != self.pooling.normalize:
            self.pooling = dataclasses.replace(self.pooling, normalize=bool(value))
            self.predict_function = None  # compiled with the other setting

    @property
    def width(self):
        """Features of an embedding."""
        return self.config.hidden_size * len(self.pooling.modes)

    def serve(self, columns):
        """`embedding` (float32 `[B, D]`) of `text`."""
        return {"embedding": self.answer(columns)}

    # --- Files ------------------------------------------------------------------------

    def read_extras(self, directory):
        found = Pooling.read(directory)
        self.pooling = dataclasses.replace(found, max_length=None)
        if found.max_length is not None:
            limit = self.config.max_position_embeddings
            self.max_length = min(found.max_length, limit)

    def write_extras(self, directory):
        said = dataclasses.replace(self.pooling, max_length=self.max_length)
        said.write(directory, self.width)

    def get_config(self):
        return {
            **super().get_config(),
            "pooling": list(self.pooling.modes),
            "normalize": self.pooling.normalize,
            "lowercase": self.pooling.lowercase,
        }


def unit(x):
    """Vectors `[N, D]` of length 1; zeros stay zeros."""
    length = tf.norm(x, axis=-1, keepdims=True)
    return x / tf.maximum(length, 1e-12)
