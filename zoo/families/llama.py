"""Llama 1 to 3.1 (Touvron et al. 2023, arXiv:2302.13971), SmolLM and TinyLlama."""

from dataclasses import replace

from zoo.checkpoints import Row, Stacked, WeightTable
from zoo.families.family import CHAIN, Family, linear, query_key_value_rows, with_prefix
from zoo.families.translation import Key, Only, Rope, Translation

FIXED = {
    "position": "rotary",
    "norm": "rms",
    "norm_place": "pre",
    "feedforward": "gated",
    "norm_bias": False,
}
KEYS = (
    Key("vocab_size", default=32000),
    Key("hidden_size", default=4096),
    Key("num_hidden_layers", default=32),
    Key("num_attention_heads", default=32),
    Key("num_key_value_heads", default=None),
    Key("intermediate_size", default=11008),
    Key("hidden_act", default="silu"),
    Key("max_position_embeddings", default=2048),
    Key("rms_norm_eps", "layer_norm_eps", default=1e-6),
    Key("attention_dropout", "attention_probs_dropout_prob", default=0.0),
    Key("initializer_range", default=0.02),
    Key("tie_word_embeddings", default=False),
    Rope(),
)
CONFIG = Translation(
    model_type="llama",
    fixed=FIXED,
    entries=(
        *KEYS,
        Key("head_dim", default=None),
        Key("attention_bias", "attention_bias", "attention_output_bias", default=False),
        Key("mlp_bias", default=False),
        Key("bos_token_id", default=1),
        Key("eos_token_id", default=2),
        Only("rope_interleaved", False),
        Only("is_llama_config", True),
    ),
)

LAYER = "model.layers.{i}"
BLOCK = "decoder.blocks.{i}"


TABLE = WeightTable(
    base=(
        Row("embeddings.tokens.weight", "model.embed_tokens.weight"),
        Row(f"{BLOCK}.attention_norm.weight", f"{LAYER}.input_layernorm.weight"),
        *linear(
            f"{BLOCK}.attention.qkv",
            tuple(f"{LAYER}.self_attn.{name}_proj" for name in "qkv"),
            Stacked(query_key_value_rows),
        ),
        *linear(f"{BLOCK}.attention.out_proj", f"{LAYER}.self_attn.o_proj"),
        Row(
            f"{BLOCK}.feedforward_norm.weight",
            f"{LAYER}.post_attention_layernorm.weight",
        ),
        *linear(
            f"{BLOCK}.feedforward.up",
            (f"{LAYER}.mlp.gate_proj", f"{LAYER}.mlp.up_proj"),
            Stacked(parts=2),
        ),
        *linear(f"{BLOCK}.feedforward.down", f"{LAYER}.mlp.down_proj"),
        Row("decoder.final_norm.weight", "model.norm.weight"),
    ),
    heads={
        "lm_head": (Row("lm_head.weight", "lm_head.weight"),),
        "classifier": linear("classifier", "score"),
        "qa_outputs": linear("qa_outputs", "qa_outputs"),
        "crf": CHAIN,
    },
    prefix="model.",
    aliases={"lm_head.weight": "model.embed_tokens.weight"},
    ignored=(f"{LAYER}.self_attn.rotary_emb.inv_freq",),
    renames={"transformer": "model"},
)
# LlamaForQuestionAnswering and Qwen2's alone keep the prefix of older versions.
ANSWERER_TABLE = replace(
    with_prefix(TABLE, "transformer."), renames={"model": "transformer"}
)


def architectures(name):
    """HF's classes for a family whose weights are named like these."""
    return {
        "model": f"{name}Model",
        "causal_lm": f"{name}ForCausalLM",
        "sequence_classification": f"{name}ForSequenceClassification",
        "token_classification": f"{name}ForTokenClassification",
        "question_answering": f"{name}ForQuestionAnswering",
    }


LLAMA = Family(
    assembly="decoder",
    translation=CONFIG,
    table=TABLE,
    architectures=architectures("Llama"),
    tables={"question_answering": ANSWERER_TABLE},
)
