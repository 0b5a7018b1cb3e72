"""How weights begin; outlines of models: shapes without memory, equal to its own."""

import numpy as np
import pytest

from zoo.config import TransformerConfig
from zoo.layers.initializers import in_outline, outline, uninitialized
from zoo.models import BertModel, GPTModel, T5Model

SMALL = {
    "vocab_size": 11,
    "hidden_size": 8,
    "num_attention_heads": 2,
    "num_hidden_layers": 3,
    "num_decoder_layers": 5,
}
CASES = {
    "bert": (BertModel, {"pooler": True, "type_vocab_size": 2, "norm_place": "post"}),
    "albert": (BertModel, {"num_hidden_groups": 1, "embedding_size": 4}),
    "gpt": (GPTModel, {"tie_word_embeddings": False, "qk_norm": "rms"}),
    "t5": (T5Model, {"position": "relative"}),
    "umt5": (T5Model, {"position": "relative", "relative_attention_shared": False}),
}


@pytest.mark.parametrize("name", CASES)
def test_an_outline_has_the_shapes_of_the_model(name):
    cls, options = CASES[name]
    config = TransformerConfig(**SMALL, **options)
    with outline():
        assert in_outline()
        found = shapes(cls(config, dtype="mixed_bfloat16"))
    assert not in_outline()
    assert found == shapes(cls(config, dtype="mixed_bfloat16"))


def test_an_outline_of_any_size_costs_nothing():
    huge = TransformerConfig(
        vocab_size=2**31 - 1,
        hidden_size=2**29,
        num_attention_heads=2,
        num_hidden_layers=60_000,
        intermediate_size=2**30 - 1,
    )
    with outline():
        found = GPTModel(huge)
    assert len(found.decoder.blocks) == 1
    assert found.embeddings.tokens.weight.shape == (2**31 - 1, 2**29)


def test_uninitialised_weights_are_zeros_until_they_are_filled():
    with uninitialized():
        model = GPTModel(TransformerConfig(**SMALL))
    assert not model.embeddings.tokens.weight.numpy().any()
    model = GPTModel(TransformerConfig(**SMALL))
    assert model.embeddings.tokens.weight.numpy().any()


def test_the_token_table_may_be_drawn_by_itself():
    sizes = {**SMALL, "vocab_size": 2_000, "position": "learned"}
    for own, expected in ((None, 0.1), (1.0, 1.0)):
        config = TransformerConfig(
            **sizes, initializer_range=0.1, embedding_initializer_range=own
        )
        tables = GPTModel(config).embeddings
        found = [x.weight.numpy().std() for x in (tables.tokens, tables.positions)]
        np.testing.assert_allclose(found, [expected, 0.1], rtol=0.05)


def shapes(model):
    return {
        path: (tuple(weight.shape), weight.dtype)
        for path, weight in model.weights_by_path().items()
    }
