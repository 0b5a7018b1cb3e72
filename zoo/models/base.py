"""What the three models share: inputs by name, layers from a configuration."""

import functools
import re

import keras
import tensorflow as tf

from zoo.errors import ConfigError, InputError
from zoo.layers.attention import soft_cap, watched_attention
from zoo.layers.graph_lifetime import let_graphs_go
from zoo.layers.linear import Linear, multiply
from zoo.models.lora import AdaptableModel
from zoo.training.chunked_cross_entropy import Head

let_graphs_go()  # of models that are gone: of a notebook, of the trials of a search


class TransformerModel(AdaptableModel):
    """A Keras model that a TransformerConfig describes whole.

    Its weights exist as soon as it does. Subclasses make their layers in `__init__`,
    build them in `build_layers` and compute in `run`.

    Attributes:
        assembly: "encoder", "decoder" or "encoder_decoder".
        input_names: Names that a dictionary of inputs may have.
        required_inputs: Those that it must have.
    """

    assembly: str
    input_names: tuple[str, ...] = (
        "input_ids",
        "attention_mask",
        "token_type_ids",
        "position_ids",
        "document_ids",
    )
    required_inputs: tuple[str, ...] = ("input_ids",)

    def build(self, input_shape=None):
        """Makes all weights; their shapes follow from the configuration alone."""
        if not self.built:
            self.build_layers()
            self.built = True

    def build_layers(self):
        raise NotImplementedError

    def run(self, inputs, *, training=None, every_state=False):
        """Computes from checked inputs; every layer's output where asked for."""
        raise NotImplementedError

    def call(self, inputs, training=None):
        return self.run(self.read_inputs(inputs), training=training)

    def hidden_states(self, inputs):
        """Every layer's output, L + 1 tensors `[B, T, D]`, beginning with embeddings.

        As in the reference, the last one has passed the final norm. An encoder-decoder
        gives a dictionary with one such list for its "encoder" and its "decoder".
        """
        return self.run(self.read_inputs(inputs), training=False, every_state=True)

    def attentions(self, inputs):
        """What each token looks at: the attention weights of every layer.

        L tensors `[B, H, T, S]`, whose rows sum to 1. An encoder-decoder gives a
        dictionary with such a list for its "encoder", its "decoder", and its "cross"
        attention of the decoder to the encoder.

        Raises:
            InputError: for rows so long that attention goes by blocks.
        """
        with watched_attention() as seen:
            self.hidden_states(inputs)  # of all tokens, even where a head reads one
        own = [weights for layer, weights in seen if not layer.cross]
        across = [weights for layer, weights in seen if layer.cross]
        if not across:
            return own
        depth = len(own) - len(across)
        return {"encoder": own[:depth], "decoder": own[depth:], "cross": across}

    def read_inputs(self, inputs):
        """Inputs as a dictionary of int tensors `[B, T]`, by their HF names.

        Raises:
            InputError: on an unknown or missing name, a wrong rank or dtype, or more
                tokens than the model has positions for.
        """
        if not isinstance(inputs, dict):
            inputs = {"input_ids": inputs}
        inputs = {name: value for name, value in inputs.items() if value is not None}
        unknown = [name for name in inputs if name not in self.input_names]
        missing = [name for name in self.required_inputs if name not in inputs]
        if unknown or missing:
            problem = f"does not take {unknown}" if unknown else f"lacks {missing}"
            raise InputError(
                f"{type(self).__name__} {problem}. It takes a dictionary with "
                f"{', '.join(self.input_names)}; required: "
                f"{', '.join(self.required_inputs)}."
            )
        return {name: self._read_input(name, x) for name, x in inputs.items()}

    def _read_input(self, name, value):
        x = tf.convert_to_tensor(value)
        if x.shape.rank != 2:
            raise InputError(
                f"{name} has shape {tuple(x.shape)}; expected [B, T], a batch of rows "
                "of tokens."
            )
        if name.endswith("mask"):
            return x
        if not x.dtype.is_integer:
            raise InputError(
                f"{name} has dtype {x.dtype.name}; expected integers. Strings go "
                "through a tokenizer first."
            )
        limit, length = self.config.max_position_embeddings, x.shape[1]
        counted = self.config.position in ("learned", "sinusoidal")
        if counted and name.endswith("input_ids") and length and length > limit:
            raise InputError(
                f"{name} has {length} tokens, but the model has positions for {limit} "
                "(max_position_embeddings). Truncate the input."
            )
        return tf.cast(x, tf.int32)

    def get_config(self):
        return {
            "config": self.config.to_dict(),
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            "name": self.name,
            "trainable": self.trainable,
            **({"lora": self.lora} if self.lora else {}),
            **({"frozen": frozen} if (frozen := self.frozen()) else {}),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        frozen, lora = config.pop("frozen", ()), config.pop("lora", None)
        model = cls(**config)
        if lora:
            model.add_lora(**lora)
            model.unfreeze()
        model.freeze(*map(re.compile, map(re.escape, frozen)))
        return model

    def get_build_config(self):
        return {"input_shape": None}

    def build_from_config(self, config):
        self.build()


def language_model_head(config, dtype):
    """The head of its own that an untied model has, or None.

    Raises:
        ConfigError: if the token table is to be the head, but is not as wide.
    """
    if config.tie_word_embeddings:
        if config.embedding_size != config.hidden_size:
            raise ConfigError(
                f"embedding_size={config.embedding_size} and hidden_size="
                f"{config.hidden_size}: the token table cannot be the head of states "
                "of another width. Make them equal, or set tie_word_embeddings=False."
            )
        return None
    return Linear.of(
        config,
        config.vocab_size,
        use_bias=config.lm_head_bias,
        dtype=dtype,
        name="lm_head",
    )


def logits(x, config, head, tokens):
    """Scores of the next token, `[B, T, V]`, from the last hidden state `[B, T, D]`.

    Args:
        head: The model's own head, or None for the transposed token table.
        tokens: Embedding of the tokens.
    """
    if config.logit_scale != 1.0:
        x *= tf.cast(config.logit_scale, x.dtype)
    scores = head(x) if head is not None else multiply(x, tokens.weight)
    if config.final_logit_softcapping:
        scores = soft_cap(scores, config.final_logit_softcapping)
    return scores


def head_of(config, head, tokens):
    """What `logits` computes, but for `logit_scale`, as a Head.

    None where a product of matrices does not say it: where the head has a dropout.
    """
    if head is None:
        weight = tf.convert_to_tensor(tokens.weight)
    elif (weight := head.whole_weight()) is None:
        return None
    cap = None
    if config.final_logit_softcapping:
        cap = functools.partial(soft_cap, limit=config.final_logit_softcapping)
    bias = None if head is None else head.bias
    return Head(weight, None if bias is None else tf.convert_to_tensor(bias), cap)
