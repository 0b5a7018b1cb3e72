"""The header of one GGUF file: settings, and where each tensor lies, checked.

The file is a magic number, a version and two counts, the settings, one description for
each tensor, and the data, all little-endian; see
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The header comes from a
stranger: everything in it is compared with the format and with the size of the file
before a byte of data is read. The reader of the `gguf` package is not used for this: it
maps the file and trusts its counts and offsets.
"""

import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import ml_dtypes
import numpy as np

from zoo.checkpoints.header import TensorInfo, check_name
from zoo.errors import CheckpointError
from zoo.files import shorten

MAGIC = b"GGUF"
VERSIONS = (2, 3)

# The largest vocabularies in use have 260,000 pieces and 450,000 merges: 12 MB.
MAX_HEADER_BYTES = 24 << 20
MAX_STRINGS = 1 << 20
MAX_SETTINGS = 4096
MAX_TENSORS = 16_384
MAX_RANK = 4
MAX_ALIGNMENT = 1 << 16
DEFAULT_ALIGNMENT = 32

BOOL, STRING, ARRAY = 7, 8, 9
# Code of each type of number -> how `struct` and NumPy call it.
NUMBERS = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", BOOL: "?",
    10: "Q", 11: "q", 12: "d",
}  # fmt: skip


FLOAT32 = np.dtype(np.float32)


@dataclass(frozen=True, slots=True)
class Kind:
    """How the elements of a tensor are stored.

    Attributes:
        name: As ggml calls it.
        block: Elements that are stored together.
        size: Bytes of one block.
        dtype: NumPy dtype that they are read as.
    """

    name: str
    block: int
    size: int
    dtype: np.dtype = FLOAT32

    @property
    def quantized(self):
        """Whether elements are read through a scale that their block shares."""
        return self.block > 1


KINDS = {
    0: Kind("F32", 1, 4),
    1: Kind("F16", 1, 2, np.dtype(np.float16)),
    2: Kind("Q4_0", 32, 18),
    3: Kind("Q4_1", 32, 20),
    6: Kind("Q5_0", 32, 22),
    7: Kind("Q5_1", 32, 24),
    8: Kind("Q8_0", 32, 34),
    12: Kind("Q4_K", 256, 144),
    13: Kind("Q5_K", 256, 176),
    14: Kind("Q6_K", 256, 210),
    30: Kind("BF16", 1, 2, np.dtype(ml_dtypes.bfloat16)),
}


@dataclass(frozen=True, slots=True)
class GgufTensor(TensorInfo):
    """Where one tensor lies, and how it is stored.

    Attributes:
        kind: Its `Kind`; `dtype` is what it is read as.
    """

    kind: Kind = KINDS[0]


class Settings(Mapping):
    """What a GGUF file says about itself: key -> number, bool, str, or list of them.

    Values are decoded when they are asked for: a vocabulary that nobody needs costs
    only the bytes of the header.
    """

    def __init__(self, data, fields, file):
        self._data, self._fields, self._file = data, fields, file

    def __getitem__(self, key):
        kind, item, count, start = self._fields[key]
        if kind == STRING:
            return self._text(key, start, start + count)
        if kind != ARRAY:
            return struct.unpack_from(f"<{NUMBERS[kind]}", self._data, start)[0]
        if item != STRING:
            dtype = f"<{NUMBERS[item]}" if item != BOOL else "?"
            return np.frombuffer(self._data, dtype, count, start).tolist()
        texts = []
        for _ in range(count):
            (length,) = _LENGTH.unpack_from(self._data, start)
            start += 8 + length
            texts.append(self._text(key, start - length, start))
        return texts

    def __iter__(self):
        return iter(self._fields)

    def __len__(self):
        return len(self._fields)

    def _text(self, key, start, stop):
        try:
            return self._data[start:stop].decode()
        except UnicodeDecodeError as problem:
            raise CheckpointError(
                f"{self._file}: {key} is not UTF-8 ({problem.reason}). Fetch the file "
                "again."
            ) from problem


_LENGTH = struct.Struct("<Q")


def read_gguf_header(file, name):
    """The settings and the tensors that a GGUF file declares.

    Args:
        file: The file, opened unbuffered for reading.
        name: How errors call it.

    Returns:
        `Settings`, and a mapping of tensor name to `GgufTensor`, in the file's order.

    Raises:
        CheckpointError: if the file breaks the format in any way.
    """
    cursor = _Cursor(file, name)
    if cursor.take(4, "the magic number") != MAGIC:
        raise CheckpointError(
            f"{name} does not begin with GGUF: it is something else (a Git LFS "
            "pointer?). Fetch it again."
        )
    _check_version(cursor.number(4, "the version"), name)
    tensor_count = cursor.number(10, "the number of tensors")
    count = cursor.number(10, "the number of settings")
    for what, value, most in (
        ("tensors", tensor_count, MAX_TENSORS),
        ("settings", count, MAX_SETTINGS),
    ):
        if value > most:
            raise CheckpointError(
                f"{name}: the header says that there are {value:,} {what}; at most "
                f"{most:,} are read. The file is damaged: fetch it again."
            )
    fields = _read_fields(cursor, count)
    described = [_read_tensor(cursor) for _ in range(tensor_count)]
    del cursor.data[cursor.at :]
    settings = Settings(cursor.data, fields, name)
    alignment = _alignment(settings, name)
    base = _padded(cursor.at, alignment)
    tensors: dict[str, GgufTensor] = {}
    for tensor, shape, code, offset in described:
        info = _tensor_info(tensor, shape, code, offset, base, alignment, cursor)
        if tensor in tensors:
            raise CheckpointError(
                f"{name}: tensor {tensor!r} stands there twice. Fetch the file again."
            )
        tensors[tensor] = info
    _check_cover(tensors.values(), name, base, alignment, cursor.size)
    return settings, MappingProxyType(tensors)


def _check_version(version, name):
    if version in VERSIONS:
        return
    if version & 0xFFFF == 0:
        raise CheckpointError(
            f"{name}: the file is big-endian. Convert it with llama.cpp's "
            "gguf_convert_endian.py."
        )
    raise CheckpointError(
        f"{name}: GGUF version {version}; zoo reads {' and '.join(map(str, VERSIONS))}."
        " Convert the model again with a current llama.cpp."
    )


class _Cursor:
    """Reads the header from front to back, no further than it says it goes.

    Attributes:
        data: What was read of the file so far.
        at: Where in it the next value begins.
        size: Bytes of the file.
    """

    def __init__(self, file, name):
        self.file, self.name = file, name
        self.data, self.at = bytearray(), 0
        self.strings = 0
        try:
            self.size = os.fstat(file.fileno()).st_size
            file.seek(0)
        except OSError as problem:
            raise self._unreadable(problem) from problem

    def need(self, count, what):
        """Makes sure that the next `count` bytes are in `data`."""
        stop = self.at + count
        if stop <= len(self.data):
            return
        if stop > self.size:
            raise CheckpointError(
                f"{self.name}: the file has {self.size:,} bytes and ends within "
                f"{what}, which goes to byte {shorten(stop)}. It is truncated or "
                "damaged: fetch it again."
            )
        if stop > MAX_HEADER_BYTES:
            raise CheckpointError(
                f"{self.name}: {what} goes to byte {stop:,}; headers of at most "
                f"{MAX_HEADER_BYTES:,} bytes are read. Is this a language model?"
            )
        try:
            while len(self.data) < stop:
                # Some more, so that small values do not cost a call each.
                wanted = max(stop - len(self.data), 1 << 18)
                found = self.file.read(min(wanted, self.size - len(self.data)))
                if not found:
                    raise CheckpointError(
                        f"{self.name}: the file ended within {what}. Fetch it again."
                    )
                self.data += found
        except OSError as problem:
            raise self._unreadable(problem) from problem

    def take(self, count, what):
        self.need(count, what)
        self.at += count
        return bytes(self.data[self.at - count : self.at])

    def number(self, code, what):
        letter = NUMBERS[code]
        size = struct.calcsize(f"<{letter}")
        return struct.unpack(f"<{letter}", self.take(size, what))[0]

    def text(self, what, most):
        """A short text, such as a name."""
        length = self.number(10, what)
        if length > most:
            raise CheckpointError(
                f"{self.name}: {what} has {length:,} bytes; at most {most} are read. "
                "The file is damaged: fetch it again."
            )
        try:
            return self.take(length, what).decode()
        except UnicodeDecodeError as problem:
            raise CheckpointError(
                f"{self.name}: {what} is not UTF-8. Fetch the file again."
            ) from problem

    def skip(self, count, what):
        self.need(count, what)
        self.at += count

    def skip_strings(self, count, what):
        self.strings += count
        if self.strings > MAX_STRINGS:
            raise CheckpointError(
                f"{self.name}: {what} has {count:,} texts; at most {MAX_STRINGS:,} "
                "are read. The file is damaged: fetch it again."
            )
        data, unpack = self.data, _LENGTH.unpack_from
        at, there = self.at, len(data) - 8  # names of their own: there are many texts
        for _ in range(count):
            if at > there:
                self.at = at
                self.need(8, what)
                there = len(data) - 8
            at += 8 + unpack(data, at)[0]
        self.at = at
        self.need(0, what)

    def _unreadable(self, problem):
        return CheckpointError(f"{self.name}: the header cannot be read ({problem}).")


def _read_fields(cursor, count):
    """Key -> (type, type of the items, number of items or bytes, first byte)."""
    fields: dict[str, tuple] = {}
    for number in range(count):
        key = cursor.text(f"the name of setting {number}", 256)
        if not (key and key.isprintable()) or key in fields:
            what = "stands there twice" if key in fields else "is no name"
            raise CheckpointError(
                f"{cursor.name}: the setting {shorten(key)} {what}. Fetch the file "
                "again."
            )
        kind, item = cursor.number(4, key), None
        size = 1
        if kind == ARRAY:
            item, size = cursor.number(4, key), cursor.number(10, key)
        elif kind == STRING:
            size = cursor.number(10, key)
        start = cursor.at
        if kind == STRING:
            cursor.skip(size, key)
        elif item == STRING:
            cursor.skip_strings(size, key)
        else:
            code = kind if item is None else item
            if code not in NUMBERS:
                what = "a list of lists" if code == ARRAY else f"of type {code}"
                raise CheckpointError(
                    f"{cursor.name}: the setting {key!r} is {what}, which no model of "
                    "zoo's has. Fetch the file again."
                )
            cursor.skip(size * struct.calcsize(f"<{NUMBERS[code]}"), key)
            if code == BOOL and not _are_bools(cursor.data, start, cursor.at):
                raise CheckpointError(
                    f"{cursor.name}: the setting {key!r} holds a bool other than 0 and "
                    "1. Fetch the file again."
                )
        fields[key] = kind, item, size, start
    return fields


def _are_bools(data, start, stop):
    return data.count(0, start, stop) + data.count(1, start, stop) == stop - start


def _read_tensor(cursor):
    name = cursor.text("the name of a tensor", 512)
    check_name(name, cursor.name)
    what = f"the description of tensor {name!r}"
    rank = cursor.number(4, what)
    if not 1 <= rank <= MAX_RANK:
        raise CheckpointError(
            f"{cursor.name}: tensor {name!r} has {rank} axes; 1 to {MAX_RANK} are "
            "expected. Fetch the file again."
        )
    # ggml lists the fastest axis first.
    shape = struct.unpack(f"<{rank}Q", cursor.take(8 * rank, what))[::-1]
    return name, shape, cursor.number(4, what), cursor.number(10, what)


def _alignment(settings, name):
    value = settings.get("general.alignment", DEFAULT_ALIGNMENT)
    if type(value) is not int or not 8 <= value <= MAX_ALIGNMENT or value & (value - 1):
        raise CheckpointError(
            f"{name}: general.alignment is {shorten(value)}; a power of two from 8 to "
            f"{MAX_ALIGNMENT} is expected. Fetch the file again."
        )
    return value


def _tensor_info(tensor, shape, code, offset, base, alignment, cursor):
    def refuse(what, cure="Fetch the file again."):
        return CheckpointError(f"{cursor.name}: tensor {tensor!r} {what}. {cure}")

    if code not in KINDS:
        known = ", ".join(kind.name for kind in KINDS.values())
        raise refuse(
            f"is stored as type {code}; zoo reads {known}",
            "Quantise the model again to one of these.",
        )
    kind = KINDS[code]
    if not all(1 <= size < 1 << 63 for size in shape):
        raise refuse(f"has shape {shorten(list(shape))}; positive sizes are expected")
    if shape[-1] % kind.block:
        raise refuse(
            f"has rows of {shape[-1]:,} elements, but {kind.name} stores blocks of "
            f"{kind.block}"
        )
    if offset % alignment:
        raise refuse(f"lies at byte {offset:,} of the data, which is not aligned")
    start = base + offset
    stop = start + math.prod(shape) // kind.block * kind.size
    if stop > cursor.size:
        raise refuse(
            f"of type {kind.name} and shape {list(shape)} is said to lie at bytes "
            f"{start:,} to {shorten(stop)} of {cursor.size:,}",
            "The file is truncated or damaged: fetch it again.",
        )
    return GgufTensor(tensor, kind.dtype, shape, cursor.name, start, stop, kind)


def _check_cover(tensors, file, base, alignment, size):
    """Refuses holes and overlaps: bytes that nobody owns can hide anything."""
    end = base
    for info in sorted(tensors, key=lambda info: (info.start, info.stop)):
        if info.start != end:
            what = "overlaps the tensor before it" if info.start < end else "has a gap"
            raise CheckpointError(
                f"{file}: tensor {info.name!r} at byte {info.start - base:,} of the "
                f"data {what} (expected byte {end - base:,}). Fetch the file again."
            )
        end = _padded(info.stop, alignment)
    if size > max(end, base):
        raise CheckpointError(
            f"{file}: {size - end:,} bytes after the last tensor belong to none. "
            "Fetch the file again."
        )


def _padded(position, alignment):
    return -(-position // alignment) * alignment
