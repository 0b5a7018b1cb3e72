"""Every family against numbers that `transformers` computed (tools/make_golden.py)."""

import pathlib

import numpy as np
import pytest

import zoo
from zoo.checkpoints import Checkpoint
from zoo.errors import CheckpointError
from zoo.families import FAMILIES
from zoo.files import read_json

GOLDEN = pathlib.Path(__file__).parents[1] / "fixtures" / "golden"
NAMES = sorted(path.name for path in GOLDEN.iterdir())
CLASSES = {
    "BertForMaskedLM": zoo.MaskedLM,
    "BertForSequenceClassification": zoo.TextClassifier,
    "BertForTokenClassification": zoo.TokenClassifier,
    "GPT2ForSequenceClassification": zoo.TextClassifier,
    "LlamaForQuestionAnswering": zoo.QuestionAnswerer,
    "LlamaForTokenClassification": zoo.TokenClassifier,
    "NomicBertForMaskedLM": zoo.MaskedLM,
    "NomicBertForSequenceClassification": zoo.TextClassifier,
    "T5ForSequenceClassification": zoo.TextClassifier,
    "T5ForTokenClassification": zoo.TokenClassifier,
}
MODELS = {
    "encoder": zoo.BertModel,
    "decoder": zoo.GPTModel,
    "encoder_decoder": zoo.T5Model,
}
# In units of the largest value, at least 1: float32 sums in another order.
TOLERANCE = 1e-5


def test_every_family_has_a_fixture():
    assert {family_of(name) for name in NAMES} == FAMILIES.keys()


@pytest.mark.parametrize("name", NAMES)
def test_outputs_and_hidden_states_equal_the_reference(name):
    model = class_of(name).from_pretrained(GOLDEN / name)
    expected = np.load(GOLDEN / name / "expected.npz")
    inputs = {
        key.partition("/")[2]: expected[key] for key in expected if "input/" in key
    }
    mask = inputs["attention_mask"] != 0
    output_mask = inputs.get("decoder_attention_mask", mask) != 0
    output, wanted = model(inputs).numpy(), expected["output"]
    if isinstance(model, zoo.QuestionAnswerer):  # [B, 2, T]
        output, wanted = (np.moveaxis(x, 1, 2) for x in (output, wanted))
    rows = output_mask if output.ndim == 3 else output_mask.any(1)
    assert_close(output, wanted, rows)
    states = model.hidden_states(inputs)
    states = states if isinstance(states, dict) else {"": states}
    for stack, every in states.items():
        for index, state in enumerate(every):
            valid = mask if stack == "encoder" else output_mask
            assert_close(state.numpy(), expected[f"state/{stack}/{index}"], valid)
    counted = sum(len(every) for every in states.values())
    assert counted == sum(key.startswith("state/") for key in expected)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_saved_is_what_was_loaded(name, tmp_path):
    model = class_of(name).from_pretrained(GOLDEN / name)
    model.save_pretrained(tmp_path, max_shard_size="40KB")
    again = type(model).from_pretrained(tmp_path)
    assert again.config == model.config
    ours, theirs = again.weights_by_path(), model.weights_by_path()
    assert ours.keys() == theirs.keys()
    for path in ours:
        np.testing.assert_array_equal(ours[path], theirs[path], err_msg=path)
    with Checkpoint(GOLDEN / name) as one, Checkpoint(tmp_path) as other:
        assert one.tensors.keys() == other.tensors.keys()
        for tensor in one.tensors:
            np.testing.assert_array_equal(one.read(tensor), other.read(tensor))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_of_another_kind_names_the_class_that_fits(family):
    fit = class_of(family)
    for cls in (*MODELS.values(), zoo.MaskedLM):
        if cls.assembly != fit.assembly:
            with pytest.raises(CheckpointError, match=f"Use zoo.{fit.__name__}"):
                cls.from_pretrained(GOLDEN / family)


@pytest.mark.parametrize("name", NAMES)
def test_a_fixture_is_small(name):
    assert sum(path.stat().st_size for path in (GOLDEN / name).iterdir()) < 300_000


def config_of(name):
    return read_json(GOLDEN / name / "config.json")


def family_of(name):
    return config_of(name)["model_type"]


def class_of(name):
    (architecture,) = config_of(name)["architectures"]
    return CLASSES.get(architecture, MODELS[FAMILIES[family_of(name)].assembly])


def assert_close(ours, theirs, mask):
    assert ours.shape == theirs.shape
    assert np.isfinite(ours).all()
    unit = max(1, np.abs(theirs[mask]).max())
    assert np.abs(ours[mask] - theirs[mask]).max() / unit <= TOLERANCE
