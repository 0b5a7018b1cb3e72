"""from_pretrained and save_pretrained: whole or not at all, and refused in time."""

import json
import pathlib
import time
import tracemalloc

import numpy as np
import pytest
import safetensors.numpy

from tests.models.conftest import make, random_ids
from zoo.checkpoints import Checkpoint
from zoo.config import TransformerConfig
from zoo.errors import CheckpointError, ConfigError
from zoo.models import BertModel, GPTModel, T5Model

CHANGES = {"num_key_value_heads": 2, "tie_word_embeddings": False}


@pytest.fixture
def saved(tmp_path):
    """A Llama's directory and the model that was saved there."""
    model = make("llama", model_type="llama")
    model.save_pretrained(tmp_path / "model")
    return tmp_path / "model", model


def change_config(directory, **changes):
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def change_tensors(directory, change):
    path = directory / "model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    change(tensors)
    safetensors.numpy.save_file(tensors, path, metadata={"format": "pt"})


def test_a_model_comes_back_bit_by_bit(saved):
    directory, model = saved
    again = GPTModel.from_pretrained(directory)
    assert again.config == model.config
    np.testing.assert_array_equal(again(random_ids()), model(random_ids()))


def test_a_model_without_a_family_is_saved_as_the_first_that_can_say_it(tmp_path):
    make("llama").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model_type"] == "llama"
    assert config["architectures"] == ["LlamaForCausalLM"]


def test_a_model_that_no_family_can_say_is_not_saved(tmp_path):
    with pytest.raises(ConfigError, match="alibi"):
        make("parallel, alibi").save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("cls", [BertModel, T5Model])
def test_the_wrong_class_says_which_fits(saved, cls):
    with pytest.raises(CheckpointError, match=r"Use zoo\.GPTModel"):
        cls.from_pretrained(saved[0])


@pytest.mark.parametrize("name", ["absent", "absent/", "./absent"])
def test_an_absent_directory_is_said_to_be_absent(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="absent"):
        GPTModel.from_pretrained(name)


def test_a_directory_without_a_config_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"config\.json"):
        GPTModel.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hidden_size": 2**30}, "needs"),
        ({"vocab_size": 2**31 - 1}, "needs"),
        ({"intermediate_size": 2**30}, "needs"),
        ({"num_attention_heads": 2**20, "head_dim": 512}, "needs"),
        ({"num_hidden_layers": 65_000}, "num_hidden_layers=65000"),
        ({"num_hidden_layers": 2**31 - 1}, "num_hidden_layers"),
        ({"num_hidden_layers": 3}, r"model\.layers\.2"),
        ({"num_hidden_layers": 1}, r"model\.layers\.1"),
        ({"attention_bias": True}, "bias"),
        ({"vocab_size": 30}, "vocab_size=30"),
        ({"hidden_size": "16"}, "hidden_size='16'"),
        ({"hidden_act": "gellu"}, "Did you mean 'gelu'"),
        ({"model_type": "x" * 10_000}, "Known: bert"),
        ({"num_experts": 4}, "num_experts"),
    ],
)
def test_a_bad_config_is_refused_at_once_and_without_memory(saved, changes, said):
    directory, _ = saved
    change_config(directory, **changes)
    GPTModel(TransformerConfig(hidden_size=4, num_attention_heads=1, vocab_size=3))
    start = time.process_time()
    tracemalloc.start()
    try:
        with pytest.raises((CheckpointError, ConfigError), match=said):
            GPTModel.from_pretrained(directory)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64e6
    assert time.process_time() - start < 3  # 0.1, without the tracing


def test_a_config_of_megabytes_is_refused_before_it_is_parsed(saved):
    directory, _ = saved
    (directory / "config.json").write_text('{"a": [' + "{}," * 3_000_000 + "{}]}")
    with pytest.raises(CheckpointError, match=r"config\.json"):
        GPTModel.from_pretrained(directory)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t["model.norm.weight"].fill(np.nan), "nan"),
        (lambda t: t["lm_head.weight"].fill(np.inf), "inf"),
        (lambda t: t.pop("model.layers.1.mlp.up_proj.weight"), "up_proj"),
        (lambda t: t.update(extra=np.ones(3, np.float32)), "extra"),
        (
            lambda t: t.update({"model.norm.weight": np.ones(17, np.float32)}),
            r"\[17\]",
        ),
        (
            lambda t: t.update({"model.norm.weight": np.ones(16, np.int32)}),
            "int32",
        ),
    ],
)
def test_a_bad_checkpoint_leaves_a_model_as_it_was(saved, change, said):
    directory, _ = saved
    model = GPTModel.from_pretrained(directory)
    for weight in model.weights:
        weight.assign(weight + 1)
    before = model.get_weights()
    change_tensors(directory, change)
    with pytest.raises(CheckpointError, match=said):
        model.load_checkpoint(directory)
    for weight, value in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, value)
    with pytest.raises(CheckpointError, match=said):
        GPTModel.from_pretrained(directory)


def test_load_checkpoint_fills_a_model(saved):
    directory, model = saved
    other = GPTModel(model.config)
    other.load_checkpoint(directory)
    np.testing.assert_array_equal(other(random_ids()), model(random_ids()))


def test_a_failing_save_leaves_the_earlier_directory(saved, monkeypatch):
    directory, model = saved
    (directory / "notes.txt").write_text("mine")
    before = contents(directory)
    for weight in model.weights:
        weight.assign(weight + 1)
    calls = []

    def fails_late(self, *args, **options):
        calls.append(1)
        if len(calls) > 5:
            raise OSError(28, "No space left on device")
        return original(self, *args, **options)

    from zoo.checkpoints.writer import LazyTensor

    original = LazyTensor.__array__
    monkeypatch.setattr(LazyTensor, "__array__", fails_late)
    with pytest.raises(CheckpointError, match=r"could not be written .*No space"):
        model.save_pretrained(directory, max_shard_size="2KB")
    monkeypatch.undo()
    assert contents(directory) == before
    assert [path.name for path in directory.parent.iterdir()] == ["model"]
    model.save_pretrained(directory, max_shard_size="2KB")
    assert not (directory / "model.safetensors").exists()
    assert (directory / "notes.txt").read_text() == "mine"
    again = GPTModel.from_pretrained(directory)
    np.testing.assert_array_equal(again(random_ids()), model(random_ids()))


def test_a_smaller_save_leaves_no_shard_of_the_larger(saved):
    directory, model = saved
    model.save_pretrained(directory, max_shard_size="2KB")
    assert len(list(directory.glob("model-*"))) > 2
    model.save_pretrained(directory)
    assert {path.name for path in directory.iterdir()} == {
        "config.json",
        "model.safetensors",
    }


@pytest.mark.parametrize("dtype", ["float7", "int32", "", 3])
def test_what_is_no_dtype_to_compute_with_is_refused(dtype):
    with pytest.raises(ConfigError, match=rf"^dtype={dtype!r}: expected float32"):
        GPTModel(TransformerConfig(vocab_size=9, hidden_size=12), dtype=dtype)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "mixed_bfloat16"])
def test_a_dtype_is_loaded_and_saved(saved, tmp_path, dtype):
    directory, _ = saved
    half = GPTModel.from_pretrained(directory, dtype=dtype)
    assert half.dtype_policy.name == dtype
    half.save_pretrained(tmp_path / "half")
    with Checkpoint(tmp_path / "half") as checkpoint:
        kinds = {str(info.dtype) for info in checkpoint.tensors.values()}
    assert kinds == {"float32" if "mixed" in dtype else dtype}
    again = GPTModel.from_pretrained(tmp_path / "half", dtype=dtype)
    for ours, theirs in zip(again.get_weights(), half.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_checkpoint_without_a_head_gets_a_new_one_and_says_so(saved, caplog):
    directory, model = saved
    change_tensors(directory, lambda t: t.pop("lm_head.weight"))
    again = GPTModel.from_pretrained(directory)
    assert "newly initialised: lm_head" in caplog.text
    head = again.lm_head.weight.numpy()
    assert 0.27 < head.std() < 0.33  # initializer_range, which config.json says
    assert np.abs(head - model.lm_head.weight).max() > 0.01


def contents(directory):
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in pathlib.Path(directory).rglob("*")
        if path.is_file()
    }


def test_load_checkpoint_refuses_weights_that_would_compute_another_thing(saved):
    directory, model = saved
    heads = model.config.num_attention_heads
    other = type(model)(
        model.config.replace(
            num_attention_heads=2 * heads,
            num_key_value_heads=2 * model.config.num_key_value_heads,
            head_dim=model.config.head_dim // 2,
        )
    )
    before = [weight.numpy() for weight in other.weights]
    with pytest.raises(CheckpointError, match="num_attention_heads is"):
        other.load_checkpoint(directory)
    for weight, value in zip(other.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)
