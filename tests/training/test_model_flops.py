"""Model FLOPs, counted by hand: every product of matrices, one sequence at a time."""

import numpy as np
import pytest

from zoo.config import TransformerConfig
from zoo.training.model_flops import ModelFlops, sequence_lengths

GPT2 = TransformerConfig()  # of 124 million parameters, but for the vocabulary's size
T5 = TransformerConfig(
    vocab_size=100,
    hidden_size=8,
    num_hidden_layers=2,
    num_decoder_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=6,
    intermediate_size=20,
    feedforward="gated",
)


def product(rows, inner, columns):
    """Of two matrices, and its two gradients."""
    return 3 * 2 * rows * inner * columns


def attention(config, queries, keys):
    heads, key_heads = config.num_attention_heads, config.num_key_value_heads
    size, width = config.head_dim, config.hidden_size
    return (
        product(queries, width, heads * size)
        + 2 * product(keys, width, key_heads * size)
        + heads * product(queries, size, keys)
        + heads * product(queries, keys, size)
        + product(queries, heads * size, width)
    )


def feedforward(config, tokens):
    count = 3 if config.feedforward == "gated" else 2
    return count * product(tokens, config.hidden_size, config.intermediate_size)


def layers(config, tokens, depth):
    return depth * (attention(config, tokens, tokens) + feedforward(config, tokens))


def test_a_decoder_takes_what_palms_formula_says():
    length, depth, width = 1024, GPT2.num_hidden_layers, GPT2.hidden_size
    parameters = depth * 12 * width**2 + width * GPT2.vocab_size
    found = float(ModelFlops(GPT2, "decoder", True)([length], predicted=length))
    assert found == length * (6 * parameters + 12 * depth * width * length)


def test_an_encoder_takes_every_product_once_and_padding_takes_nothing():
    found = float(ModelFlops(T5, "encoder")([5, 7, 0]))
    assert found == layers(T5, 5, 2) + layers(T5, 7, 2)


def test_an_encoder_with_narrow_tables_has_a_projection_and_a_head_of_two_layers():
    config = T5.replace(embedding_size=3)
    found = float(ModelFlops(config, "encoder", True)([5], predicted=2))
    expected = layers(config, 5, 2) + product(5, 3, 8)
    assert found == expected + product(2, 8, 3) + product(2, 3, 100)


def test_an_encoder_decoder_reads_its_sources_in_every_layer_of_the_decoder():
    flops = ModelFlops(T5, "encoder_decoder", True)
    found = float(flops([4, 2], sources=[6, 9], predicted=5))
    expected = product(5, 8, 100)
    for target, source in ((4, 6), (2, 9)):
        expected += layers(T5, source, 2) + layers(T5, target, 3)
        expected += 3 * attention(T5, target, source)
    assert found == expected


def test_a_window_limits_the_keys_of_its_layers():
    config = T5.replace(
        sliding_window=3,
        layer_types=["sliding_attention", "full_attention"],
        num_decoder_layers=2,
    )
    whole, found = (float(ModelFlops(c, "decoder")([10])) for c in (T5, config))
    assert whole - found == 2 * 4 * product(10, 6, 10 - 3)


def test_of_frozen_weights_there_is_no_gradient():
    width, length = 768, 10
    flops = ModelFlops(GPT2, "decoder", trained=0.25)
    scores = 12 * 12 * width * length**2
    expected = 4.5 * 12 * 12 * width**2 * length + scores
    assert float(flops([length])) == pytest.approx(expected, rel=1e-12)


def test_documents_of_a_row_are_sequences_of_their_own():
    documents = np.array([[1, 1, 2, 2, 2, 0], [1, 1, 1, 1, 1, 1]])
    ones = np.ones_like(documents)
    found = sequence_lengths(ones, documents).numpy()
    assert sorted(found[found > 0]) == [2, 3, 6]
    mask = [[1, 1, 0, 0], [0, 0, 0, 0]]
    assert sequence_lengths(np.array(mask)).numpy().tolist() == [2, 0]
