"""GGUF files: exact numbers from good ones, one kind of error from all others."""

import os
import struct
import time
import tracemalloc

import gguf
import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import gguf_files as files
from zoo.checkpoints import GgufCheckpoint, Interleaved, Layout, Reversed
from zoo.checkpoints.gguf_header import KINDS, MAX_TENSORS
from zoo.errors import CheckpointError

FOUR = np.arange(4, dtype=np.float32).tobytes()


def refused(path, *said):
    """Opens and reads everything; gives the error, which must name what `said` does."""
    with pytest.raises(CheckpointError) as caught:  # noqa: SIM117
        with GgufCheckpoint(path) as checkpoint:
            dict(checkpoint.settings)
            for name in checkpoint.tensors:
                checkpoint.read(name)
    for part in said:
        assert part in str(caught.value)
    assert len(str(caught.value)) < 1000
    return caught.value


def put(tmp_path, content, name="model.gguf"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.fixture
def good(tmp_path):
    """A file with settings of every type and tensors of every kind."""
    random = np.random.default_rng(0)
    tensors = {}
    for kind in files.KINDS:
        data, values = files.stored((6, 512), kind, random)
        tensors[f"of.{kind}"] = (data, kind, values)
    values = random.standard_normal((3, 1, 5)).astype(np.float32)
    tensors["odd"] = (values, "F32", values)
    given = {"general.architecture": "llama", "general.alignment": 64}
    return files.write(tmp_path / "good.gguf", given, tensors), tensors


# -- Good files


def test_kinds_are_those_of_the_gguf_package():
    for code, kind in KINDS.items():
        quant = gguf.GGMLQuantizationType(code)
        assert (quant.name, gguf.GGML_QUANT_SIZES[quant]) == (
            kind.name,
            (kind.block, kind.size),
        )


def test_every_kind_is_read_as_the_gguf_package_dequantises_it(good):
    path, tensors = good
    with GgufCheckpoint(path) as checkpoint:
        assert list(checkpoint.tensors) == list(tensors)
        for name, (_, kind, values) in tensors.items():
            info = checkpoint.tensors[name]
            assert (info.shape, info.kind.name) == (values.shape, kind)
            array = checkpoint.read(name, np.float32)
            np.testing.assert_array_equal(array, values)
            assert array.ctypes.data % 64 == 0


def test_every_kind_is_converted_on_the_way(good):
    path, tensors = good
    with GgufCheckpoint(path) as checkpoint:
        for name, (_, _, values) in tensors.items():
            for dtype in (np.float16, ml_dtypes.bfloat16, np.float64):
                np.testing.assert_array_equal(
                    checkpoint.read(name, dtype), values.astype(dtype)
                )


def test_parts_of_quantised_rows_are_read_too(good):
    path, tensors = good
    with GgufCheckpoint(path) as checkpoint:
        for name, (_, _, values) in tensors.items():
            part = np.empty(9, np.float32)
            checkpoint.read_into(name, part, start=3)
            np.testing.assert_array_equal(part, values.reshape(-1)[3:12])


def test_tensors_of_many_chunks_are_read_whole(tmp_path):
    random = np.random.default_rng(0)
    data, values = files.stored((700, 512), "Q5_1", random)
    tensors = {"large": (data, "Q5_1", values)}
    path = files.write(tmp_path / "x.gguf", {"general.architecture": "llama"}, tensors)
    with GgufCheckpoint(path) as checkpoint:
        np.testing.assert_array_equal(checkpoint.read("large"), values)
        flipped = np.empty((512, 700), np.float32)
        checkpoint.read_into("large", flipped.T)
        np.testing.assert_array_equal(flipped, values.T)


def test_settings_of_every_type_are_read(tmp_path):
    numbers = {
        "UINT8": 200, "INT8": -3, "UINT16": 60_000, "INT16": -300, "UINT32": 1 << 31,
        "INT32": -(1 << 30), "FLOAT32": 0.5, "UINT64": 1 << 63, "INT64": -(1 << 62),
        "FLOAT64": 0.1, "BOOL": True, "STRING": "größe 模型 🚀",
    }  # fmt: skip
    lists = {"text": ["a", "", "模"], "number": [1, 2], "real": [0.5], "flag": [True]}
    writer = gguf.GGUFWriter(tmp_path / "x.gguf", "llama")
    for name, value in numbers.items():
        writer.add_key_value(name, value, gguf.GGUFValueType[name])
    for name, value in lists.items():
        writer.add_array(name, value)
    writer.add_tensor("t", np.zeros(4, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with GgufCheckpoint(tmp_path / "x.gguf") as checkpoint:
        found = dict(checkpoint.settings)
    assert found == {"general.architecture": "llama", **numbers, **lists}


def test_opening_reads_the_header_only(tmp_path):
    # A terabyte, none of it on disk.
    path = put(tmp_path, files.encode([], [files.tensor("huge", (1 << 38,))]))
    size = os.path.getsize(path)
    os.truncate(path, size + (1 << 40))
    with GgufCheckpoint(path) as checkpoint:
        assert checkpoint.tensors["huge"].shape == (1 << 38,)


def test_versions_2_and_3_are_read(tmp_path):
    for version in (2, 3):
        content = files.encode([], [files.tensor("t")], FOUR, version=version)
        with GgufCheckpoint(put(tmp_path, content)) as checkpoint:
            assert checkpoint.read("t").tolist() == [0, 1, 2, 3]


def test_equal_tensors_are_told_from_others_of_equal_bytes(tmp_path):
    tensors = [
        files.tensor("a", (32,), 2, 0),
        files.tensor("b", (32,), 2, 32),
        files.tensor("c", (32,), 2, 64),
    ]
    data = (b"\1" * 18).ljust(32, b"\0") * 2 + b"\2" * 18
    with GgufCheckpoint(put(tmp_path, files.encode([], tensors, data))) as checkpoint:
        assert checkpoint.same("a", "b")
        assert not checkpoint.same("a", "c")


# -- Layouts


def test_rotary_pairs_are_taken_apart(tmp_path):
    heads, d, width = 3, 4, 32
    ours = np.random.default_rng(0).standard_normal((heads * d, width))
    ours = ours.astype(np.float32)
    # As llama.cpp's converter permutes them.
    theirs = ours.reshape(heads, 2, d // 2, width).swapaxes(1, 2).reshape(ours.shape)
    tensors = files.as_float32({"q": theirs, "bias": theirs[:, 0].copy()})
    path = files.write(tmp_path / "x.gguf", {"general.architecture": "llama"}, tensors)
    with GgufCheckpoint(path) as checkpoint:
        names = {"q": ("query", Interleaved(heads)), "bias": ("b", Interleaved(heads))}
        checkpoint.rename(names)
        np.testing.assert_array_equal(checkpoint.read("query"), ours)
        np.testing.assert_array_equal(checkpoint.read("b"), ours[:, 0])
        both = np.zeros((2, *ours.shape), np.float32)
        checkpoint.read_into("query", both[1])
        np.testing.assert_array_equal(both[1], ours)
        part = np.empty((2, width), np.float32)
        checkpoint.read_into("query", part, start=3 * width)
        np.testing.assert_array_equal(part, ours[3:5])


@pytest.mark.parametrize("kind", ["F16", "Q4_K"])
def test_rotary_pairs_of_heads_larger_than_a_chunk_are_taken_apart(tmp_path, kind):
    heads, d, width = 2, 64, 4096
    data, values = files.stored((heads * d, width), kind, np.random.default_rng(0))
    tensors = {"q": (data, kind, values)}
    path = files.write(tmp_path / "x.gguf", {"general.architecture": "llama"}, tensors)
    wanted = values.reshape(heads, d // 2, 2, width).swapaxes(1, 2)
    with GgufCheckpoint(path) as checkpoint:
        checkpoint.rename({"q": ("query", Interleaved(heads))})
        found = checkpoint.read("query", np.float32)
    np.testing.assert_array_equal(found, wanted.reshape(values.shape))


def test_matrices_are_reversed_and_names_that_are_not_wanted_go(tmp_path):
    matrix = np.arange(12, dtype=np.float32).reshape(3, 4)
    tensors = files.as_float32({"m": matrix, "gone": matrix, "same": matrix})
    path = files.write(tmp_path / "x.gguf", {"general.architecture": "gpt2"}, tensors)
    with GgufCheckpoint(path) as checkpoint:
        checkpoint.rename({"m": ("new", Reversed()), "same": ("same", Layout())})
        assert set(checkpoint.tensors) == {"new", "same"}
        assert checkpoint.tensors["new"].shape == (4, 3)
        np.testing.assert_array_equal(checkpoint.read("new"), matrix.T)
        np.testing.assert_array_equal(checkpoint.read("same"), matrix)


def test_heads_that_do_not_fit_are_refused(tmp_path):
    path = put(tmp_path, files.encode([], [files.tensor("q", (1, 4))], FOUR))
    with GgufCheckpoint(path) as checkpoint:  # noqa: SIM117
        with pytest.raises(CheckpointError, match=r"'q' of shape.*3 heads"):
            checkpoint.rename({"q": ("query", Interleaved(3))})


# -- Strangers' files

HUGE = struct.pack("<Q", 1 << 60)
MANY = struct.pack("<IQ", files.STRING, 1 << 40)
NUMBER = struct.pack("<I", 7)


def one_setting(kind, data):
    return files.encode([files.setting("key", kind, data)])


def tensors(*described, data=FOUR):
    return files.encode([], described, data)


def aligned(value, kind=files.UINT32):
    letter = {files.UINT32: "I", files.FLOAT32: "f"}[kind]
    data = struct.pack(f"<{letter}", value)
    return files.encode([files.setting("general.alignment", kind, data)])


BAD = {
    "empty": (b"", "ends within the magic number"),
    "another format": (b"PK\3\4" + b"\0" * 40, "does not begin with GGUF"),
    "a pointer": (b"version https://git-lfs", "does not begin with GGUF"),
    "version 1": (files.encode(version=1), "GGUF version 1"),
    "version 99": (files.encode(version=99), "GGUF version 99"),
    "big-endian": (files.encode(version=3 << 24), "big-endian"),
    "no counts": (files.encode()[:12], "number of tensors"),
    "2**60 tensors": (files.encode(counts=(1 << 60, 0)), "tensors; at most"),
    "too many tensors": (files.encode(counts=(MAX_TENSORS + 1, 0)), "at most"),
    "2**60 settings": (files.encode(counts=(0, 1 << 60)), "settings; at most"),
    "too few settings": (files.encode([], counts=(0, 9))[:24], "ends within"),
    "too few tensors": (files.encode([], counts=(9, 0))[:24], "ends within"),
    "long name": (files.encode([HUGE + b"key"]), "name of setting 0"),
    "empty name": (files.encode([files.setting("", 4, NUMBER)]), "is no name"),
    "name of bytes": (files.encode([files.setting(b"\xff", 4, NUMBER)]), "UTF-8"),
    "unprintable": (files.encode([files.setting("a\0b", 4, NUMBER)]), "is no name"),
    "name twice": (files.encode([files.setting("k", 4, NUMBER)] * 2), "'k' stands"),
    "unknown type": (one_setting(13, NUMBER), "'key' is of type 13"),
    "type 2**32 - 1": (one_setting((1 << 32) - 1, NUMBER), "'key' is of type"),
    "long text": (one_setting(files.STRING, HUGE), "ends within key"),
    "longest text": (one_setting(files.STRING, b"\xff" * 8), "ends within key"),
    "text of bytes": (one_setting(files.STRING, files.text(b"\xff")), "not UTF-8"),
    "long list": (one_setting(files.ARRAY, NUMBER[:0] + struct.pack("<IQ", 4, 1 << 60)),
                  "ends within key"),
    "longest list": (one_setting(files.ARRAY, struct.pack("<IQ", 12, (1 << 64) - 1)),
                     "ends within key"),
    "list of many texts": (one_setting(files.ARRAY, MANY), "texts; at most"),
    "list of long texts": (
        one_setting(files.ARRAY, struct.pack("<IQ", files.STRING, 2) + HUGE), "ends"),
    "list of lists": (
        one_setting(files.ARRAY, struct.pack("<IQ", files.ARRAY, 1) + MANY),
        "a list of lists"),
    "list of unknown": (one_setting(files.ARRAY, struct.pack("<IQ", 99, 1)), "type 99"),
    "bool 2": (one_setting(files.BOOL, b"\2"), "'key' holds a bool"),
    "bools 2": (one_setting(files.ARRAY, struct.pack("<IQ", 7, 3) + b"\0\1\2"),
                "'key' holds a bool"),
    "alignment 0": (aligned(0), "general.alignment is 0"),
    "alignment 12": (aligned(12), "power of two"),
    "alignment 2**31": (aligned(1 << 31), "power of two"),
    "alignment 32.0": (aligned(32.0, files.FLOAT32), "power of two"),
    "tensor without a name": (tensors(files.tensor("")), "no name for a tensor"),
    "long name of a tensor": (tensors(files.tensor("a" * 513)), "has 513 bytes"),
    "no axes": (tensors(files.tensor("t", ())), "'t' has 0 axes"),
    "five axes": (tensors(files.tensor("t", (1,) * 5)), "'t' has 5 axes"),
    "2**32 - 1 axes": (
        files.encode([], [files.text("t") + b"\xff" * 4], FOUR), "axes"),
    "size 0": (tensors(files.tensor("t", (0, 4))), "'t' has shape [4, 0]"),
    "size 2**63": (tensors(files.tensor("t", (1 << 63,))), "'t' has shape"),
    "sizes of 2**64": (tensors(files.tensor("t", (1 << 32, 1 << 32))), "truncated"),
    "sizes of 2**252": (tensors(files.tensor("t", ((1 << 63) - 1,) * 4)), "truncated"),
    "unknown kind": (tensors(files.tensor("t", kind=10)), "'t' is stored as type 10"),
    "kind 2**32 - 1": (tensors(files.tensor("t", kind=(1 << 32) - 1)), "'t' is stored"),
    "half a block": (tensors(files.tensor("t", (4, 32), kind=2)), "blocks of 32"),
    "not aligned": (tensors(files.tensor("t", offset=8)), "not aligned"),
    "beyond the file": (tensors(files.tensor("t", offset=32)), "is said to lie"),
    "offset 2**63": (tensors(files.tensor("t", offset=1 << 63)), "is said to lie"),
    "one byte short": (tensors(files.tensor("t"), data=FOUR[:-1]), "is said to lie"),
    "name of a tensor twice": (
        tensors(files.tensor("t"), files.tensor("t", offset=32), data=FOUR * 4),
        "'t' stands there twice"),
    "overlap": (tensors(files.tensor("a"), files.tensor("b")), "overlaps"),
    "half an overlap": (
        tensors(files.tensor("a", (16,)), files.tensor("b", (8,), offset=32),
                data=FOUR * 4), "'b' at byte 32 of the data overlaps"),
    "gap": (tensors(files.tensor("a", offset=64), data=FOUR * 5), "has a gap"),
    "gap between": (
        tensors(files.tensor("a"), files.tensor("b", offset=96), data=FOUR * 8),
        "has a gap"),
    "bytes behind": (tensors(files.tensor("t"), data=FOUR * 8), "belong to none"),
    "bytes without tensors": (files.encode([], [], FOUR * 8), "belong to none"),
    "NaN": (tensors(files.tensor("t"), data=np.full(4, np.nan, "f").tobytes()),
            "'t' holds nan"),
    "infinite scale": (
        tensors(files.tensor("t", (32,), kind=8), data=b"\0\x7c" + b"\1" * 32),
        "'t' holds inf"),
    "NaN scale": (
        tensors(files.tensor("t", (256,), kind=14), data=b"\1" * 208 + b"\0\x7e"),
        "'t' holds nan"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_with_its_reason(tmp_path, name):
    content, said = BAD[name]
    refused(put(tmp_path, content), "model.gguf", said)


def test_a_file_is_refused_wherever_it_is_cut_off(good, tmp_path):
    path, _ = good
    content = path.read_bytes()
    with GgufCheckpoint(path) as checkpoint:
        infos = list(checkpoint.tensors.values())
    ends = [*range(0, infos[0].start, 7), infos[0].start]
    ends += [place for info in infos for place in (info.start + 1, info.stop - 1)]
    for end in ends:
        refused(put(tmp_path, content[:end]))


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_bytes_are_read_or_refused(tmp_path, data):
    path = tmp_path / "model.gguf"
    if not (tmp_path / "whole").exists():
        random = np.random.default_rng(0)
        some = {k: files.stored((2, 256), k, random)[0] for k in ("F32", "Q4_K")}
        given = {"general.architecture": "llama", "a": [1, 2], "b": ["x", "y"]}
        tensors = {name: (array, name, None) for name, array in some.items()}
        files.write(tmp_path / "whole", given, tensors)
    content = bytearray((tmp_path / "whole").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, 330))
        new = data.draw(st.binary(min_size=1, max_size=8))
        content[at : at + len(new)] = new
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        with GgufCheckpoint(path) as checkpoint:
            dict(checkpoint.settings)
            for name in checkpoint.tensors:
                assert np.isfinite(checkpoint.read(name)).all()
    except CheckpointError as error:
        assert len(str(error)) < 1000


def large(kind):
    """Headers that are as expensive as can be."""
    if kind == "many texts":
        texts = files.setting(
            "key", files.ARRAY, struct.pack("<IQ", 8, 1 << 20) + b"\0" * (8 << 20)
        )
        return files.encode([texts], [files.tensor("t", kind=99)], FOUR)
    if kind == "one list":
        data = struct.pack("<IQ", 7, 22 << 20) + b"\1" * (22 << 20)
        return files.encode(
            [files.setting("key", files.ARRAY, data)], [files.tensor("t", kind=99)]
        )
    if kind == "too long":
        return one_setting(files.STRING, files.text(b"a" * (40 << 20)))
    if kind == "many settings":
        some = [files.setting("k" * 240 + str(i), 4, NUMBER) for i in range(4096)]
        return files.encode(some, [files.tensor("t", kind=99)], FOUR)
    described = [
        files.tensor("n" * 400 + str(i), (8,), offset=32 * i) for i in range(16_000)
    ]
    return files.encode([], described, b"\0" * (32 * 16_000 + 64))


@pytest.mark.parametrize(
    "kind", ["many texts", "one list", "too long", "many settings", "many tensors"]
)
def test_a_bad_file_costs_a_second_and_64_mb_at_most(tmp_path, kind):
    path = put(tmp_path, large(kind))
    start = time.process_time()
    refused(path)
    assert time.process_time() - start < 1
    tracemalloc.start()
    refused(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20


@pytest.mark.parametrize("made", ["nothing", "directory", "fifo"])
def test_what_is_no_file_is_refused(tmp_path, made):
    path = tmp_path / "x.gguf"
    if made == "directory":
        path.mkdir()
    elif made == "fifo":
        os.mkfifo(path)
    refused(path, "x.gguf", "there is no such" if made == "nothing" else "regular")


def test_a_refused_file_is_closed(tmp_path):
    before = os.listdir("/proc/self/fd")
    refused(put(tmp_path, BAD["overlap"][0]))
    assert os.listdir("/proc/self/fd") == before


def test_a_file_that_shrinks_while_it_is_open_is_refused(tmp_path):
    path = put(tmp_path, tensors(files.tensor("t", (64,), 8), data=b"\1" * 68))
    with GgufCheckpoint(path) as checkpoint:
        os.truncate(path, os.path.getsize(path) - 8)
        with pytest.raises(CheckpointError, match="truncated since"):
            checkpoint.read("t")
    with pytest.raises(CheckpointError, match="closed"):
        checkpoint.read("t")
