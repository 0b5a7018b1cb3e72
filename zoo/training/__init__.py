"""What training needs beside Keras: losses, metrics, schedules, optimizers, a view."""

from zoo.training.losses import CrossEntropy
from zoo.training.metrics import Perplexity, TokenAccuracy
from zoo.training.optimizers import Adafactor, AdamW
from zoo.training.schedules import WarmupDecay
from zoo.training.tensorboard import TensorBoard

__all__ = [
    "Adafactor",
    "AdamW",
    "CrossEntropy",
    "Perplexity",
    "TensorBoard",
    "TokenAccuracy",
    "WarmupDecay",
]
