"""Writing safetensors: what the reference reads, in one file or in shards."""

import json
import os
import weakref

import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy

from zoo.checkpoints import WEIGHT_FILES, Checkpoint, LazyTensor, write_checkpoint
from zoo.checkpoints.header import DTYPES
from zoo.checkpoints.writer import parse_size
from zoo.errors import CheckpointError
from zoo.files import staged_directory

ARRAYS = {f"of.{n}": np.arange(6).reshape(2, 3).astype(d) for n, d in DTYPES.items()}
ARRAYS |= {"scalar": np.array(2.5), "empty": np.zeros((0, 3), np.float32)}
TEN = {f"layer.{i}": np.full((5, 5), i, np.float32) for i in range(10)}  # 100 B each


def reference(path):
    """What the `safetensors` package finds: dict of name to (dtype, shape, bytes)."""
    return {
        name: (found["dtype"], tuple(found["shape"]), bytes(found["data"]))
        for name, found in safetensors.deserialize(path.read_bytes())
    }


def expected(arrays):
    names = {dtype: name for name, dtype in DTYPES.items()}
    return {n: (names[a.dtype], a.shape, a.tobytes()) for n, a in arrays.items()}


def test_a_single_file_is_what_the_reference_reads(tmp_path):
    assert write_checkpoint(tmp_path, ARRAYS) == ["model.safetensors"]
    path = tmp_path / "model.safetensors"
    assert reference(path) == expected(ARRAYS)
    with safetensors.safe_open(path, framework="np") as file:
        assert file.metadata() == {"format": "pt"}


def test_what_is_written_is_read_back(tmp_path):
    write_checkpoint(tmp_path, ARRAYS, metadata={"by": "zoo", "format": "pt"})
    with Checkpoint(tmp_path) as checkpoint:
        assert checkpoint.metadata == {"by": "zoo", "format": "pt"}
        assert checkpoint.tensors.keys() == ARRAYS.keys()
        for name, array in ARRAYS.items():
            back = checkpoint.read(name)
            assert back.dtype == array.dtype and np.array_equal(back, array)


def test_any_layout_of_memory_is_written_in_order(tmp_path):
    matrix = np.arange(6, dtype=np.float32).reshape(2, 3)
    arrays = {
        "transposed": matrix.T,
        "strided": matrix[:, ::2],
        "read only": np.broadcast_to(np.float32(3), (2, 2)),
        "list": LazyTensor((2,), np.dtype(np.float32), lambda: np.float32([1, 2])),
    }
    write_checkpoint(tmp_path, arrays)
    with Checkpoint(tmp_path) as checkpoint:
        for name, array in arrays.items():
            assert np.array_equal(checkpoint.read(name), np.asarray(array))


def test_shards_are_filled_in_order_and_indexed(tmp_path):
    files = write_checkpoint(tmp_path, TEN, max_shard_size=350)
    shards = [f"model-0000{i}-of-00004.safetensors" for i in (1, 2, 3, 4)]
    assert files == [*shards, "model.safetensors.index.json"]
    assert sorted(os.listdir(tmp_path)) == sorted(files)
    index = json.loads((tmp_path / files[-1]).read_text())
    assert index["metadata"] == {"total_size": 1000, "total_parameters": 250}
    assert index["weight_map"] == {f"layer.{i}": shards[i // 3] for i in range(10)}
    found = {}
    for shard in shards:
        found |= reference(tmp_path / shard)
    assert found == expected(TEN)
    with Checkpoint(tmp_path) as checkpoint:
        for name, array in TEN.items():
            assert np.array_equal(checkpoint.read(name), array)


def test_a_tensor_above_the_limit_has_a_file_of_its_own(tmp_path):
    files = write_checkpoint(tmp_path, TEN, max_shard_size=1)
    assert len(files) == 11


def test_only_one_shard_is_in_memory_at_a_time(tmp_path):
    alive = weakref.WeakSet()
    most = 0

    class Tracked(np.ndarray):
        pass

    def make():
        nonlocal most
        array = np.zeros((5, 5), np.float32).view(Tracked)
        alive.add(array)
        most = max(most, len(alive))
        return array

    Tracked.__hash__ = object.__hash__
    tensors = {
        name: LazyTensor((5, 5), np.dtype(np.float32), make) for name in map(str, TEN)
    }
    write_checkpoint(tmp_path, tensors, max_shard_size=200)
    assert most <= 2


@pytest.mark.parametrize("size", ["", "5 apples", "-1GB", "0", 0, -1, 1.5, True, None])
def test_a_strange_size_is_refused(tmp_path, size):
    with pytest.raises(CheckpointError, match="max_shard_size"):
        write_checkpoint(tmp_path, TEN, max_shard_size=size)
    assert not os.listdir(tmp_path)


def test_sizes_are_decimal_unless_they_say_otherwise():
    assert parse_size("5GB") == 5 * 10**9
    assert parse_size("1.5 mb") == 1_500_000
    assert parse_size("200MiB") == 200 << 20
    assert parse_size("17") == parse_size(17) == 17


@pytest.mark.parametrize("name", ["", "a\n", "a" * 513])
def test_a_name_that_could_not_be_read_is_not_written(tmp_path, name):
    with pytest.raises(CheckpointError, match="no name"):
        write_checkpoint(tmp_path, {name: np.zeros(1)})


@pytest.mark.parametrize(
    "dtype", [np.complex64, ">f4", "U3", object, ml_dtypes.float8_e5m2]
)
def test_a_dtype_that_could_not_be_read_is_not_written(tmp_path, dtype):
    with pytest.raises(CheckpointError, match="'a' has dtype"):
        write_checkpoint(tmp_path, {"a": np.zeros(1).astype(dtype)})


def test_a_lazy_tensor_that_breaks_its_word_is_not_written(tmp_path):
    for made in (np.zeros(2), np.zeros(3, np.float32)):
        lazy = LazyTensor((2,), np.dtype(np.float32), lambda made=made: made)
        with pytest.raises(CheckpointError, match="'a' was announced"):
            write_checkpoint(tmp_path, {"a": lazy})


def test_files_are_as_readable_as_others(tmp_path):
    write_checkpoint(tmp_path, TEN, max_shard_size=500)
    (tmp_path / "other").touch()
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_a_save_leaves_nothing_of_an_earlier_one_in_another_form(tmp_path):
    target = tmp_path / "model"
    for limit, count in [(150, 11), (1000, 1), (500, 3), (250, 6), (1000, 1)]:
        with staged_directory(target, replaces=WEIGHT_FILES) as stage:
            (stage / "config.json").write_text("{}")
            files = write_checkpoint(stage, TEN, max_shard_size=limit)
        assert len(files) == count
        assert sorted(os.listdir(target)) == sorted([*files, "config.json"])
        with Checkpoint(target) as checkpoint:
            assert checkpoint.tensors.keys() == TEN.keys()


def test_files_that_only_look_like_shards_are_left_alone(tmp_path):
    for name in ("model-best.safetensors", "model.safetensors.bak", "my.safetensors"):
        (tmp_path / name).touch()
    with staged_directory(tmp_path, replaces=WEIGHT_FILES) as stage:
        write_checkpoint(stage, TEN)
    assert len(os.listdir(tmp_path)) == 4
