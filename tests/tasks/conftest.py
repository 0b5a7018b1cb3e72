"""A tiny BERT with a tiny WordPiece vocabulary, and the tasks made of it."""

import json

import keras
import pytest

from tests import tiny_configs
from zoo.tasks import MaskedLM, TextClassifier, TextEmbedder
from zoo.tokenizers import Tokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = "a bad dull film fine good great is it no not poor the very was 😀".split()
PIECES = ["##s", "##ly", "##er", ".", "!", "b", "##e", "##d"]


def tokenizer_files():
    vocabulary = "\n".join([*SPECIAL, *WORDS, *PIECES]) + "\n"
    settings = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": True,
        "model_max_length": 40,
        **{f"{t.strip('[]').lower()}_token": t for t in SPECIAL},
    }
    return {
        "vocab.txt": vocabulary.encode(),
        "tokenizer_config.json": json.dumps(settings).encode(),
    }


@pytest.fixture(scope="session")
def tokenizer():
    return Tokenizer.from_files(tokenizer_files())


@pytest.fixture(scope="session")
def config(tokenizer):
    dropouts = ("hidden", "embedding", "attention_probs")
    return tiny_configs.bert(
        tokenizer.vocab_size,
        intermediate_size=24,
        **{f"{name}_dropout_prob": 0.1 for name in dropouts},
        id2label=("neg", "pos"),
    )


def _made(kind, config, tokenizer, **options):
    keras.utils.set_random_seed(7)
    return kind(config, tokenizer=tokenizer, **options)


def _steady(config):
    none = {name: 0.0 for name in config.to_dict() if name.endswith("dropout_prob")}
    return config.replace(**none)


@pytest.fixture(scope="session")
def classifier(config, tokenizer):
    """Not to be trained: the tests share it."""
    return _made(TextClassifier, config, tokenizer)


@pytest.fixture
def fresh_classifier(config, tokenizer):
    return _made(TextClassifier, config, tokenizer)


@pytest.fixture(scope="session")
def embedder(config, tokenizer):
    return _made(TextEmbedder, config.replace(pooler=False, id2label=None), tokenizer)


@pytest.fixture(scope="session")
def masked_lm(config, tokenizer):
    return _made(MaskedLM, config.replace(pooler=False, id2label=None), tokenizer)


class Restart:
    """A model that is taken back to its beginning, while its compiled programs stay.

    To trace a training step takes longer than all the steps of a test.

    Args:
        model: A model that is compiled.
    """

    def __init__(self, model):
        self.model = model
        model.optimizer.build(model.trainable_variables)
        self._begin = [(v, v.numpy()) for v in self._variables()]

    def __call__(self, seed=7):
        """The model as it was; its dropout draws by `seed`."""
        keras.utils.set_random_seed(seed)
        for variable, value in self._begin:
            seeds = variable.name == "seed_generator_state"
            variable.assign(value + seed if seeds else value)
        return self.model

    def _variables(self):
        return [*self.model.variables, *self.model.optimizer.variables]


@pytest.fixture(scope="session")
def restart(config, tokenizer):
    """A classifier with dropout."""
    model = _made(TextClassifier, config, tokenizer)
    model.compile(learning_rate=1e-3)
    return Restart(model)


@pytest.fixture
def steady_classifier(config, tokenizer):
    """Without dropout."""
    return _made(TextClassifier, _steady(config), tokenizer)


@pytest.fixture(scope="session")
def restart_steady(config, tokenizer):
    """A classifier without dropout, which learns fast."""
    model = _made(TextClassifier, _steady(config), tokenizer)
    model.compile(learning_rate=1e-2)
    return Restart(model)
