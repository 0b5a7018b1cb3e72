"""The `memory` benchmark: with and without what spares memory, the same is computed."""

import pytest

from tools.benchmark_memory import WORKS, Work, contenders
from zoo.layers import blockwise

TINY = {"batch": 2, "length": 8, "hidden": 16, "heads": 2, "layers": 1, "dropout": 0.0}


def first_losses(saving):
    """With the saving, and without."""
    for contender in contenders(Work(saving, vocabulary=20, **TINY)):
        session = contender.start(**contender.options)
        assert len(session.run(1)) == 1
        yield session.check()["first loss"]


def test_chunks_have_the_loss_of_all_logits_at_once():
    spared, plain = first_losses("loss")
    assert spared == pytest.approx(plain, rel=1e-5)


def test_models_have_the_same_loss_with_either_saving_and_with_none(monkeypatch):
    monkeypatch.setattr(blockwise, "LONG", 4)
    in_blocks, plain = first_losses("blocks")
    checkpointed = next(first_losses("checkpointing"))
    assert [in_blocks, checkpointed] == pytest.approx([plain, plain], rel=1e-5)


def test_the_rows_are_those_of_the_goals():
    loss, layers, *_ = WORKS.values()
    assert (loss.batch, loss.length, loss.hidden, loss.vocabulary) == (
        8,
        512,
        768,
        50257,
    )
    assert (layers.layers, layers.length) == (12, 1024)
