"""config.json to TransformerConfig and back: honoured, harmless, or refused by name."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zoo.config import TransformerConfig
from zoo.errors import CheckpointError, ConfigError, ZooError
from zoo.families import FAMILIES, family_for, family_named
from zoo.families.translation import HARMLESS

SIZES = {
    "hidden_size": 24,
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "vocab_size": 50,
}


def keys_of(family):
    """Every key that some entry of a family handles."""
    return [key for entry in family.translation._all_entries() for key in entry.keys]


@pytest.mark.parametrize("name", FAMILIES)
def test_defaults_survive_being_written(name):
    translation = FAMILIES[name].translation
    config = translation.read({"model_type": name})
    keys = json.loads(json.dumps(translation.write(config)))
    assert translation.read(keys) == config
    assert translation.write(translation.read(keys)) == keys


@pytest.mark.parametrize("name", FAMILIES)
def test_an_unknown_key_is_refused_by_name(name):
    with pytest.raises(CheckpointError, match="num_experts"):
        FAMILIES[name].translation.read({"model_type": name, "num_experts": 8})


@pytest.mark.parametrize("name", FAMILIES)
def test_harmless_keys_change_nothing(name):
    translation = FAMILIES[name].translation
    keys = dict.fromkeys((*HARMLESS, *translation.harmless), "anything")
    plain = translation.read({"model_type": name})
    assert translation.read({**keys, "model_type": name}) == plain


@pytest.mark.parametrize(
    ("name", "keys", "named"),
    [
        (
            "bert",
            {"position_embedding_type": "relative_key"},
            "position_embedding_type",
        ),
        ("bert", {"is_decoder": True}, "is_decoder=True"),
        # Of NomicBert's older configurations, and of BERT's.
        ("nomic_bert", {"n_embd": 768}, "n_embd"),
        (
            "nomic_bert",
            {"position_embedding_type": "absolute"},
            "position_embedding_type",
        ),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "inverse_layer_idx=True"),
        ("gpt2", {"add_cross_attention": True}, "add_cross_attention"),
        ("llama", {"quantization_config": {"bits": 4}}, "quantization_config"),
        ("llama", {"rope_scaling": {"type": "longrope"}}, "longrope"),
        ("llama", {"rope_scaling": {"type": "linear", "fctor": 2}}, "fctor"),
        ("llama", {"rope_scaling": [1]}, "rope_scaling"),
        ("llama", {"is_encoder_decoder": True}, "is_encoder_decoder"),
        ("bert", {"id2label": {"0": "a", "2": "b"}}, "id2label"),
        ("bert", {"id2label": ["a"]}, "id2label"),
        ("bert", {"num_labels": 10**9}, "num_labels"),
        ("bert", {"num_labels": "two"}, "num_labels"),
        ("bert", {"hidden_size": "768"}, "hidden_size='768'"),
        ("t5", {"d_model": "512"}, "d_model|hidden_size"),
        ("t5", {"d_model": 0}, "d_model|hidden_size"),
        ("t5", {"tie_word_embeddings": "no"}, "tie_word_embeddings"),
        ("qwen2", {"use_sliding_window": True, "layer_types": 3}, "layer_types"),
        (
            "qwen2",
            {"use_sliding_window": True, "num_hidden_layers": 2**31 - 1},
            "num_hidden_layers",
        ),
        (
            "qwen2",
            {"use_sliding_window": True, "max_window_layers": "28"},
            "max_window_layers",
        ),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(name, keys, named):
    with pytest.raises(CheckpointError, match=named) as caught:
        FAMILIES[name].translation.read({"model_type": name, **keys})
    assert len(str(caught.value)) < 500


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=5,
)


@pytest.mark.parametrize("name", FAMILIES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_hostile_values_raise_only_our_errors(name, data):
    keys = st.sampled_from(keys_of(FAMILIES[name]))
    given_keys = data.draw(st.dictionaries(keys, JSON, max_size=5))
    try:
        FAMILIES[name].translation.read({**given_keys, "model_type": name})
    except CheckpointError as error:
        assert len(str(error)) < 2_000


@pytest.mark.parametrize("model_type", [None, 3, [], {}, "gpt5", "x" * 10_000])
def test_an_unknown_family_is_refused_shortly(model_type):
    with pytest.raises(CheckpointError, match="Known: bert") as caught:
        family_named(model_type)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("fields", "assembly", "expected"),
    [
        ({"position": "learned", "hidden_act": "gelu_new"}, "decoder", "gpt2"),
        (
            {
                "position": "rotary",
                "norm": "rms",
                "norm_bias": False,
                "feedforward": "gated",
                "attention_bias": False,
                "mlp_bias": False,
            },
            "decoder",
            "llama",
        ),
        (
            {"norm_place": "post", "embedding_norm": True, "pooler": True},
            "encoder",
            "bert",
        ),
    ],
)
def test_a_configuration_without_a_family_is_written_by_the_first_that_can(
    fields, assembly, expected
):
    config = TransformerConfig(**SIZES, **fields)
    assert family_for(config, assembly).model_type == expected


def test_a_configuration_that_no_family_can_say_is_refused_with_reasons():
    config = TransformerConfig(**SIZES, position="alibi")
    with pytest.raises(ConfigError, match="position='alibi'"):
        family_for(config, "decoder")


def test_a_family_of_another_assembly_is_refused():
    config = TransformerConfig(**SIZES, model_type="bert")
    with pytest.raises(ZooError, match="bert"):
        family_for(config, "decoder")


def test_a_dropout_that_is_left_open_is_not_written_as_null():
    translation = FAMILIES["t5"].translation
    config = translation.read({"model_type": "t5"}).replace(classifier_dropout=None)
    keys = translation.write(config)
    assert "classifier_dropout" not in keys  # transformers refuses a null
    assert translation.lost(config, keys) == []
    assert translation.read(keys).classifier_dropout == 0.0
