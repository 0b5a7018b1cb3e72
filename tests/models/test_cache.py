"""Passes over a cache: the same logits as one pass over everything."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from zoo.config import TransformerConfig
from zoo.layers import cache
from zoo.layers.masks import AttentionBias
from zoo.models import GPTModel, T5Model

PROMPT, MORE, PADDING = 7, 3, np.array([0, 2, 5], np.int32)
SIZES = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
}
TWO = {"num_hidden_layers": 2}
ROTARY = {"position": "rotary", "norm": "rms", "feedforward": "gated"}
DECODERS = {
    "learned": {"position": "learned", "max_position_embeddings": 64},
    "grouped heads": {**ROTARY, **TWO, "num_key_value_heads": 2, "qk_norm": "rms"},
    "window": {**ROTARY, "num_key_value_heads": 1, "sliding_window": 4},
    "some windows": {
        **ROTARY,
        **TWO,
        "sliding_window": 4,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "long window": {**ROTARY, "sliding_window": 9},
    "alibi": {"position": "alibi"},
    "parallel": {**ROTARY, "norm_place": "parallel", "attn_logit_softcapping": 5.0},
}


def decoder_case(name):
    model = GPTModel(TransformerConfig(**{**SIZES, **DECODERS[name]}))
    ids = _ids(PROMPT + MORE)
    mask = (np.arange(PROMPT + MORE) >= PADDING[:, None]).astype(np.int32)
    prompt = {"input_ids": ids[:, :PROMPT], "padding": PADDING}
    return model, {"input_ids": ids, "attention_mask": mask}, prompt, ids


def encoder_decoder_case(_):
    # Two layers of the decoder, for the first one's bias is that of both.
    options = {"position": "relative", "norm": "rms", "num_decoder_layers": 2}
    model = T5Model(TransformerConfig(**SIZES, **options))
    ids, source = _ids(PROMPT + MORE), _ids(5)
    source_mask = np.array([[1] * 5, [1] * 3 + [0] * 2, [1] + [0] * 4], np.int32)
    mask = (np.arange(PROMPT + MORE) >= PADDING[:, None]).astype(np.int32)
    shared = {"input_ids": source, "attention_mask": source_mask}
    whole = {**shared, "decoder_input_ids": ids, "decoder_attention_mask": mask}
    prompt = {**shared, "decoder_input_ids": ids[:, :PROMPT], "padding": PADDING}
    return model, whole, prompt, ids


CASES = {name: decoder_case for name in DECODERS} | {"t5": encoder_decoder_case}


def ways():
    """Each case, one token or three at a time, as a graph or under XLA.

    Of cases with one layer the two other combinations come on demand only.
    """
    for name, tokens, jit in itertools.product(CASES, (1, 3), (False, True)):
        rare = (tokens == 1) != jit and name not in (
            "grouped heads",
            "some windows",
            "t5",
        )
        way = "one at a time" if tokens == 1 else "three at a time"
        marks = [pytest.mark.parity] if rare else []
        id = f"{name}-{way}-{'XLA' if jit else 'graph'}"
        yield pytest.param(name, tokens, jit, id=id, marks=marks)


@pytest.mark.parametrize(("name", "tokens", "jit"), list(ways()))
def test_logits_over_a_cache_equal_those_of_one_pass(name, tokens, jit):
    model, whole, prompt, ids = CASES[name](name)
    expected = model(whole, training=False)[:, PROMPT - 1 :]

    @tf.function(jit_compile=jit)
    def by_steps(prompt, more):
        logits, cache = model.prefill(prompt, length=PROMPT + MORE, slack=tokens - 1)
        if tokens == MORE:
            further, _ = model.advance(more, cache)
        else:
            further = one_at_a_time(model, more, cache)
        return tf.concat([logits[:, None], further], 1)

    found = by_steps(prompt, tf.constant(ids[:, PROMPT:]))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def one_at_a_time(model, ids, cache):
    """Logits `[B, T, V]` of a loop over the tokens, which is compiled once."""

    def step(place, found, cache):
        logits, cache = model.advance(ids[:, place, None], cache)
        return place + 1, found.write(place, logits[:, 0]), cache

    shape = [ids.shape[0], model.config.vocab_size]
    found = tf.TensorArray(tf.float32, ids.shape[1], element_shape=shape)
    _, found, _ = tf.while_loop(
        lambda place, *_: place < ids.shape[1], step, (0, found, cache)
    )
    return tf.transpose(found.stack(), [1, 0, 2])


@pytest.mark.parametrize("name", ["learned", "grouped heads", "some windows", "t5"])
def test_attention_over_the_filled_part_of_a_cache_is_that_over_the_whole(
    name, monkeypatch
):
    """With room for 10 tokens, parts of 2, 8 and 10: the pass is in the last two."""
    monkeypatch.setattr(cache, "SMALLEST_PART", 2)
    test_logits_over_a_cache_equal_those_of_one_pass(name, 1, True)


def test_attention_looks_at_as_little_of_a_cache_as_it_can(monkeypatch):
    monkeypatch.setattr(cache, "SMALLEST_PART", 2)
    zeros, new = tf.zeros([40, 4]), tf.zeros([1, 1, 1, 4])

    def count(keys, values, bias):
        return tf.shape(keys)[2]

    @tf.function(jit_compile=True)
    def looked_at(place):
        memory = cache.Memory(written=(zeros, zeros), place=place)
        return memory.look(count, *memory.extend(new, new), AttentionBias())

    found = [int(looked_at(tf.constant(place))) for place in (0, 1, 2, 7, 8, 31, 39)]
    assert found == [2, 2, 8, 8, 32, 32, 40]


def test_layers_with_a_window_keep_no_more_than_it():
    model, _, prompt, _ = decoder_case("some windows")
    _, cache = model.prefill(prompt, length=40)
    assert [keys.shape[-2] for keys, _ in cache.layers] == [4, 40]


def test_heads_that_share_keys_store_them_once():
    model, _, prompt, _ = decoder_case("grouped heads")
    _, cache = model.prefill(prompt, length=40)
    for written in tf.nest.flatten(cache.layers):  # 2 of 4 heads, of 8
        assert written.shape == (3, 2, 40, 8)


def test_keys_of_an_encoders_states_are_computed_once():
    """What the projections become afterwards, no later step notices."""
    model, _, prompt, ids = encoder_decoder_case("t5")
    _, cache = model.prefill(prompt, length=PROMPT + MORE)
    expected, _ = model.advance(tf.constant(ids[:, -1:]), cache)
    for block in model.decoder.blocks:
        for weight in block.cross_attention.key_value.weights:
            weight.assign(tf.zeros_like(weight))
    found, _ = model.advance(tf.constant(ids[:, -1:]), cache)
    np.testing.assert_array_equal(found, expected)
    _, cache = model.prefill(prompt, length=PROMPT + MORE)
    found, _ = model.advance(tf.constant(ids[:, -1:]), cache)
    assert np.abs(found - expected).max() > 1e-3


@pytest.mark.parametrize("name", ["grouped heads", "some windows"])
def test_a_rewound_cache_goes_on_as_if_the_tokens_had_not_been(name):
    model, _, prompt, ids = decoder_case(name)
    _, cache = model.prefill(prompt, length=PROMPT + MORE, slack=2)
    expected, _ = model.advance(tf.constant(ids[:, -3:]), cache)
    _, other = model.advance(tf.constant(ids[:, :3]), cache)
    found, _ = model.advance(tf.constant(ids[:, -3:]), other.rewound(cache.place))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_cache_can_go_on_with_other_rows():
    model, _, prompt, ids = decoder_case("grouped heads")
    _, cache = model.prefill(prompt, length=PROMPT + MORE)
    token = tf.constant(ids[:, -1:])
    expected, _ = model.advance(token, cache)
    found, _ = model.advance(tf.gather(token, [2, 2, 0]), cache.of_rows([2, 2, 0]))
    np.testing.assert_allclose(found, tf.gather(expected, [2, 2, 0]), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "jit"), [("learned", False), ("some windows", True), ("t5", False)]
)
def test_alternatives_are_read_as_if_each_were_alone(name, jit):
    """More of them than a window has keys, twice, and each row keeps another one."""
    model, _, prompt, ids = CASES[name](name)
    some, choice = tf.constant(ids[:, -5:]), tf.constant([4, 0, 2])

    @tf.function(jit_compile=jit)
    def both(prompt):
        _, cache = model.prefill(prompt, length=PROMPT + MORE + 4, slack=4)
        found, expected = [], []
        for _ in range(2):
            states, after = model.advance_states(some, cache, alternatives=True)
            found.append(states)
            each = cache.of_rows(tf.repeat(tf.range(3), 5))
            states, _ = model.advance_states(tf.reshape(some, [15, 1]), each)
            expected.append(tf.reshape(states, [3, 5, -1]))
            cache = after.with_choice(choice, 5)
        return tf.stack(found), tf.stack(expected)

    np.testing.assert_allclose(*both(prompt), atol=1e-5)


def _ids(count):
    return np.random.default_rng(0).integers(0, 50, (3, count)).astype(np.int32)


@pytest.mark.parametrize("jit", [False, True], ids=["graph", "XLA"])
@pytest.mark.parametrize("name", ["learned", "some windows", "t5"])
def test_beams_of_one_prompt_share_it_and_change_places_behind_it(name, jit):
    model, _, prompt, _ = CASES[name](name)
    prompt = {key: value[:2] for key, value in prompt.items()}
    length, rows = PROMPT + 4, tf.constant([1, 1, 0, 4, 5, 5])
    next_ids = np.arange(6, dtype=np.int32)[:, None]

    @tf.function(jit_compile=jit)
    def both(prompt, next_ids):
        _, cache = model.prefill(prompt, length=length)
        cache = cache.of_rows(tf.constant([0, 0, 0, 1, 1, 1]))
        _, cache = model.advance(next_ids, cache)
        beams = cache.of_beams(rows, start=PROMPT, length=length)
        found = [model.advance(next_ids, x)[0] for x in (beams, cache.of_rows(rows))]
        return *found, model.advance(next_ids, cache)[0]

    found, expected, unmoved = both(prompt, next_ids)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(unmoved - expected).max() > 1e-3
