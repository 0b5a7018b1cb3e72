"""Every family equals its reference: outputs, states, loss, gradients; and back.

Distances are largest differences in units of the largest reference value (at least 1):
the sum of some dozens of float32 products, in another order, leaves about 1e-6.
"""

import numpy as np
import pytest
import tensorflow as tf

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

import safetensors.torch  # noqa: E402

import zoo  # noqa: E402
from tests.parity import comparison, reference  # noqa: E402
from tests.parity.cases import CASES, HEADS  # noqa: E402
from zoo.checkpoints import Checkpoint  # noqa: E402
from zoo.errors import CheckpointError  # noqa: E402
from zoo.families import FAMILIES  # noqa: E402
from zoo.layers.feedforward import ACTIVATIONS, activation  # noqa: E402

TOLERANCE = 1e-5
EVERY = [(family, name) for family, cases in CASES.items() for name in cases]
FIRST = {family: next(iter(cases)) for family, cases in CASES.items()}


def test_every_family_has_cases():
    assert CASES.keys() == FAMILIES.keys()
    assert all(len(cases) >= 3 for cases in CASES.values())


@pytest.mark.parametrize(("family", "name"), EVERY)
def test_outputs_states_loss_and_gradients_equal_the_reference(family, name, tmp_path):
    found = comparison.compare(family, name, tmp_path)
    assert all(value <= TOLERANCE for value in found.values()), found


@pytest.mark.parametrize("family", CASES)
def test_attention_weights_equal_the_reference(family, tmp_path):
    theirs, ours = saved_model(family, FIRST[family], tmp_path)
    inputs, _ = batch_of(family, FIRST[family], ours)
    expected = reference.attentions_of(theirs, inputs)
    found = ours.attentions({name: tf.constant(x) for name, x in inputs.items()})
    found = found if isinstance(found, dict) else {"": found}
    assert found.keys() == expected.keys()
    for name, layers in expected.items():
        # Rows are queries: the encoder's own, or those that the model gives out.
        valid = reference.output_mask(inputs)
        if name == "encoder":
            valid = inputs["attention_mask"] != 0
        assert len(found[name]) == len(layers)
        for mine, other in zip(found[name], layers, strict=True):
            mine, other = (np.moveaxis(x, 1, 2)[valid] for x in (mine.numpy(), other))
            assert comparison.distance(mine, other) <= TOLERANCE
            np.testing.assert_allclose(mine.sum(-1), 1, atol=1e-5)


@pytest.mark.parametrize("name", HEADS)
def test_task_heads_equal_the_reference(name, tmp_path):
    found = comparison.compare_head(name, tmp_path)
    assert all(value <= TOLERANCE for value in found.values()), found


@pytest.mark.parametrize("name", HEADS)
def test_task_heads_go_out_and_in_again_bit_by_bit(name, tmp_path):
    family, architecture, settings = HEADS[name]
    theirs = reference.reference_model(family, settings, architecture=architecture)
    theirs.save_pretrained(tmp_path / "hf")
    cls = comparison.model_class(family, architecture)
    ours = cls.from_pretrained(tmp_path / "hf")
    ours.save_pretrained(tmp_path / "zoo")
    again, report = type(theirs).from_pretrained(
        tmp_path / "zoo", output_loading_info=True
    )
    assert not any(report.values()), report
    assert again.config.id2label == theirs.config.id2label
    wanted = theirs.state_dict()
    if architecture == "masked_lm" and not theirs.config.tie_word_embeddings:
        # The reference then has a second bias, which it adds to nothing.
        wanted["cls.predictions.bias"] = wanted["cls.predictions.decoder.bias"]
    assert_equal_tensors(again.state_dict(), wanted)
    assert_equal_weights(cls.from_pretrained(tmp_path / "zoo"), ours)


@pytest.mark.parametrize("family", CASES)
def test_graph_and_xla_equal_eager(family, tmp_path):
    ours = saved_model(family, FIRST[family], tmp_path)[1]
    inputs, labels = as_tensors(*batch_of(family, FIRST[family], ours))
    eager = comparison.step(ours, inputs, labels)
    # Gradients once for each assembly: they take XLA 20 s to compile.
    whole = family in ("bert", "llama", "t5")
    for jit_compile in (False, True):
        if jit_compile and not whole:
            output = tf.function(ours, jit_compile=True)(inputs)
            assert comparison.distance(output, eager[0]) <= TOLERANCE
            continue
        call = comparison.compiled(ours, jit_compile=jit_compile)
        output, loss, gradients = call(inputs, labels)
        assert comparison.distance(output, eager[0]) <= TOLERANCE
        assert comparison.distance(loss, eager[1]) <= TOLERANCE
        for found, expected in zip(gradients, eager[2], strict=True):
            expected = tf.convert_to_tensor(expected)
            assert comparison.distance(found, expected) <= TOLERANCE


@pytest.mark.parametrize(("family", "name"), EVERY)
def test_weights_go_out_and_in_again_bit_by_bit(family, name, tmp_path):
    theirs, ours = saved_model(family, name, tmp_path / "hf")
    ours.save_pretrained(tmp_path / "zoo")
    again, report = type(theirs).from_pretrained(
        tmp_path / "zoo", output_loading_info=True
    )
    assert not any(report.values()), report
    assert_equal_tensors(again.state_dict(), theirs.state_dict())
    ours_again = type(ours).from_pretrained(tmp_path / "zoo")
    assert ours_again.config == ours.config
    assert_equal_weights(ours_again, ours)
    again.eval()
    again.config._attn_implementation = "eager"
    inputs = reference.batch(family, CASES[family][name])
    expected = reference.output_of(theirs, inputs)
    assert comparison.distance(reference.output_of(again, inputs), expected) < 1e-6


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_positions_that_are_given_are_honoured(family, tmp_path):
    theirs, ours = saved_model(family, FIRST[family], tmp_path)
    inputs, _ = batch_of(family, FIRST[family], ours)
    random = np.random.default_rng(2)
    shape = inputs["input_ids"].shape
    inputs["position_ids"] = random.integers(0, 19, shape).astype(np.int32)
    valid = reference.output_mask(inputs)
    expected = reference.output_of(theirs, inputs)
    found = ours({name: tf.constant(x) for name, x in inputs.items()}).numpy()
    assert comparison.at_valid(found, expected, valid) <= TOLERANCE


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_equal_those_of_the_same_name(name):
    from transformers.activations import ACT2FN

    x = np.concatenate([np.linspace(-12, 12, 4801), [0.0, 1e-6, -1e-6, 88, -88]])
    x = x.astype(np.float32)
    expected = ACT2FN[name](torch.tensor(x)).numpy()
    np.testing.assert_allclose(activation(name)(x), expected, rtol=1e-5, atol=2e-6)


def test_activations_are_those_of_the_reference_but_for_two_with_weights():
    from transformers.activations import ACT2CLS

    assert ACT2CLS.keys() - ACTIVATIONS.keys() == {"prelu", "xielu"}
    assert not ACTIVATIONS.keys() - ACT2CLS.keys()


@pytest.mark.parametrize("family", FAMILIES)
def test_what_a_config_json_leaves_out_is_what_transformers_takes(family):
    theirs = transformers.AutoConfig.for_model(family).to_dict()
    translation = FAMILIES[family].translation
    expected = translation.read(theirs)
    assert translation.read({"model_type": family}) == expected.replace(id2label=None)


# -- The forms in which checkpoints come


@pytest.mark.parametrize("family", CASES)
def test_sharded_checkpoints_load(family, tmp_path):
    theirs, ours = saved_model(family, FIRST[family], tmp_path / "one")
    theirs.save_pretrained(tmp_path / "many", max_shard_size="10KB")
    assert len(list((tmp_path / "many").glob("model-*.safetensors"))) > 3
    assert_equal_weights(type(ours).from_pretrained(tmp_path / "many"), ours)
    ours.save_pretrained(tmp_path / "ours", max_shard_size="10KB")
    again = type(theirs).from_pretrained(tmp_path / "ours")
    assert_equal_tensors(again.state_dict(), theirs.state_dict())


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("family", ["bert", "gpt2", "t5"])
def test_half_precision_checkpoints_load_exactly(family, dtype, tmp_path):
    name = FIRST[family]
    theirs = reference.reference_model(family, CASES[family][name])
    theirs.to(getattr(torch, dtype)).save_pretrained(tmp_path / "half")
    theirs.float().save_pretrained(tmp_path / "full")
    cls = comparison.model_class(family)
    full = cls.from_pretrained(tmp_path / "full")
    assert_equal_weights(cls.from_pretrained(tmp_path / "half"), full)
    half = cls.from_pretrained(tmp_path / "half", dtype=dtype)
    assert {weight.dtype for weight in half.weights if "seed" not in weight.name} == {
        dtype
    }
    half.save_pretrained(tmp_path / "again")
    again = type(theirs).from_pretrained(tmp_path / "again")
    assert again.dtype == getattr(torch, dtype)
    assert_equal_tensors(again.float().state_dict(), theirs.state_dict())


@pytest.mark.parametrize("family", ["bert", "gpt2", "llama", "mistral", "qwen2", "t5"])
def test_bodies_that_were_saved_alone_load(family, tmp_path, caplog):
    theirs, ours = saved_model(family, FIRST[family], tmp_path / "whole")
    theirs.base_model.save_pretrained(tmp_path / "body")
    names = Checkpoint(tmp_path / "body").tensors
    assert not any(n.startswith(("bert.", "transformer.", "model.")) for n in names)
    body = type(ours).from_pretrained(tmp_path / "body")
    own_head = {"lm_head.weight"} & body.weights_by_path().keys()
    assert bool(own_head) == (family in ("llama", "mistral", "qwen2"))
    assert ("newly initialised: lm_head" in caplog.text) == bool(own_head)
    assert_equal_weights(body, ours, but=own_head)
    for path in own_head:
        fresh = body.weights_by_path()[path].numpy()
        assert 0.015 < fresh.std() < 0.025  # not zero, and not the old ones


def test_a_body_that_was_saved_with_a_head_loads_without_it(tmp_path, caplog):
    theirs = reference.reference_model(
        "bert", CASES["bert"]["plain"], architecture="masked_lm"
    )
    theirs.save_pretrained(tmp_path)
    ours = zoo.BertModel.from_pretrained(tmp_path)
    assert "not used by this class: masked_lm" in caplog.text
    assert "newly initialised: pooler" in caplog.text
    inputs = reference.batch("bert", CASES["bert"]["plain"])
    expected = theirs.bert(**reference.to_torch(inputs)).last_hidden_state
    found = ours(inputs).numpy()
    valid = reference.output_mask(inputs)
    assert comparison.at_valid(found, expected.detach().numpy(), valid) <= TOLERANCE


@pytest.mark.parametrize(
    ("family", "copies"),
    [
        ("gpt2", {"lm_head.weight": "transformer.wte.weight"}),
        (
            "t5",
            {
                "lm_head.weight": "shared.weight",
                "encoder.embed_tokens.weight": "shared.weight",
                "decoder.embed_tokens.weight": "shared.weight",
            },
        ),
    ],
)
def test_copies_of_tied_tensors_are_accepted_if_equal(family, copies, tmp_path):
    _, ours = saved_model(family, FIRST[family], tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = safetensors.torch.load_file(path)
    tensors |= {copy: tensors[original].clone() for copy, original in copies.items()}
    safetensors.torch.save_file(tensors, path, metadata={"format": "pt"})
    assert_equal_weights(type(ours).from_pretrained(tmp_path), ours)
    tensors["lm_head.weight"][3, 4] += 1
    safetensors.torch.save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lm_head\.weight"):
        type(ours).from_pretrained(tmp_path)


@pytest.mark.parametrize("family", ["llama", "gpt2", "t5", "umt5", "bert"])
def test_models_that_begin_in_zoo_are_what_transformers_loads(family, tmp_path, seed):
    settings = CASES[family][FIRST[family]]
    config = FAMILIES[family].translation.read({"model_type": family, **settings})
    ours = comparison.model_class(family)(config.replace(initializer_range=0.3))
    ours.save_pretrained(tmp_path)
    row = FAMILIES[family]
    name = row.architectures[reference.HEADS[row.assembly]]
    theirs, report = getattr(transformers, name).from_pretrained(
        tmp_path, output_loading_info=True, attn_implementation="eager"
    )
    assert not any(report.values()), report
    inputs = reference.batch(family, settings)
    expected = reference.output_of(theirs.eval(), inputs)
    valid = reference.output_mask(inputs)
    assert comparison.at_valid(ours(inputs).numpy(), expected, valid) <= TOLERANCE


def saved_model(family, name, directory):
    """The reference of a case, saved to `directory`, and zoo's model loaded from it."""
    theirs = reference.reference_model(family, CASES[family][name])
    theirs.save_pretrained(directory)
    return theirs, comparison.model_class(family).from_pretrained(directory)


def batch_of(family, name, model):
    inputs = reference.batch(family, CASES[family][name])
    return inputs, comparison.labels_for(model, inputs)


def as_tensors(inputs, labels):
    return {k: tf.constant(value) for k, value in inputs.items()}, tf.constant(labels)


def assert_equal_tensors(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert torch.equal(ours[name], tensor), name


def assert_equal_weights(ours, theirs, but=()):
    found, expected = ours.weights_by_path(), theirs.weights_by_path()
    assert found.keys() == expected.keys()
    for path in found.keys() - but:
        np.testing.assert_array_equal(found[path], expected[path], err_msg=path)
