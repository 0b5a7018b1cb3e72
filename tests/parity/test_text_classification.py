"""TextClassifier beside transformers' classes: the loss, as they take it themselves."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

from tests.parity import comparison, reference  # noqa: E402
from tests.parity.cases import HEADS  # noqa: E402
from zoo.tasks import TextClassifier  # noqa: E402

TOLERANCE = 1e-5
NAMES = ("classifier", "gpt2 classifier", "llama classifier", "t5 classifier")


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_that_fit_takes_equals_the_reference(name, tmp_path):
    family, architecture, settings = HEADS[name]
    theirs = reference.reference_model(family, settings, architecture=architecture)
    theirs.save_pretrained(tmp_path)
    ours = TextClassifier.from_pretrained(tmp_path)
    inputs = reference.batch(family, settings, architecture=architecture)
    rows = slice(0, 2)  # in full and padded on the right, as tokenizers do
    inputs = {column: x[rows] for column, x in inputs.items()}
    labels = np.array([2, 0])
    given = {**reference.to_torch(inputs), "labels": torch.tensor(labels)}
    expected = theirs(**given).loss.item()  # here T5 shifts the text itself
    found = ours.evaluate(inputs, labels, verbose=0, return_dict=True)["loss"]
    assert comparison.distance(found, expected) <= TOLERANCE
