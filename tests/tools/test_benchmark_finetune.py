"""One epoch of fine-tuning: the same examples and weights in every library."""

import numpy as np
import pytest

from tools import benchmark_finetune
from tools.benchmark_finetune import Work, contenders
from tools.benchmark_turns import measure

SNIPPETS = ([f"sentence number {i}" for i in range(20)], [0, 1] * 10)


def test_examples_held_out_are_others_than_those_learned(monkeypatch):
    monkeypatch.setattr("zoo.data.samples.movie_snippets", lambda: SNIPPETS)
    (texts, labels), (asked, answers) = Work(held_out=5).data()
    assert set(texts) | set(asked) == set(SNIPPETS[0])
    assert (len(texts), len(asked)) == (15, 5)
    known = dict(zip(*SNIPPETS, strict=True))
    assert [known[x] for x in (*texts, *asked)] == [*labels, *answers]
    assert len(Work(held_out=5, examples=4).data()[0][0]) == 4


def test_waiting_is_a_share_of_the_steps(monkeypatch):
    class Model:
        def _batching(self, size):
            return size

        def train_on_batch(self, *batch):
            list(np.ones(10_000))

    monkeypatch.setattr(
        "zoo.data.batches.epochs", lambda *_, **__: iter([("x", "y")] * 9)
    )
    share = benchmark_finetune.waiting(Model(), ["a"], [0], Work(), steps=5, before=2)
    assert 0 < share < 0.5


@pytest.mark.download
def test_all_contenders_learn():
    """Those whose packages are here; with the parity extra, all of them."""
    from zoo.data.samples import fetch

    work = Work(batch=4, length=16, examples=16, held_out=8, steps=1)
    results = measure(contenders(work, fetch("minilm")), rounds=1, steps=1, warmup=0)
    results = [each for each in results if not each.missing]
    assert all(r.seconds[0] > 0 for r in results)
    assert all(0 <= r.about["accuracy"] <= 1 for r in results[:2])
