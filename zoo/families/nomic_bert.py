"""Nomic BERT (Nussbaum et al. 2024, arXiv:2402.01613): BERT with rotary positions.

Its feed-forward layers are gated, and only the norms of its blocks have biases. It is
also the encoder to train from nothing: a small one learns in one pass to fill masks
where a BERT of the same size, whose table of positions is learnt, stays at the
frequencies of tokens (docs/pretraining.md).

The configuration is that of `transformers`' own class. An older one on the hub, whose
keys are GPT-2's (`n_embd`, ...), is refused by name.
"""

from zoo.checkpoints import Row, Stacked, WeightTable
from zoo.families import bert
from zoo.families.family import Family, linear
from zoo.families.translation import Key, Rope, Translation, with_defaults

CONFIG = Translation(
    model_type="nomic_bert",
    fixed={
        **bert.CONFIG.fixed,
        "position": "rotary",
        "feedforward": "gated",
        "attention_bias": False,
        "mlp_bias": False,
        "pooler": False,
    },
    entries=(
        *with_defaults(
            (e for e in bert.CONFIG.entries if "position_embedding_type" not in e.keys),
            vocab_size=30528,
            hidden_act="silu",
            max_position_embeddings=2048,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        ),
        Key("head_dim", default=None),
        Rope(default_theta=1000.0),
    ),
)

# As in its files; the classes of `transformers` have other names and rename these.
LAYER = "nomic_bert.encoder.layers.{i}"
BLOCK = "encoder.blocks.{i}"


TABLE = WeightTable(
    base=(
        Row("embeddings.tokens.weight", "nomic_bert.embeddings.word_embeddings.weight"),
        Row(
            "embeddings.token_types.weight",
            "nomic_bert.embeddings.token_type_embeddings.weight",
        ),
        *linear("embeddings.norm", "nomic_bert.emb_ln"),
        Row(f"{BLOCK}.attention.qkv.weight", f"{LAYER}.attn.Wqkv.weight"),
        Row(f"{BLOCK}.attention.out_proj.weight", f"{LAYER}.attn.out_proj.weight"),
        *linear(f"{BLOCK}.attention_norm", f"{LAYER}.norm1"),
        Row(
            f"{BLOCK}.feedforward.up.weight",
            (f"{LAYER}.mlp.fc12.weight", f"{LAYER}.mlp.fc11.weight"),  # gate, up
            Stacked(parts=2),
        ),
        Row(f"{BLOCK}.feedforward.down.weight", f"{LAYER}.mlp.fc2.weight"),
        *linear(f"{BLOCK}.feedforward_norm", f"{LAYER}.norm2"),
    ),
    heads={
        **bert.TABLE.heads,
        "pooler": linear("pooler", "nomic_bert.pooler.dense"),
        "masked_lm": bert.masked_lm_rows("layer_norm"),
    },
    prefix="nomic_bert.",
    aliases={
        **bert.TABLE.aliases,
        "cls.predictions.decoder.weight": (
            "nomic_bert.embeddings.word_embeddings.weight"
        ),
    },
)

NOMIC_BERT = Family(
    assembly="encoder",
    translation=CONFIG,
    table=TABLE,
    architectures={
        "model": "NomicBertModel",
        "masked_lm": "NomicBertForMaskedLM",
        "sequence_classification": "NomicBertForSequenceClassification",
        "token_classification": "NomicBertForTokenClassification",
    },
)
