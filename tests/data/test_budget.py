"""Token budget: no batch holds more, every text comes once, any step is entered."""

import numpy as np
import pytest

from zoo.data.budget import TokenBudget, budget_batches
from zoo.data.encoded import EncodedTexts
from zoo.errors import InputError

LENGTHS = np.random.default_rng(1).integers(0, 30, 60)
BUCKETS = (4, 8, 16)
TEXTS = EncodedTexts.from_lists([[i + 1] * n for i, n in enumerate(LENGTHS)])


def batches(count, **options):
    options = {"buckets": BUCKETS, "rest": (np.arange(60),), "seed": 2, **options}
    data = budget_batches(TEXTS, 64, pad=99, **options)
    return list(data.take(count).as_numpy_iterator())


def numbers(found):
    return [rows.tolist() for _, rows in found]


def flat(lists):
    return [x for each in lists for x in each]


@pytest.fixture(scope="module")
def plan():
    return TokenBudget(LENGTHS, 64, buckets=BUCKETS)


@pytest.fixture(scope="module")
def two_passes(plan):
    return batches(2 * plan.steps)


def test_no_batch_holds_more_and_every_text_comes_once_in_a_pass(plan, two_passes):
    for part in (two_passes[: plan.steps], two_passes[plan.steps :]):
        assert sorted(flat(numbers(part))) == list(range(60))
    for inputs, rows in two_passes:
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        assert ids.size <= 64 and ids.shape == mask.shape
        assert ids.shape[1] in (*BUCKETS, 24, 29)
        for row, kept, number in zip(ids, mask, rows, strict=True):
            length = LENGTHS[number]
            assert kept.tolist() == [1] * length + [0] * (len(row) - length)
            assert row.tolist() == [number + 1] * length + [99] * (len(row) - length)


def test_the_plan_tells_the_padding_and_the_batches(plan, two_passes):
    places = sum(inputs["input_ids"].size for inputs, _ in two_passes[: plan.steps])
    assert plan.padding == pytest.approx(1 - LENGTHS.sum() / places)
    assert plan.report().startswith(f"{plan.steps} batches, ")
    assert "16 x 4, 8 x 8, 4 x 16" in plan.report()


def test_any_step_is_entered_and_passes_differ(plan, two_passes):
    wanted = numbers(two_passes)
    step = plan.steps - 2
    assert numbers(batches(4, first_step=step)) == wanted[step : step + 4]
    assert wanted[: plan.steps] != wanted[plan.steps :]
    assert {tuple(batch) for batch in wanted[: plan.steps]} != {
        tuple(batch) for batch in wanted[plan.steps :]
    }
    assert numbers(batches(4, seed=3)) != wanted[:4]


def test_without_shuffling_the_shortest_come_first(plan):
    found = numbers(batches(plan.steps, shuffle=False))
    widths = [max(LENGTHS[batch]) for batch in found]
    assert sorted(flat(found)) == list(range(60))
    assert np.all(np.diff(np.searchsorted(BUCKETS, widths)) >= 0)


def test_one_text_and_texts_that_are_too_long():
    one = EncodedTexts.from_lists([[5, 6, 7]])
    [(inputs,)] = budget_batches(one, 8).take(1).as_numpy_iterator()
    assert inputs["input_ids"].tolist() == [[5, 6, 7]]
    with pytest.raises(InputError, match="the longest text has 3"):
        TokenBudget([3], 2)
    with pytest.raises(InputError, match="no texts"):
        TokenBudget([], 2)
