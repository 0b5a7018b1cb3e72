"""The checkpoint of the `load` benchmark, and that all contenders read it whole."""

import json

import pytest
from safetensors import safe_open

from tools.benchmark_load import Shape, contenders, make_checkpoint
from tools.benchmark_turns import measure

TINY = Shape(layers=1, hidden=8, heads=2, vocabulary=20, positions=16)


def test_the_default_is_gpt2_with_124_million_weights():
    sizes = Shape().tensors()
    total = 0
    for shape in sizes.values():
        count = 1
        for size in shape:
            count *= size
        total += count
    assert total == 124_439_808  # as published: 498 MB in float32
    assert len(sizes) == 148


def test_the_checkpoint_is_written_once(tmp_path):
    directory = make_checkpoint(TINY, cache=tmp_path)
    written = (directory / "model.safetensors").stat()
    assert make_checkpoint(TINY, cache=tmp_path) == directory
    assert (directory / "model.safetensors").stat().st_mtime_ns == written.st_mtime_ns
    assert [path.name for path in directory.parent.iterdir()] == [directory.name]
    assert json.loads((directory / "config.json").read_text())["n_embd"] == 8
    with safe_open(directory / "model.safetensors", "numpy") as file:
        assert file.get_tensor("h.0.attn.c_attn.weight").shape == (8, 24)


def test_zoo_loads_it(tmp_path):
    directory = make_checkpoint(TINY, cache=tmp_path)
    zoo, *_ = contenders(directory)
    session = zoo.start(**zoo.options)
    assert len(session.run(1)) == 1
    with safe_open(directory / "model.safetensors", "numpy") as file:
        total = abs(file.get_tensor("wte.weight")).sum()
        names = list(file.keys())
        count = sum(file.get_tensor(name).size for name in names)
    told = session.check()
    assert told["checksum"] == pytest.approx(total, abs=1e-3)
    assert told["parameters"] == count


@pytest.mark.parity
def test_all_contenders_load_the_same_weights(tmp_path):
    directory = make_checkpoint(TINY, cache=tmp_path)
    results = measure(contenders(directory), rounds=1, steps=1, warmup=0, fresh=True)
    assert len({r.about["checksum"] for r in results}) == 1
    assert len({r.about["parameters"] for r in results}) == 1
