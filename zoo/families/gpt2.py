"""GPT-2 (Radford et al. 2019), as HF's `gpt2` checkpoints have it."""

from dataclasses import replace

from zoo.checkpoints import TRANSPOSED, Row, WeightTable
from zoo.families.family import CHAIN, Family, linear
from zoo.families.translation import Key, Only, Translation

CONFIG = Translation(
    model_type="gpt2",
    fixed={"position": "learned", "norm": "layer", "norm_place": "pre"},
    entries=(
        Key("vocab_size", default=50257),
        Key("n_positions", "max_position_embeddings", default=1024),
        Key("n_embd", "hidden_size", default=768),
        Key("n_layer", "num_hidden_layers", default=12),
        Key("n_head", "num_attention_heads", default=12),
        Key("n_inner", "intermediate_size", default=None),
        Key("activation_function", "hidden_act", default="gelu_new"),
        Key("resid_pdrop", "hidden_dropout_prob", default=0.1),
        Key("embd_pdrop", "embedding_dropout_prob", default=0.1),
        Key("attn_pdrop", "attention_probs_dropout_prob", default=0.1),
        Key("layer_norm_epsilon", "layer_norm_eps", default=1e-5),
        Key("initializer_range", default=0.02),
        Key("tie_word_embeddings", default=True),
        Key("bos_token_id", default=50256),
        Key("eos_token_id", default=50256),
        Only("scale_attn_weights", True),
        Only("scale_attn_by_inverse_layer_idx", False),
    ),
    harmless=frozenset(
        "n_ctx reorder_and_upcast_attn summary_activation summary_first_dropout "
        "summary_proj_to_labels summary_type summary_use_proj".split()
    ),
)

LAYER = "transformer.h.{i}"
BLOCK = "decoder.blocks.{i}"


def conv1d(weight, tensor):
    """HF's Conv1D stores its weight as [in, out]."""
    return (
        Row(f"{weight}.weight", f"{tensor}.weight", TRANSPOSED),
        Row(f"{weight}.bias", f"{tensor}.bias"),
    )


SCORE = (Row("classifier.weight", "score.weight"),)
CLASSIFIER = linear("classifier", "classifier")

TABLE = WeightTable(
    base=(
        Row("embeddings.tokens.weight", "transformer.wte.weight"),
        Row("embeddings.positions.weight", "transformer.wpe.weight"),
        *linear(f"{BLOCK}.attention_norm", f"{LAYER}.ln_1"),
        *conv1d(f"{BLOCK}.attention.qkv", f"{LAYER}.attn.c_attn"),
        *conv1d(f"{BLOCK}.attention.out_proj", f"{LAYER}.attn.c_proj"),
        *linear(f"{BLOCK}.feedforward_norm", f"{LAYER}.ln_2"),
        *conv1d(f"{BLOCK}.feedforward.up", f"{LAYER}.mlp.c_fc"),
        *conv1d(f"{BLOCK}.feedforward.down", f"{LAYER}.mlp.c_proj"),
        *linear("decoder.final_norm", "transformer.ln_f"),
    ),
    heads={
        "lm_head": (Row("lm_head.weight", "lm_head.weight"),),
        "classifier": SCORE,
        "token_classifier": CLASSIFIER,
        "qa_outputs": linear("qa_outputs", "qa_outputs"),
        "crf": CHAIN,
    },
    prefix="transformer.",
    aliases={"lm_head.weight": "transformer.wte.weight"},
    ignored=(f"{LAYER}.attn.bias", f"{LAYER}.attn.masked_bias"),
)

TOKEN_TABLE = replace(
    TABLE,
    heads={**TABLE.heads, "classifier": CLASSIFIER, "text_classifier": SCORE},
)

GPT2 = Family(
    assembly="decoder",
    translation=CONFIG,
    table=TABLE,
    architectures={
        "model": "GPT2Model",
        "causal_lm": "GPT2LMHeadModel",
        "sequence_classification": "GPT2ForSequenceClassification",
        "token_classification": "GPT2ForTokenClassification",
        "question_answering": "GPT2ForQuestionAnswering",
    },
    tables={"token_classification": TOKEN_TABLE},
)
