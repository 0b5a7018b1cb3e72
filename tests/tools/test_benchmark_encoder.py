"""The BERT classifier of the benchmarks is one and the same in every library."""

import numpy as np
import pytest

from tools.benchmark_encoder import PRECISIONS, Shape, contenders
from tools.benchmark_turns import measure

TINY = Shape(
    layers=1,
    hidden=16,
    heads=2,
    feedforward=32,
    vocabulary=50,
    positions=16,
    batch=2,
    length=8,
)


def parameters(shape):
    d, f = shape.hidden, shape.feedforward
    block = 4 * (d * d + d) + (d * f + f) + (f * d + d) + 2 * 2 * d
    tables = (shape.vocabulary + shape.positions + 2) * d + 2 * d
    return tables + shape.layers * block + (d * d + d) + shape.classes * (d + 1)


def start(name, task, precision="float32"):
    by_name = {item.name: item for item in contenders(task, precision, TINY)}
    return by_name[name].start(**by_name[name].options)


def test_batches_are_the_same_for_all_and_are_padded():
    first, again = (list(TINY.data()) for _ in range(2))
    assert all(
        np.array_equal(a, b)
        for one, other in zip(first, again, strict=True)
        for a, b in zip(one, other, strict=True)
    )
    ids, mask, types, labels = first[0]
    assert ids.shape == mask.shape == types.shape == (2, 8)
    assert np.array_equal(mask, np.sort(mask)[:, ::-1])  # padding is on the right
    assert not ids[mask == 0].any()
    assert set(labels) <= {0, 1}


@pytest.mark.parametrize("task", ["train", "forward"])
def test_zoo_runs_the_model_that_is_described(task):
    session = start("zoo", task, "bfloat16")
    seconds = session.run(3)
    assert len(seconds) == 3
    assert min(seconds) > 0
    assert session.about["parameters"] == parameters(TINY)
    assert session.about["variant"].startswith("mixed_bfloat16, ")
    assert session.about["threads"]


@pytest.mark.parity
@pytest.mark.parametrize("task", ["train", "forward"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_all_contenders_run_the_same_model(task, precision):
    results = measure(contenders(task, precision, TINY), rounds=1, steps=2, warmup=1)
    assert {r.about["parameters"] for r in results} == {parameters(TINY)}
    assert all(len(r.seconds) == 2 for r in results)
    assert len(results[1].about["probed_seconds"]) == 2  # KerasHub with and without XLA
