"""Diverse beam search finds what transformers 4.49 found: the JSON file is its."""

import json
import pathlib

import pytest

import zoo

TESTS = pathlib.Path(__file__).parents[1]
GOLDEN = json.loads((TESTS / "generation" / "golden" / "diverse_beam.json").read_text())
MODELS = {
    "gpt2": zoo.GPTModel,
    "t5": zoo.T5Model,
    "llama": zoo.GPTModel,  # with grouped heads
    "mistral": zoo.GPTModel,  # with a window of 4
}


ON_DEMAND = [pytest.param(n, marks=pytest.mark.parity) for n in ("llama", "mistral")]


@pytest.mark.parametrize("name", ["gpt2", "t5", *ON_DEMAND])
def test_groups_find_what_the_reference_found(name):
    model = MODELS[name].from_pretrained(TESTS / "fixtures" / "golden" / name)
    model._generator.jit_compile = False  # five programs: seconds and not a minute
    golden = GOLDEN[name]
    for case in golden["cases"]:
        found = model.generate(golden["prompts"], **case["options"], output_scores=True)
        for group, wanted in zip(found, case["groups"], strict=True):
            assert [each.ids for each in group] == [ids for _, ids in wanted]
            scores = [score for score, _ in wanted]
            assert [each.score for each in group] == pytest.approx(scores, abs=1e-4)
