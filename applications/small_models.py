"""Configurations of small models to train anew, and the optimizer that T5 wants."""

from zoo import TransformerConfig
from zoo.training import Adafactor, WarmupDecay


def llama_config(tokenizer, *, hidden_size, layers, length):
    """A decoder like Llama, with tied embeddings.

    Args:
        tokenizer: zoo.Tokenizer of its vocabulary.
        hidden_size: D, a multiple of 64.
        layers: L.
        length: The longest row, in tokens.
    """
    return TransformerConfig(
        model_type="llama",
        hidden_act="silu",
        position="rotary",
        max_position_embeddings=length,
        tie_word_embeddings=True,
        norm="rms",
        norm_bias=False,
        **_sizes(tokenizer, hidden_size, layers),
        **_gated(hidden_size),
    )


def t5_config(tokenizer, *, hidden_size, layers):
    """A T5 1.1, of so many blocks in each half; arguments as of `llama_config`.

    Tokens are drawn as T5's are, with a deviation of 1. At 0.02 they are lost beside
    what attention adds to them: after 650 steps of span corruption the loss was 6.38
    nats, which is that of frequencies alone, where 1 gave 6.01 (0.3: 6.18).
    """
    return TransformerConfig(
        model_type="t5",
        hidden_act="gelu_new",
        position="relative",
        embedding_initializer_range=1.0,
        attention_scale=1.0,
        decoder_start_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
        norm="rms",
        norm_bias=False,
        **_sizes(tokenizer, hidden_size, layers),
        **_gated(hidden_size),
    )


def t5_optimizer(peak, steps):
    """Adafactor, which T5 was made with.

    Its steps are shares of what a weight is, and T5's tokens are fifty times as large
    as its other weights. After 647 steps of span corruption: 5.64 nats at a peak of
    0.1, 5.77 at 0.03; AdamW 6.01 at its best rate.

    Args:
        peak: Share of itself by which a weight changes, at most; after step n it is no
            more than one over the square root of n (Shazeer and Stern 2018).
        steps: In which it rises, and falls to zero.
    """
    return Adafactor(
        WarmupDecay(peak, "cosine", warmup_steps=steps // 10, total_steps=steps)
    )


def nomic_bert_config(tokenizer, *, hidden_size, layers, length, **others):
    """A BERT with rotary positions and gated layers, as Nomic's is.

    One of the same size whose positions are a learnt table stays at the frequencies of
    tokens when it learns to fill masks from nothing: 5.89 nats after 1,310 steps and
    5.84 after 5,240, where this one is at 4.57 after 1,309.

    Args:
        others: As of TransformerConfig; the rest as of `llama_config`.
    """
    own = {
        "hidden_act": "silu",
        "position": "rotary",
        "norm_place": "post",
        "layer_norm_eps": 1e-12,
        "embedding_norm": True,
        "type_vocab_size": 2,
    }
    return TransformerConfig(
        model_type="nomic_bert",
        max_position_embeddings=length,
        **{
            **_sizes(tokenizer, hidden_size, layers),
            **_gated(hidden_size),
            **own,
            **others,
        },
    )


def _sizes(tokenizer, hidden_size, layers):
    return {
        "vocab_size": tokenizer.vocab_size,
        "hidden_size": hidden_size,
        "num_hidden_layers": layers,
        "num_attention_heads": max(1, hidden_size // 64),
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }


def _gated(hidden_size):
    """Gated feed-forward layers, and no biases in blocks but those of norms."""
    return {
        "feedforward": "gated",
        "attention_bias": False,
        "mlp_bias": False,
        "intermediate_size": max(16, hidden_size * 8 // 3 // 16 * 16),
    }
