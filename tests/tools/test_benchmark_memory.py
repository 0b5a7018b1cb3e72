"""The `memory` benchmark: with and without what spares memory, the same is computed."""

import pytest

from tools.benchmark_memory import WORKS, Work, contenders
from zoo.layers import blockwise

TINY = {"batch": 2, "length": 8, "hidden": 16, "heads": 2, "layers": 1, "dropout": 0.0}


@pytest.mark.parametrize("saving", ["loss", "checkpointing", "blocks"])
def test_both_forms_have_the_same_loss(saving, monkeypatch):
    monkeypatch.setattr(blockwise, "LONG", 4)
    found = []
    for contender in contenders(Work(saving, vocabulary=20, **TINY)):
        session = contender.start(**contender.options)
        assert len(session.run(1)) == 1
        found.append(session.check()["first loss"])
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_the_rows_are_those_of_the_goals():
    loss, layers, *_ = WORKS.values()
    assert (loss.batch, loss.length, loss.hidden, loss.vocabulary) == (
        8,
        512,
        768,
        50257,
    )
    assert (layers.layers, layers.length) == (12, 1024)
