"""Tiny reference configurations that are unusual: what each family must get right.

A case is a name and the keyword arguments of the family's HF configuration class. Sizes
are small, so that a case takes a second; they differ from each other, so that no two
can be mistaken for one another.
"""

BERT = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "vocab_size": 67,
    "max_position_embeddings": 19,
}
NOMIC_BERT = {**BERT, "hidden_act": "silu"}
GPT2 = {
    "n_embd": 24,
    "n_layer": 2,
    "n_head": 4,
    "vocab_size": 67,
    "n_positions": 19,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
LLAMA = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 40,
    "vocab_size": 67,
    "max_position_embeddings": 32,
    "pad_token_id": None,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
T5 = {
    "d_model": 24,
    "d_kv": 8,
    "d_ff": 40,
    "num_layers": 2,
    "num_heads": 3,
    "vocab_size": 67,
    "decoder_start_token_id": 0,
}


def rope(kind, theta=10_000.0, **parameters):
    """A rotary scaling in the words of the reference."""
    return {"rope_parameters": {"rope_type": kind, "rope_theta": theta, **parameters}}


# Of the inputs, which have 13 tokens, some positions lie beyond 6: that is where the
# dynamic scaling begins to grow.
ROTARY = {
    "linear": rope("linear", factor=2.5),
    "dynamic": {**rope("dynamic", factor=3.0), "max_position_embeddings": 6},
    "dynamic, short input": rope("dynamic", factor=3.0),
    "yarn": rope("yarn", factor=4.0, original_max_position_embeddings=8),
    "yarn, not truncated": rope(
        "yarn",
        theta=500.0,
        factor=4.0,
        original_max_position_embeddings=16,
        truncate=False,
        beta_fast=8.0,
        beta_slow=0.5,
    ),
    "yarn, mscale": rope(
        "yarn",
        factor=6.0,
        original_max_position_embeddings=8,
        mscale=0.8,
        mscale_all_dim=1.3,
    ),
    "yarn, attention factor": rope(
        "yarn",
        factor=6.0,
        original_max_position_embeddings=8,
        attention_factor=0.7,
    ),
    "llama3": rope(
        "llama3",
        theta=700.0,
        factor=8.0,
        low_freq_factor=1.0,
        high_freq_factor=4.0,
        original_max_position_embeddings=64,
    ),
}

CASES = {
    "bert": {
        "plain": BERT,
        "wide heads, relu, large epsilon": {
            **BERT,
            "num_attention_heads": 2,
            "hidden_act": "relu",
            "layer_norm_eps": 0.03,
        },
        "heads of 3, one token type, gelu_new": {
            **BERT,
            "num_attention_heads": 8,
            "type_vocab_size": 1,
            "hidden_act": "gelu_new",
        },
        "three token types, silu, one layer": {
            **BERT,
            "type_vocab_size": 3,
            "hidden_act": "silu",
            "num_hidden_layers": 1,
        },
        "one head, narrow, four layers, untied": {
            **BERT,
            "num_attention_heads": 1,
            "intermediate_size": 7,
            "num_hidden_layers": 4,
            "hidden_act": "tanh",
            "tie_word_embeddings": False,
        },
    },
    "nomic_bert": {
        "plain": NOMIC_BERT,
        "three token types, odd head size, gelu, large epsilon": {
            **NOMIC_BERT,
            "head_dim": 10,
            "type_vocab_size": 3,
            "hidden_act": "gelu",
            "layer_norm_eps": 0.03,
        },
        "yarn, one head, narrow, one layer": {
            **NOMIC_BERT,
            **ROTARY["yarn"],
            "num_attention_heads": 1,
            "intermediate_size": 7,
            "num_hidden_layers": 1,
        },
    },
    "gpt2": {
        "plain": GPT2,
        "n_inner, relu, large epsilon": {
            **GPT2,
            "n_inner": 31,
            "activation_function": "relu",
            "layer_norm_epsilon": 0.03,
        },
        "untied, heads of 3, gelu": {
            **GPT2,
            "n_head": 8,
            "activation_function": "gelu",
            "tie_word_embeddings": False,
        },
        "one head, one layer, silu": {
            **GPT2,
            "n_head": 1,
            "n_layer": 1,
            "activation_function": "silu",
        },
    },
    "llama": {
        "plain": LLAMA,
        "multi-query, odd head size, large epsilon": {
            **LLAMA,
            "num_key_value_heads": 1,
            "head_dim": 10,
            "rms_norm_eps": 0.03,
        },
        "multi-head, tied, gelu, all biases": {
            **LLAMA,
            "num_key_value_heads": 4,
            "tie_word_embeddings": True,
            "hidden_act": "gelu",
            "attention_bias": True,
            "mlp_bias": True,
        },
        "three queries a key, head wider than hidden / heads": {
            **LLAMA,
            "num_attention_heads": 6,
            "head_dim": 16,
            "attention_bias": True,
            "hidden_act": "relu",
            **rope("default", theta=123.0),
        },
        "mlp bias alone, one layer": {
            **LLAMA,
            "mlp_bias": True,
            "num_hidden_layers": 1,
        },
        **{name: {**LLAMA, **change} for name, change in ROTARY.items()},
    },
    "mistral": {
        "sliding window": {**LLAMA, "sliding_window": 4},
        "window of one": {**LLAMA, "sliding_window": 1, "head_dim": 10},
        "no window, multi-query": {
            **LLAMA,
            "sliding_window": None,
            "num_key_value_heads": 1,
        },
        "wide window, tied, yarn": {
            **LLAMA,
            "sliding_window": 50,
            "tie_word_embeddings": True,
            **ROTARY["yarn"],
        },
    },
    "qwen2": {
        "plain": LLAMA,
        "window from the second of three layers on": {
            **LLAMA,
            "num_hidden_layers": 3,
            "use_sliding_window": True,
            "sliding_window": 4,
            "max_window_layers": 1,
        },
        "layers named, tied": {
            **LLAMA,
            "tie_word_embeddings": True,
            "use_sliding_window": True,
            "sliding_window": 3,
            "layer_types": ["sliding_attention", "full_attention"],
        },
        "window not used": {**LLAMA, "sliding_window": 3, "max_window_layers": 0},
        "head wider than hidden / heads": {**LLAMA, "head_dim": 10},
        "multi-query, linear": {
            **LLAMA,
            "num_key_value_heads": 1,
            **ROTARY["linear"],
        },
    },
    "t5": {
        "1.0": T5,
        "1.1, untied": {
            **T5,
            "feed_forward_proj": "gated-gelu",
            "tie_word_embeddings": False,
        },
        "gated silu, deeper decoder": {
            **T5,
            "feed_forward_proj": "gated-silu",
            "num_decoder_layers": 3,
        },
        "shallower decoder, small buckets, large epsilon": {
            **T5,
            "num_layers": 3,
            "num_decoder_layers": 1,
            "relative_attention_num_buckets": 8,
            "relative_attention_max_distance": 10,
            "layer_norm_epsilon": 0.03,
        },
        "odd head size, gelu, odd buckets": {
            **T5,
            "d_kv": 5,
            "num_heads": 7,
            "feed_forward_proj": "gelu",
            "relative_attention_num_buckets": 11,
            "relative_attention_max_distance": 9,
        },
    },
    "mt5": {
        "plain": T5,
        "untied": {**T5, "tie_word_embeddings": False},
        "tied, relu": {**T5, "tie_word_embeddings": True, "feed_forward_proj": "relu"},
        "deeper decoder, small buckets": {
            **T5,
            "num_decoder_layers": 3,
            "relative_attention_num_buckets": 6,
            "relative_attention_max_distance": 7,
        },
    },
    "umt5": {
        "separate relative biases": T5,
        "plain feed-forward, deeper decoder": {
            **T5,
            "feed_forward_proj": "relu",
            "num_decoder_layers": 3,
        },
        "untied, odd head size": {
            **T5,
            "d_kv": 5,
            "tie_word_embeddings": False,
            "relative_attention_num_buckets": 10,
            "relative_attention_max_distance": 9,
        },
    },
}

# Task heads: name -> (family, key of `Family.architectures`, configuration).
LABELS = {"id2label": {0: "bad", 1: "fair", 2: "good"}}
HEADS = {
    "classifier": ("bert", "sequence_classification", {**BERT, **LABELS}),
    "token classifier": ("bert", "token_classification", {**BERT, **LABELS}),
    "nomic_bert classifier": (
        "nomic_bert",
        "sequence_classification",
        {**NOMIC_BERT, **LABELS},
    ),
    "nomic_bert token classifier": (
        "nomic_bert",
        "token_classification",
        {**NOMIC_BERT, **LABELS},
    ),
    **{
        f"{family} {name}": (
            family,
            architecture,
            {**settings, **LABELS, "pad_token_id": 0},
        )
        for family, settings in (
            ("gpt2", {**GPT2, "n_head": 2}),
            ("llama", LLAMA),
            ("mistral", {**LLAMA, "sliding_window": 4}),
            ("qwen2", {**LLAMA, "tie_word_embeddings": True}),
        )
        for name, architecture in (
            ("classifier", "sequence_classification"),
            ("token classifier", "token_classification"),
        )
    },
    "t5 classifier": ("t5", "sequence_classification", {**T5, **LABELS}),
    "t5 classifier, gated, shallower decoder": (
        "t5",
        "sequence_classification",
        {
            **T5,
            **LABELS,
            "feed_forward_proj": "gated-gelu",
            "num_decoder_layers": 1,
            "tie_word_embeddings": False,
        },
    ),
    "mt5 classifier": ("mt5", "sequence_classification", {**T5, **LABELS}),
    "umt5 classifier": ("umt5", "sequence_classification", {**T5, **LABELS}),
    "t5 token classifier": ("t5", "token_classification", {**T5, **LABELS}),
    "mt5 token classifier": (
        "mt5",
        "token_classification",
        {**T5, **LABELS, "num_decoder_layers": 3},
    ),
    "masked LM": ("bert", "masked_lm", {**BERT, "hidden_act": "gelu_new"}),
    "masked LM, wide heads": (
        "bert",
        "masked_lm",
        {**BERT, "num_attention_heads": 2, "layer_norm_eps": 0.03},
    ),
    "nomic_bert masked LM": ("nomic_bert", "masked_lm", NOMIC_BERT),
    "nomic_bert masked LM, untied": (
        "nomic_bert",
        "masked_lm",
        {**NOMIC_BERT, "tie_word_embeddings": False},
    ),
    "masked LM, untied": ("bert", "masked_lm", {**BERT, "tie_word_embeddings": False}),
}
# The same, of heads for spans.
ANSWERERS = {
    f"{name} question answerer": (
        name.partition(",")[0],
        "question_answering",
        settings,
    )
    for name, settings in {
        "bert": BERT,
        "bert, wide heads": {**BERT, "num_attention_heads": 2, "hidden_act": "relu"},
        "gpt2": {**GPT2, "n_head": 2},
        "llama": {**LLAMA, "mlp_bias": True},
        "mistral": {**LLAMA, "sliding_window": 4},
        "qwen2": {**LLAMA, "tie_word_embeddings": True},
        "t5": T5,
        "mt5": {**T5, "num_decoder_layers": 3},
        "umt5": T5,
    }.items()
}
