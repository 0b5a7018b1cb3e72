"""A tiny encoder that the recipes begin with."""

import json

import keras
import pytest

from zoo.config import TransformerConfig
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
    config = TransformerConfig(
        model_type="bert",
        vocab_size=len(tokens),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=48,
        type_vocab_size=2,
        norm_place="post",
        embedding_norm=True,
        pooler=True,
        layer_norm_eps=1e-12,
        initializer_range=0.3,
        pad_token_id=0,
        id2label=("LABEL_0", "LABEL_1"),
    )
    keras.utils.set_random_seed(7)
    directory = tmp_path_factory.mktemp("encoder")
    TextClassifier(config, tokenizer=tokenizer).save_pretrained(directory)
    return directory
