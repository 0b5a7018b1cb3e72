"""GPTModel: a decoder-only Transformer (GPT-2, Llama and their like)."""

import keras
import tensorflow as tf

from zoo.generation.chat import (
    apply_template,
    choose_template,
    end_of_turn,
    template_variables,
)
from zoo.generation.prompts import begun
from zoo.layers.embeddings import Embeddings
from zoo.layers.masks import positions_in_documents
from zoo.layers.stack import Stack
from zoo.models.base import language_model_head
from zoo.models.generative import GenerativeModel
from zoo.training.labels import causal_labels, next_tokens
from zoo.training.losses import CrossEntropy


@keras.saving.register_keras_serializable(package="zoo")
class GPTModel(GenerativeModel):
    """Embeddings, a stack in which a token sees those before it, and a head.

    Call it with ids, or with a dictionary of `input_ids` `[B, T]` and, where wanted,
    `attention_mask`, `token_type_ids`, `position_ids`, `document_ids`, all int
    `[B, T]`. It gives `logits` `[B, T, V]` of the next token. Without `position_ids`,
    positions count the valid tokens, so that padding on either side changes nothing.
    With `document_ids`, a row is several documents, each as if it were alone.

    `fit` and `evaluate` take the same, and `labels` `[B, T]` among the inputs or as
    `y`: the tokens at their places, -100 where one does not count; they are shifted
    inside. Without labels the inputs are learnt, padding left out.

    Args:
        config: TransformerConfig.
        dtype: Keras dtype policy ("float32", "mixed_bfloat16", ...).
    """

    assembly = "decoder"
    architecture = "causal_lm"
    prompt_name = "input_ids"

    def __init__(self, config, *, dtype=None, **kwargs):
        super().__init__(config, dtype=dtype, **kwargs)
        config, options = self.config, {"dtype": self.dtype_policy}
        self.embeddings = Embeddings(config, name="embeddings", **options)
        self.decoder = Stack(config, causal=True, name="decoder", **options)
        self.lm_head = self.make_head()
        self.build()

    def make_head(self):
        """Its own head, or None where the token table is it."""
        return language_model_head(self.config, self.dtype_policy)

    def build_layers(self):
        shape = (None, None, self.config.hidden_size)
        self.embeddings.build(shape)
        self.decoder.build(shape)
        if self.lm_head is not None:
            self.lm_head.build(shape)

    def prepare_labels(self, inputs, labels, weights):
        named = inputs if isinstance(inputs, dict) else {"input_ids": inputs}
        if "input_ids" not in named:
            return inputs, labels, weights  # the call says what is missing
        if labels is not None and not isinstance(self.loss, CrossEntropy):
            return inputs, labels, weights  # as the user's own loss takes them
        labels = causal_labels(
            named["input_ids"],
            labels,
            named.get("attention_mask"),
            named.get("document_ids"),
        )
        if weights is not None and weights.shape.rank == 2:
            weights = next_tokens(weights, 0)
        return inputs, labels, weights

    def states(self, inputs, *, training=None, every_state=False):
        ids, mask = inputs["input_ids"], inputs.get("attention_mask")
        documents, positions = inputs.get("document_ids"), inputs.get("position_ids")
        if positions is None:
            positions = count_positions(ids, mask, documents)
        x = self.embeddings(
            ids, positions, inputs.get("token_type_ids"), training=training
        )
        return self.decoder(
            x,
            attention_mask=mask,
            position_ids=positions,
            documents=documents,
            training=training,
            every_state=every_state,
        )

    def chat(
        self,
        messages,
        *,
        stream=False,
        assistant_model=None,
        chat_template=None,
        tools=None,
        documents=None,
        template_options=None,
        **options,
    ):
        """Answers the last message of a conversation.

        The answer ends at an end-of-sequence token, or at the one that the template
        puts behind an answer. Special tokens are recognised in the whole prompt, as in
        the reference: also where a message has one's text in its content.

        Args:
            messages: Dictionaries with "role" ("system", "user", "assistant") and
                "content", oldest first.
            stream: Whether to yield the answer in pieces while it is written.
            assistant_model: As of `generate`.
            chat_template: Jinja source, or the name of one of several templates of the
                tokenizer; None: the tokenizer's own.
            tools, documents: Lists of dictionaries, for templates that know them.
            template_options: What else the template reads, such as
                `{"enable_thinking": False}`.
            options: As of `generate`.

        Returns:
            The answer, a text; else as `generate`.

        Raises:
            InputError: if there is no template, if it refuses the messages or is
                refused, or if these are not messages.
        """
        tokenizer = self.tokenizer
        prompt = apply_template(
            choose_template(tokenizer.chat_template, chat_template, tools=tools),
            messages,
            tools=tools,
            documents=documents,
            **template_variables(tokenizer, template_options),
        )
        config = self.generation_config(assistant_model=assistant_model, **options)
        end = end_of_turn(prompt.behind, tokenizer)
        known = (None, *config.eos_token_ids)
        if end not in known and "eos_token_id" not in options:
            config = config.replace(eos_token_id=(*config.eos_token_ids, end))
        encoded = tokenizer(
            [prompt.text], padding=None, truncation=None, add_special_tokens=False
        )
        rows = [begun(encoded["input_ids"].to_list()[0], config.bos_token_id)]
        if stream:
            return self._generator.stream(
                rows[0], config, decode=self._decode, assistant=assistant_model
            )
        return self._answers(
            rows,
            config,
            self._decode,
            "text",
            single=True,
            assistant=assistant_model,
        )


def count_positions(ids, mask, documents=None):
    """Position of each token among the valid ones, int32 `[B, T]`, or `[T]`.

    With `documents` `[B, T]`, in the document that the token belongs to.
    """
    if documents is not None:
        return positions_in_documents(documents)
    if mask is None:
        return tf.range(tf.shape(ids)[1])
    return tf.maximum(tf.cumsum(tf.cast(mask, tf.int32), 1) - 1, 0)
