"""Writes safetensors as `transformers` does: one file, or shards and their index."""

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy

from zoo.arrays import as_dtype
from zoo.checkpoints.header import DTYPES, MAX_TENSORS, check_name
from zoo.checkpoints.reader import INDEX, SINGLE
from zoo.errors import CheckpointError

# What a save stands in for as a whole: with `staged_directory(target,
# replaces=WEIGHT_FILES)` nothing is left of an earlier save in other shards.
WEIGHT_FILES = (
    SINGLE,
    INDEX,
    "model-[0-9][0-9][0-9][0-9][0-9]-of-[0-9][0-9][0-9][0-9][0-9].safetensors",
)

UNITS = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
}


@dataclass(frozen=True, slots=True)
class LazyTensor:
    """A tensor whose values are made when they are written.

    Attributes:
        shape: Tuple of ints.
        dtype: NumPy dtype.
        read: Gives the array.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], np.ndarray]

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.read(), dtype)


def write_checkpoint(directory, tensors, *, max_shard_size="5GB", metadata=None):
    """Writes tensors as `model.safetensors`, or as shards with an index.

    Call it inside `staged_directory(target, replaces=WEIGHT_FILES)`: files are written
    one after another, and only one shard is in memory at a time.

    Args:
        directory: An existing directory.
        tensors: Mapping of tensor name to array or `LazyTensor`, in the order in which
            they fill the shards.
        max_shard_size: Most bytes of data in a file, as a number or like "5GB" (10^9)
            or "200MiB" (2^20). A larger tensor gets a file of its own.
        metadata: Dict of text to text for every file; {"format": "pt"} by default,
            without which `transformers` refuses to load.

    Returns:
        List of the names of the files written.

    Raises:
        CheckpointError: for a name or dtype that the format does not have, or if a
            tensor turns out not to be what was announced.
    """
    directory = Path(directory)
    metadata = {"format": "pt"} if metadata is None else dict(metadata)
    sizes = {name: _size_in_bytes(name, tensor) for name, tensor in tensors.items()}
    shards = _fill_shards(sizes, parse_size(max_shard_size))
    if len(shards) == 1:
        _write_file(directory / SINGLE, tensors, shards[0], metadata)
        return [SINGLE]
    files = [
        f"model-{number:05}-of-{len(shards):05}.safetensors"
        for number in range(1, len(shards) + 1)
    ]
    for file, names in zip(files, shards, strict=True):
        _write_file(directory / file, tensors, names, metadata)
    index = {
        "metadata": {
            "total_parameters": sum(int(np.prod(t.shape)) for t in tensors.values()),
            "total_size": sum(sizes.values()),
        },
        "weight_map": {
            name: file
            for file, names in zip(files, shards, strict=True)
            for name in names
        },
    }
    text = json.dumps(index, indent=2, sort_keys=True) + "\n"
    (directory / INDEX).write_text(text, encoding="utf-8")
    return [*files, INDEX]


def write_tensors(path, tensors):
    """Writes tensors as one file; call it inside `staged_directory`.

    Args:
        path: Of the file.
        tensors: Mapping of tensor name to array or `LazyTensor`.

    Raises:
        CheckpointError: for a name or dtype that the format does not have.
    """
    for name, tensor in tensors.items():
        _size_in_bytes(name, tensor)
    _write_file(Path(path), tensors, list(tensors), {"format": "pt"})


def parse_size(size):
    """Bytes from a number, or from text such as "5GB" (10^9) or "200MiB" (2^20)."""
    if isinstance(size, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", size)
        unit = UNITS.get(match[2].upper()) if match else None
        size = int(float(match[1]) * unit) if match and unit else size
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise CheckpointError(
            f"max_shard_size={size!r} is no size. Pass a number of bytes, or text like "
            "'5GB' or '200MB'."
        )
    return size


def _size_in_bytes(name, tensor):
    check_name(name, "writing")
    dtype = as_dtype(tensor.dtype)
    if dtype not in DTYPES.values():
        raise CheckpointError(
            f"tensor {name!r} has dtype {dtype}; safetensors files hold "
            f"{', '.join(str(known) for known in DTYPES.values())}. Cast it first."
        )
    return int(np.prod(tensor.shape)) * dtype.itemsize


def _fill_shards(sizes, limit):
    """Lists of names: each list is one file, filled in order up to the limit."""
    shards: list[list[str]] = [[]]
    filled = 0
    for name, size in sizes.items():
        if shards[-1] and (filled + size > limit or len(shards[-1]) == MAX_TENSORS):
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += size
    return shards


def _write_file(path, tensors, names, metadata):
    arrays = {name: _array(name, tensors[name]) for name in names}
    try:
        safetensors.numpy.save_file(arrays, path, metadata=metadata)
    except safetensors.SafetensorError as problem:  # names and dtypes are checked
        raise OSError(str(problem)) from problem
    # The package makes files that only their owner can read.
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)


def _array(name, tensor):
    array = np.asarray(tensor)
    shape, dtype = tuple(tensor.shape), as_dtype(tensor.dtype)
    if (array.shape, array.dtype) != (shape, dtype):
        raise CheckpointError(
            f"tensor {name!r} was announced as {dtype} {list(shape)} and came as "
            f"{array.dtype} {list(array.shape)}."
        )
    # The package writes the bytes as they lie in memory, whatever the strides.
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)
