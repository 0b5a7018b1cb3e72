"""Diverse beam search finds what transformers 4.49 found: the JSON file is its."""

import json
import pathlib

import pytest

import zoo
from tests.generation.tiny import reference_models

TESTS = pathlib.Path(__file__).parents[1]
GOLDEN = json.loads((TESTS / "generation" / "golden" / "diverse_beam.json").read_text())
MODELS = {
    "gpt2": zoo.GPTModel,
    "t5": zoo.T5Model,
    "llama": zoo.GPTModel,  # with grouped heads
    "mistral": zoo.GPTModel,  # with a window of 4
}


def cases():
    """Each model and each case; those that take the time of others on demand only."""
    for name in MODELS:
        for i in range(len(GOLDEN[name]["cases"])):
            rare = name in ("llama", "mistral") or (name == "t5" and i not in (1, 4))
            yield pytest.param(name, i, marks=[pytest.mark.parity] if rare else [])


@pytest.fixture(scope="module")
def references():
    return reference_models(MODELS)


@pytest.mark.parametrize(("name", "i"), list(cases()))
def test_groups_find_what_the_reference_found(references, name, i):
    case, prompts = GOLDEN[name]["cases"][i], GOLDEN[name]["prompts"]
    options = {**case["options"], "output_scores": True}
    found = references[name].generate(prompts, **options)
    for group, wanted in zip(found, case["groups"], strict=True):
        assert [each.ids for each in group] == [ids for _, ids in wanted]
        scores = [score for score, _ in wanted]
        assert [each.score for each in group] == pytest.approx(scores, abs=1e-4)
