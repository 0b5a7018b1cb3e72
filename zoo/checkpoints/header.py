"""The header of one safetensors file: names, types, shapes and byte ranges, checked.

The file is 8 bytes of length N (little-endian), N bytes of JSON, and the data; see
https://github.com/huggingface/safetensors#format. The header comes from a stranger:
everything in it is compared with the format and with the size of the file before a
byte of data is read. The `safetensors` package is not used for this: it accepts
repeated keys and strange names, and has no cap.
"""

import math
import os
from dataclasses import dataclass

import ml_dtypes
import numpy as np

from zoo.errors import CheckpointError
from zoo.files import parse_json, shorten

DTYPES = {
    name: np.dtype(kind)
    for name, kind in {
        "F64": np.float64,
        "F32": np.float32,
        "F16": np.float16,
        "BF16": ml_dtypes.bfloat16,
        "I64": np.int64,
        "I32": np.int32,
        "I16": np.int16,
        "I8": np.int8,
        "U64": np.uint64,
        "U32": np.uint32,
        "U16": np.uint16,
        "U8": np.uint8,
        "BOOL": np.bool_,
    }.items()
}
FLOATS = frozenset(DTYPES[name] for name in ("F64", "F32", "F16", "BF16"))

# The largest published single file has about 1,500 tensors and 200 KB of header.
MAX_HEADER_BYTES = 4 << 20
MAX_TENSORS = 16_384
MAX_RANK = 8
MAX_NAME = 512
MAX_PARSING_MEMORY = 48 << 20


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Where one tensor lies.

    Attributes:
        name: Its name in the checkpoint.
        dtype: NumPy dtype as stored (bfloat16 is that of `ml_dtypes`).
        shape: Tuple of ints.
        file: Name of the file.
        start: First byte in the file.
        stop: Byte after the last.
    """

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    file: str
    start: int
    stop: int

    @property
    def size(self):
        """Number of elements."""
        return math.prod(self.shape)


def read_header(file, name):
    """The tensors and the metadata that a safetensors file declares.

    Args:
        file: The file, opened unbuffered for reading.
        name: How errors call it.

    Returns:
        Dict of tensor name to `TensorInfo` in the order of the header, and a dict of
        metadata, str to str.

    Raises:
        CheckpointError: if the file breaks the format in any way.
    """
    try:
        size = os.fstat(file.fileno()).st_size
        file.seek(0)
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            raise CheckpointError(
                f"{name}: {size:,} bytes are too few for a safetensors file "
                f"with a header of {length:,} bytes. The file is truncated or "
                "something else (a Git LFS pointer?): fetch it again."
            )
        if length > MAX_HEADER_BYTES:
            raise CheckpointError(
                f"{name}: the header has {length:,} bytes; at most "
                f"{MAX_HEADER_BYTES:,} are read. Is this a safetensors file?"
            )
        data = file.read(length)
    except OSError as problem:
        raise CheckpointError(
            f"{name}: the header cannot be read ({problem})."
        ) from problem
    if len(data) != length or data[:1] != b"{":
        raise CheckpointError(
            f"{name}: the header is not a JSON object. Is this a safetensors file?"
        )
    entries = parse_json(data, f"{name}: the header", memory=MAX_PARSING_MEMORY)
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(
        isinstance(value, str) for value in metadata.values()
    ):
        raise CheckpointError(
            f"{name}: __metadata__ must map text to text. Write the file again with "
            "safetensors' save_file."
        )
    if len(entries) > MAX_TENSORS:
        raise CheckpointError(
            f"{name}: the header names {len(entries):,} tensors; at most "
            f"{MAX_TENSORS:,} are read from one file. Split it into shards."
        )
    base = 8 + length
    tensors = {
        tensor: _tensor_info(tensor, entry, name, base, size)
        for tensor, entry in entries.items()
    }
    _check_cover(tensors.values(), name, base, size)
    return tensors, metadata


def check_name(tensor, file):
    """Refuses tensor names that are empty, unprintable, or absurdly long."""
    if not (
        isinstance(tensor, str) and 0 < len(tensor) <= MAX_NAME and tensor.isprintable()
    ):
        raise CheckpointError(
            f"{file}: {shorten(tensor)} is no name for a tensor. Names are 1 to "
            f"{MAX_NAME} printable characters: fetch the file again."
        )


def _tensor_info(tensor, entry, file, base, size):
    check_name(tensor, file)

    def refuse(what, cure="Fetch the file again."):
        return CheckpointError(f"{file}: tensor {tensor!r} {what}. {cure}")

    if not isinstance(entry, dict) or entry.keys() != {
        "dtype",
        "shape",
        "data_offsets",
    }:
        raise refuse("is not described by exactly dtype, shape and data_offsets")
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in DTYPES:
        raise refuse(
            f"has dtype {shorten(kind)}; zoo reads {', '.join(DTYPES)}",
            "Convert it to one of these before loading.",
        )
    if not _is_sizes(shape) or len(shape) > MAX_RANK:
        raise refuse(
            f"has shape {shorten(shape)}; a list of at most {MAX_RANK} sizes is "
            "expected"
        )
    if not _is_sizes(offsets) or len(offsets) != 2:
        raise refuse(
            f"has data_offsets {shorten(offsets)}; [first byte, byte after the last] "
            "is expected"
        )
    start, stop = offsets
    dtype = DTYPES[kind]
    if not start <= stop <= size - base:
        raise refuse(
            f"is said to lie at bytes {start:,} to {stop:,} of {size - base:,}",
            "The file is truncated or damaged: fetch it again.",
        )
    if math.prod(shape) * dtype.itemsize != stop - start:
        raise refuse(
            f"of dtype {kind} and shape {shape} needs "
            f"{shorten(math.prod(shape) * dtype.itemsize)} bytes, but has "
            f"{stop - start:,}"
        )
    return TensorInfo(tensor, dtype, tuple(shape), file, base + start, base + stop)


def _is_sizes(value):
    # Sizes below 2**63 are numbers that every reader of the format can hold; a bool
    # is an int to Python.
    return isinstance(value, list) and all(
        type(size) is int and 0 <= size < 1 << 63 for size in value
    )


def _check_cover(tensors, file, base, size):
    """Refuses holes and overlaps: bytes that nobody owns can hide anything."""
    end = base
    for info in sorted(tensors, key=lambda info: (info.start, info.stop)):
        if info.start != end:
            what = "overlaps the tensor before it" if info.start < end else "has a gap"
            raise CheckpointError(
                f"{file}: tensor {info.name!r} at byte {info.start - base:,} of the "
                f"data {what} (expected byte {end - base:,}). Fetch the file again."
            )
        end = info.stop
    if end != size:
        raise CheckpointError(
            f"{file}: {size - end:,} bytes after the last tensor belong to none. "
            "Fetch the file again."
        )
