"""What training needs beside Keras: losses, metrics, schedules, optimizers, a guard."""

from zoo.training.losses import CrossEntropy
from zoo.training.metrics import Perplexity, TokenAccuracy
from zoo.training.optimizers import Adafactor, AdamW
from zoo.training.schedules import WarmupDecay

__all__ = [
    "Adafactor",
    "AdamW",
    "CrossEntropy",
    "Perplexity",
    "TokenAccuracy",
    "WarmupDecay",
]
