"""Tokenizers: text to ids and back, as TensorFlow graph ops."""

from zoo.tokenizers.tokenizer import Tokenizer

__all__ = ["Tokenizer"]
