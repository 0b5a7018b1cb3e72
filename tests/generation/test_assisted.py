"""Assisted generation: the tokens of greedy search, whatever the assistant drafts."""

import logging
import re

import numpy as np
import pytest
import tensorflow as tf

from tests.generation.tiny import KINDS, SIZE, TEXTS, make, prompts, with_texts
from zoo.errors import ConfigError, InputError

ROWS = prompts(np.random.default_rng(0), 4)
DRAFTED = 3  # at a time
SCORED = {"output_logprobs": True}
LONG = {"max_new_tokens": 21, **SCORED}


class Pair:
    """A model and an assistant, run as graphs, which compile faster.

    What was compiled sees the weights that are assigned to the assistant later.
    """

    def __init__(self, kind, create=make, *, positions=64, **changes):
        self.model = create(kind, **changes)
        self.assistant = create(
            kind, seed=1, max_position_embeddings=positions, **changes
        )
        self.model._generator.jit_compile = False
        self.stranger = self.assistant.get_weights()

    def set_assistant(self, name):
        """Which drafts agree: those of a "twin" all, of a "stranger" hardly any."""
        own, rng = self.model.get_weights(), np.random.default_rng(0)
        weights = {
            "twin": own,
            "friend": [w + 0.01 * rng.normal(size=w.shape) for w in own],
            "stranger": self.stranger,
        }
        pairs = zip(weights[name], self.stranger, strict=True)
        self.assistant.set_weights([w[: len(other)] for w, other in pairs])

    def plain(self, given, **options):
        return self.model.generate(given, **options)

    def assisted(self, given, **options):
        options = {"num_assistant_tokens": DRAFTED, **options}
        return self.model.generate(given, assistant_model=self.assistant, **options)


@pytest.fixture(scope="module")
def pairs():
    """One pair of each kind; tests set the assistants that they need."""
    return {kind: Pair(kind) for kind in KINDS}


@pytest.fixture(scope="module")
def writers():
    return Pair("learned", with_texts, positions=24)


@pytest.fixture
def accepted(caplog):
    """Says of the last call: tokens of a row, passes, drafts accepted and made."""
    caplog.set_level(logging.DEBUG, "zoo.generation.assisted")

    def read():
        return tuple(map(int, re.findall(r"\d+", caplog.messages[-1])))

    return read


def ids_and_logprobs(found):
    """What two ways may find alike: tokens exactly, log-probabilities nearly."""
    return [one.ids for one in found], np.concatenate([one.logprobs for one in found])


def agree(found, expected):
    (ids, logprobs), (wanted, known) = map(ids_and_logprobs, (found, expected))
    assert ids == wanted
    np.testing.assert_allclose(logprobs, known, atol=1e-4)


# --- It is greedy search ----------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_are_those_of_greedy_search(pairs, accepted, kind):
    pair = pairs[kind]
    expected = pair.plain(ROWS, **LONG)
    pair.model._generator.jit_compile = kind == "window"  # XLA writes what graphs write
    shares = {}
    for name in ("twin", "friend", "stranger"):
        pair.set_assistant(name)
        agree(pair.assisted(ROWS, **LONG), expected)
        tokens, passes, right, made = accepted()
        assert tokens == passes + right == 21
        shares[name] = right / made, passes
    pair.model._generator.jit_compile = False
    # A pass for the prompt, then DRAFTED tokens and the model's own in each.
    assert shares["twin"] == (1.0, 1 + 20 / (DRAFTED + 1))
    assert 0 < shares["friend"][0] < 1
    assert shares["stranger"][0] < 0.2


def test_eager_mode_writes_the_same(pairs):
    pair = pairs["window"]
    pair.set_assistant("friend")
    tf.config.run_functions_eagerly(True)
    try:
        found = pair.assisted(ROWS, max_new_tokens=4)
    finally:
        tf.config.run_functions_eagerly(False)
    expected = pair.plain(ROWS, **LONG)
    assert found == [one.ids[:4] for one in expected]


def test_processors_see_each_token_as_greedy_search_shows_it(pairs, accepted):
    pair = pairs["grouped"]

    def own(logits, state):
        """Away from the last token, the more the later it is."""
        last = state.tokens[:, state.start + state.step - 1]
        near = tf.range(logits.shape[-1])[None] - last[:, None]
        return logits - 4.0 * tf.cast(tf.abs(near) < state.step, tf.float32)

    options = {
        "max_new_tokens": 12,
        "repetition_penalty": 1.3,
        "frequency_penalty": 0.4,
        "no_repeat_ngram_size": 2,
        "bad_words_ids": [[5], [9, 30]],
        "suppress_tokens": [8],
        "begin_suppress_tokens": list(range(10, 20)),
        "forced_eos_token_id": 2,
        "min_new_tokens": 4,
        "eos_token_id": [2, 12, 21, 26, 33],
        "processors": own,
        **SCORED,
    }
    expected = pair.plain(ROWS, **options)
    assert len({len(one.ids) for one in expected}) > 2  # rows end within drafts
    for name in ("twin", "friend"):
        pair.set_assistant(name)
        agree(pair.assisted(ROWS, **options), expected)
        _, _, right, made = accepted()
        assert name != "twin" or right / made > 0.7  # drafts are processed too


def test_a_python_function_is_asked_only_for_what_it_allowed(pairs):
    """A tree of allowed texts has no answer for others, nor behind its leaves."""
    pair = pairs["learned"]
    pair.set_assistant("stranger")
    tree = {None: [7, 11, 12], 7: [8, 9], 8: [10], 9: [10], 10: [2], 11: [2], 12: [2]}

    def allowed(number, ids):
        return tree[ids[-1] if len(ids) > len(ROWS[number]) else None]

    found = pair.assisted(
        ROWS, prefix_allowed_tokens_fn=allowed, eos_token_id=2, max_new_tokens=9
    )
    for row in found:
        assert row[-1] == 2
        assert all(b in tree[a] for a, b in zip([None, *row], row, strict=False))


# --- Where it ends ----------------------------------------------------------------


def test_limits_cut_drafts(pairs):
    pair = pairs["grouped"]
    pair.set_assistant("twin")
    free = [one.ids for one in pair.plain(ROWS, **LONG)]
    for most in (0, 1, 2, 7):
        found = pair.assisted(ROWS, max_new_tokens=most, **SCORED)
        assert [one.ids for one in found] == [row[:most] for row in free]


def test_prompts_may_leave_few_positions(pairs):
    """Drafts then reach beyond the last position, and are not kept."""
    pair = pairs["learned"]
    pair.set_assistant("twin")
    row = np.random.default_rng(2).integers(3, SIZE, 64).tolist()
    rows = [row, row[:63], row[:58], row[:2]]
    expected = pair.plain(rows, max_new_tokens=9)
    assert [len(each) for each in expected] == [1, 2, 7, 9]
    assert pair.assisted(rows, max_new_tokens=9) == expected


# --- What comes out ---------------------------------------------------------------


def test_text_streams_and_stops_as_without_an_assistant(writers, accepted):
    """The assistant has fewer positions: behind its last one, drafts are poor."""
    writers.set_assistant("friend")
    text, options = TEXTS[0], {"max_new_tokens": 32}
    whole = writers.plain(text, **options)
    pieces = list(writers.assisted(text, stream=True, **options))
    assert "".join(pieces) == whole and len(pieces) > 2
    assert accepted()[2] > 0
    stops = {"stop_strings": [whole[5:8]], "return_dict_in_generate": True, **options}
    found = writers.assisted(text, **stops)
    assert found == writers.plain(text, **stops)
    assert found.finish_reason == "stop_string"


def test_it_is_served(writers, tmp_path):
    text, options = TEXTS[0], {"max_new_tokens": 32}
    writers.set_assistant("friend")
    path = writers.model.export_saved_model(
        tmp_path / "served",
        assistant_model=writers.assistant,
        num_assistant_tokens=DRAFTED,
        **options,
    )
    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    found = serve(text=tf.constant(["a", text]))["text"].numpy()
    assert found[1].decode() == writers.plain(text, **options)


# --- What is refused --------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"do_sample": True}, "do_sample=True"),
        ({"num_beams": 4}, "num_beams=4"),
        ({"num_return_sequences": 2}, "num_return_sequences=2"),
        ({"penalty_alpha": 0.6, "top_k": 4}, "penalty_alpha=0.6"),
        ({"num_assistant_tokens": 0}, "num_assistant_tokens=0"),
    ],
)
def test_options_of_other_strategies_are_refused(pairs, options, named):
    with pytest.raises(ConfigError, match=named) as caught:
        pairs["grouped"].assisted(ROWS, **options)
    assert "assistant_model" in str(caught.value) or len(options) == 1


def test_models_that_cannot_draft_are_refused(pairs, writers):
    for assistant, match in (
        (make("learned", vocab_size=50), r"vocabulary of 50 tokens.* one of 40"),
        (pairs["t5"].model, r"a T5Model and drafts for a GPTModel"),
        ("gpt2", r"assistant_model is str; expected a zoo model"),
    ):
        with pytest.raises(ConfigError, match=match):
            pairs["learned"].model.generate(ROWS, assistant_model=assistant)
    other = with_texts("learned")
    other.tokenizer = shuffled(other.tokenizer)
    with pytest.raises(ConfigError, match=r"another tokenizer: 'th' has the id \d+"):
        writers.model.generate("the", assistant_model=other)
    with pytest.raises(
        InputError, match=r"assistant_model: a prompt has 25 tokens.*24"
    ):
        writers.assisted([5] * 25)
    scaled = {"rope_type": "dynamic", "factor": 2.0}
    model = make("grouped", rope_scaling=scaled)
    with pytest.raises(ConfigError, match=r"assistant_model and rope_scaling.*dynamic"):
        model.generate(ROWS, assistant_model=pairs["grouped"].model)


def test_a_number_of_drafts_needs_an_assistant(pairs):
    with pytest.raises(ConfigError, match=r"num_assistant_tokens=5.*assistant_model="):
        pairs["learned"].model.generate(ROWS, num_assistant_tokens=5)


def shuffled(tokenizer):
    """The same pieces with two ids exchanged."""
    files = tokenizer.get_files()
    text = files["tokenizer.json"].decode()
    ids = {piece: tokenizer.token_to_id(piece) for piece in ("th", "the")}
    for piece, other in (("th", "the"), ("the", "th")):
        text = re.sub(rf'"{piece}":\s*\d+', f'"{piece}": {ids[other]}', text, count=1)
    return type(tokenizer)({**files, "tokenizer.json": text.encode()})
