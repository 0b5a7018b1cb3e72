"""Tasks: a model, its tokenizer and a head; strings in, answers out.

The classes are imported when they are first used: the names of `registry` are there
without TensorFlow.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoo.tasks.examples.sets import ExampleSet
    from zoo.tasks.masked_lm import MaskedLM
    from zoo.tasks.question_answerer import QuestionAnswerer
    from zoo.tasks.replaced_tokens import ReplacedTokenDetection
    from zoo.tasks.sequence_to_sequence import SequenceToSequence
    from zoo.tasks.summarizer import Summarizer
    from zoo.tasks.text_classifier import TextClassifier
    from zoo.tasks.text_embedder import TextEmbedder
    from zoo.tasks.text_generator import TextGenerator
    from zoo.tasks.token_classifier import TokenClassifier
    from zoo.tasks.translator import Translator

_FILES = {
    "ExampleSet": "examples.sets",
    "MaskedLM": "masked_lm",
    "QuestionAnswerer": "question_answerer",
    "ReplacedTokenDetection": "replaced_tokens",
    "SequenceToSequence": "sequence_to_sequence",
    "Summarizer": "summarizer",
    "TextClassifier": "text_classifier",
    "TextEmbedder": "text_embedder",
    "TextGenerator": "text_generator",
    "TokenClassifier": "token_classifier",
    "Translator": "translator",
}

__all__ = [
    "ExampleSet",
    "MaskedLM",
    "QuestionAnswerer",
    "ReplacedTokenDetection",
    "SequenceToSequence",
    "Summarizer",
    "TextClassifier",
    "TextEmbedder",
    "TextGenerator",
    "TokenClassifier",
    "Translator",
]


def __getattr__(name):
    if name not in _FILES:
        raise AttributeError(f"module 'zoo.tasks' has no attribute '{name}'.")
    found = getattr(importlib.import_module(f"zoo.tasks.{_FILES[name]}"), name)
    globals()[name] = found
    return found
