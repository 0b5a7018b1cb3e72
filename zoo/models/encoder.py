"""BertModel: an encoder-only Transformer (Devlin et al. 2018, arXiv:1810.04805)."""

import keras
import tensorflow as tf

from zoo.layers.embeddings import Embeddings
from zoo.layers.linear import Linear
from zoo.layers.masks import positions_in_documents
from zoo.layers.stack import Stack
from zoo.models.base import TransformerModel


@keras.saving.register_keras_serializable(package="zoo")
class BertModel(TransformerModel):
    """Embeddings and a stack in which every token sees every other.

    Call it with ids, or with a dictionary of `input_ids` `[B, T]` and, where wanted,
    `attention_mask`, `token_type_ids`, `position_ids`, `document_ids`, all int
    `[B, T]`. It gives `last_hidden_state` `[B, T, D]`. A fully padded row is finite.
    With `document_ids`, a row is several documents, each as if it were alone.

    Args:
        config: TransformerConfig.
        dtype: Keras dtype policy ("float32", "mixed_bfloat16", ...).
    """

    assembly = "encoder"
    architecture = "model"

    def __init__(self, config, *, dtype=None, **kwargs):
        super().__init__(config, dtype=dtype, **kwargs)
        config, options = self.config, {"dtype": self.dtype_policy}
        self.embeddings = Embeddings(config, name="embeddings", **options)
        self.encoder = Stack(config, name="encoder", **options)
        self.pooler = None
        if config.pooler:
            self.pooler = Linear.of(
                config, config.hidden_size, name="pooler", **options
            )
        self.build()

    @property
    def heads(self):
        return ("pooler",) if self.pooler is not None else ()

    def build_layers(self):
        shape = (None, None, self.config.hidden_size)
        self.embeddings.build(shape)
        self.encoder.build(shape)
        if self.pooler is not None:
            self.pooler.build((None, self.config.hidden_size))

    def run(self, inputs, *, first=None, training=None, every_state=False):
        """As `TransformerModel.run`; with `first`, of the first so many tokens only."""
        positions = encoder_positions(inputs)
        x = self.embeddings(
            inputs["input_ids"],
            positions,
            inputs.get("token_type_ids"),
            training=training,
        )
        return self.encoder(
            x,
            attention_mask=inputs.get("attention_mask"),
            position_ids=positions,
            documents=inputs.get("document_ids"),
            first=first,
            training=training,
            every_state=every_state,
        )

    def pooled_output(self, last_hidden_state):
        """BERT's summary of a text: tanh of a layer on its first token, `[B, D]`."""
        return tf.tanh(self.pooler(last_hidden_state[:, 0]))


def encoder_positions(inputs):
    """Positions `[B, T]` or `[T]`: those given, or counted in each document or row."""
    if (positions := inputs.get("position_ids")) is not None:
        return positions
    if (documents := inputs.get("document_ids")) is not None:
        return positions_in_documents(documents)
    return tf.range(tf.shape(inputs["input_ids"])[1])
