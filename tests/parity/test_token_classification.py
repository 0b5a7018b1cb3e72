"""TokenClassifier beside BertForTokenClassification: its loss, and with a chain."""

import pytest
import tensorflow as tf

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

from tests.parity import comparison, reference  # noqa: E402
from tests.parity.cases import HEADS  # noqa: E402
from zoo.tasks import TokenClassifier  # noqa: E402

TOLERANCE = 1e-5
FAMILY, ARCHITECTURE, SETTINGS = HEADS["token classifier"]


@pytest.fixture
def theirs():
    return reference.reference_model(FAMILY, SETTINGS, architecture=ARCHITECTURE)


@pytest.fixture
def batch(theirs):
    """Inputs, and labels of which some do not count."""
    inputs = reference.batch(FAMILY, SETTINGS)
    valid = reference.output_mask(inputs)
    valid[:, ::3] = False
    return inputs, reference.labels_of(valid, theirs.config.num_labels)


def test_the_loss_that_fit_takes_equals_the_reference(theirs, batch, tmp_path):
    theirs.save_pretrained(tmp_path)
    ours = TokenClassifier.from_pretrained(tmp_path)
    assert dict(enumerate(ours.labels)) == theirs.config.id2label
    inputs, labels = batch
    expected = theirs(
        **reference.to_torch(inputs), labels=torch.tensor(labels)
    ).loss.item()
    found = ours.evaluate(inputs, labels, verbose=0, return_dict=True)["loss"]
    assert comparison.distance(found, expected) <= TOLERANCE


def test_with_a_chain_transformers_loads_all_but_the_chain(theirs, batch, tmp_path):
    theirs.save_pretrained(tmp_path / "hf")
    ours = TokenClassifier.from_pretrained(tmp_path / "hf", crf=True)
    ours.save_pretrained(tmp_path / "zoo")
    again, report = type(theirs).from_pretrained(
        tmp_path / "zoo", output_loading_info=True
    )
    assert not report["missing_keys"] and not report["mismatched_keys"]
    assert set(report["unexpected_keys"]) == {
        "crf.transitions",
        "crf.start_transitions",
        "crf.end_transitions",
    }
    inputs, _ = batch
    again.eval()
    again.config._attn_implementation = "eager"
    expected = reference.output_of(again, inputs)
    found = ours({name: tf.constant(x) for name, x in inputs.items()}).numpy()
    valid = reference.output_mask(inputs)
    assert comparison.at_valid(found, expected, valid) <= TOLERANCE
