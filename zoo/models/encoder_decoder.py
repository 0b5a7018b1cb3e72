"""T5Model: an encoder-decoder Transformer (Raffel et al. 2019, arXiv:1910.10683)."""

import keras
import tensorflow as tf

from zoo.errors import InputError
from zoo.layers.embeddings import Embeddings
from zoo.layers.masks import positions_in_documents
from zoo.layers.stack import Stack
from zoo.models.base import language_model_head
from zoo.models.decoder import count_positions
from zoo.models.generative import GenerativeModel
from zoo.training.labels import decoder_inputs


@keras.saving.register_keras_serializable(package="zoo")
class T5Model(GenerativeModel):
    """An encoder, a decoder that attends to it, one token table for both, and a head.

    Call it with a dictionary of `input_ids` `[B, S]` and `decoder_input_ids` `[B, T]`
    and, where wanted, `attention_mask` `[B, S]` and `decoder_attention_mask` `[B, T]`,
    all int. It gives `logits` `[B, T, V]` of the next token. With `document_ids`
    `[B, S]` and `decoder_document_ids` `[B, T]`, a row is several pairs, each as if it
    were alone.

    `fit` and `evaluate` take the same, and `labels` `[B, T]` among the inputs or as
    `y`, -100 where one does not count. Without `decoder_input_ids` the decoder reads
    the labels, shifted inside.

    Args:
        config: TransformerConfig.
        dtype: Keras dtype policy ("float32", "mixed_bfloat16", ...).
    """

    assembly = "encoder_decoder"
    architecture = "seq2seq_lm"
    prompt_name = "decoder_input_ids"
    input_names: tuple[str, ...] = (
        "input_ids",
        "decoder_input_ids",
        "attention_mask",
        "decoder_attention_mask",
        "document_ids",
        "decoder_document_ids",
    )
    required_inputs: tuple[str, ...] = ("input_ids", "decoder_input_ids")

    def __init__(self, config, *, dtype=None, **kwargs):
        super().__init__(config, dtype=dtype, **kwargs)
        config, options = self.config, {"dtype": self.dtype_policy}
        self.embeddings = Embeddings(config, name="embeddings", **options)
        self.encoder = Stack(config, name="encoder", **options)
        self.decoder = Stack(
            config,
            depth=config.num_decoder_layers,
            causal=True,
            cross=True,
            name="decoder",
            **options,
        )
        self.lm_head = self.make_head()
        self.build()

    def make_head(self):
        """Its own head, or None where the token table is it."""
        return language_model_head(self.config, self.dtype_policy)

    def build_layers(self):
        shape = (None, None, self.config.hidden_size)
        for layer in (self.embeddings, self.encoder, self.decoder, self.lm_head):
            if layer is not None:
                layer.build(shape)

    def prepare_labels(self, inputs, labels, weights):
        named = inputs if isinstance(inputs, dict) else {"input_ids": inputs}
        if labels is None or named.get("decoder_input_ids") is not None:
            return inputs, labels, weights
        ids = self.shifted(labels, named.get("decoder_document_ids"))
        return {**named, "decoder_input_ids": ids}, labels, weights

    def shifted(self, labels, documents=None):
        """What the decoder reads to give `labels` `[B, T]`; as `decoder_inputs`."""
        start, pad = self.config.decoder_start_token_id, self.config.pad_token_id
        if start is None:
            raise InputError(
                "this config has no decoder_start_token_id, with which the decoder's "
                "inputs begin when they are made from labels. Set it, or pass "
                "decoder_input_ids."
            )
        return decoder_inputs(
            labels,
            start=start,
            pad=start if pad is None else pad,
            documents=documents,
        )

    def states(self, inputs, *, training=None, every_state=False):
        options = {"training": training, "every_state": every_state}
        mask = inputs.get("attention_mask")
        documents = inputs.get("document_ids")
        decoder_documents = inputs.get("decoder_document_ids")
        if (documents is None) != (decoder_documents is None):
            raise InputError(
                "Of document_ids and decoder_document_ids only one was given. Packed "
                "rows need both: a pair has the same number in each."
            )
        encoded = self.encode(
            inputs["input_ids"], mask, document_ids=documents, **options
        )
        states = encoded[-1] if every_state else encoded
        ids = inputs["decoder_input_ids"]
        decoder_mask = inputs.get("decoder_attention_mask")
        positions = count_positions(ids, decoder_mask, decoder_documents)
        x = self.decoder(
            self.embeddings(ids, positions, training=training),
            attention_mask=decoder_mask,
            position_ids=positions,
            states=states,
            states_mask=mask,
            documents=decoder_documents,
            states_documents=documents,
            **options,
        )
        return {"encoder": encoded, "decoder": x} if every_state else x

    def context(self, inputs):
        mask = inputs.get("attention_mask")
        states = self.encode(inputs["input_ids"], mask, training=False)
        return {"states": states, "states_mask": mask}

    def encode(
        self,
        input_ids,
        attention_mask=None,
        *,
        document_ids=None,
        training=None,
        every_state=False,
    ):
        """The encoder's states `[B, S, D]`; with `every_state` those of each layer."""
        positions = tf.range(tf.shape(input_ids)[1])
        if document_ids is not None:
            positions = positions_in_documents(document_ids)
        return self.encoder(
            self.embeddings(input_ids, positions, training=training),
            attention_mask=attention_mask,
            position_ids=positions,
            documents=document_ids,
            training=training,
            every_state=every_state,
        )
