"""BERT (Devlin et al. 2018, arXiv:1810.04805), as HF's `bert` checkpoints have it."""

from zoo.checkpoints import Repeated, Row, Stacked, WeightTable
from zoo.families.family import CHAIN, Family, linear
from zoo.families.translation import Key, Only, Translation

CONFIG = Translation(
    model_type="bert",
    fixed={
        "position": "learned",
        "norm": "layer",
        "norm_place": "post",
        "feedforward": "plain",
        "embedding_norm": True,
        "pooler": True,
    },
    entries=(
        Key("vocab_size", default=30522),
        Key("hidden_size", default=768),
        Key("num_hidden_layers", default=12),
        Key("num_attention_heads", default=12),
        Key("intermediate_size", default=3072),
        Key("hidden_act", default="gelu"),
        Key("max_position_embeddings", default=512),
        Key("type_vocab_size", default=2),
        Key("layer_norm_eps", default=1e-12),
        Key(
            "hidden_dropout_prob",
            "hidden_dropout_prob",
            "embedding_dropout_prob",
            default=0.1,
        ),
        Key("attention_probs_dropout_prob", default=0.1),
        Key("initializer_range", default=0.02),
        Key("tie_word_embeddings", default=True),
        Key("pad_token_id", default=0),
        Only("position_embedding_type", "absolute"),
    ),
    harmless=frozenset(
        "pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers "
        "pooler_size_per_head pooler_type".split()
    ),
)

LAYER = "bert.encoder.layer.{i}"
BLOCK = "encoder.blocks.{i}"


def masked_lm_rows(norm):
    """The head that fills masks; `norm` is what the family calls its norm."""
    return (
        *linear("transform", "cls.predictions.transform.dense"),
        *linear("transform_norm", f"cls.predictions.transform.{norm}"),
        Row("lm_head.weight", "cls.predictions.decoder.weight"),
        # `transformers` adds the second alone, and ties the first to it or lets it
        # go stale. Checkpoints have either or both.
        Row(
            "lm_head.bias",
            ("cls.predictions.bias", "cls.predictions.decoder.bias"),
            Repeated(),
            written=lambda config: 1 if config.tie_word_embeddings else 2,
        ),
    )


TABLE = WeightTable(
    base=(
        Row("embeddings.tokens.weight", "bert.embeddings.word_embeddings.weight"),
        Row(
            "embeddings.positions.weight", "bert.embeddings.position_embeddings.weight"
        ),
        Row(
            "embeddings.token_types.weight",
            "bert.embeddings.token_type_embeddings.weight",
        ),
        *linear("embeddings.norm", "bert.embeddings.LayerNorm"),
        *(
            Row(
                f"{BLOCK}.attention.qkv.{part}",
                tuple(
                    f"{LAYER}.attention.self.{name}.{part}"
                    for name in ("query", "key", "value")
                ),
                Stacked(parts=3),
            )
            for part in ("weight", "bias")
        ),
        *linear(f"{BLOCK}.attention.out_proj", f"{LAYER}.attention.output.dense"),
        *linear(f"{BLOCK}.attention_norm", f"{LAYER}.attention.output.LayerNorm"),
        *linear(f"{BLOCK}.feedforward.up", f"{LAYER}.intermediate.dense"),
        *linear(f"{BLOCK}.feedforward.down", f"{LAYER}.output.dense"),
        *linear(f"{BLOCK}.feedforward_norm", f"{LAYER}.output.LayerNorm"),
    ),
    heads={
        "pooler": linear("pooler", "bert.pooler.dense"),
        "classifier": linear("classifier", "classifier"),
        "crf": CHAIN,
        "masked_lm": masked_lm_rows("LayerNorm"),
        "next_sentence": linear("next_sentence", "cls.seq_relationship"),
        "qa_outputs": linear("qa_outputs", "qa_outputs"),
    },
    prefix="bert.",
    aliases={
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
        "cls.predictions.bias": "cls.predictions.decoder.bias",
    },
    ignored=("bert.embeddings.position_ids",),
    renames={"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"},
)

BERT = Family(
    assembly="encoder",
    translation=CONFIG,
    table=TABLE,
    architectures={
        "model": "BertModel",
        "masked_lm": "BertForMaskedLM",
        "sequence_classification": "BertForSequenceClassification",
        "token_classification": "BertForTokenClassification",
        "question_answering": "BertForQuestionAnswering",
    },
)
