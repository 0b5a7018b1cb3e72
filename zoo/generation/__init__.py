"""Generation: one compiled loop, with strategies and processors as small functions."""

from zoo.generation.config import GenerationConfig
from zoo.generation.results import Sequence

__all__ = ["GenerationConfig", "Sequence"]
