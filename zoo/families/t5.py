"""T5 1.0 (arXiv:1910.10683), 1.1 and Flan; mT5 (2010.11934) and umT5 beside them."""

from dataclasses import replace
from typing import Any

from zoo.checkpoints import SAME, Row, Stacked, WeightTable
from zoo.families.family import CHAIN, Family, linear, with_prefix
from zoo.families.translation import Entry, Key, Only, Translation, with_defaults

FIXED: dict[str, Any] = {
    "position": "relative",
    "norm": "rms",
    "norm_place": "pre",
    "norm_bias": False,
    "attention_bias": False,
    "mlp_bias": False,
    "attention_scale": 1.0,
}


class FeedForwardProjection(Entry):
    """`feed_forward_proj`: "relu", "gated-silu" ..., and what is derived from it.

    As in the reference, "gated-gelu" means the tanh approximation.
    """

    keys = ("feed_forward_proj", "dense_act_fn", "is_gated_act")

    def __init__(self, default):
        self.default = default

    def read(self, given):
        value = str(given.get("feed_forward_proj", self.default))
        gated, act = value.startswith("gated-"), value.removeprefix("gated-")
        if value == "gated-gelu":
            act = "gelu_new"
        return {"feedforward": "gated" if gated else "plain", "hidden_act": act}

    def write(self, config):
        act = config.hidden_act
        if config.feedforward == "plain":
            return {"feed_forward_proj": act}
        return {"feed_forward_proj": f"gated-{'gelu' if act == 'gelu_new' else act}"}


class Head(Entry):
    """T5 1.0 ties its head to the token table and scales by 1 / sqrt(D); 1.1 neither.

    Version 5 of `transformers` writes the scaling as a key of its own, and
    `tie_word_embeddings` always true.

    Args:
        scales: False for mT5, whose outputs are never scaled.
    """

    keys = ("tie_word_embeddings", "scale_decoder_outputs")

    def __init__(self, scales=True):
        self.scales = scales

    def read(self, given):
        tied = given.get("tie_word_embeddings", True)
        scaled = self.scales and given.get("scale_decoder_outputs", tied)
        width = given.get("d_model", 512)
        if type(width) is not int or width < 1:
            scaled = False  # d_model itself is refused later, by its name
        scale = width**-0.5 if scaled else 1.0
        return {"tie_word_embeddings": tied, "logit_scale": scale}

    def write(self, config):
        tied = config.tie_word_embeddings
        if self.scales and tied and config.logit_scale == 1.0:
            return {"tie_word_embeddings": True, "scale_decoder_outputs": False}
        return {"tie_word_embeddings": tied}


def settle_head(config, names):
    """Where outputs are not scaled, the head is tied unless the checkpoint has one."""
    if config.logit_scale != 1.0:
        return config
    return config.replace(tie_word_embeddings="lm_head.weight" not in names)


KEYS = (
    Key("vocab_size", default=32128),
    Key("d_model", "hidden_size", default=512),
    Key("d_kv", "head_dim", default=64),
    Key("d_ff", "intermediate_size", default=2048),
    Key("num_layers", "num_hidden_layers", default=6),
    Key("num_decoder_layers", default=None),
    Key("num_heads", "num_attention_heads", default=8),
    Key("relative_attention_num_buckets", default=32),
    Key("relative_attention_max_distance", default=128),
    Key(
        "dropout_rate",
        "hidden_dropout_prob",
        "embedding_dropout_prob",
        "attention_probs_dropout_prob",
        "feedforward_dropout_prob",
        "final_dropout_prob",
        default=0.1,
    ),
    Key("layer_norm_epsilon", "layer_norm_eps", default=1e-6),
    Key("classifier_dropout", default=0.0, none_is_default=True),
    Key("pad_token_id", default=0),
    Key("eos_token_id", default=1),
    Key("decoder_start_token_id", default=0),
    Only("is_encoder_decoder", True, False),  # False: the encoder alone
)
MULTILINGUAL = {"vocab_size": 250112, "d_ff": 1024, "num_layers": 8, "num_heads": 6}
# The sizes of initial weights matter to nobody who loads a checkpoint; n_positions is
# the length of T5's pretraining, not a limit.
OTHERS = frozenset({"initializer_factor", "n_positions", "output_past"})


def table(config):
    """The weight table, for a plain or a gated feed-forward layer."""
    cross = "decoder.block.{i}.layer.1.EncDecAttention"
    block = "decoder.blocks.{i}"
    return WeightTable(
        base=(
            Row("embeddings.tokens.weight", "shared.weight"),
            *stack("encoder", 1, config.feedforward),
            *stack("decoder", 2, config.feedforward),
            Row(f"{block}.cross_attention.query.weight", f"{cross}.q.weight"),
            Row(
                f"{block}.cross_attention.key_value.weight",
                (f"{cross}.k.weight", f"{cross}.v.weight"),
                Stacked(parts=2),
            ),
            Row(f"{block}.cross_attention.out_proj.weight", f"{cross}.o.weight"),
            Row(
                f"{block}.cross_attention_norm.weight",
                "decoder.block.{i}.layer.1.layer_norm.weight",
            ),
        ),
        heads={
            "lm_head": (Row("lm_head.weight", "lm_head.weight"),),
            "qa_outputs": linear("qa_outputs", "qa_outputs"),
        },
        aliases={
            "encoder.embed_tokens.weight": "shared.weight",
            "decoder.embed_tokens.weight": "shared.weight",
            "lm_head.weight": "shared.weight",
        },
        # Early T5 exports carry a bias that their models never used.
        ignored=(f"{cross}.relative_attention_bias.weight",),
    )


# What the classes of tasks have beside the body, by the names of their tensors.
TAGGER = {"classifier": linear("classifier", "classifier"), "crf": CHAIN}
CLASSIFIER = {
    "pooler": linear("pooler", "classification_head.dense"),
    "classifier": linear("classifier", "classification_head.out_proj"),
}


def encoder_table(config):
    """The weight table of an encoder alone, below a head of T5ForTokenClassification.

    In a checkpoint with both, the decoder is a head that is not used.
    """
    whole = with_prefix(table(config), "transformer.")
    decoder = tuple(row for row in whole.base if row.weights[0].startswith("decoder."))
    return replace(
        whole,
        base=tuple(row for row in whole.base if row not in decoder),
        heads={
            **whole.heads,
            **TAGGER,
            "decoder": decoder,
            "text_classifier": sum(CLASSIFIER.values(), ()),
        },
    )


def classifier_table(config):
    """The weight table of T5ForSequenceClassification."""
    whole = with_prefix(table(config), "transformer.")
    others = {"token_classifier": TAGGER["classifier"], "crf": CHAIN}
    return replace(whole, heads={**whole.heads, **CLASSIFIER, **others})


def stack(name, place, feedforward):
    """Rows that encoder and decoder have alike.

    Args:
        name: "encoder" or "decoder", in zoo as in HF.
        place: Number of the feed-forward sub-layer in HF's list.
        feedforward: "plain" or "gated".
    """
    block, layer = f"{name}.blocks.{{i}}", f"{name}.block.{{i}}.layer"
    own, dense = f"{layer}.0.SelfAttention", f"{layer}.{place}.DenseReluDense"
    if feedforward == "gated":
        up, transform = (
            (f"{dense}.wi_0.weight", f"{dense}.wi_1.weight"),
            Stacked(parts=2),
        )
    else:
        up, transform = (f"{dense}.wi.weight",), SAME
    return (
        Row(
            f"{block}.attention.qkv.weight",
            tuple(f"{own}.{part}.weight" for part in "qkv"),
            Stacked(parts=3),
        ),
        Row(f"{block}.attention.out_proj.weight", f"{own}.o.weight"),
        Row(f"{block}.attention_norm.weight", f"{layer}.0.layer_norm.weight"),
        Row(
            f"{name}.relative_biases.{{i}}.weight",
            f"{own}.relative_attention_bias.weight",
        ),
        Row(f"{block}.feedforward.up.weight", up, transform),
        Row(f"{block}.feedforward.down.weight", f"{dense}.wo.weight"),
        Row(f"{block}.feedforward_norm.weight", f"{layer}.{place}.layer_norm.weight"),
        Row(f"{name}.final_norm.weight", f"{name}.final_layer_norm.weight"),
    )


def family(model_type, feed_forward, name, *, keys=KEYS, scales=True, **fixed):
    """T5, or one of its kin.

    Args:
        feed_forward: Its default `feed_forward_proj`.
        name: What HF's class names begin with.
        keys: Entries of its configuration.
        scales: Whether tied outputs are scaled.
        fixed: Fields in which it differs from T5.
    """
    return Family(
        assembly="encoder_decoder",
        translation=Translation(
            model_type=model_type,
            fixed={**FIXED, **fixed},
            entries=(*keys, FeedForwardProjection(feed_forward), Head(scales)),
            harmless=OTHERS,
        ),
        table=table,
        architectures={
            "seq2seq_lm": f"{name}ForConditionalGeneration",
            "model": f"{name}EncoderModel",
            "sequence_classification": f"{name}ForSequenceClassification",
            "token_classification": f"{name}ForTokenClassification",
            "question_answering": f"{name}ForQuestionAnswering",
        },
        tables={
            "model": encoder_table,
            "sequence_classification": classifier_table,
            "token_classification": encoder_table,
        },
        settle=settle_head,
    )


T5 = family("t5", "relu", "T5")
MT5 = family(
    "mt5",
    "gated-gelu",
    "MT5",
    keys=with_defaults(KEYS, **MULTILINGUAL),
    scales=False,
)
UMT5 = family(
    "umt5",
    "gated-gelu",
    "UMT5",
    keys=with_defaults(KEYS, **MULTILINGUAL),
    relative_attention_shared=False,
)
