"""Checkpoint formats: safetensors, read and written, GGUF, read; and weight tables."""

from zoo.checkpoints.gguf import GgufCheckpoint, Interleaved, Layout, Reversed
from zoo.checkpoints.header import TensorInfo
from zoo.checkpoints.mapping import (
    JOINED,
    SAME,
    TRANSPOSED,
    Padded,
    Part,
    Plan,
    Repeated,
    Row,
    Stacked,
    Transform,
    WeightTable,
    parts_of,
    plan,
    tensors_to_write,
)
from zoo.checkpoints.reader import Checkpoint, TensorFile
from zoo.checkpoints.writer import (
    WEIGHT_FILES,
    LazyTensor,
    write_checkpoint,
    write_tensors,
)

__all__ = [
    "JOINED",
    "SAME",
    "TRANSPOSED",
    "WEIGHT_FILES",
    "Checkpoint",
    "GgufCheckpoint",
    "Interleaved",
    "Layout",
    "LazyTensor",
    "Padded",
    "Part",
    "Plan",
    "Repeated",
    "Reversed",
    "Row",
    "Stacked",
    "TensorFile",
    "TensorInfo",
    "Transform",
    "WeightTable",
    "parts_of",
    "plan",
    "tensors_to_write",
    "write_checkpoint",
    "write_tensors",
]
