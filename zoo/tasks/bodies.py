"""Bodies of tasks: what reads tokens below a head, and sums a whole text up.

An encoder sums up in its first token, through BERT's pooler (Devlin et al. 2018); a
decoder in the last one, which alone has seen all others, as
`GPT2ForSequenceClassification` and `LlamaForSequenceClassification` do.
"""

import tensorflow as tf

from zoo.config import TransformerConfig
from zoo.errors import ConfigError
from zoo.families import FAMILIES
from zoo.layers.embeddings import Embeddings
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

    def summary(self, states, inputs):
        """Vectors `[B, D]` of texts, from the last hidden states `[B, T, D]`."""
        return self.pooled_output(states)


class DecoderBody(GPTModel):
    """A decoder without its head; attributes as of `EncoderBody`."""

    summary_heads: tuple[str, ...] = ()
    summary_reads: int | None = None
    summary_bias = False

    def __init__(self, config, **kwargs):
        # A tied head is no layer of its own.
        super().__init__(config.replace(tie_word_embeddings=True), **kwargs)

    def run(self, inputs, *, first=None, training=None, every_state=False):
        return self.states(inputs, training=training, every_state=every_state)

    def summary(self, states, inputs):
        """The state of the last valid token `[B, D]`, of the first where none is."""
        ids, mask = inputs["input_ids"], inputs.get("attention_mask")
        if mask is None and self.config.pad_token_id is not None:
            mask = ids != self.config.pad_token_id
        if mask is None:
            return states[:, -1]
        valid = tf.cast(tf.cast(mask, tf.bool), tf.int32)
        places = tf.range(tf.shape(ids)[1]) * valid
        return tf.gather(states, tf.argmax(places, 1), batch_dims=1)


class SourceBody(TransformerModel):
    """The encoder of an encoder-decoder, such as T5's; nothing sums up in it."""

    assembly = "encoder_decoder"
    input_names = BertModel.input_names
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


BODIES = {kind.assembly: kind for kind in (EncoderBody, DecoderBody, SourceBody)}


def body_of(config, kinds):
    """The class that this configuration needs.

    Args:
        config: TransformerConfig. Without a `model_type` it is an encoder's.
        kinds: Keys of BODIES that will do.

    Raises:
        ConfigError: if it is none of these.
    """
    family = FAMILIES.get(TransformerConfig.of(config).model_type)
    assembly = family.assembly if family else "encoder"
    if assembly not in kinds:
        raise ConfigError(
            f"model_type={config.model_type!r} is {assembly}; expected "
            f"{' or '.join(kinds)}."
        )
    return BODIES[assembly]
