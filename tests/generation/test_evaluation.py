"""Perplexity and likelihood: what a model says of tokens, summed by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf

import zoo
from tests.generation.tiny import SIZE, TEXTS, make, with_texts
from zoo.errors import InputError
from zoo.generation.evaluation import IGNORED, windows


@pytest.fixture(scope="module")
def models():
    return {
        kind: make(kind, max_position_embeddings=12) for kind in ("learned", "window")
    }


@pytest.fixture(scope="module")
def source_model():
    return make("t5")


def log_probability(model, context, token):
    """log p(token | context), from a call of the model."""
    logits = model(tf.constant([context]))[0, -1]
    return float(tf.nn.log_softmax(logits)[token])


def ids(count, seed=0):
    return np.random.default_rng(seed).integers(3, SIZE, count).tolist()


@pytest.mark.parametrize(
    ("stride", "expected"),
    [
        # Of 7 tokens, windows of 4: begin and end of each, and the first one scored.
        (4, [(0, 4, 1), (4, 7, 5)]),
        (2, [(0, 4, 1), (2, 6, 4), (4, 7, 6)]),
        (1, [(0, 4, 1), (1, 5, 4), (2, 6, 5), (3, 7, 6)]),
    ],
)
def test_windows_score_each_token_once(stride, expected):
    row = np.arange(10, 17)
    found = list(windows(row, stride=stride, max_length=4))
    for (given, targets), (begin, end, first) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(given, row[begin : end - 1])
        scored = [i if i >= first else IGNORED for i in range(begin + 1, end)]
        scored = [10 + i if i != IGNORED else i for i in scored]
        np.testing.assert_array_equal(targets, scored)


@pytest.mark.parametrize("kind", ["learned", "window"])
def test_perplexity_of_one_window_is_that_of_the_tokens_in_turn(models, kind):
    model, row = models[kind], ids(11)
    scores = [log_probability(model, row[:i], row[i]) for i in range(1, 11)]
    expected = math.exp(-np.mean(scores))
    assert zoo.perplexity(model, row) == pytest.approx(expected, rel=1e-5)
    assert zoo.perplexity(model, tf.constant([row])) == pytest.approx(expected, 1e-5)


@pytest.mark.parametrize(("stride", "batch_size"), [(3, 1), (5, 2), (8, 4), (None, 2)])
def test_longer_texts_are_read_by_windows(models, stride, batch_size):
    model, row = models["learned"], ids(29)
    scores = []
    step, scored = stride or 4, 1
    for begin in range(0, 29, step):
        end = min(begin + 8, 29)
        first = max(scored, begin + 1)
        scores += [
            log_probability(model, row[begin:i], row[i]) for i in range(first, end)
        ]
        scored = end
        if end == 29:
            break
    found = zoo.perplexity(
        model,
        row,
        stride=stride,
        max_length=np.int64(8),  # as lengths computed with NumPy are
        batch_size=batch_size,
    )
    assert found == pytest.approx(math.exp(-np.mean(scores)), rel=1e-5)


def test_several_texts_are_pooled_by_token():
    model = with_texts("learned")
    rows = model.tokenizer(TEXTS, padding=None)["input_ids"].to_list()
    counts = [len(row) - 1 for row in rows]
    losses = [
        count * math.log(zoo.perplexity(model, [row]))
        for row, count in zip(rows, counts, strict=True)
        if count
    ]
    expected = math.exp(sum(losses) / sum(counts))
    for batch_size in (1, 3):
        found = zoo.perplexity(model, TEXTS, batch_size=batch_size)
        assert found == pytest.approx(expected, rel=1e-5)


def test_log_likelihood_is_the_sum_over_the_continuation(models):
    model = models["learned"]
    prompts, following = [ids(3), ids(5, 1), []], [ids(4, 2), ids(1, 3), ids(2, 4)]
    found = zoo.log_likelihood(model, prompts, following, batch_size=2)
    for prompt, more, score in zip(prompts, following, found, strict=True):
        whole = [*(prompt or [1]), *more]
        places = range(len(whole) - len(more), len(whole))
        expected = sum(log_probability(model, whole[:i], whole[i]) for i in places)
        assert score == pytest.approx(expected, abs=1e-4)


def test_log_likelihood_of_answers_to_sources(source_model):
    sources, targets = [ids(3), ids(5, 1)], [ids(4, 2), ids(1, 3)]
    found = zoo.log_likelihood(source_model, sources, targets)
    for source, target, score in zip(sources, targets, found, strict=True):
        inputs = {"input_ids": [source], "decoder_input_ids": [[0, *target[:-1]]]}
        logits = source_model({name: tf.constant(x) for name, x in inputs.items()})[0]
        scores = tf.nn.log_softmax(logits).numpy()
        assert score == pytest.approx(
            scores[np.arange(len(target)), target].sum(), abs=1e-4
        )


def test_log_likelihood_is_that_of_generate(models):
    model = models["window"]
    model._generator.jit_compile = False
    prompts = [ids(3), ids(6, 1)]
    written = model.generate(prompts, max_new_tokens=5, output_logprobs=True)
    found = zoo.log_likelihood(model, prompts, [one.ids for one in written])
    np.testing.assert_allclose(found, [one.score for one in written], atol=1e-4)


@pytest.mark.parametrize(
    ("texts", "options", "match"),
    [
        ([[5]], {}, "no token to score"),
        ([], {}, "no token to score"),
        (5, {}, "texts=5"),
        ([[5, SIZE]], {}, f"the vocabulary has 0 to {SIZE - 1}"),
        ([5, 6], {"max_length": 13}, r"max_length=13: .* from 2 to 12"),
        ([5, 6], {"max_length": 8, "stride": 9}, r"stride=9: .*max_length=8"),
        ([5, 6], {"stride": 0}, r"stride=0"),
        ([5, 6], {"stride": True}, r"stride=True"),
        ([5, 6], {"batch_size": 0}, r"batch_size=0"),
    ],
)
def test_what_has_no_perplexity_is_refused(models, texts, options, match):
    with pytest.raises(InputError, match=match):
        zoo.perplexity(models["learned"], texts, **options)


def test_models_of_sources_are_pointed_to_log_likelihood(source_model):
    with pytest.raises(InputError, match=r"Use zoo\.log_likelihood"):
        zoo.perplexity(source_model, [[5, 6]])


def test_a_name_is_no_model():
    with pytest.raises(InputError, match="model is str; expected a zoo model"):
        zoo.perplexity("gpt2", [[5, 6]])


def test_pairs_that_are_none_are_refused(models):
    with pytest.raises(InputError, match="2 prompts and 1 continuations"):
        zoo.log_likelihood(models["learned"], [[5], [6]], [[7]])
    with pytest.raises(InputError, match="a continuation is empty"):
        zoo.log_likelihood(models["learned"], [[5]], [[]])
    with pytest.raises(InputError, match="positions for 12"):
        zoo.log_likelihood(models["learned"], [ids(9)], [ids(5)])


PAGE = """\
Water is one of the most common substances on Earth. It covers about seventy percent of
the surface of our planet, most of it in the oceans. Water can exist in three states: as
a solid, as a liquid, and as a gas. When water is cooled below zero degrees Celsius it
freezes and becomes ice, and when it is heated to one hundred degrees it boils and
becomes steam. All living things need water to survive. The water cycle describes how
water moves through the environment: it evaporates from the oceans, forms clouds, falls
as rain or snow, and flows back to the sea in rivers.
""".replace("\n", " ").strip()


@pytest.mark.download
def test_smollm2_says_paris_and_reads_english(sample):
    model = zoo.GPTModel.from_pretrained(sample("smollm2-gguf"))
    assert "Paris" in model.generate("The capital of France is", max_new_tokens=8)
    assert math.log(zoo.perplexity(model, PAGE)) <= 2.4
    right, wrong = zoo.log_likelihood(
        model, ["The capital of France is"] * 2, [" Paris", " Berlin"]
    )
    assert right > wrong
