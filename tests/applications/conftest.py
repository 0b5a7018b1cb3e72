"""A tiny encoder that the recipes begin with."""

import json

import keras
import pytest

from tests import tiny_configs
from zoo.tasks import TextClassifier
from zoo.tokenizers import Tokenizer

WORDS = (
    "the a in and is was it very what film plot colour good great fine bad dull poor "
    "red blue green met saw ann bob cid paris rome oslo ."
)


@pytest.fixture(scope="session")
def encoder(tmp_path_factory):
    """Directory of a BERT that knows few words, and has a head for two labels."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS.split()]
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
    tokenizer = Tokenizer.from_files(
        {
            "vocab.txt": "\n".join(tokens).encode(),
            "tokenizer_config.json": json.dumps(settings).encode(),
        }
    )
    config = tiny_configs.bert(len(tokens), id2label=("LABEL_0", "LABEL_1"))
    keras.utils.set_random_seed(7)
    directory = tmp_path_factory.mktemp("encoder")
    TextClassifier(config, tokenizer=tokenizer).save_pretrained(directory)
    return directory


@pytest.fixture(autouse=True)
def peak(monkeypatch):
    """What the machine could do is not measured, which takes a second of products."""
    monkeypatch.setattr("zoo.training.tensorboard.measured_peak", lambda *_: 1e11)
