"""Transformer models for Keras 3 and TensorFlow: checkpoints in, trained and served.

The public names are loaded when they are first used, so that `import zoo` costs nothing
that the caller does not need; TensorFlow itself comes with the first model.
"""

import difflib
import importlib
import os
import sys
from typing import TYPE_CHECKING

from zoo import errors

if TYPE_CHECKING:
    from zoo.config import TransformerConfig
    from zoo.generation import GenerationConfig
    from zoo.generation.evaluation import log_likelihood, perplexity
    from zoo.models import BertModel, GPTModel, T5Model
    from zoo.tasks import (
        MaskedLM,
        QuestionAnswerer,
        ReplacedTokenDetection,
        SequenceToSequence,
        Summarizer,
        TextClassifier,
        TextEmbedder,
        TextGenerator,
        TokenClassifier,
        Translator,
    )
    from zoo.tasks.pipeline import pipeline
    from zoo.tokenizers import Tokenizer
    from zoo.training.tensorboard import TensorBoard

__all__ = [
    "BertModel",
    "GPTModel",
    "GenerationConfig",
    "MaskedLM",
    "QuestionAnswerer",
    "ReplacedTokenDetection",
    "SequenceToSequence",
    "Summarizer",
    "T5Model",
    "TensorBoard",
    "TextClassifier",
    "TextEmbedder",
    "TextGenerator",
    "TokenClassifier",
    "Tokenizer",
    "TransformerConfig",
    "Translator",
    "errors",
    "log_likelihood",
    "perplexity",
    "pipeline",
]

_ROOMS = {
    "BertModel": "zoo.models",
    "GPTModel": "zoo.models",
    "GenerationConfig": "zoo.generation",
    "MaskedLM": "zoo.tasks",
    "QuestionAnswerer": "zoo.tasks",
    "ReplacedTokenDetection": "zoo.tasks",
    "SequenceToSequence": "zoo.tasks",
    "Summarizer": "zoo.tasks",
    "T5Model": "zoo.models",
    "TensorBoard": "zoo.training.tensorboard",
    "TextClassifier": "zoo.tasks",
    "TextEmbedder": "zoo.tasks",
    "TextGenerator": "zoo.tasks",
    "TokenClassifier": "zoo.tasks",
    "Tokenizer": "zoo.tokenizers",
    "TransformerConfig": "zoo.config",
    "Translator": "zoo.tasks",
    "log_likelihood": "zoo.generation.evaluation",
    "perplexity": "zoo.generation.evaluation",
    "pipeline": "zoo.tasks.pipeline",
}


def _choose_backend():
    """Has Keras run on TensorFlow, and TensorFlow keep its start-up notes to itself.

    Both read the environment when they are imported, so this stands before either, and
    what the user has set stays.

    Raises:
        ZooError: if Keras runs, or is told to run, on something else.
    """
    backend = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    # The package is in sys.modules before its body has run, hence the second getattr.
    config = getattr(sys.modules.get("keras"), "config", None)
    if hasattr(config, "backend"):
        backend = config.backend()
    if backend != "tensorflow":
        raise errors.ZooError(
            f"zoo runs on Keras's TensorFlow backend, but this process uses '{backend}'"
            " (KERAS_BACKEND, or ~/.keras/keras.json). Set KERAS_BACKEND=tensorflow, "
            "or import zoo before keras, in a new process."
        )
    # 2: errors are shown; notes on oneDNN, CUDA and CPU instructions are not. Without a
    # GPU, "failed call to cuInit" would stand there as an error: 3 hides that as well,
    # and what concerns the caller is raised in Python anyway.
    has_gpu = any(map(os.path.exists, ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if has_gpu else "3")


_choose_backend()


def __getattr__(name):
    if name == "__version__":
        from importlib.metadata import version

        return version("keras-transformer-zoo")
    if name not in _ROOMS:
        close = difflib.get_close_matches(name, __all__, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise AttributeError(f"module 'zoo' has no attribute '{name}'.{hint}")
    value = getattr(importlib.import_module(_ROOMS[name]), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__, "__version__"})
