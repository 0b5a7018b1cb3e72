"""GPT-2 and T5 of the benchmarks are the same in every library."""

import dataclasses

import numpy as np
import pytest

from tools.benchmark_language_model import Work, contenders, shifted
from tools.benchmark_turns import measure

TINY = {
    "layers": 1,
    "hidden": 16,
    "heads": 2,
    "feedforward": 32,
    "vocabulary": 50,
    "positions": 16,
    "batch": 2,
    "length": 8,
}
WORKS = {
    "gpt2": Work(model="gpt2", **TINY),
    "t5": Work(model="t5", target=4, **TINY),
}


def test_batches_are_the_same_for_all():
    for work in WORKS.values():
        first, again = (list(work.data()) for _ in range(2))
        ids, targets = first[1]
        np.testing.assert_array_equal(ids, again[1][0])
        np.testing.assert_array_equal(targets, again[1][1])
        assert ids.shape == (2, 8)
        assert targets.shape == (2, work.target or 8)
    np.testing.assert_array_equal(shifted(np.array([[5, 6, 7]])), [[0, 5, 6]])


@pytest.mark.parametrize("kind", WORKS)
def test_zoo_takes_steps(kind):
    zoo = contenders(WORKS[kind])[0]
    seconds = zoo.start(**zoo.options).run(2)
    assert len(seconds) == 2
    assert min(seconds) > 0


@pytest.mark.parity
@pytest.mark.parametrize("kind", WORKS)
def test_all_contenders_train_the_same_model(kind):
    work = dataclasses.replace(WORKS[kind], dropout=0.0)
    results = measure(contenders(work), rounds=1, steps=1, warmup=1)
    assert len({r.about["parameters"] for r in results}) == 1
    assert all(len(r.seconds) == 1 for r in results)
