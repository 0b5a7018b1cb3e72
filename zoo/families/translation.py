"""Between a family's config.json and TransformerConfig: one table, read both ways.

Every key of a config.json is handled by an entry of the table, listed as harmless, or
refused by name.
"""

import dataclasses
from collections.abc import Mapping
from reprlib import repr as short
from typing import Any

from zoo.config import ROPE_PARAMETERS, ROPE_SCALINGS, TransformerConfig
from zoo.errors import CheckpointError, ConfigError

# Keys that say nothing about what a model computes: bookkeeping of `transformers`,
# defaults of its generation loop, and fields of its base class that no model reads.
HARMLESS = frozenset(
    """
    _name_or_path _commit_hash _attn_implementation attn_implementation architectures
    auto_map dtype torch_dtype transformers_version transformers.js_config use_cache
    output_attentions output_hidden_states return_dict torchscript use_bfloat16
    chunk_size_feed_forward gradient_checkpointing tokenizer_class prefix
    finetuning_task task_specific_params tf_legacy_loss bad_words_ids
    begin_suppress_tokens diversity_penalty do_sample early_stopping
    encoder_no_repeat_ngram_size
    exponential_decay_length_penalty forced_bos_token_id forced_eos_token_id
    length_penalty max_length max_new_tokens min_length no_repeat_ngram_size
    num_beam_groups num_beams num_return_sequences output_past output_scores
    remove_invalid_values repetition_penalty return_dict_in_generate sep_token_id
    cls_token_id mask_token_id unk_token_id suppress_tokens temperature top_k top_p
    typical_p directionality pretraining_tp
    """.split()
)


# Fields that no config.json needs to say: the class settles the first, the tensors
# that are there the second, and only new weights depend on the others.
UNWRITTEN = (
    "model_type",
    "pooler",
    "initializer_range",
    "embedding_initializer_range",
)

MAX_LABELS = 1 << 16


class Entry:
    """Some keys of a config.json, and the fields of TransformerConfig they settle.

    Attributes:
        keys: The keys that it handles.
    """

    keys: tuple[str, ...] = ()

    def read(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The fields, from config.json."""
        raise NotImplementedError

    def write(self, config: TransformerConfig) -> dict[str, Any]:
        """The keys, from a configuration."""
        raise NotImplementedError

    def left_open(self, config: TransformerConfig) -> tuple[str, ...]:
        """Fields that are not written, so that the reference's default comes back."""
        return ()


class Key(Entry):
    """One key whose value goes to one or several fields.

    Args:
        key: Its name in config.json.
        fields: Names of the fields; the first is written back.
        default: What `transformers` takes where the key is absent.
        none_is_default: Whether None says no more than an absent key, and is not
            written: a null is refused by some classes of `transformers`.
    """

    def __init__(self, key, *fields, default, none_is_default=False):
        self.keys = (key,)
        self.fields = fields or (key,)
        self.default = default
        self.none_is_default = none_is_default or default is None

    def read(self, given):
        return dict.fromkeys(self.fields, given.get(self.keys[0], self.default))

    def write(self, config):
        if self.left_open(config):
            return {}
        return {self.keys[0]: getattr(config, self.fields[0])}

    def left_open(self, config):
        unsaid = self.none_is_default and getattr(config, self.fields[0]) is None
        return self.fields if unsaid else ()


def with_defaults(entries, **defaults):
    """The same entries, where a family takes other values for keys that are absent."""
    return tuple(
        Key(entry.keys[0], *entry.fields, default=defaults[entry.keys[0]])
        if isinstance(entry, Key) and entry.keys[0] in defaults
        else entry
        for entry in entries
    )


class Only(Entry):
    """A key that is honoured with these values alone; it is never written."""

    def __init__(self, key, *values):
        self.keys = (key,)
        self.values = values

    def read(self, given):
        (key,) = self.keys
        if key in given and given[key] not in self.values:
            accepted = " or ".join(map(repr, self.values))
            raise CheckpointError(
                f"config.json: {key}={short(given[key])} is not supported for this "
                "family; "
                f"zoo honours {accepted}."
            )
        return {}

    def write(self, config):
        return {}


class Labels(Entry):
    """`id2label`, `label2id` and the older `num_labels`."""

    keys = ("id2label", "label2id", "num_labels")

    def read(self, given):
        table, count = given.get("id2label"), given.get("num_labels")
        if table is None and count is None:
            return {"id2label": None}
        if table is None:
            if type(count) is not int or not 0 < count <= MAX_LABELS:
                raise CheckpointError(
                    f"config.json: num_labels={short(count)}; expected a number from 1 "
                    f"to {MAX_LABELS}."
                )
            return {"id2label": [f"LABEL_{i}" for i in range(count)]}
        try:
            rows = sorted((int(number), str(name)) for number, name in table.items())
        except (AttributeError, ValueError):
            rows = []
        if not rows or [number for number, _ in rows] != list(range(len(rows))):
            raise CheckpointError(
                f"config.json: id2label={short(table)}; expected an object that names "
                "each number from 0 on."
            )
        return {"id2label": [name for _, name in rows]}

    def write(self, config):
        if config.id2label is None:
            return {}
        return {
            "id2label": {str(i): name for i, name in enumerate(config.id2label)},
            "label2id": {name: i for i, name in enumerate(config.id2label)},
        }


class Rope(Entry):
    """Rotary settings: `rope_theta` and `rope_scaling`, or v5's `rope_parameters`.

    The older form is written: both generations of `transformers` read it.
    """

    keys = ("rope_theta", "rope_scaling", "rope_parameters", "partial_rotary_factor")

    def __init__(self, default_theta=10_000.0):
        self.default_theta = default_theta

    def read(self, given):
        source = given.get("rope_parameters") or given.get("rope_scaling") or {}
        if not isinstance(source, Mapping):
            raise CheckpointError(
                f"config.json: rope_scaling={source!r}; expected {{}}."
            )
        scaling = dict(source)
        theta = scaling.pop("rope_theta", given.get("rope_theta", self.default_theta))
        partial = scaling.pop(
            "partial_rotary_factor", given.get("partial_rotary_factor")
        )
        kind = scaling.pop("rope_type", None) or scaling.get("type", "default")
        scaling.pop("type", None)
        unknown = sorted(set(scaling) - ROPE_PARAMETERS)
        if unknown or kind not in (*ROPE_SCALINGS, "default"):
            what = f"parameters {short(unknown)}" if unknown else f"type {short(kind)}"
            raise CheckpointError(
                f"config.json: rope_scaling has {what}, which zoo does not know. Known "
                f"types: {', '.join(ROPE_SCALINGS)}."
            )
        if kind in ("yarn", "llama3"):
            longest = given.get("max_position_embeddings")
            scaling.setdefault("original_max_position_embeddings", longest)
        fields = {"rope_theta": theta, "rope_scaling": None}
        if kind != "default":
            fields["rope_scaling"] = {"rope_type": kind, **scaling}
        if partial is not None:
            fields["partial_rotary_factor"] = partial
        return fields

    def write(self, config):
        keys = {"rope_theta": config.rope_theta, "rope_scaling": config.rope_scaling}
        if config.partial_rotary_factor != 1.0:
            keys["partial_rotary_factor"] = config.partial_rotary_factor
        return keys


COMMON = (
    Key("pad_token_id", default=None),
    Key("bos_token_id", default=None),
    Key("eos_token_id", default=None),
    Key("problem_type", default=None),
    Key("classifier_dropout", default=None),
    Labels(),
    # Of zoo alone: `transformers` passes over it, and over the weights that go with it.
    Key("zoo_sequence_head", "sequence_head", default=None),
    Only("is_encoder_decoder", False),
    Only("is_decoder", False),
    Only("add_cross_attention", False),
    Only("cross_attention_hidden_size", None),
    Only("pruned_heads", {}, None),
    Only("tie_encoder_decoder", False, None),
    Only("quantization_config", None),
)


@dataclasses.dataclass(frozen=True)
class Translation:
    """How one family spells a TransformerConfig.

    Attributes:
        model_type: Its name in config.json.
        fixed: Fields that all its models share.
        entries: The keys that vary.
        harmless: Further keys that change nothing.
    """

    model_type: str
    fixed: Mapping[str, Any]
    entries: tuple[Entry, ...]
    harmless: frozenset[str] = frozenset()

    def read(self, given: Mapping[str, Any]) -> TransformerConfig:
        """The configuration that a config.json describes.

        Raises:
            CheckpointError: on a key that is not handled, by name, or a value that is
                not honoured.
        """
        entries = self._all_entries()
        handled = {key for entry in entries for key in entry.keys}
        handled |= {"model_type", *HARMLESS, *self.harmless}
        unknown = sorted(set(given) - handled)
        if unknown:
            raise CheckpointError(
                f"config.json has keys that zoo does not know for model_type "
                f"{self.model_type!r}: {', '.join(map(short, unknown[:9]))}. A setting "
                "that is not "
                "honoured would give wrong numbers, so nothing was loaded. Remove the "
                "key if it changes nothing."
            )
        fields = {"model_type": self.model_type, **self.fixed}
        for entry in entries:
            try:
                fields.update(entry.read(given))
            except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
                raise CheckpointError(
                    f"config.json: {', '.join(entry.keys)} cannot be read: {error}."
                ) from error
        try:
            return TransformerConfig.from_dict(fields)
        except ConfigError as error:
            raise CheckpointError(f"config.json: {error}") from error

    def write(self, config: TransformerConfig) -> dict[str, Any]:
        """The config.json of a configuration.

        Raises:
            ConfigError: naming the fields that this family has no word for.
        """
        keys: dict[str, Any] = {"model_type": self.model_type}
        for entry in self._all_entries():
            keys.update(entry.write(config))
        lost = self.lost(config, keys)
        if lost:
            said = ", ".join(f"{name}={getattr(config, name)!r}" for name in lost)
            raise ConfigError(
                f"a config.json of model_type {self.model_type!r} cannot say {said}."
            )
        return keys

    def lost(self, config, keys):
        """Fields of `config` that would come back changed from these keys."""
        back = self.read(keys)
        settled = {*UNWRITTEN}
        for entry in self._all_entries():
            settled.update(entry.left_open(config))
        return [
            field.name
            for field in dataclasses.fields(config)
            if field.name not in settled
            and getattr(back, field.name) != getattr(config, field.name)
        ]

    def _all_entries(self):
        own = {key for entry in self.entries for key in entry.keys}
        return (*(e for e in COMMON if not own & set(e.keys)), *self.entries)
