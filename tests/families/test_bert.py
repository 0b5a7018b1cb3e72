"""The bias of BERT's masked-LM head, which checkpoints hold once or twice."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from zoo.families import FAMILIES
from zoo.tasks import MaskedLM

FIRST, SECOND = "cls.predictions.bias", "cls.predictions.decoder.bias"
SIZES = {
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "vocab_size": 11,
    "max_position_embeddings": 9,
}


def saved(directory, biases, *, tied):
    """Writes a checkpoint with these biases in place of its own."""
    keys = {"model_type": "bert", "tie_word_embeddings": tied, **SIZES}
    config = FAMILIES["bert"].translation.read(keys)
    MaskedLM(config.replace(pooler=False)).save_pretrained(directory)
    tensors = load_file(directory / "model.safetensors")
    # What the reference writes too.
    assert {name for name in tensors if name.endswith(("s.bias", "decoder.bias"))} == {
        FIRST,
        *(() if tied else (SECOND,)),
    }
    for name in (FIRST, SECOND):
        tensors.pop(name, None)
    tensors |= {name: np.full(11, x, np.float32) for name, x in biases.items()}
    save_file(tensors, directory / "model.safetensors")


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    ("biases", "expected"),
    [
        ({FIRST: 1.0}, 1.0),
        ({SECOND: 2.0}, 2.0),
        ({FIRST: 3.0, SECOND: 3.0}, 3.0),
        # As the reference has it: the second is what is added.
        ({FIRST: 1.0, SECOND: 2.0}, 2.0),
    ],
)
def test_the_bias_that_the_reference_adds_is_read(tied, biases, expected, tmp_path):
    saved(tmp_path, biases, tied=tied)
    model = MaskedLM.from_pretrained(tmp_path)
    np.testing.assert_array_equal(model.lm_head.bias, np.full(11, expected))


def test_the_bias_of_an_untied_head_is_written_under_both_names(tmp_path):
    saved(tmp_path / "one", {FIRST: 1.0, SECOND: 2.0}, tied=False)
    MaskedLM.from_pretrained(tmp_path / "one").save_pretrained(tmp_path / "two")
    tensors = load_file(tmp_path / "two" / "model.safetensors")
    np.testing.assert_array_equal(tensors[FIRST], tensors[SECOND])
    np.testing.assert_array_equal(tensors[SECOND], np.full(11, 2.0))
