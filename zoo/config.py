"""TransformerConfig: one frozen dataclass that can say every model in the zoo.

Field names are those of Hugging Face's config.json where it has one. Mechanisms are
named values (`position="rotary"`, `norm="rms"`), never the name of a family: a layer
reads what it shall do and does not know for whom.
"""

import dataclasses
import difflib
import json
import types
import typing
from collections.abc import Mapping
from reprlib import repr as short
from typing import Any

from zoo.errors import ConfigError

# Named mechanisms: field -> the values that some layer handles.
MECHANISMS = {
    "inputs": ("tokens",),
    "position": ("learned", "sinusoidal", "rotary", "relative", "alibi", "none"),
    "norm": ("layer", "rms"),
    "norm_place": ("pre", "post", "sandwich", "parallel"),
    "feedforward": ("plain", "gated"),
    "qk_norm": (None, "layer", "rms"),
    "sequence_head": (None, "crf"),
}
# Rotary scalings: rope_type -> the parameters that it must have.
ROPE_SCALINGS = {
    "linear": ("factor",),
    "ntk": ("factor",),
    "dynamic": ("factor",),
    "yarn": ("factor", "original_max_position_embeddings"),
    "llama3": (
        "factor",
        "low_freq_factor",
        "high_freq_factor",
        "original_max_position_embeddings",
    ),
}
# All parameters of scalings. As in the reference, a type passes over those of others.
ROPE_PARAMETERS = frozenset(
    """
    factor original_max_position_embeddings attention_factor beta_fast beta_slow mscale
    mscale_all_dim truncate low_freq_factor high_freq_factor
    """.split()
)
LAYER_TYPES = ("full_attention", "sliding_attention")
MAX_LAYERS = 1 << 16
LARGEST_NUMBER = 1e30


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """What a Transformer is made of. Sizes are counts, probabilities lie in [0, 1).

    Attributes:
        model_type: Family that reads and writes its checkpoints ("bert", "llama", ...).
            None chooses the first family that can say this configuration.
        vocab_size: V, rows of the token table.
        hidden_size: D, width of the residual stream.
        num_hidden_layers: L, blocks (of the encoder, where there is a decoder too).
        num_decoder_layers: Blocks of the decoder of an encoder-decoder; None: L.
        num_attention_heads: H. `num_key_value_heads`: K, None: H. H is a multiple of K.
        head_dim: d; None: D / H.
        intermediate_size: F; None: 4 D.
        hidden_act: Activation of the feed-forward layer, by HF's name.
        inputs: What comes in: "tokens".
        embedding_size: Width of the tables when factorised (ALBERT); None: D.
        embedding_scale: Factor on the token vectors.
        embedding_norm: Whether a norm follows the sum of the tables.
        type_vocab_size: Rows of the token-type table; 0 for none.
        position: "learned", "sinusoidal", "rotary", "relative" (T5), "alibi", "none".
        max_position_embeddings: Longest input; the rows of a learned table.
        rope_theta: Base of the rotary wavelengths. `partial_rotary_factor`: rotated
            part of each head. `rope_scaling`: HF's dictionary with its "rope_type".
        relative_attention_num_buckets: Rows of T5's bias table;
            `relative_attention_max_distance`: where its buckets end;
            `relative_attention_shared`: one table for all layers, or one each.
        norm: "layer" or "rms"; `norm_bias`: whether layer norms carry a bias;
            `layer_norm_eps`: added to the variance.
        norm_place: "pre", "post", "sandwich" (before and after each sub-layer) or
            "parallel" (attention and feed-forward read the same normed input).
        feedforward: "plain" or "gated". `mlp_bias`: whether its layers carry biases.
        attention_bias: Biases on queries, keys, values;
            `attention_output_bias`: on the output projection; None: the same.
        attention_scale: Factor on the scores; None: 1 / sqrt(d).
        qk_norm: Norm of each query and key head: None, "layer" or "rms".
        sliding_window: Keys that a query of a sliding layer sees, itself included.
        layer_types: "full_attention" or "sliding_attention" for each layer; None: all
            slide where there is a window.
        attn_logit_softcapping, final_logit_softcapping: c in c tanh(x / c); None: off.
        num_hidden_groups: Groups of layers that share weights (ALBERT); None: none do.
        tie_word_embeddings: Whether the head is the token table.
        lm_head_bias: Whether the language-model head has a bias.
        logit_scale: Factor on the last hidden state before the head.
        pooler: Whether an encoder has BERT's tanh pooler.
        hidden_dropout_prob: After each sub-layer. `embedding_dropout_prob`: after the
            embeddings. `attention_probs_dropout_prob`: on attention weights.
            `feedforward_dropout_prob`: inside the feed-forward layer.
            `final_dropout_prob`: after the last norm. `classifier_dropout`: before a
            task head; None: `hidden_dropout_prob`.
        initializer_range: Standard deviation of new weights.
        embedding_initializer_range: That of the token table; None: the same. T5 has 1:
            at 0.02 its tokens are lost beside what attention adds to them.
        pad_token_id, bos_token_id, eos_token_id, decoder_start_token_id: Ids or None;
            `eos_token_id` may be several.
        id2label: Labels of a classification head, in order; None where there is none.
        problem_type: HF's word for the loss of a classification head, or None.
        sequence_head: What joins the labels of tokens: "crf", or None. HF has none.

    Raises:
        ConfigError: if a mechanism does not exist or two fields contradict each other.
    """

    model_type: str | None = None
    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_decoder_layers: int | None = None
    num_attention_heads: int = 12
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    intermediate_size: int | None = None
    hidden_act: str = "gelu"

    inputs: str = "tokens"
    embedding_size: int | None = None
    embedding_scale: float = 1.0
    embedding_norm: bool = False
    type_vocab_size: int = 0

    position: str = "learned"
    max_position_embeddings: int = 512
    rope_theta: float = 10_000.0
    partial_rotary_factor: float = 1.0
    rope_scaling: Mapping[str, Any] | None = None
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    relative_attention_shared: bool = True

    norm: str = "layer"
    norm_bias: bool = True
    layer_norm_eps: float = 1e-5
    norm_place: str = "pre"

    feedforward: str = "plain"
    mlp_bias: bool = True

    attention_bias: bool = True
    attention_output_bias: bool | None = None
    attention_scale: float | None = None
    qk_norm: str | None = None
    sliding_window: int | None = None
    layer_types: tuple[str, ...] | None = None
    attn_logit_softcapping: float | None = None
    num_hidden_groups: int | None = None

    tie_word_embeddings: bool = True
    lm_head_bias: bool = False
    logit_scale: float = 1.0
    final_logit_softcapping: float | None = None
    pooler: bool = False

    hidden_dropout_prob: float = 0.0
    embedding_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    feedforward_dropout_prob: float = 0.0
    final_dropout_prob: float = 0.0
    classifier_dropout: float | None = None
    initializer_range: float = 0.02
    embedding_initializer_range: float | None = None

    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | tuple[int, ...] | None = None
    decoder_start_token_id: int | None = None
    id2label: tuple[str, ...] | None = None
    problem_type: str | None = None
    sequence_head: str | None = None

    def __post_init__(self):
        for name in ("layer_types", "eos_token_id", "id2label"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        self._check_types()
        fill = {
            "num_key_value_heads": self.num_attention_heads,
            "intermediate_size": 4 * self.hidden_size,
            "attention_output_bias": self.attention_bias,
            "embedding_size": self.hidden_size,
            "num_decoder_layers": self.num_hidden_layers,
        }
        for name, value in fill.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        if self.rope_scaling is not None:
            object.__setattr__(self, "rope_scaling", dict(self.rope_scaling))
        self._check_sizes()
        self._check_probabilities()
        self._check_mechanisms()
        if self.head_dim is None:
            if self.hidden_size % self.num_attention_heads:
                raise ConfigError(
                    f"hidden_size={self.hidden_size} is not a multiple of "
                    f"num_attention_heads={self.num_attention_heads}. Change one, or "
                    "give head_dim."
                )
            size = self.hidden_size // self.num_attention_heads
            object.__setattr__(self, "head_dim", size)
        if self.num_attention_heads % self.num_key_value_heads:
            raise ConfigError(
                f"num_attention_heads={self.num_attention_heads} is not a multiple of "
                f"num_key_value_heads={self.num_key_value_heads}."
            )
        self._check_positions()

    def _check_types(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not _is_a(value, field.type):
                raise ConfigError(
                    f"{field.name}={short(value)}: expected {_said(field.type)}."
                )

    def _check_sizes(self):
        positive = (
            "vocab_size hidden_size num_hidden_layers num_decoder_layers "
            "num_attention_heads num_key_value_heads intermediate_size embedding_size "
            "max_position_embeddings relative_attention_num_buckets "
            "relative_attention_max_distance head_dim sliding_window num_hidden_groups"
        ).split()
        for name in positive:
            value, limit = getattr(self, name), 2**31
            if name in ("num_hidden_layers", "num_decoder_layers"):
                limit = MAX_LAYERS
            if value is not None and not 0 < value < limit:
                raise ConfigError(
                    f"{name}={short(value)}: expected a positive integer below {limit}."
                )
        if not 0 <= self.type_vocab_size < 2**31:
            raise ConfigError(
                f"type_vocab_size={short(self.type_vocab_size)}: expected 0 or a "
                "positive integer below 2147483648."
            )
        for name in (
            "layer_norm_eps",
            "rope_theta",
            "initializer_range",
            "embedding_initializer_range",
            "attn_logit_softcapping",
            "final_logit_softcapping",
        ):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"{name}={value!r}: expected a positive number.")

    def _check_probabilities(self):
        for field in dataclasses.fields(self):
            if not field.name.endswith(("dropout_prob", "classifier_dropout")):
                continue
            value = getattr(self, field.name)
            if value is not None and not 0 <= value < 1:
                raise ConfigError(
                    f"{field.name}={value!r}: expected a probability in [0, 1)."
                )

    def _check_mechanisms(self):
        for name, known in MECHANISMS.items():
            value = getattr(self, name)
            if value not in known:
                raise ConfigError(
                    f"{name}={short(value)}: there is no such mechanism. Known: "
                    f"{', '.join(map(repr, known))}."
                )
        if self.layer_types is not None:
            if set(self.layer_types) - set(LAYER_TYPES):
                raise ConfigError(
                    f"layer_types={short(self.layer_types)}: known are {LAYER_TYPES}."
                )
            if len(self.layer_types) != self.num_hidden_layers:
                raise ConfigError(
                    f"layer_types names {len(self.layer_types)} layers, but "
                    f"num_hidden_layers={self.num_hidden_layers}."
                )
            if self.num_decoder_layers != self.num_hidden_layers:
                raise ConfigError(
                    "layer_types names the layers of encoder and decoder alike, but "
                    f"num_decoder_layers={self.num_decoder_layers} and "
                    f"num_hidden_layers={self.num_hidden_layers}. Leave it out."
                )
            if "sliding_attention" in self.layer_types and not self.sliding_window:
                raise ConfigError(
                    "layer_types asks for sliding_attention, but sliding_window is "
                    "None. Give the number of keys that a query sees."
                )
        if self.num_hidden_groups and self.num_hidden_layers % self.num_hidden_groups:
            raise ConfigError(
                f"num_hidden_layers={self.num_hidden_layers} is not a multiple of "
                f"num_hidden_groups={self.num_hidden_groups}."
            )

    def _check_positions(self):
        rows = (self.num_attention_heads + 2 * self.num_key_value_heads) * self.head_dim
        if rows >= 2**31:
            raise ConfigError(
                f"num_attention_heads={self.num_attention_heads}, num_key_value_heads="
                f"{self.num_key_value_heads} and head_dim={self.head_dim} make {rows} "
                "features of queries, keys and values; expected fewer than 2147483648."
            )
        if self.position == "relative":
            self._check_buckets()
        if self.position == "rotary":
            if not 0 < self.partial_rotary_factor <= 1:
                raise ConfigError(
                    f"partial_rotary_factor={self.partial_rotary_factor}: expected a "
                    "fraction in (0, 1]."
                )
            if self.rotary_dim % 2 or not self.rotary_dim:
                raise ConfigError(
                    f"rotary positions need an even number of rotated features, but "
                    f"head_dim={self.head_dim} x partial_rotary_factor="
                    f"{self.partial_rotary_factor} gives {self.rotary_dim}."
                )
        if self.rope_scaling is not None:
            self._check_rope_scaling()

    def _check_buckets(self):
        buckets = self.relative_attention_num_buckets
        if buckets < 4:  # a quarter of them is for near keys on either side
            raise ConfigError(
                f"relative_attention_num_buckets={buckets}: expected at least 4."
            )
        if self.relative_attention_max_distance <= buckets // 2:
            raise ConfigError(
                "relative_attention_max_distance="
                f"{self.relative_attention_max_distance}: expected more than half of "
                f"relative_attention_num_buckets={buckets}."
            )

    def _check_rope_scaling(self):
        scaling = self.rope_scaling
        kind = scaling.get("rope_type")
        if not isinstance(kind, str) or kind not in ROPE_SCALINGS:
            raise ConfigError(
                f"rope_scaling: rope_type={short(kind)} is unknown. Known: "
                f"{', '.join(ROPE_SCALINGS)}."
            )
        for name, value in scaling.items():
            if name == "rope_type" or value is None:
                continue
            if name not in ROPE_PARAMETERS:
                raise ConfigError(
                    f"rope_scaling has no parameter {short(name)}. It has "
                    f"{', '.join(sorted(ROPE_PARAMETERS))}."
                )
            if name == "truncate":
                good, wanted = isinstance(value, bool), "True or False"
            else:
                good = _is_a(value, float) and value >= 0
                wanted = "a finite number of at least 0"
            if not good:
                raise ConfigError(
                    f"rope_scaling: {name}={short(value)}; expected {wanted}."
                )
        missing = [k for k in ROPE_SCALINGS[kind] if scaling.get(k) is None]
        if missing:
            raise ConfigError(
                f"rope_scaling of type {kind!r} lacks {', '.join(missing)}."
            )
        if scaling["factor"] < 1:
            raise ConfigError(
                f"rope_scaling: factor={scaling['factor']!r}; expected at least 1."
            )
        if scaling.get("original_max_position_embeddings", 1) == 0:
            raise ConfigError("rope_scaling: original_max_position_embeddings=0.")
        if (
            kind == "llama3"
            and scaling["low_freq_factor"] >= scaling["high_freq_factor"]
        ):
            raise ConfigError(
                f"rope_scaling: low_freq_factor={scaling['low_freq_factor']!r} must be "
                f"below high_freq_factor={scaling['high_freq_factor']!r}."
            )
        if kind in ("ntk", "dynamic") and self.rotary_dim == 2:
            raise ConfigError(
                f"rope_scaling of type {kind!r} needs more than 2 rotated features."
            )
        if kind == "yarn" and self.rope_theta <= 1:
            raise ConfigError(
                f"rope_scaling of type 'yarn' needs rope_theta above 1, not "
                f"{self.rope_theta!r}."
            )

    @property
    def rotary_dim(self) -> int:
        """Features of each head that rotary positions turn."""
        return int(self.head_dim * self.partial_rotary_factor)

    @property
    def final_norm(self) -> bool:
        """Whether the stack ends in a norm: all but post-norm stacks do."""
        return self.norm_place != "post"

    def window(self, layer_index) -> int | None:
        """Keys that a query of this layer sees, or None for all."""
        if self.layer_types is None:
            return self.sliding_window
        sliding = self.layer_types[layer_index] == "sliding_attention"
        return self.sliding_window if sliding else None

    def replace(self, **changes) -> "TransformerConfig":
        """A copy with these fields changed.

        `embedding_size` goes with `hidden_size` where the two are one; other sizes that
        a configuration settles itself, such as `head_dim`, stay as they are.
        """
        if self.embedding_size == self.hidden_size and "hidden_size" in changes:
            changes = {"embedding_size": None, **changes}
        return TransformerConfig.from_dict({**self.to_dict(), **changes})

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TransformerConfig":
        """The configuration with these fields; unknown names are refused."""
        known = [field.name for field in dataclasses.fields(cls)]
        for name in values:
            if name not in known:
                close = difflib.get_close_matches(str(name), known, n=1)
                hint = f" Did you mean {close[0]!r}?" if close else ""
                raise ConfigError(f"TransformerConfig has no field {name!r}.{hint}")
        return cls(**values)

    @classmethod
    def of(cls, value) -> "TransformerConfig":
        """`value` itself, or the configuration that a dictionary spells out.

        Keras hands layers their `get_config` back as plain dictionaries.
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, Mapping):
            return cls.from_dict(value)
        raise ConfigError(
            f"expected a TransformerConfig or a dictionary, got {type(value).__name__}."
        )


def _is_a(value, kind):
    """Whether a value has the type that a field is annotated with.

    Integers are numbers too, but truth values are not; numbers are finite.
    """
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        return any(_is_a(value, each) for each in typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        (each, _) = typing.get_args(kind)
        return isinstance(value, tuple) and all(_is_a(item, each) for item in value)
    if kind is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and -LARGEST_NUMBER < value < LARGEST_NUMBER
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, typing.get_origin(kind) or kind)


def _said(kind):
    """A type in words."""
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        return " or ".join(_said(each) for each in typing.get_args(kind))
    words = {
        int: "an integer",
        float: "a finite number",
        bool: "True or False",
        str: "a text",
        tuple: "a list",
        Mapping: "a dictionary",
        types.NoneType: "None",
    }
    return words[typing.get_origin(kind) or kind]
