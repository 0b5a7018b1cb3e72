"""Checkpoint formats: strict reading and writing of safetensors, and weight tables."""

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
    "LazyTensor",
    "Padded",
    "Plan",
    "Repeated",
    "Row",
    "Stacked",
    "TensorInfo",
    "Transform",
    "WeightTable",
    "plan",
    "tensors_to_write",
    "write_checkpoint",
]
