"""Contrastive search writes what transformers 4.49 wrote: the JSON file is its.

Its edges are those of greedy search, with whose code it shares all but the choice.
"""

import json
import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf

import zoo
from tests.generation.tiny import TEXTS, make, prompts, reference_models, with_texts
from zoo.errors import ConfigError
from zoo.generation.config import GenerationConfig
from zoo.generation.contrastive import ContrastiveSearch

TESTS = pathlib.Path(__file__).parents[1]
GOLDEN = json.loads((TESTS / "generation" / "golden" / "contrastive.json").read_text())
MODELS = {
    "gpt2": zoo.GPTModel,
    "t5": zoo.T5Model,
    "llama": zoo.GPTModel,
    "mistral": zoo.GPTModel,
}
OPTIONS = {"penalty_alpha": 0.6, "top_k": 5, "max_new_tokens": 8}
ROWS = prompts(np.random.default_rng(0), 4)


@pytest.fixture(scope="module")
def window():
    """A model with a window, run as a graph."""
    model = make("window")
    model._generator.jit_compile = False
    return model


@pytest.fixture(scope="module")
def writer():
    """A model with a tokenizer and learned positions, run as a graph."""
    model = with_texts("learned", num_hidden_layers=2)
    model._generator.jit_compile = False
    return model


def cases():
    """Each model and each case; those that take the time of others on demand only."""
    for name in MODELS:
        for i in range(len(GOLDEN[name]["cases"])):
            rare = i in (1, 2) or (name != "gpt2" and i == 0) or name == "mistral"
            yield pytest.param(name, i, marks=[pytest.mark.parity] if rare else [])


@pytest.fixture(scope="module")
def references():
    return reference_models(MODELS)


@pytest.mark.parametrize(("name", "i"), list(cases()))
def test_it_writes_what_the_reference_wrote(references, name, i):
    case = GOLDEN[name]["cases"][i]
    options = {**case["options"], "output_logprobs": True}
    found = references[name].generate(GOLDEN[name]["prompts"], **options)
    wanted = [group[0] for group in case["groups"]]
    assert [each.ids for each in found] == [ids for _, ids in wanted]
    scores = [score for score, _ in wanted]
    assert [each.score for each in found] == pytest.approx(scores, abs=1e-4)


def by_hand(model, prompt, count, *, penalty_alpha, top_k):
    """Without a cache: all is read again for each candidate."""
    written = list(prompt)

    def read(rows):
        states = model.hidden_states({"input_ids": tf.constant(rows)})[-1]
        return states.numpy(), model.logits(states).numpy()

    for _ in range(count):
        _, logits = read([written])
        probabilities = tf.nn.softmax(logits[0, -1]).numpy()
        candidates = np.argsort(-probabilities)[:top_k]
        states, _ = read([[*written, token] for token in candidates])
        states /= np.linalg.norm(states, axis=-1, keepdims=True)
        similar = np.einsum("ksd,kd->ks", states[:, :-1], states[:, -1]).max(1)
        worth = (1 - penalty_alpha) * probabilities[candidates]
        written.append(int(candidates[np.argmax(worth - penalty_alpha * similar)]))
    return written[len(prompt) :]


def test_candidates_do_not_see_each_other_within_a_window(window):
    found = window.generate(ROWS, **OPTIONS)
    expected = by_hand(window, ROWS[0], 5, penalty_alpha=0.6, top_k=5)
    assert found[0][:5] == expected
    assert window.generate(ROWS[1], **OPTIONS) == found[1]


def test_xla_and_eager_mode_write_what_graphs_write(window):
    expected = window.generate(ROWS, **OPTIONS)
    assert make("window").generate(ROWS, **OPTIONS) == expected
    tf.config.run_functions_eagerly(True)
    try:
        assert window.generate(ROWS, **OPTIONS) == expected
    finally:
        tf.config.run_functions_eagerly(False)


def test_another_weight_of_the_penalty_compiles_nothing(window):
    found = window.generate(ROWS, **OPTIONS)
    before = len(window._generator.programs)
    assert window.generate(ROWS, **{**OPTIONS, "penalty_alpha": 0.01}) != found
    assert len(window._generator.programs) == before


def test_there_are_no_more_candidates_than_tokens():
    config = GenerationConfig(penalty_alpha=0.6, top_k=1000)
    assert ContrastiveSearch(config, vocab_size=40).count == 40


def test_what_is_forbidden_is_not_taken_for_being_unlike(window):
    allowed = [7, 11]
    forbidden = [i for i in range(window.config.vocab_size) if i not in allowed]
    found = window.generate(
        ROWS, **{**OPTIONS, "penalty_alpha": 0.9}, suppress_tokens=forbidden
    )
    assert {token for row in found for token in row} <= set(allowed)


def test_it_streams_and_ends_at_stop_strings_and_at_the_last_position(writer):
    text = writer.generate("a cat", **OPTIONS)
    assert "".join(writer.generate("a cat", stream=True, **OPTIONS)) == text
    stop = re.findall("[!-~]", text)[1]  # no half character
    found = writer.generate("a cat", stop_strings=[stop], **OPTIONS)
    assert found == text[: text.index(stop) + len(stop)]
    # Each token that is written is read, so that it needs a position.
    limit = writer.config.max_position_embeddings
    row = [5] * (limit - 3)
    assert len(writer.generate(row, **OPTIONS)) == 3
    assert len(writer.generate([row, row[:2]], **OPTIONS)[1]) == 8
    assert writer.generate([5] * limit, **OPTIONS) == []


def test_it_is_served(writer, tmp_path):
    options = {**OPTIONS, "repetition_penalty": 1.3, "stop_strings": ["a", "|"]}
    where = writer.export_saved_model(tmp_path / "x", **options)
    serve = tf.saved_model.load(where).signatures["serving_default"]
    found = serve(text=tf.constant(TEXTS))["text"].numpy()
    expected = writer.generate(TEXTS, **options)
    assert [text.decode() for text in found] == expected


@pytest.mark.parametrize(
    "options", [{"num_return_sequences": 2}, {"num_beams": 2}, {"do_sample": True}]
)
def test_another_strategy_beside_it_is_refused(window, options):
    (name,) = options
    with pytest.raises(ConfigError, match=rf"penalty_alpha=0.6 .*{name}"):
        window.generate(ROWS, **OPTIONS, **options)
