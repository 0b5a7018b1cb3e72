"""Small models to pretrain, one for each objective."""

from zoo import GPTModel, MaskedLM, T5Model, TransformerConfig
from zoo.tasks.replaced_tokens import ReplacedTokenDetection


def make_model(flags, tokenizer):
    """A GPTModel, MaskedLM, T5Model or ReplacedTokenDetection with new weights.

    Args:
        flags: `objective`, `hidden_size`, `layers` and `length`, as of
            `applications.pretrain`.
        tokenizer: zoo.Tokenizer of its vocabulary.
    """
    width = flags.hidden_size
    sizes = {
        "vocab_size": tokenizer.vocab_size,
        "hidden_size": width,
        "num_hidden_layers": flags.layers,
        "num_attention_heads": max(1, width // 64),
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    gated = {"norm": "rms", "norm_bias": False, "feedforward": "gated"}
    gated.update(attention_bias=False, mlp_bias=False, tie_word_embeddings=False)
    gated["intermediate_size"] = max(16, width * 8 // 3 // 16 * 16)
    if flags.objective == "causal":
        sizes.update(gated, hidden_act="silu", max_position_embeddings=flags.length)
        sizes["tie_word_embeddings"] = True
        return GPTModel(
            TransformerConfig(model_type="llama", position="rotary", **sizes)
        )
    if flags.objective == "span":  # T5 1.1
        sizes.update(gated, num_hidden_layers=max(1, flags.layers // 2))
        sizes.update(hidden_act="gelu_new", position="relative", attention_scale=1.0)
        sizes["decoder_start_token_id"] = tokenizer.pad_token_id
        return T5Model(TransformerConfig(model_type="t5", **sizes))
    sizes.update(norm_place="post", embedding_norm=True, type_vocab_size=2)
    config = TransformerConfig(
        model_type="bert", max_position_embeddings=flags.length, **sizes
    )
    model = MaskedLM if flags.objective == "masked" else ReplacedTokenDetection
    return model(config)
