"""Reads the weights of a GGUF file, tensor by tensor, as the numbers they stand for.

Quantised blocks become float32 through the `gguf` package, a chunk at a time, straight
into the memory where the weight is to stay.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from zoo.checkpoints.gguf_header import read_gguf_header
from zoo.checkpoints.reader import TensorReader, check_finite
from zoo.errors import CheckpointError


class Layout:
    """How the elements of a GGUF tensor lie in the one it stands for: here, the same.

    As with `Transform`, a view says it, which reading fills.
    """

    def shape(self, shape):
        """The shape of the tensor that a GGUF tensor of this shape stands for."""
        return shape

    def view(self, out):
        """A view of that tensor whose C order is the order of the GGUF tensor."""
        return out


class Reversed(Layout):
    """A matrix that is stored the other way round."""

    def shape(self, shape):
        return shape[::-1]

    def view(self, out):
        return out.T


@dataclass(frozen=True)
class Interleaved(Layout):
    """Queries or keys whose rotary pairs stand side by side.

    llama.cpp rotates the features (0, 1), (2, 3), ... of a head together, the Llama of
    Hugging Face (0, d/2), (1, d/2 + 1), ...

    Attributes:
        heads: Number of heads, H or K.
    """

    heads: int

    def shape(self, shape):
        if shape[0] % (2 * self.heads):
            raise CheckpointError(
                f"{shape[0]} rows are not {self.heads} heads of an even size"
            )
        return shape

    def view(self, out):
        # To split an axis never takes a copy.
        split = out.reshape(self.heads, 2, -1, *out.shape[1:])
        return split.swapaxes(1, 2)


class GgufCheckpoint(TensorReader):
    """The tensors of a GGUF file. Not for use from several threads at once.

    Attributes:
        name: Name of the file.
        settings: What the file says about itself: `Settings`.
        tensors: Mapping of tensor name to `GgufTensor`, in the order of the file. After
            `rename`, the names and shapes are those of the tensors they stand for.

    Raises:
        CheckpointError: if the file is missing or breaks the format.
    """

    # Less than plain files are read by: dequantising makes several arrays of this size.
    chunk_bytes = 1 << 19

    def __init__(self, path):
        super().__init__()
        path = Path(path)
        self.name = path.name
        self._layouts: Mapping[str, Layout] = {}
        if not path.is_file():
            what = "is not a regular file" if path.exists() else "there is no such file"
            raise CheckpointError(f"{path}: {what}.")
        try:
            file = self._open_file(self.name, path)
            self.settings, self.tensors = read_gguf_header(file, self.name)
        except BaseException:
            self.close()
            raise

    def rename(self, names):
        """Shows the tensors as those that they stand for in another format.

        Args:
            names: Mapping of each tensor's name to its new name and its `Layout`;
                tensors without one are not shown any more.

        Raises:
            CheckpointError: if a layout does not fit the shape of its tensor.
        """
        tensors, layouts = {}, {}
        for own, info in self.tensors.items():
            if own not in names:
                continue
            name, layout = names[own]
            try:
                shape = layout.shape(info.shape)
            except CheckpointError as error:
                raise CheckpointError(
                    f"{self.name}: tensor {own!r} of shape {list(info.shape)}: {error}."
                    " Convert the model again."
                ) from error
            tensors[name] = replace(info, shape=shape)
            layouts[name] = layout
        self.tensors, self._layouts = MappingProxyType(tensors), layouts

    def read_into(self, name, out, *, start=None):
        """Reads a tensor into existing memory, as `Checkpoint.read_into` does."""
        layout = self._layouts.get(name)
        if layout is None or type(layout) is Layout:
            super().read_into(name, out, start=start)
        elif start is None and out.shape == self._info(name).shape:
            super().read_into(name, layout.view(out))
        else:  # parts of a tensor that lies otherwise than it is wanted
            part = self.read(name, out.dtype).reshape(-1)[start or 0 :]
            if part.size < out.size or (start is None and part.size != out.size):
                super().read_into(name, out, start=start)  # says what is wrong
            out[...] = part[: out.size].reshape(out.shape)

    def same(self, one, other):
        """True if two tensors have equal types, shape and bytes."""
        same_kind = self._info(one).kind == self._info(other).kind
        return same_kind and super().same(one, other)

    def _read_elements(self, info, position, out):
        kind = info.kind
        if not kind.quantized:
            super()._read_elements(info, position, out)
            return
        from gguf import GGMLQuantizationType
        from gguf.quants import dequantize  # 0.4 s, and only needed here

        first = position // kind.block
        stop = -(-(position + out.size) // kind.block)
        # One row: the package works on all blocks of a row at once.
        blocks = np.empty((1, (stop - first) * kind.size), np.uint8)
        self._read_bytes(info, info.start + first * kind.size, blocks[0])
        with np.errstate(over="ignore", invalid="ignore"):
            values = dequantize(blocks, GGMLQuantizationType[kind.name])[0]
        skipped = position - first * kind.block
        values = values[skipped : skipped + out.size]
        check_finite(info, values, position)
        out[...] = values.reshape(out.shape)
