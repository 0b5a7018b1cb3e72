"""Configurations of tiny models, as the families' own: one layer of 16 numbers."""

from zoo.config import TransformerConfig
from zoo.families.t5 import FIXED as T5_FIXED


def bert(vocab_size, **changes):
    """A BERT with a pooler and without dropout; `changes` are of its configuration."""
    options = {
        "model_type": "bert",
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "max_position_embeddings": 48,
        "type_vocab_size": 2,
        "norm_place": "post",
        "embedding_norm": True,
        "pooler": True,
        "layer_norm_eps": 1e-12,
        "initializer_range": 0.3,
        "pad_token_id": 0,
    }
    return TransformerConfig(vocab_size=vocab_size, **{**options, **changes})


def llama(vocab_size, **changes):
    """A Llama; `changes` are of its configuration."""
    options = {
        "model_type": "llama",
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "max_position_embeddings": 32,
        "position": "rotary",
        "norm": "rms",
        "norm_bias": False,
        "feedforward": "gated",
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
        "initializer_range": 0.3,
    }
    return TransformerConfig(vocab_size=vocab_size, **{**options, **changes})


def t5(vocab_size, **changes):
    """A T5 without dropout; `changes` are of its configuration."""
    options = {
        "model_type": "t5",
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_decoder_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "hidden_act": "relu",
        "initializer_range": 0.3,
        "classifier_dropout": 0.0,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "decoder_start_token_id": 0,
        **T5_FIXED,
    }
    return TransformerConfig(vocab_size=vocab_size, **{**options, **changes})
