"""The one set of layers from which all models are assembled."""

from zoo.layers.attention import Attention
from zoo.layers.block import Block
from zoo.layers.embeddings import Embedding, Embeddings
from zoo.layers.feedforward import FeedForward
from zoo.layers.linear import Linear
from zoo.layers.norms import Norm
from zoo.layers.positions import RelativeBias
from zoo.layers.stack import Stack

__all__ = [
    "Attention",
    "Block",
    "Embedding",
    "Embeddings",
    "FeedForward",
    "Linear",
    "Norm",
    "RelativeBias",
    "Stack",
]
