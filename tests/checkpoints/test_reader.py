"""Reading safetensors: exact values from good files, one kind of error from all others.

Files are built byte by byte here, so that what is refused is really in them; the
`safetensors` package is the reference for good ones.
"""

import json
import os
import time
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zoo.checkpoints import Checkpoint, Row, WeightTable, plan
from zoo.checkpoints.header import DTYPES, MAX_TENSORS
from zoo.errors import CheckpointError

BFLOAT16 = ml_dtypes.bfloat16
FLOAT_TYPES = [np.float64, np.float32, np.float16, BFLOAT16]


def encode(header, data=b"", *, length=None):
    """The bytes of a file with this header, given as JSON value or as bytes."""
    if not isinstance(header, bytes):
        header = json.dumps(header).encode()
    size = len(header) if length is None else length
    return size.to_bytes(8, "little") + header + data


def entry(dtype="F32", shape=(2,), start=0, stop=8):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def put(directory, content, name="model.safetensors"):
    (directory / name).write_bytes(content)
    return directory


def some_arrays(seed=0):
    """Arrays of every dtype and of unusual shapes, all finite."""
    random = np.random.default_rng(seed)
    arrays = {
        f"of.{name}": random.integers(0, 2, (3, 5)).astype(dtype)
        for name, dtype in DTYPES.items()
    }
    return {
        **arrays,
        "scalar": np.float32(2.5)[None][0:1].reshape(()),
        "empty": np.zeros((0, 4), np.float32),
        "also empty": np.zeros((3, 0), np.float16),
        "eight axes": random.standard_normal((1, 2, 1, 2, 1, 2, 1, 2)),
        "größe 名": random.standard_normal(7).astype(BFLOAT16),
    }


def equal(one, other):
    return (
        one.dtype == other.dtype
        and one.shape == other.shape
        and one.tobytes() == other.tobytes()
    )


def refused(directory, *said):
    """Opens and reads everything; gives the error, which must name what `said` does."""
    with pytest.raises(CheckpointError) as caught:  # noqa: SIM117
        with Checkpoint(directory) as checkpoint:
            for name in checkpoint.tensors:
                checkpoint.read(name)
    for part in said:
        assert part in str(caught.value)
    assert len(str(caught.value)) < 1000
    return caught.value


# -- Good files


def test_every_dtype_and_shape_is_read_as_it_was_written(tmp_path):
    arrays = some_arrays()
    safetensors.numpy.save_file(arrays, tmp_path / "model.safetensors", {"made": "so"})
    with Checkpoint(tmp_path) as checkpoint:
        assert checkpoint.metadata == {"made": "so"}
        assert checkpoint.tensors.keys() == arrays.keys()
        for name, array in arrays.items():
            info = checkpoint.tensors[name]
            assert (info.name, info.dtype, info.shape) == (
                name,
                array.dtype,
                array.shape,
            )
            assert info.stop - info.start == array.nbytes
            assert info.file == "model.safetensors"
            assert equal(checkpoint.read(name), array)


def test_arrays_are_aligned_and_the_callers_own(tmp_path):
    safetensors.numpy.save_file(some_arrays(), tmp_path / "model.safetensors")
    with Checkpoint(tmp_path) as checkpoint:
        for name in checkpoint.tensors:
            array = checkpoint.read(name)
            assert array.ctypes.data % 64 == 0 or not array.size
            assert array.flags.c_contiguous and array.flags.writeable
            before = array.copy()
            checkpoint.read(name)[...] = 0
            assert equal(array, before)


def test_opening_reads_headers_only(tmp_path):
    # A terabyte, none of it on disk.
    size = 1 << 40
    put(tmp_path, encode({"huge": entry("F32", [1 << 38], 0, size)}))
    with open(tmp_path / "model.safetensors", "r+b") as file:
        file.truncate(os.path.getsize(file.name) + size)
    with Checkpoint(tmp_path) as checkpoint:
        assert checkpoint.tensors["huge"].shape == (1 << 38,)
        part = np.ones(4, np.float32)
        checkpoint.read_into("huge", part, start=(1 << 38) - 4)
        assert not part.any()


def test_a_header_may_be_padded_with_spaces_and_a_file_may_be_empty(tmp_path):
    header = json.dumps({"a": entry()}).encode() + b" " * 99
    put(tmp_path, encode(header, np.float32([1, 2]).tobytes()))
    with Checkpoint(tmp_path) as checkpoint:
        assert checkpoint.read("a").tolist() == [1, 2]
    put(tmp_path, encode({}))
    with Checkpoint(tmp_path) as checkpoint:
        assert not checkpoint.tensors


# -- Conversion, views and parts


@pytest.mark.parametrize("stored", FLOAT_TYPES)
@pytest.mark.parametrize("wanted", FLOAT_TYPES)
def test_floats_are_converted_as_numpy_does(tmp_path, stored, wanted):
    # More than one chunk, and no multiple of it.
    values = np.random.default_rng(1).standard_normal((1001, 701)).astype(stored)
    safetensors.numpy.save_file({"a": values}, tmp_path / "model.safetensors")
    with Checkpoint(tmp_path) as checkpoint:
        assert equal(checkpoint.read("a", wanted), values.astype(wanted))


def test_dtypes_are_known_by_name_too(tmp_path):
    safetensors.numpy.save_file({"a": np.ones(3)}, tmp_path / "model.safetensors")
    with Checkpoint(tmp_path) as checkpoint:
        assert checkpoint.read("a", "bfloat16").dtype == BFLOAT16


@pytest.mark.parametrize("stored", [np.int8, np.uint8, np.int64, np.bool_])
def test_integers_are_not_taken_for_weights(tmp_path, stored):
    array = np.ones((2, 2), stored)
    safetensors.numpy.save_file({"a": array}, tmp_path / "model.safetensors")
    with Checkpoint(tmp_path) as checkpoint:
        assert equal(checkpoint.read("a", stored), array)
        with pytest.raises(CheckpointError, match="quantised"):
            checkpoint.read("a", np.float32)


@pytest.mark.parametrize(
    ("stored", "value", "wanted"),
    [
        (np.float32, 65520.0, np.float16),
        (np.float32, -3.4e38, BFLOAT16),
        (np.float64, 1e300, np.float32),
        (BFLOAT16, 1e30, np.float16),
    ],
)
def test_a_value_that_the_type_cannot_hold_is_refused(tmp_path, stored, value, wanted):
    array = np.zeros((700, 801), stored)
    array[699, 3] = value
    safetensors.numpy.save_file({"a": array}, tmp_path / "model.safetensors")
    with Checkpoint(tmp_path) as checkpoint:
        for out in (np.zeros((700, 801), wanted), np.zeros((801, 700), wanted).T):
            with pytest.raises(CheckpointError, match="'a' holds values that"):
                checkpoint.read_into("a", out)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, BFLOAT16])
@pytest.mark.parametrize(
    "shape", [(), (1,), (0, 3), (5, 3), (700, 801), (3, 600_001), (600_001, 3)]
)
def test_a_transposed_view_receives_the_tensor(tmp_path, shape, dtype):
    values = np.random.default_rng(2).standard_normal(shape).astype(np.float32)
    safetensors.numpy.save_file(
        {"a": np.asarray(values)}, tmp_path / "model.safetensors"
    )
    weight = np.zeros(shape[::-1], dtype)
    with Checkpoint(tmp_path) as checkpoint:
        checkpoint.read_into("a", weight.T)
    assert equal(np.ascontiguousarray(weight.T).reshape(shape), values.astype(dtype))


def test_a_view_of_four_axes_receives_the_tensor_in_its_order(tmp_path):
    # The un-permuting of rotary pairs: [H * d, D] seen as [H, 2, d / 2, D].
    values = np.arange(4 * 6 * 5, dtype=np.float32).reshape(4 * 6, 5)
    safetensors.numpy.save_file({"a": values}, tmp_path / "model.safetensors")
    weight = np.zeros((24, 5), np.float32)
    with Checkpoint(tmp_path) as checkpoint:
        checkpoint.read_into("a", weight.reshape(4, 3, 2, 5).transpose(0, 2, 1, 3))
    expected = values.reshape(4, 2, 3, 5).transpose(0, 2, 1, 3).reshape(24, 5)
    assert np.array_equal(weight, expected)


def test_parts_of_a_tensor_are_read_by_element(tmp_path):
    values = np.arange(12, dtype=np.int64).reshape(4, 3)
    safetensors.numpy.save_file({"a": values}, tmp_path / "model.safetensors")
    with Checkpoint(tmp_path) as checkpoint:
        out = np.zeros((2, 3), np.int64)
        checkpoint.read_into("a", out, start=6)
        assert np.array_equal(out, values[2:])
        for start in (-1, 7, 12):
            with pytest.raises(CheckpointError, match="were asked for"):
                checkpoint.read_into("a", out, start=start)
        with pytest.raises(CheckpointError, match="were asked for"):
            checkpoint.read_into("a", out)


def test_reading_allocates_little_more_than_the_array(tmp_path):
    size = 32 << 20
    values = np.zeros((2048, size // 4 // 2048), np.float32)
    safetensors.numpy.save_file({"a": values}, tmp_path / "model.safetensors")
    with Checkpoint(tmp_path) as checkpoint:
        for dtype in (np.float32, BFLOAT16, np.float16):
            itemsize = np.dtype(dtype).itemsize
            tracemalloc.start()
            out = checkpoint.read("a", dtype)
            assert tracemalloc.get_traced_memory()[1] < size // 4 * itemsize + (3 << 20)
            tracemalloc.reset_peak()
            held = tracemalloc.get_traced_memory()[0]
            checkpoint.read_into("a", out.reshape(values.shape[::-1]).T)
            assert tracemalloc.get_traced_memory()[1] - held < 3 << 20
            tracemalloc.stop()


# -- NaN, infinity, and files that change


@pytest.mark.parametrize("dtype", FLOAT_TYPES)
@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 300_000, 600_000])
def test_nan_and_infinity_are_refused_by_name_and_place(tmp_path, dtype, bad, place):
    values = np.full(600_001, np.finfo(np.float16).max, np.float64).astype(dtype)
    values[1::2] *= -1
    values[place] = bad
    safetensors.numpy.save_file(
        {"good": np.zeros(2, dtype), "bad.weight": values},
        tmp_path / "model.safetensors",
    )
    with Checkpoint(tmp_path) as checkpoint:
        checkpoint.read("good")
        for wanted in (dtype, np.float32):
            with pytest.raises(CheckpointError) as caught:
                checkpoint.read("bad.weight", wanted)
            assert "'bad.weight' holds" in str(caught.value)
            assert f"element {place:,} " in str(caught.value)


@pytest.mark.parametrize("dtype", FLOAT_TYPES)
def test_the_largest_and_smallest_finite_numbers_pass(tmp_path, dtype):
    limits = ml_dtypes.finfo(dtype)
    values = np.array(
        [limits.max, limits.min, limits.tiny, -limits.tiny, 0, -0.0], dtype
    )
    safetensors.numpy.save_file({"a": values}, tmp_path / "model.safetensors")
    with Checkpoint(tmp_path) as checkpoint:
        assert equal(checkpoint.read("a"), values)


def test_bool_holds_zero_and_one(tmp_path):
    header = {"a": entry("BOOL", [3], 0, 3)}
    with Checkpoint(put(tmp_path, encode(header, b"\0\1\1"))) as checkpoint:
        assert checkpoint.read("a").tolist() == [False, True, True]
    refused(put(tmp_path, encode(header, b"\0\1\2")), "'a'", "BOOL")


def test_a_file_truncated_after_opening_is_noticed(tmp_path):
    values = np.zeros(1 << 20, np.float32)
    safetensors.numpy.save_file({"a": values}, tmp_path / "model.safetensors")
    with Checkpoint(tmp_path) as checkpoint:
        os.truncate(tmp_path / "model.safetensors", 3 << 20)
        with pytest.raises(CheckpointError, match="truncated since"):
            checkpoint.read("a")


def test_a_file_replaced_after_opening_is_read_as_it_was(tmp_path):
    path = tmp_path / "model.safetensors"
    safetensors.numpy.save_file({"a": np.zeros(4)}, path)
    with Checkpoint(tmp_path) as checkpoint:
        safetensors.numpy.save_file({"b": np.ones(9)}, tmp_path / "other")
        os.replace(tmp_path / "other", path)
        assert checkpoint.read("a").tolist() == [0, 0, 0, 0]


def test_a_closed_checkpoint_says_so_and_arrays_stay(tmp_path):
    safetensors.numpy.save_file({"a": np.ones(2)}, tmp_path / "model.safetensors")
    with Checkpoint(tmp_path) as checkpoint:
        array = checkpoint.read("a")
    assert array.tolist() == [1, 1]
    with pytest.raises(CheckpointError, match="was closed"):
        checkpoint.read("a")
    with pytest.raises(CheckpointError, match="no tensor 'b'"):
        checkpoint.read("b")


# -- Hostile headers


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "too few"),
        (b"\0" * 7, "too few"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (encode(b"{}", length=3), "too few"),
        (encode(b"{}", length=2**64 - 1), "too few"),
        (encode(b""), "not a JSON object"),
        (encode(b" {}"), "not a JSON object"),
        (encode(b"[]"), "not a JSON object"),
        (encode(b'{"a":1,"a":1}'), "'a' stands there twice"),
        (encode('{"a":1}'.encode("utf-16-le")), "not valid JSON"),
        (encode(b'{"a":NaN}'), "'a'"),
        (encode(b'{"a":\xff}'), "not valid JSON"),
        (encode({}, b"x"), "belong to none"),
        (encode({"__metadata__": []}), "__metadata__"),
        (encode({"__metadata__": {"a": 1}}), "__metadata__"),
        (encode({"": entry()}, b"\0" * 8), "no name"),
        (encode({"a\n": entry()}, b"\0" * 8), "no name"),
        (encode({"a\0": entry()}, b"\0" * 8), "no name"),
        (encode({"\ud800": entry()}, b"\0" * 8), "no name"),
        (encode({"a" * 513: entry()}, b"\0" * 8), "no name"),
        (encode({"a": entry(stop=12)}, b"\0" * 12), "needs 8 bytes, but has 12"),
        (encode({"a": entry()}, b"\0" * 7), "truncated"),
        (encode({"a": entry()}, b"\0" * 9), "belong to none"),
        (encode({"a": entry(start=4, stop=12)}, b"\0" * 12), "has a gap"),
        (encode({"a": entry(), "b": entry()}, b"\0" * 8), "overlaps"),
        (encode({"a": entry(), "b": entry("F32", [2], 4, 12)}, b"\0" * 12), "overlaps"),
        (
            encode({"a": entry(), "b": entry("F32", [2], 9, 17)}, b"\0" * 17),
            "has a gap",
        ),
    ],
)
def test_a_file_that_breaks_the_format_is_refused(tmp_path, content, said):
    refused(put(tmp_path, content), "model.safetensors", said)


@pytest.mark.parametrize(
    "kind", ["F8_E4M3", "F8_E5M2", "F4", "C64", "f32", "", 1, None]
)
def test_unknown_dtypes_are_refused_by_name(tmp_path, kind):
    header = {"a.weight": entry(kind)}
    refused(put(tmp_path, encode(header, b"\0" * 8)), "a.weight", repr(kind), "BF16")


@pytest.mark.parametrize(
    "shape",
    [
        None,
        2,
        "2",
        {"0": 2},
        [-2],
        [2.0],
        [True, 2],
        ["2"],
        [[2]],
        [None],
        [1] * 9,
        [2**62, 2**62],
        [2**63],
        [10**4000],
        [0, 2**64],
        [3],
        [],
    ],
)
def test_strange_shapes_are_refused_by_name(tmp_path, shape):
    header = {"a.weight": entry(shape=shape)}
    refused(put(tmp_path, encode(header, b"\0" * 8)), "a.weight")


@pytest.mark.parametrize(
    "offsets",
    [
        None,
        [],
        [0],
        [0, 8, 8],
        [8, 0],
        [-8, 0],
        [0, 2**64],
        [0.0, 8.0],
        [False, 8],
        ["0", "8"],
        {"0": 8},
    ],
)
def test_strange_byte_ranges_are_refused_by_name(tmp_path, offsets):
    header = {"a.weight": {"dtype": "F32", "shape": [2], "data_offsets": offsets}}
    refused(put(tmp_path, encode(header, b"\0" * 8)), "a.weight")


@pytest.mark.parametrize("value", [None, [], 3, {}, {**entry(), "x": 1}])
def test_an_entry_has_exactly_its_three_keys(tmp_path, value):
    refused(put(tmp_path, encode({"a": value}, b"\0" * 8)), "'a'", "exactly")


def huge_headers():
    """Headers of up to 4 MiB, each made to be dear to parse."""
    room = (4 << 20) - 64
    tiny = '"%x":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},'
    yield "nested lists", b'{"a":' + b"[" * room
    yield "nested objects", b'{"a":' * (room // 5)
    yield "objects", b'{"a":[' + b"{}," * (room // 3) + b"0]}"
    yield "fewer objects", b'{"a":[' + b"{}," * 200_000 + b"0]}"
    yield "floats", b'{"a":[' + b"1.5," * (room // 4) + b"0]}"
    yield "strings", b'{"a":[' + b'"ab",' * (room // 5) + b"0]}"
    yield "long numbers", b'{"a":[' + b"%s," % (b"1" * 4000) * (room // 4001) + b"0]}"
    yield "a number", b'{"a":' + b"1" * room + b"}"
    yield "a name", b'{"' + b"a" * room + b'":0}'
    yield "a wide name", b'{"' + "😀".encode() * (room // 4) + b'":0}'
    yield "two names", b'{"%s":0,"%s":0}' % ((b"a" * (room // 2),) * 2)
    yield (
        "tensors",
        b"{" + "".join(tiny % i for i in range(MAX_TENSORS + 1))[:-1].encode() + b"}",
    )
    yield (
        "more tensors",
        b"{" + "".join(tiny % i for i in range(70_000))[:-1].encode() + b"}",
    )
    yield (
        "metadata",
        b'{"__metadata__":{'
        + b",".join(b'"%d":"%d"' % (i, i) for i in range(110_000))
        + b"}, 0}",
    )
    yield "too long", b"{" + b" " * (5 << 20) + b"}"
    yield "41 MB", b"{" + b'"a":[],' * (41 * 10**6 // 7) + b"}"


@pytest.mark.parametrize("header", [pytest.param(h, id=n) for n, h in huge_headers()])
def test_a_huge_header_costs_little_to_refuse(tmp_path, header):
    put(tmp_path, encode(header))
    started = time.process_time()
    refused(tmp_path)
    assert time.process_time() - started < 1  # 0.1 on the machine it was written on
    tracemalloc.start()
    refused(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20


# Types of which no two have the same size: a changed dtype never fits.
SMALL = {
    "block.0.kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "scale": np.array(3.25, np.float64),
    "none": np.zeros((0, 2), np.float32),
    "steps": np.array([[1, 2], [3, 4]], np.int16),
    "mask": np.array([True, False]),
}
TABLE = WeightTable(base=tuple(Row(name, name) for name in SMALL))


def load_small(directory):
    with Checkpoint(directory) as checkpoint:
        return dict(plan(TABLE, checkpoint, SMALL).arrays())


def small_header():
    content = safetensors.numpy.save(SMALL, {"format": "pt"})
    length = int.from_bytes(content[:8], "little")
    return content[8 : 8 + length], content[8 + length :]


def check_equal_or_refused(directory, content):
    put(directory, content)
    try:
        loaded = load_small(directory)
    except CheckpointError:
        return
    assert loaded.keys() == SMALL.keys()
    assert all(equal(loaded[name], SMALL[name]) for name in SMALL)


HYPOTHESIS = settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@HYPOTHESIS
@given(data=st.data())
def test_any_changed_byte_of_a_header_loads_equal_or_is_refused(tmp_path, data):
    header, values = small_header()
    place = data.draw(st.integers(0, len(header)))
    removed = data.draw(st.integers(0, 4))
    added = data.draw(st.binary(max_size=4) | st.sampled_from([b"}", b'"', b"0", b","]))
    changed = header[:place] + added + header[place + removed :]
    length = data.draw(st.sampled_from([len(changed), len(header)]))
    check_equal_or_refused(tmp_path, encode(changed, values, length=length))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([*DTYPES, "F8_E4M3"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=3) | st.sampled_from(["dtype", "shape"]), inner
        )
    ),
    max_leaves=6,
)


@HYPOTHESIS
@given(data=st.data())
def test_any_changed_value_of_a_header_loads_equal_or_is_refused(tmp_path, data):
    header, values = small_header()
    tree = json.loads(header)
    path = data.draw(
        st.sampled_from(
            [(name,) for name in tree]
            + [(n, key) for n in SMALL for key in ("dtype", "shape", "data_offsets")]
            + [(n, "data_offsets", at) for n in SMALL for at in (0, 1)]
            + [("block.0.kernel", "shape", at) for at in (0, 1)]
        )
    )
    node = tree
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = data.draw(JSON | st.integers(0, 64))
    check_equal_or_refused(tmp_path, encode(tree, values))


@HYPOTHESIS
@given(length=st.integers(0, 700), added=st.binary(max_size=3))
def test_any_cut_or_lengthened_file_is_refused(tmp_path, length, added):
    content = encode(*small_header())
    changed = content[:length] + added
    put(tmp_path, changed)
    if changed != content:
        with pytest.raises(CheckpointError):
            load_small(tmp_path)


@HYPOTHESIS
@given(content=st.binary(max_size=64))
def test_any_bytes_at_all_are_refused(tmp_path, content):
    put(tmp_path, content)
    with pytest.raises(CheckpointError):
        load_small(tmp_path)


# -- Directories and shards


ONE = {"a": np.float32([1, 2]), "b": np.float32([3])}
TWO = {"c": np.int64([[4], [5]])}


def sharded(directory, weight_map=None, *, shards=("1.safetensors", "2.safetensors")):
    for name, arrays in zip(shards, (ONE, TWO), strict=True):
        safetensors.numpy.save_file(arrays, directory / name, {"in": name})
    if weight_map is None:
        weight_map = dict.fromkeys(ONE, shards[0]) | dict.fromkeys(TWO, shards[1])
    index = {"metadata": {"total_size": 28}, "weight_map": weight_map}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    return directory


def test_shards_are_read_as_one(tmp_path):
    with Checkpoint(sharded(tmp_path)) as checkpoint:
        assert checkpoint.name == "model.safetensors.index.json"
        assert {n: i.file for n, i in checkpoint.tensors.items()} == {
            "a": "1.safetensors",
            "b": "1.safetensors",
            "c": "2.safetensors",
        }
        for name, array in {**ONE, **TWO}.items():
            assert equal(checkpoint.read(name), array)


def test_a_single_file_goes_before_an_index(tmp_path):
    sharded(tmp_path)
    safetensors.numpy.save_file({"z": np.zeros(1)}, tmp_path / "model.safetensors")
    with Checkpoint(tmp_path) as checkpoint:
        assert list(checkpoint.tensors) == ["z"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"a": "2.safetensors"}, "'a' is in 1.safetensors, where"),
        ({"d": "2.safetensors"}, "'d' is not in 2.safetensors, where"),
        ({"a": "3.safetensors"}, "3.safetensors is not there"),
        ({"a": None}, "'a'"),
        ({"a": 1}, "'a'"),
        ({"a": ["1.safetensors"]}, "'a'"),
        ({"a": "pytorch_model.bin"}, "only *.safetensors"),
        ({"a": "../1.safetensors"}, "not a plain file name"),
        ({"a": "./1.safetensors"}, "not a plain file name"),
        ({"a": "/etc/1.safetensors"}, "not a plain file name"),
        ({"a": "sub/1.safetensors"}, "not a plain file name"),
        ({"a": "sub\\1.safetensors"}, "not a plain file name"),
        ({"a": "C:1.safetensors"}, "not a plain file name"),
        ({"a": "1.safetensors\0.safetensors"}, "not a plain file name"),
        ({"a": "x" * 300 + ".safetensors"}, "not a plain file name"),
        ({"a": "directory.safetensors"}, "not a regular file"),
        ({"a": "pipe.safetensors"}, "not a regular file"),
        ({"a": "out.safetensors"}, "outside the directory"),
    ],
)
def test_an_index_that_leads_astray_is_refused(tmp_path, change, said):
    home = tmp_path / "home"
    home.mkdir()
    (home / "directory.safetensors").mkdir()
    (home / "sub").mkdir()
    (home / "pytorch_model.bin").touch()
    os.mkfifo(home / "pipe.safetensors")
    safetensors.numpy.save_file({"a": np.zeros(1)}, tmp_path / "1.safetensors")
    safetensors.numpy.save_file({"a": np.zeros(1)}, home / "sub" / "1.safetensors")
    (home / "out.safetensors").symlink_to("../1.safetensors")
    weight_map = {"a": "1.safetensors", "b": "1.safetensors", "c": "2.safetensors"}
    refused(sharded(home, {**weight_map, **change}), said)


def test_a_tensor_that_the_index_leaves_out_is_refused(tmp_path):
    weight_map = {"a": "1.safetensors", "c": "2.safetensors"}
    refused(sharded(tmp_path, weight_map), "'b' is in 1.safetensors, where")


def test_a_tensor_in_two_shards_is_refused(tmp_path):
    sharded(tmp_path)
    safetensors.numpy.save_file({**TWO, "a": np.zeros(1)}, tmp_path / "2.safetensors")
    refused(tmp_path, "'a' is in 2.safetensors, where")


@pytest.mark.parametrize(
    "index",
    [
        b"",
        b"[]",
        b"{}",
        b'{"weight_map": {}}',
        b'{"weight_map": []}',
        b'{"weight_map": {"a": "1.safetensors", "a": "1.safetensors"}}',
        json.dumps({"weight_map": {f"{i}": f"{i}.safetensors" for i in range(600)}}),
        json.dumps({"weight_map": {f"{i}": "1.safetensors" for i in range(70_000)}}),
        b'{"weight_map": {' + b'"a":{},' * (2 << 20) + b"}}",
        b" " * (13 << 20),
    ],
)
def test_a_bad_index_costs_little_to_refuse(tmp_path, index):
    index = index.encode() if isinstance(index, str) else index
    put(tmp_path, index, "model.safetensors.index.json")
    started = time.process_time()
    refused(tmp_path, "model.safetensors.index.json")
    assert time.process_time() - started < 1
    tracemalloc.start()
    refused(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20


def test_shards_with_huge_headers_are_refused_together(tmp_path):
    weight_map = {}
    for number in range(6):
        name = f"{number}.safetensors"
        tensor = json.dumps({f"t{number}": entry()}).encode()
        header = tensor + b" " * ((3 << 20) - len(tensor))
        put(tmp_path, encode(header, b"\0" * 8), name)
        weight_map[f"t{number}"] = name
    index = json.dumps({"weight_map": weight_map}).encode()
    put(tmp_path, index, "model.safetensors.index.json")
    refused(tmp_path, "headers of the shards")


def test_the_hub_cache_with_its_links_is_read(tmp_path):
    snapshot = tmp_path / "models--o--n" / "snapshots" / "0f"
    blobs = tmp_path / "models--o--n" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    sharded(snapshot)
    for number, path in enumerate(sorted(snapshot.iterdir())):
        path.rename(blobs / f"{number:040x}")
        path.symlink_to(f"../../blobs/{number:040x}")
    with Checkpoint(snapshot) as checkpoint:
        assert checkpoint.read("a").tolist() == [1, 2]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "neither model.safetensors nor"),
        (["pytorch_model.bin"], "never opened"),
        (["tf_model.h5", "flax_model.msgpack"], "never opened"),
        (["weights.pt"], "never opened"),
        (["adapter_model.safetensors"], "only adapter_model.safetensors"),
    ],
)
def test_a_directory_without_weights_says_what_to_do(tmp_path, names, said):
    for name in names:
        (tmp_path / name).mkdir()  # opening it would be another error
    error = refused(tmp_path, said)
    assert all(name in str(error) for name in names)


def test_a_directory_that_is_not_there_says_so(tmp_path):
    (tmp_path / "file").touch()
    for name in ("absent", "file"):
        with pytest.raises(CheckpointError, match="no such directory"):
            Checkpoint(tmp_path / name)


def test_a_refused_checkpoint_leaves_no_file_open(tmp_path):
    before = os.listdir("/proc/self/fd")
    sharded(
        tmp_path, {"a": "1.safetensors", "b": "1.safetensors", "c": "3.safetensors"}
    )
    refused(tmp_path)
    with Checkpoint(sharded(tmp_path)):
        assert len(os.listdir("/proc/self/fd")) == len(before) + 2
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_equal_tensors_are_told_from_different_ones(tmp_path):
    long = np.zeros(700_001, np.float32)
    changed = long.copy()
    changed[-1] = 1e-30
    arrays = {
        "long": long,
        "copy": long.copy(),
        "changed": changed,
        "row": long[None],
        "other type": long.view(np.int32),
    }
    safetensors.numpy.save_file(arrays, tmp_path / "model.safetensors")
    with Checkpoint(tmp_path) as checkpoint:
        assert checkpoint.same("long", "copy")
        for other in ("changed", "row", "other type"):
            assert not checkpoint.same("long", other)
