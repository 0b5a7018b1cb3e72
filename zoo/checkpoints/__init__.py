"""Checkpoint formats: safetensors, read and written, GGUF, read; and weight tables."""

from zoo.checkpoints.gguf import GgufCheckpoint, Interleaved, Layout, Reversed
from zoo.checkpoints.header import TensorInfo
from zoo.checkpoints.mapping import (
    JOINED,
    SAME,
    TRANSPOSED,
    Padded,
    Plan,
    Repeated,
    Row,
    Stacked,
    Transform,
    WeightTable,
    plan,
    tensors_to_write,
)
from zoo.checkpoints.reader import Checkpoint
from zoo.checkpoints.writer import WEIGHT_FILES, LazyTensor, write_checkpoint

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
    "Plan",
    "Repeated",
    "Reversed",
    "Row",
    "Stacked",
    "TensorInfo",
    "Transform",
    "WeightTable",
    "plan",
    "tensors_to_write",
    "write_checkpoint",
]
