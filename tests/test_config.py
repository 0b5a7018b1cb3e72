"""TransformerConfig: every field is checked, and errors name it."""

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.config import TransformerConfig
from zoo.errors import ConfigError

SMALL = {"hidden_size": 24, "num_attention_heads": 4, "num_hidden_layers": 2}
ROTARY = {**SMALL, "position": "rotary"}
FIELDS = [field.name for field in dataclasses.fields(TransformerConfig)]
NOTHING = (None, [], "")


def rope(**scaling):
    return {**ROTARY, "rope_scaling": scaling}


def test_what_is_left_out_follows_from_the_rest():
    config = TransformerConfig(**SMALL)
    assert config.head_dim == 6
    assert config.num_key_value_heads == 4
    assert config.intermediate_size == 96
    assert config.embedding_size == 24
    assert config.num_decoder_layers == 2
    assert config.attention_output_bias is True


def test_a_configuration_survives_json():
    config = TransformerConfig(
        **SMALL,
        position="rotary",
        rope_scaling={"rope_type": "linear", "factor": 2.0},
        sliding_window=3,
        layer_types=["full_attention", "sliding_attention"],
        eos_token_id=[1, 2],
        id2label=["no", "yes"],
    )
    assert (
        TransformerConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    )
    assert TransformerConfig.of(config.to_dict()) == config
    assert config.replace(vocab_size=7).vocab_size == 7
    assert config.replace(hidden_size=2 * config.hidden_size).embedding_size == (
        2 * config.hidden_size
    )
    factorised = config.replace(embedding_size=4)
    assert factorised.replace(hidden_size=2 * config.hidden_size).embedding_size == 4
    assert hash(config.replace(rope_scaling=None)) is not None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"hidden_size": 0}, "hidden_size=0"),
        ({"hidden_size": -8}, "hidden_size=-8"),
        ({"hidden_size": "24"}, "hidden_size='24'"),
        ({"hidden_size": 24.0}, "hidden_size=24.0"),
        ({"hidden_size": True}, "hidden_size=True"),
        ({"hidden_size": None}, "hidden_size=None"),
        ({"hidden_size": 2**31}, "hidden_size=2147483648"),
        ({"hidden_size": 10**4000}, "hidden_size=1000"),
        ({"hidden_size": 25}, "num_attention_heads=4"),
        ({"vocab_size": [3]}, "vocab_size"),
        ({"num_hidden_layers": 2**31 - 1}, "num_hidden_layers"),
        ({"num_key_value_heads": 3}, "num_key_value_heads=3"),
        ({"head_dim": 2**30}, "head_dim=1073741824"),
        ({"type_vocab_size": -1}, "type_vocab_size=-1"),
        ({"layer_norm_eps": 0}, "layer_norm_eps=0"),
        ({"layer_norm_eps": math.nan}, "layer_norm_eps=nan"),
        ({"layer_norm_eps": math.inf}, "layer_norm_eps=inf"),
        ({"layer_norm_eps": "1e-5"}, "layer_norm_eps='1e-5'"),
        ({"layer_norm_eps": True}, "layer_norm_eps=True"),
        ({"rope_theta": 10**400}, "rope_theta=1000"),
        ({"logit_scale": math.nan}, "logit_scale=nan"),
        ({"attn_logit_softcapping": -1.0}, "attn_logit_softcapping=-1.0"),
        ({"hidden_dropout_prob": 1.0}, "hidden_dropout_prob=1.0"),
        ({"hidden_dropout_prob": -0.1}, "hidden_dropout_prob=-0.1"),
        ({"classifier_dropout": "0"}, "classifier_dropout='0'"),
        ({"hidden_act": ["gelu"]}, "hidden_act"),
        ({"position": "absolute"}, "position='absolute'"),
        ({"norm": ["layer"]}, "norm="),
        ({"qk_norm": "batch"}, "qk_norm='batch'"),
        ({"attention_bias": "yes"}, "attention_bias='yes'"),
        ({"pooler": 1}, "pooler=1"),
        ({"layer_types": ["full_attention"]}, "layer_types names 1"),
        ({"layer_types": "full_attention"}, "layer_types"),
        ({"layer_types": [["full_attention"]] * 2}, "layer_types"),
        ({"layer_types": ["linear_attention"] * 2}, "layer_types"),
        ({"layer_types": ["sliding_attention"] * 2}, "sliding_window"),
        (
            {"layer_types": ["full_attention"] * 2, "num_decoder_layers": 3},
            "num_decoder_layers=3",
        ),
        ({"sliding_window": 0}, "sliding_window=0"),
        ({"num_hidden_groups": 3, "num_hidden_layers": 4}, "num_hidden_groups=3"),
        ({"eos_token_id": "2"}, "eos_token_id"),
        ({"id2label": [1, 2]}, "id2label"),
        ({"position": "rotary", "head_dim": 5}, "head_dim=5"),
        ({"position": "rotary", "partial_rotary_factor": 0.0}, "partial_rotary_factor"),
        ({"position": "rotary", "partial_rotary_factor": 1.5}, "partial_rotary_factor"),
        (
            {"position": "relative", "relative_attention_num_buckets": 3},
            "num_buckets=3",
        ),
        (
            {"position": "relative", "relative_attention_max_distance": 16},
            "max_distance",
        ),
        ({"hidden_sizes": 3}, "Did you mean 'hidden_size'"),
    ],
)
def test_a_bad_field_is_named(change, named):
    with pytest.raises(ConfigError) as caught:
        TransformerConfig.from_dict({**SMALL, **change})
    assert named in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("scaling", "named"),
    [
        ({}, "rope_type=None"),
        ({"rope_type": "longrope"}, "rope_type='longrope'"),
        ({"rope_type": ["linear"]}, "rope_type"),
        ({"rope_type": "linear"}, "lacks factor"),
        ({"rope_type": "linear", "factor": 0.5}, "factor=0.5"),
        ({"rope_type": "linear", "factor": "2"}, "factor='2'"),
        ({"rope_type": "linear", "factor": True}, "factor=True"),
        ({"rope_type": "linear", "factor": math.nan}, "factor=nan"),
        ({"rope_type": "linear", "factor": 2, "fator": 2}, "'fator'"),
        ({"rope_type": "yarn", "factor": 2}, "original_max_position_embeddings"),
        (
            {
                "rope_type": "yarn",
                "factor": 2,
                "original_max_position_embeddings": 8,
                "truncate": "no",
            },
            "truncate='no'",
        ),
        (
            {
                "rope_type": "llama3",
                "factor": 2,
                "original_max_position_embeddings": 8,
                "low_freq_factor": 4,
                "high_freq_factor": 4,
            },
            "low_freq_factor",
        ),
    ],
)
def test_a_bad_rotary_scaling_is_named(scaling, named):
    with pytest.raises(ConfigError) as caught:
        TransformerConfig.from_dict(rope(**scaling))
    assert named in str(caught.value)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(FIELDS), ANYTHING, max_size=6))
def test_no_values_whatever_raise_anything_but_config_errors(values):
    try:
        config = TransformerConfig.from_dict({**SMALL, **values})
    except ConfigError:
        return
    assert TransformerConfig.from_dict(config.to_dict()) == config


def test_what_is_no_configuration_is_refused():
    for value in (*NOTHING, 3):
        with pytest.raises(ConfigError, match="expected a TransformerConfig"):
            TransformerConfig.of(value)
