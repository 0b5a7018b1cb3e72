"""Processors and filters equal transformers' own, on random logits and tokens."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

from tests.generation.states import random_logits, run, state_of  # noqa: E402
from zoo.generation import processors, sampling  # noqa: E402
from zoo.generation.config import GenerationConfig  # noqa: E402

theirs = transformers.generation.logits_process
SIZE, ROWS = 12, 4
CASES = range(12)


def agree(process, reference, rows, logits, **state):
    ids = torch.tensor(rows)
    expected = reference(ids, torch.tensor(logits)).numpy()
    found = run(process, logits, state_of(rows, **state))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def tokens(rng, most=9):
    return rng.integers(0, SIZE, (ROWS, rng.integers(1, most))).tolist()


@pytest.mark.parametrize("penalty", [1.3, 0.7])
def test_repetition_penalty(penalty):
    reference = theirs.RepetitionPenaltyLogitsProcessor(penalty)
    for case in CASES:
        rng = np.random.default_rng(case)
        logits = random_logits(rng, ROWS, SIZE)
        agree(processors.repetition_penalty(penalty), reference, tokens(rng), logits)


def test_repetition_penalty_passes_over_padding():
    for case in CASES:
        rng = np.random.default_rng(case)
        rows = [rng.integers(0, SIZE, n).tolist() for n in rng.integers(1, 9, ROWS)]
        longest = max(map(len, rows))
        padding = torch.tensor([longest - len(row) for row in rows])
        reference = theirs.RepetitionPenaltyLogitsProcessor(
            1.3, prompt_ignore_length=padding
        )
        padded = [[0] * (longest - len(row)) + row for row in rows]
        logits = random_logits(rng, ROWS, SIZE)
        expected = reference(torch.tensor(padded), torch.tensor(logits)).numpy()
        found = run(processors.repetition_penalty(1.3), logits, state_of(rows))
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_no_repeated_ngrams(size):
    reference = theirs.NoRepeatNGramLogitsProcessor(size)
    for case in CASES:
        rng = np.random.default_rng(case)
        rows = (np.array(tokens(rng, 20)) % 3).tolist()  # so that something repeats
        logits = random_logits(rng, ROWS, SIZE)
        agree(processors.no_repeated_ngrams(size), reference, rows, logits)


def test_bad_words():
    for case in range(40):
        rng = np.random.default_rng(case)
        lengths = rng.integers(1, 4, 8)
        words = [rng.integers(0, 3, length).tolist() for length in lengths]
        reference = theirs.NoBadWordsLogitsProcessor(words, eos_token_id=[2, 5])
        process = processors.no_bad_words(words, ends=(2, 5))
        rows = (np.array(tokens(rng)) % 3).tolist()
        agree(process, reference, rows, random_logits(rng, ROWS, SIZE))


@pytest.mark.parametrize("prompt", [1, 2, 3])
def test_lengths_and_forced_and_suppressed_tokens(prompt):
    for case in CASES:
        rng = np.random.default_rng(case)
        rows = rng.integers(0, SIZE, (ROWS, prompt + case % 5)).tolist()
        logits = random_logits(rng, ROWS, SIZE)
        begin = prompt + (prompt == 1)  # after a forced first token
        for process, reference in (
            (
                processors.min_length(4, (1, 3)),
                theirs.MinLengthLogitsProcessor(4, [1, 3]),
            ),
            (
                processors.min_new_tokens(2, (1, 3)),
                theirs.MinNewTokensLengthLogitsProcessor(prompt, 2, [1, 3]),
            ),
            (processors.forced_first(5), theirs.ForcedBOSTokenLogitsProcessor(5)),
            (
                processors.forced_last((5, 6), max_new_tokens=3),
                theirs.ForcedEOSTokenLogitsProcessor(prompt + 3, [5, 6]),
            ),
            (
                processors.forced_last(5, max_length=4),
                theirs.ForcedEOSTokenLogitsProcessor(4, 5),
            ),
            (
                processors.suppressed((0, 7)),
                theirs.SuppressTokensLogitsProcessor([0, 7]),
            ),
            (
                processors.suppressed_first((0, 7)),
                theirs.SuppressTokensAtBeginLogitsProcessor([0, 7], prompt),
            ),
            (
                processors.suppressed_first((0, 7), after_forced=True),
                theirs.SuppressTokensAtBeginLogitsProcessor([0, 7], begin),
            ),
        ):
            agree(process, reference, rows, logits, prompt=prompt)


@pytest.mark.parametrize("beams", [1, 2])
def test_allowed_tokens(beams):
    def allowed(number, ids):
        return [number, (int(ids[-1]) + len(ids)) % SIZE]

    reference = theirs.PrefixConstrainedLogitsProcessor(allowed, beams)
    for case in CASES:
        rng = np.random.default_rng(case)
        logits = random_logits(rng, ROWS, SIZE)
        logits[rng.random(logits.shape) < 0.5] = -np.inf
        process = processors.allowed_tokens(allowed, num_beams=beams)
        agree(process, reference, tokens(rng), logits)


@pytest.mark.parametrize("keep", [1, 2, 3])
@pytest.mark.parametrize(
    ("ours", "reference", "values"),
    [
        (sampling.top_k, theirs.TopKLogitsWarper, [1, 5, 1000]),
        (sampling.top_p, theirs.TopPLogitsWarper, [0.0, 0.3, 0.9, 0.999]),
        (sampling.min_p, theirs.MinPLogitsWarper, [0.0, 0.01, 0.3, 1.0]),
        (sampling.typical_p, theirs.TypicalLogitsWarper, [0.1, 0.5, 0.95]),
    ],
)
def test_filters(ours, reference, values, keep):
    for value in values:
        for case in CASES:
            rng = np.random.default_rng(case)
            spread = rng.choice([0.5, 2, 6])
            logits = random_logits(rng, ROWS, int(rng.integers(3, 300)), spread)
            agree(
                ours(value, keep=keep),
                reference(value, min_tokens_to_keep=keep),
                [[0]] * ROWS,
                logits,
            )


def test_top_p_of_equal_logits():
    for case in CASES:
        rng = np.random.default_rng(case)
        logits = rng.integers(0, 3, (ROWS, 16)).astype(np.float32)
        mass = float(rng.uniform(0, 1))
        reference = theirs.TopPLogitsWarper(mass)
        agree(sampling.top_p(mass), reference, [[0]] * ROWS, logits)


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.7},
        {"top_k": 0, "top_p": 0.8},
        {"top_p": 0.8},
        {"temperature": 1.5, "top_k": 20, "top_p": 0.9, "min_p": 0.05},
        {"top_k": 30, "typical_p": 0.8},
        {"top_k": 0, "typical_p": 0.8, "min_p": 0.01},
        {"num_beams": 3, "top_k": 1, "top_p": 0.1, "eos_token_id": [1, 2]},
        {"repetition_penalty": 1.2, "no_repeat_ngram_size": 2, "temperature": 0.5},
        {
            "num_beams": 2,
            "renormalize_logits": True,
            "top_k": 5,
            "suppress_tokens": [3],
        },
    ],
)
def test_distributions_of_whole_configurations(options):
    config = GenerationConfig(do_sample=True, **options)
    chain = processors.of(config, vocab_size=200)
    settings = {"do_sample": True, "top_k": 50, **options}
    reference = transformers.GenerationConfig(**settings)
    reference._eos_token_tensor = (
        torch.tensor(config.eos_token_ids) if config.eos_token_ids else None
    )
    # Which processors there are, and in which order, is a method of their models.
    model = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=200, n_embd=4, n_layer=1, n_head=1)
    )
    reference = model._get_logits_processor(reference, input_ids_seq_length=3)
    for case in CASES:
        rng = np.random.default_rng(case)
        rows = rng.integers(0, 200, (ROWS, 6)).tolist()
        logits = random_logits(rng, ROWS, 200)
        expected = reference(torch.tensor(rows), torch.tensor(logits))
        found = run(
            lambda *given: processors.apply(chain, *given),
            logits,
            state_of(rows, prompt=3),
        )
        np.testing.assert_allclose(
            torch.softmax(torch.tensor(found), -1),
            torch.softmax(expected, -1),
            atol=1e-6,
        )
