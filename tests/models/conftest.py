"""Tiny models of every assembly, and the inputs that they take."""

import keras
import numpy as np
import pytest

from zoo.config import TransformerConfig
from zoo.models import BertModel, GPTModel, T5Model

SMALL = {
    "vocab_size": 29,
    "hidden_size": 16,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "max_position_embeddings": 24,
    "initializer_range": 0.3,
}
ROTARY = {
    "position": "rotary",
    "norm": "rms",
    "norm_bias": False,
    "feedforward": "gated",
    "attention_bias": False,
    "mlp_bias": False,
}
KINDS = {
    "bert": (
        BertModel,
        {
            "norm_place": "post",
            "embedding_norm": True,
            "type_vocab_size": 2,
            "pooler": True,
        },
    ),
    "albert": (
        BertModel,
        {
            "norm_place": "post",
            "embedding_norm": True,
            "embedding_size": 6,
            "num_hidden_groups": 1,
        },
    ),
    "sinusoidal encoder": (BertModel, {"position": "sinusoidal"}),
    "alibi encoder": (BertModel, {"position": "alibi", "norm_place": "sandwich"}),
    "gpt2": (GPTModel, {"hidden_act": "gelu_new"}),
    "llama": (
        GPTModel,
        {**ROTARY, "num_key_value_heads": 2, "tie_word_embeddings": False},
    ),
    "sliding, capped, query and key norms": (
        GPTModel,
        {
            **ROTARY,
            "sliding_window": 3,
            "layer_types": ["sliding_attention", "full_attention"],
            "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": 3.0,
            "qk_norm": "rms",
            "norm_place": "sandwich",
            "embedding_scale": 4.0,
        },
    ),
    "parallel, alibi": (GPTModel, {"norm_place": "parallel", "position": "alibi"}),
    "t5": (
        T5Model,
        {
            "position": "relative",
            "norm": "rms",
            "norm_bias": False,
            "attention_bias": False,
            "mlp_bias": False,
            "attention_scale": 1.0,
            "num_decoder_layers": 3,
        },
    ),
}


def make(kind, dtype=None, **changes):
    """A model of this kind with seeded random weights."""
    cls, options = KINDS[kind]
    keras.utils.set_random_seed(7)
    return cls(TransformerConfig(**{**SMALL, **options, **changes}), dtype=dtype)


def random_ids(batch=3, length=8, seed=0):
    random = np.random.default_rng(seed)
    return random.integers(1, SMALL["vocab_size"], (batch, length)).astype(np.int32)


def inputs_for(model, ids, mask=None, decoder_ids=None, decoder_mask=None):
    """The dictionary that a model takes; the decoder's side is the same by default."""
    inputs = {"input_ids": ids}
    if mask is not None:
        inputs["attention_mask"] = mask
    if model.assembly == "encoder_decoder":
        inputs["decoder_input_ids"] = ids if decoder_ids is None else decoder_ids
        decoder_mask = mask if decoder_ids is None else decoder_mask
        if decoder_mask is not None:
            inputs["decoder_attention_mask"] = decoder_mask
    return inputs


@pytest.fixture(scope="session", params=KINDS)
def model(request):
    """One model of each kind; tests must not change it."""
    return make(request.param)
