"""Tasks: a model, its tokenizer and a head; strings in, answers out."""

from zoo.tasks.masked_lm import MaskedLM
from zoo.tasks.text_classifier import TextClassifier
from zoo.tasks.text_embedder import TextEmbedder

__all__ = ["MaskedLM", "TextClassifier", "TextEmbedder"]
