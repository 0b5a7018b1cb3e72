"""GPTModel: a decoder-only Transformer (GPT-2, Llama and their like)."""

import keras
import tensorflow as tf

from zoo.layers.embeddings import Embeddings
from zoo.layers.stack import Stack
from zoo.models.base import TransformerModel, language_model_head, logits


@keras.saving.register_keras_serializable(package="zoo")
class GPTModel(TransformerModel):
    """Embeddings, a stack in which a token sees those before it, and a head.

    Call it with ids, or with a dictionary of `input_ids` `[B, T]` and, where wanted,
    `attention_mask`, `token_type_ids`, `position_ids`, all int `[B, T]`. It gives
    `logits` `[B, T, V]` of the next token. Without `position_ids`, positions count
    the valid tokens, so that padding on either side changes nothing.

    Args:
        config: TransformerConfig.
        dtype: Keras dtype policy ("float32", "mixed_bfloat16", ...).
    """

    assembly = "decoder"
    architecture = "causal_lm"
    input_names = ("input_ids", "attention_mask", "token_type_ids", "position_ids")

    def __init__(self, config, *, dtype=None, **kwargs):
        super().__init__(config, dtype=dtype, **kwargs)
        config, options = self.config, {"dtype": self.dtype_policy}
        self.embeddings = Embeddings(config, name="embeddings", **options)
        self.decoder = Stack(config, causal=True, name="decoder", **options)
        self.lm_head = language_model_head(config, self.dtype_policy)
        self.build()

    @property
    def heads(self):
        return ("lm_head",)  # a tied one too: its copy in a checkpoint is compared

    def build_layers(self):
        shape = (None, None, self.config.hidden_size)
        self.embeddings.build(shape)
        self.decoder.build(shape)
        if self.lm_head is not None:
            self.lm_head.build(shape)

    def run(self, inputs, *, training=None, every_state=False):
        ids, mask = inputs["input_ids"], inputs.get("attention_mask")
        positions = inputs.get("position_ids")
        if positions is None:
            positions = count_positions(ids, mask)
        x = self.embeddings(
            ids, positions, inputs.get("token_type_ids"), training=training
        )
        x = self.decoder(
            x,
            attention_mask=mask,
            position_ids=positions,
            training=training,
            every_state=every_state,
        )
        if every_state:
            return x
        return logits(x, self.config, self.lm_head, self.embeddings.tokens)


def count_positions(ids, mask):
    """Position of each token among the valid ones, int32 `[B, T]`, or `[T]`."""
    if mask is None:
        return tf.range(tf.shape(ids)[1])
    return tf.maximum(tf.cumsum(tf.cast(mask, tf.int32), 1) - 1, 0)
