"""Reads the weights of an HF directory: one safetensors file, or shards with an index.

Opening reads and checks headers only. Data is then read tensor by tensor, straight into
the memory where it is to stay. `TensorReader` is the part that other formats share.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from zoo.arrays import aligned_zeros, as_dtype
from zoo.checkpoints.header import FLOATS, MAX_NAME, read_header
from zoo.errors import CheckpointError
from zoo.files import file_in, read_json, shorten

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
NEVER_OPENED = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".keras", ".msgpack", ".pkl")

MAX_SHARDS = 512
MAX_TENSORS = 65_536
MAX_INDEX_BYTES = 12 << 20
MAX_PARSING_MEMORY = 56 << 20
MAX_HEADERS_BYTES = 12 << 20

# Small enough to be checked while it is still in the processor's cache.
CHUNK_BYTES = 1 << 20


class TensorReader:
    """Reads tensors whose places in open files are known. Not for several threads.

    Attributes:
        name: File that error messages blame.
        tensors: Mapping of tensor name to `TensorInfo`, in the order of the files.
    """

    name: str
    chunk_bytes = CHUNK_BYTES

    def __init__(self):
        self._files: dict = {}
        self.tensors: Mapping = MappingProxyType({})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __repr__(self):
        return f"<{type(self).__name__} {self.name} of {len(self.tensors)} tensors>"

    def close(self):
        """Closes the files. Arrays that were read stay valid."""
        for file in self._files.values():
            file.close()

    def read(self, name, dtype=None):
        """One tensor as an array of its own, on a 64-byte boundary.

        Args:
            name: Name of the tensor.
            dtype: What to convert it to; as stored by default.

        Raises:
            CheckpointError: as `read_into`.
        """
        info = self._info(name)
        out = aligned_zeros(info.shape, info.dtype if dtype is None else dtype)
        self.read_into(name, out)
        return out

    def read_into(self, name, out, *, start=None):
        """Reads a tensor into existing memory, with no second copy of it.

        `out` may be any view with the tensor's number of elements, in any order of
        memory: a part of a larger array, or the transpose of one. It is filled in the
        tensor's (C) order. Floating types are converted on the way, a chunk at a time.

        Args:
            name: Name of the tensor.
            out: Writable array.
            start: First element to read, when `out` takes only a part of the tensor:
                the elements `[start, start + out.size)` of its flat form. By default
                `out` takes the whole tensor.

        Raises:
            CheckpointError: if the tensor holds NaN or infinity or does not fit the
                type, or if the file was truncated since it was opened.
        """
        info = self._info(name)
        first = 0 if start is None else start
        whole = start is None and out.size != info.size
        if whole or not 0 <= first <= first + out.size <= info.size:
            raise CheckpointError(
                f"{info.file}: elements {first} to {first + out.size} of tensor "
                f"{name!r} were asked for; it has shape {list(info.shape)}."
            )
        check_conversion(info, out.dtype)
        if out.size:
            buffer = None
            if out.dtype != info.dtype or not out.flags.c_contiguous:
                buffer = np.empty(self.chunk_bytes // info.dtype.itemsize, info.dtype)
            self._fill(info, out, first, buffer)

    def same(self, one, other):
        """True if two tensors have equal dtype, shape and bytes."""
        a, b = self._info(one), self._info(other)
        if (a.dtype, a.shape) != (b.dtype, b.shape):
            return False
        ours, theirs = np.empty((2, CHUNK_BYTES), np.uint8)
        for offset in range(0, a.stop - a.start, CHUNK_BYTES):
            length = min(CHUNK_BYTES, a.stop - a.start - offset)
            self._read_bytes(a, a.start + offset, ours[:length])
            self._read_bytes(b, b.start + offset, theirs[:length])
            if not np.array_equal(ours[:length], theirs[:length]):
                return False
        return True

    def _info(self, name):
        try:
            return self.tensors[name]
        except KeyError:
            raise CheckpointError(
                f"{self.name}: there is no tensor {name!r}."
            ) from None

    def _open_file(self, name, path):
        try:
            self._files[name] = path.open("rb", buffering=0)
        except OSError as problem:
            raise CheckpointError(
                f"{path}: the file cannot be opened ({problem.strerror})."
            ) from problem
        return self._files[name]

    def _fill(self, info, out, start, buffer):
        """Reads the elements from `start` on into `out`, one chunk after another."""
        if out.flags.c_contiguous:
            out = out.reshape(-1)
        row = out.size // len(out)
        rows = self.chunk_bytes // (row * info.dtype.itemsize)
        if not rows:
            for index in range(len(out)):
                self._fill(info, out[index], start + index * row, buffer)
            return
        for first in range(0, len(out), rows):
            part = out[first : first + rows]
            position = start + first * row
            if buffer is None:
                self._read_elements(info, position, part)
                continue
            chunk = buffer[: part.size].reshape(part.shape)
            self._read_elements(info, position, chunk)
            # What overflows is reported below.
            with np.errstate(over="ignore", invalid="ignore"):
                np.copyto(part, chunk, casting="unsafe")
            if part.dtype != chunk.dtype and not is_finite(part):
                raise CheckpointError(
                    f"{info.file}: tensor {info.name!r} holds values that "
                    f"{part.dtype} cannot hold. Load it as bfloat16 or float32."
                )

    def _read_elements(self, info, position, out):
        """Fills a small contiguous array of the stored type, and checks its values."""
        flat = out.reshape(-1)
        self._read_bytes(
            info, info.start + position * info.dtype.itemsize, flat.view(np.uint8)
        )
        if info.dtype in FLOATS:
            check_finite(info, flat, position)
        elif info.dtype == np.bool_ and flat.view(np.uint8).max() > 1:
            raise CheckpointError(
                f"{info.file}: tensor {info.name!r} holds bytes other than 0 and 1, "
                "which BOOL does not allow. Fetch the file again."
            )

    def _read_bytes(self, info, position, out):
        file = self._files[info.file]
        if file.closed:
            raise CheckpointError(
                f"{self.name}: the checkpoint was closed. Read inside the `with` "
                "block that opened it."
            )
        try:
            file.seek(position)
            view = memoryview(out)
            while view:
                count = file.readinto(view)
                if not count:
                    raise CheckpointError(
                        f"{info.file}: the file ended within tensor {info.name!r}: it "
                        "was truncated since it was opened. Fetch it again."
                    )
                view = view[count:]
        except OSError as problem:
            raise CheckpointError(
                f"{info.file}: tensor {info.name!r} cannot be read ({problem})."
            ) from problem


class Checkpoint(TensorReader):
    """The tensors of an HF directory.

    `model.safetensors` is read where it exists, as `transformers` does; otherwise
    `model.safetensors.index.json` and the shards that it names. Shard names are plain
    basenames of regular files in the directory; links are followed only as
    `zoo.files.file_in` says, which the hub's cache needs. Pickles and HDF5 files are
    never opened. Not for use from several threads at once.

    Attributes:
        directory: Path of the directory.
        name: File that error messages blame: the single file, or the index.
        tensors: Mapping of tensor name to `TensorInfo`, in the order of the files.
        metadata: Dict of the (first) file's metadata, str to str.

    Raises:
        CheckpointError: if a file is missing or breaks the format, or if the index and
            the shards do not name exactly the same tensors.
    """

    def __init__(self, directory):
        super().__init__()
        self.directory = Path(directory)
        self.metadata: dict = {}
        if not self.directory.is_dir():
            raise CheckpointError(
                f"{directory}: there is no such directory. Pass the one that holds "
                "the *.safetensors files."
            )
        try:
            names = _list_directory(self.directory)
            if SINGLE in names:
                self.name = SINGLE
                self._open_single()
            elif INDEX in names:
                self.name = INDEX
                self._open_shards()
            else:
                raise CheckpointError(_nothing_to_read(self.directory, names))
        except BaseException:
            self.close()
            raise

    def _open_single(self):
        tensors, self.metadata = self._open(SINGLE, file_in(self.directory, SINGLE))
        self.tensors = MappingProxyType(tensors)

    def _open_shards(self):
        shards = _read_index(self.directory)
        # All names before any file: one that leads astray discredits the others.
        paths = {shard: file_in(self.directory, shard) for shard in sorted(shards)}
        tensors: dict = {}
        headers = 0
        for shard, path in paths.items():
            found, metadata = self._open(shard, path)
            headers += self._files[shard].tell()
            if headers > MAX_HEADERS_BYTES:
                raise CheckpointError(
                    f"{self.directory}: the headers of the shards have more than "
                    f"{MAX_HEADERS_BYTES:,} bytes together. Fetch them again from a "
                    "source that you trust."
                )
            self.metadata = self.metadata or metadata
            for name in sorted(found.keys() ^ shards[shard])[:1]:
                what = (
                    f"is in {shard}, where {INDEX} does not put it"
                    if name in found
                    else f"is not in {shard}, where {INDEX} puts it"
                )
                raise CheckpointError(
                    f"{self.directory}: tensor {shorten(name)} {what}. Fetch the "
                    "shards and the index again, from one revision."
                )
            tensors.update(found)
        self.tensors = MappingProxyType(tensors)

    def _open(self, name, path):
        return read_header(self._open_file(name, path), name)


class TensorFile(TensorReader):
    """The tensors of one safetensors file of a directory.

    Args:
        directory: Where it lies.
        name: Its name, plain.

    Raises:
        CheckpointError: if it is missing or breaks the format.
    """

    def __init__(self, directory, name):
        super().__init__()
        self.name = name
        try:
            file = self._open_file(name, file_in(directory, name))
            tensors, self.metadata = read_header(file, name)
        except BaseException:
            self.close()
            raise
        self.tensors = MappingProxyType(tensors)


def check_conversion(info, dtype):
    """Refuses to read a tensor as a type that means something else.

    Floating types convert to one another. All others are read only as what they are:
    quantised weights, for example, are not numbers without their scales.
    """
    dtype = as_dtype(dtype)
    if dtype != info.dtype and not (dtype in FLOATS and info.dtype in FLOATS):
        raise CheckpointError(
            f"{info.file}: tensor {info.name!r} holds {info.dtype}; {dtype} is needed "
            "here. Is this a quantised checkpoint? Use the original one."
        )


def check_finite(info, values, position):
    """Refuses NaN and infinity among values `[N]` of a tensor from `position` on."""
    if not is_finite(values):
        bad = int(np.flatnonzero(~np.isfinite(values))[0])
        raise CheckpointError(
            f"{info.file}: tensor {info.name!r} holds {values[bad]} at element "
            f"{position + bad:,} of shape {list(info.shape)}. Training that "
            "wrote it had diverged: take an earlier checkpoint."
        )


def is_finite(array):
    """True if a floating array holds neither NaN nor infinity.

    In every IEEE-like format those are the bit patterns from all-ones exponent up, so
    two integer maxima tell, without a mask of booleans: one for either sign.
    """
    size = array.itemsize
    bits = array.view(f"u{size}")
    # The exponent's ones are the bits of infinity.
    infinity = np.array(np.inf, array.dtype).view(f"u{size}")[()]
    return bool(
        array.view(f"i{size}").max() < infinity.astype(f"i{size}")
        and bits.max() < infinity | bits.dtype.type(1 << (8 * size - 1))
    )


def _list_directory(directory):
    try:
        return set(os.listdir(directory))
    except OSError as problem:
        raise CheckpointError(
            f"{directory}: the directory cannot be read ({problem.strerror})."
        ) from problem


def _read_index(directory):
    """Dict of shard name to the set of names of its tensors, as the index says."""
    index = read_json(
        file_in(directory, INDEX), limit=MAX_INDEX_BYTES, memory=MAX_PARSING_MEMORY
    )
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not 0 < len(weight_map) <= MAX_TENSORS:
        raise CheckpointError(
            f"{directory}: {INDEX} must have a 'weight_map' of tensor names (1 to "
            f"{MAX_TENSORS:,}) to files. Fetch it again."
        )
    shards: dict = {}
    for tensor, shard in weight_map.items():
        if not isinstance(shard, str) or not shard.endswith(".safetensors"):
            raise CheckpointError(
                f"{directory}: {INDEX} says that tensor {shorten(tensor, MAX_NAME)} is "
                f"in {shorten(shard)}; only *.safetensors files are read."
            )
        shards.setdefault(shard, set()).add(tensor)
    if len(shards) > MAX_SHARDS:
        raise CheckpointError(
            f"{directory}: {INDEX} names {len(shards):,} shards; at most {MAX_SHARDS} "
            "are read. Write it again with larger shards."
        )
    return shards


def _nothing_to_read(directory, names):
    closed = sorted(name for name in names if name.endswith(NEVER_OPENED))[:3]
    others = sorted(name for name in names if name.endswith(".safetensors"))[:3]
    text = f"{directory}: neither {SINGLE} nor {INDEX} is there"
    if closed:
        return (
            f"{text}, only {', '.join(closed)}. Pickles and HDF5 files are never "
            "opened, for they can run code or exhaust the memory. On a machine that "
            "you can spare, load it with transformers and call "
            "model.save_pretrained(new_directory), which writes safetensors."
        )
    if others:
        return (
            f"{text}, only {', '.join(others)}. If that holds the whole model, name "
            f"it {SINGLE}."
        )
    return (
        f"{text}. Pass the directory that holds the weights; a hub repository must "
        "offer them as safetensors."
    )
