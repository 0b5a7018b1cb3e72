"""LoRA on whole models: what is adapted, trained, saved, loaded and merged."""

import json

import keras
import numpy as np
import pytest
import safetensors.numpy

from tests.models.conftest import make, random_ids
from zoo.errors import CheckpointError, ConfigError, InputError

IDS = random_ids(3, 6)


def small(kind="llama", **changes):
    return make(kind, num_hidden_layers=1, **changes)


def adapted(kind="llama", **options):
    model = small(kind)
    model.add_lora(2, 6, **{"target": ["q_proj", "v_proj"], **options})
    random = np.random.default_rng(0)
    for weight in lora_weights(model):
        weight.assign(random.normal(0, 0.3, weight.shape))
    return model


def lora_weights(model):
    base = {id(w) for w in model.weights_by_path().values()}
    return [w for w in model.trainable_weights if id(w) not in base]


def logits(model):
    return np.asarray(model({"input_ids": IDS}))


def test_names_of_projections_adapt_their_rows_of_a_stacked_weight():
    model = adapted()
    lora = model.decoder.blocks[0].attention.qkv._lora
    assert lora.parts == ((0, 16), (24, 32))  # two key and value heads of four
    assert model.lora["target"] == [
        "model.layers.0.self_attn.q_proj",
        "model.layers.0.self_attn.v_proj",
    ]


@pytest.mark.parametrize(
    ("kind", "target", "count"),
    [
        ("gpt2", "all-linear", 4),  # its tied head is a table
        ("gpt2", ["c_attn"], 1),
        ("gpt2", r".*\.mlp\..*", 2),
        ("llama", "all-linear", 7),  # and not its head
        ("llama", ["lm_head"], 1),
        ("bert", ["query", "attention.output.dense"], 2),
        ("sinusoidal encoder", ["qkv"], 1),  # no family can say it
    ],
)
def test_targets_are_those_of_peft(kind, target, count):
    assert small(kind).add_lora(target=target) == count


def test_only_the_additions_are_trained_and_what_is_asked_for():
    model = adapted(train=["decoder.final_norm.*"])
    model.compile(keras.optimizers.SGD(1.0), run_eagerly=True)
    before = {path: w.numpy() for path, w in model.weights_by_path().items()}
    inside = [w.numpy() for w in lora_weights(model)]
    assert len(inside) == 4
    model.train_on_batch({"input_ids": IDS})
    for path, weight in model.weights_by_path().items():
        changed = not np.array_equal(before[path], weight.numpy())
        assert changed == (path == "decoder.final_norm.weight")
    for old, new in zip(inside, lora_weights(model), strict=True):
        assert not np.array_equal(old, new.numpy())
    with pytest.raises(InputError, match=r"decoder\.final_norm\.weight"):
        model.save_lora("nowhere")


def test_saved_alone_and_loaded_it_computes_the_same(tmp_path):
    model = adapted()
    model.save_lora(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    again = small()
    again.load_lora(tmp_path)
    again.load_lora(tmp_path)  # in place of itself
    np.testing.assert_array_equal(logits(again), logits(model))
    assert again.lora == {**model.lora, "dropout": 0.0}
    assert len(again.trainable_weights) == 4


def test_merging_keeps_what_is_computed_and_removing_takes_it_back():
    model, plain = adapted(), logits(small())
    expected = logits(model)
    assert np.abs(expected - plain).max() > 0.1
    model.predict({"input_ids": IDS}, verbose=0)  # compiled with it
    vars(model)["_generator"] = "programs that have it in them"
    model.merge_lora()
    np.testing.assert_allclose(logits(model), expected, atol=1e-5)
    found = model.predict({"input_ids": IDS}, verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert "_generator" not in vars(model)
    assert not model.frozen()
    model = adapted()
    model.remove_lora()
    np.testing.assert_array_equal(logits(model), plain)
    with pytest.raises(InputError, match="no LoRA"):
        model.merge_lora()


def test_a_model_with_lora_is_not_saved_as_if_it_had_none(tmp_path):
    model = adapted()
    with pytest.raises(InputError, match="merge_lora"):
        model.save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model").exists()
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(logits(again), logits(model))
    assert again.lora == model.lora
    assert again.frozen() == model.frozen()


def test_what_cannot_be_is_refused():
    model = small()
    for target in (["query"], ["proj"], "q_proj", r"["):
        with pytest.raises(InputError, match="target="):
            model.add_lora(target=target)
    with pytest.raises(ConfigError, match="rank=0"):
        model.add_lora(0)
    with pytest.raises(ConfigError, match="dropout=1"):
        model.add_lora(dropout=1)
    assert model.lora is None
    model.add_lora()
    with pytest.raises(InputError, match="already"):
        model.add_lora()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    directory = tmp_path_factory.mktemp("adapter")
    adapted().save_lora(directory)
    return directory


@pytest.fixture(scope="module")
def target():
    return small()


FILES = {
    "another peft": ({"peft_type": "IA3"}, {}, "peft_type='IA3'"),
    "a mechanism": ({"use_dora": True}, {}, "use_dora.*True"),
    "biases": ({"bias": "all"}, {}, "bias.*'all'"),
    "the future": ({"new_thing": {"a": 1}}, {}, "new_thing"),
    "no rank": ({"r": None}, {}, "r=None"),
    "a huge rank": ({"r": 10**9}, {}, "r=1000000000"),
    "no scale": ({"lora_alpha": "x"}, {}, "lora_alpha='x'"),
    "another rank": ({"r": 3}, {}, r"shape \[2, 16\].*r=3 need \[3, 16\]"),
    "no half": ({}, {"q_proj.lora_B": None}, "lacks tensor .*q_proj.lora_B"),
    "no module": (
        {},
        {"q_proj.lora_A": None, "q_proj.lora_B": None},
        "no tensors of model.layers.0.self_attn.q_proj",
    ),
    "a stranger": ({}, {"x": np.zeros(3, "float32")}, "has 'base_model.model.*x"),
    "NaN": (
        {},
        {"q_proj.lora_A": np.full((2, 16), np.nan, "float32")},
        "holds nan at element 0",
    ),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_strange_adapter_is_refused_and_the_model_stays(
    kind, saved, target, tmp_path
):
    settings, tensors, said = FILES[kind]
    config = json.loads((saved / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps({**config, **settings}))
    arrays = safetensors.numpy.load_file(saved / "adapter_model.safetensors")
    for name, value in tensors.items():
        full = f"base_model.model.model.layers.0.self_attn.{name}.weight"
        if value is None:
            del arrays[full]
        else:
            arrays[full] = value
    safetensors.numpy.save_file(arrays, tmp_path / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match=said):
        target.load_lora(tmp_path)
    assert target.lora is None
    assert not target.frozen()


def test_a_directory_without_an_adapter_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"adapter_config\.json is not there"):
        small().load_lora(tmp_path)
