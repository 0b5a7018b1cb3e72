"""Bodies of tasks: what reads tokens below a head, and sums a whole text up.

An encoder sums up in its first token, through BERT's pooler (Devlin et al. 2018); a
decoder in the last one, which alone has seen all others, as
`GPT2ForSequenceClassification` and `LlamaForSequenceClassification` do; an
encoder-decoder where its decoder reads the end of the text, as
`T5ForSequenceClassification` does. Which bodies a task stands on, its class says.
"""

import types

import keras
import numpy as np
import tensorflow as tf

from zoo.errors import ConfigError
from zoo.families import FAMILIES
from zoo.layers.embeddings import Embeddings
from zoo.layers.linear import Linear
from zoo.layers.stack import Stack
from zoo.models.base import TransformerModel
from zoo.models.decoder import GPTModel
from zoo.models.encoder import BertModel
from zoo.models.encoder_decoder import T5Model


class EncoderBody(BertModel):
    """An encoder.

    Attributes:
        summary_heads: Heads of a weight table that `summary` needs.
        summary_reads: How many of the first tokens it reads; None: all.
        summary_bias: Whether the layer that reads it has a bias.
    """

    summary_heads: tuple[str, ...] = ("pooler",)
    summary_reads: int | None = 1
    summary_bias = True

    def summary(self, states, inputs, training=None):
        """Vectors `[B, D]` of texts, from the last hidden states `[B, T, D]`."""
        return self.pooled_output(states)


class DecoderBody(GPTModel):
    """A decoder without its head; attributes as of `EncoderBody`."""

    summary_heads: tuple[str, ...] = ()
    summary_reads: int | None = None
    summary_bias = False

    def make_head(self):
        return None

    def run(self, inputs, *, first=None, training=None, every_state=False):
        return self.states(inputs, training=training, every_state=every_state)

    def summary(self, states, inputs, training=None):
        """The state of the last valid token `[B, D]`, of the first where none is."""
        return last_state(states, valid_tokens(inputs, self.config))


class SourceBody(TransformerModel):
    """The encoder of an encoder-decoder, such as T5's; nothing sums up in it."""

    assembly = "encoder_decoder"
    input_names = BertModel.input_names
    reads = types.MappingProxyType({"encoder": ""})
    encode = T5Model.encode

    def __init__(self, config, *, dtype=None, **kwargs):
        super().__init__(config, dtype=dtype, **kwargs)
        options = {"dtype": self.dtype_policy}
        self.embeddings = Embeddings(self.config, name="embeddings", **options)
        self.encoder = Stack(self.config, name="encoder", **options)
        self.build()

    def build_layers(self):
        shape = (None, None, self.config.hidden_size)
        self.embeddings.build(shape)
        self.encoder.build(shape)

    def run(self, inputs, *, first=None, training=None, every_state=False):
        return self.encode(
            inputs["input_ids"],
            inputs.get("attention_mask"),
            document_ids=inputs.get("document_ids"),
            training=training,
            every_state=every_state,
        )


class RereadingBody(T5Model):
    """An encoder-decoder whose decoder reads the text too, one place behind.

    As of T5's classes for whole texts: at each place it knows the tokens before, and
    from the encoder all of them. Attributes as of `EncoderBody`.
    """

    input_names = BertModel.input_names
    required_inputs = BertModel.required_inputs
    summary_heads: tuple[str, ...] = ("pooler",)
    summary_reads: int | None = None
    summary_bias = True
    reads = types.MappingProxyType({"encoder": "", "decoder": ""})
    pooler: Linear

    def make_head(self):
        return None

    def build_layers(self):
        super().build_layers()
        config, options = self.config, {"dtype": self.dtype_policy}
        if config.pooler:
            rate = config.classifier_dropout or 0.0
            self.dropout = keras.layers.Dropout(rate, **options)
            self.pooler = Linear.of(
                config, config.hidden_size, name="pooler", **options
            )
            self.pooler.build((None, config.hidden_size))

    def run(self, inputs, *, first=None, training=None, every_state=False):
        ids, mask = inputs["input_ids"], inputs.get("attention_mask")
        documents = inputs.get("document_ids")
        # A text behind padding has its own beginning too: it is another document.
        begun = mask if documents is None else documents
        given = {
            "input_ids": ids,
            "attention_mask": mask,
            "document_ids": documents,
            "decoder_input_ids": self.shifted(ids, begun),
            "decoder_attention_mask": mask,
            "decoder_document_ids": documents,
        }
        return self.states(given, training=training, every_state=every_state)

    def summary(self, states, inputs, training=None):
        """The head's first layer `[B, D]` on the last end-of-sequence token.

        Where a text has none, on its last token.
        """
        valid, end = valid_tokens(inputs, self.config), self.config.eos_token_id
        end = np.ravel([] if end is None else end).astype(np.int32)
        ends = valid & tf.reduce_any(inputs["input_ids"][..., None] == end, -1)
        ended = tf.reduce_any(ends, 1, keepdims=True)
        state = last_state(states, tf.where(ended, ends, valid))
        return tf.tanh(self.pooler(self.dropout(state, training=training)))


def valid_tokens(inputs, config):
    """Which tokens are no padding, bool `[B, T]`: by the mask, else by their ids."""
    ids, mask = inputs["input_ids"], inputs.get("attention_mask")
    if mask is not None:
        return tf.cast(mask, tf.bool)
    if config.pad_token_id is not None:
        return ids != config.pad_token_id
    return tf.ones_like(ids, tf.bool)


def last_state(states, chosen):
    """Of states `[B, T, D]` the last one that is chosen `[B, T]`, else the first."""
    places = tf.range(tf.shape(chosen)[1]) * tf.cast(chosen, tf.int32)
    return tf.gather(states, tf.argmax(places, 1), batch_dims=1)


def body_of(config, kinds):
    """The class that this configuration needs.

    Args:
        config: TransformerConfig. Without a `model_type` it is an encoder's.
        kinds: Classes of this file that will do, each of another assembly.

    Raises:
        ConfigError: if it is none of these.
    """
    family = FAMILIES.get(config.model_type)
    assembly = family.assembly if family else "encoder"
    for kind in kinds:
        if kind.assembly == assembly:
            return kind
    raise ConfigError(
        f"model_type={config.model_type!r} is {assembly}; expected "
        f"{' or '.join(kind.assembly for kind in kinds)}."
    )
