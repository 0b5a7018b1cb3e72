"""QuestionAnswerer equals transformers' classes: logits, loss, gradients, files."""

import numpy as np
import pytest
import tensorflow as tf

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

from tests.parity import comparison, reference  # noqa: E402
from tests.parity.cases import ANSWERERS  # noqa: E402
from zoo.tasks import QuestionAnswerer  # noqa: E402

TOLERANCE = 1e-5
# What moves all logits of a row alike, both softmaxes take away: the gradients are what
# rounding leaves.
ALIKE = {
    "qa_outputs.bias",
    "bert.encoder.layer.1.output.LayerNorm.bias",
    "transformer.ln_f.bias",
}


@pytest.fixture(params=ANSWERERS)
def pair(request, tmp_path):
    """The reference, ours, and inputs without padding."""
    family, architecture, settings = ANSWERERS[request.param]
    theirs = reference.reference_model(family, settings, architecture=architecture)
    theirs.save_pretrained(tmp_path / "hf")
    ours = QuestionAnswerer.from_pretrained(tmp_path / "hf")
    inputs = reference.batch(family, settings, architecture=architecture)
    inputs["attention_mask"] = np.ones_like(inputs["attention_mask"])
    inputs["input_ids"] = np.maximum(inputs["input_ids"], 1)
    return theirs, ours, inputs


def places(inputs):
    length = inputs["input_ids"].shape[1]
    return np.random.default_rng(1).integers(0, length, [len(inputs["input_ids"]), 2])


def test_logits_loss_and_gradients_equal_the_reference(pair):
    theirs, ours, inputs = pair
    labels = places(inputs)
    theirs.zero_grad()
    out = theirs(
        **reference.to_torch(inputs),
        start_positions=torch.tensor(labels[:, 0]),
        end_positions=torch.tensor(labels[:, 1]),
    )
    out.loss.backward()
    expected = torch.stack([out.start_logits, out.end_logits], 1).detach().numpy()
    ours.compile()
    with tf.GradientTape() as tape:
        tensors = {name: tf.constant(x) for name, x in inputs.items()}
        logits = ours(tensors, training=False)
        loss = ours.loss(tf.constant(labels), logits)
    assert comparison.distance(logits, expected) <= TOLERANCE
    assert comparison.distance(loss, out.loss.item()) <= TOLERANCE
    found = tape.gradient(loss, [w.value for w in ours.trainable_weights])
    found = comparison.gradients_by_tensor(ours, found)
    wanted = {
        name: weight.grad.numpy()
        for name, weight in theirs.named_parameters()
        if weight.grad is not None
    }
    assert found.keys() == wanted.keys()
    floor = 0.01 * max(np.abs(gradient).max() for gradient in wanted.values())
    for name, gradient in wanted.items():
        unit = 100 * floor if name in ALIKE else floor
        far = comparison.distance(found[name], gradient, floor=unit)
        assert far <= TOLERANCE, name


def test_a_padded_row_has_the_logits_and_the_loss_that_it_has_alone(pair):
    theirs, ours, inputs = pair
    lengths = [13, 9, 5, 13, 2]
    mask = (np.arange(13) < np.array(lengths)[:, None]).astype(np.int32)
    labels = np.minimum(places(inputs), np.array(lengths)[:, None] - 1)
    logits = ours({**inputs, "attention_mask": mask}).numpy()
    ours.compile()
    losses = []
    for row, length in enumerate(lengths):
        alone = {name: x[row : row + 1, :length] for name, x in inputs.items()}
        out = theirs(
            **reference.to_torch(alone),
            start_positions=torch.tensor(labels[row : row + 1, 0]),
            end_positions=torch.tensor(labels[row : row + 1, 1]),
        )
        expected = torch.cat([out.start_logits, out.end_logits]).detach().numpy()
        assert comparison.distance(logits[row, :, :length], expected) <= TOLERANCE
        losses.append(out.loss.item())
    found = ours.loss(tf.constant(labels), tf.constant(logits))
    assert comparison.distance(found, np.mean(losses)) <= TOLERANCE


def test_checkpoints_go_out_and_in_again_bit_by_bit(pair, tmp_path):
    theirs, ours, _ = pair
    ours.save_pretrained(tmp_path / "zoo")
    again, report = type(theirs).from_pretrained(
        tmp_path / "zoo", output_loading_info=True
    )
    assert not any(report.values()), report
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    back = QuestionAnswerer.from_pretrained(tmp_path / "zoo").weights_by_path()
    for path, weight in ours.weights_by_path().items():
        np.testing.assert_array_equal(back[path], weight, err_msg=path)
