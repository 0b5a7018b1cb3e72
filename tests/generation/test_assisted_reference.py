"""Assisted generation writes what transformers writes with the same two models."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

import zoo  # noqa: E402
from tests.parity.cases import GPT2, LLAMA, T5  # noqa: E402
from tests.parity.reference import reference_model  # noqa: E402
from zoo.families import FAMILIES  # noqa: E402

NEW, DRAFTED = 24, 4
CASES = {
    "gpt2": ("gpt2", {**GPT2, "n_positions": 40}, {"n_layer": 1}),
    "llama, grouped heads": ("llama", LLAMA, {"num_hidden_layers": 1}),
    "mistral, sliding window": (
        "mistral",
        {**LLAMA, "sliding_window": 4},
        {"num_hidden_layers": 1},
    ),
    "t5": ("t5", T5, {"num_layers": 1}),
}
OPTIONS = {
    "greedy": {},
    "penalties": {"repetition_penalty": 1.3, "no_repeat_ngram_size": 2},
    "ends": {"eos_token_id": [9, 27, 41, 50], "min_new_tokens": 4},
}


@pytest.fixture(scope="module", params=CASES)
def both(request, tmp_path_factory):
    """Model and assistant of the reference, and ours from their checkpoints."""
    family, settings, smaller = CASES[request.param]
    theirs, ours = [], []
    for seed, changes in enumerate(({}, smaller)):
        model = reference_model(family, {**settings, **changes}, seed=seed)
        model.generation_config.eos_token_id = None
        model.generation_config.num_assistant_tokens = DRAFTED
        model.generation_config.num_assistant_tokens_schedule = "constant"
        model.generation_config.assistant_confidence_threshold = 0.0
        directory = tmp_path_factory.mktemp("checkpoint")
        model.save_pretrained(directory)
        kinds = {"decoder": zoo.GPTModel, "encoder_decoder": zoo.T5Model}
        ours.append(kinds[FAMILIES[family].assembly].from_pretrained(directory))
        theirs.append(model)
    ours[0]._generator.jit_compile = False  # XLA gives the same: test_assisted.py
    return theirs, ours


@pytest.mark.parametrize("name", OPTIONS)
def test_tokens_equal_the_reference(both, name):
    (model, assistant), (own, drafting) = both
    rng = np.random.default_rng(0)
    options = {"max_new_tokens": NEW, "eos_token_id": None, **OPTIONS[name]}
    for length in (2, 5, 7, 3, 5, 8):
        row = rng.integers(3, 67, length).tolist()
        with torch.no_grad():
            found = model.generate(
                torch.tensor([row]),
                assistant_model=assistant,
                do_sample=False,
                pad_token_id=0,
                **options,
            )[0]
        begin = 1 if model.config.is_encoder_decoder else length
        expected = found[begin:].tolist()
        assert expected == own.generate(
            row, assistant_model=drafting, num_assistant_tokens=DRAFTED, **options
        )
