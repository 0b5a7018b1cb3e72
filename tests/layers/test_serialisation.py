"""Every layer comes back from JSON with the same outputs."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.config import TransformerConfig
from zoo.layers.attention import Attention
from zoo.layers.block import Block
from zoo.layers.dropout import Dropout
from zoo.layers.embeddings import Embedding, Embeddings
from zoo.layers.feedforward import FeedForward
from zoo.layers.initializers import Normal
from zoo.layers.linear import Linear
from zoo.layers.norms import Norm
from zoo.layers.positions import RelativeBias
from zoo.layers.stack import Stack

CONFIG = TransformerConfig(
    vocab_size=11,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    max_position_embeddings=9,
    type_vocab_size=2,
    embedding_norm=True,
    layer_types=["full_attention", "sliding_attention"],
    sliding_window=2,
    hidden_dropout_prob=0.1,
)
X = np.random.default_rng(0).normal(size=(2, 3, 8)).astype(np.float32)
IDS = np.array([[1, 2, 3], [4, 5, 6]])
LAYERS = {
    "linear": (Linear(5, use_bias=False, stddev=0.3), (X,)),
    "layer norm": (Norm("layer", epsilon=0.1, use_bias=False), (X,)),
    "rms norm": (Norm("rms", epsilon=0.1), (X,)),
    "dropout": (Dropout(0.3, seed=4), (X,)),
    "embedding": (Embedding(11, 8, stddev=0.3), (IDS,)),
    "embeddings": (Embeddings(CONFIG), (IDS, IDS)),
    "feed-forward": (FeedForward(CONFIG.replace(feedforward="gated")), (X,)),
    "attention": (Attention(CONFIG), (X,)),
    "block": (Block(CONFIG), (X,)),
    "stack": (Stack(CONFIG, causal=True, depth=2), (X,)),
    "relative bias": (
        RelativeBias(2, buckets=8, max_distance=9, bidirectional=True),
        (tf.range(3), tf.range(3)),
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_comes_back_from_json(name):
    layer, inputs = LAYERS[name]
    expected = layer(*inputs)
    text = json.dumps(keras.saving.serialize_keras_object(layer))
    again = keras.saving.deserialize_keras_object(json.loads(text))
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()
    again.build_from_config(json.loads(json.dumps(layer.get_build_config())))
    again.build_from_config(
        json.loads(json.dumps(layer.get_build_config()))
    )  # idempotent
    assert [w.path.split("/", 1)[1] for w in again.weights] == [
        w.path.split("/", 1)[1] for w in layer.weights
    ]
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(*inputs), expected)


def test_initialisers_come_back_and_draw_what_they_say():
    normal = Normal(0.5)
    text = json.dumps(keras.saving.serialize_keras_object(normal))
    again = keras.saving.deserialize_keras_object(json.loads(text))
    keras.utils.set_random_seed(1)
    drawn = normal((200, 200))
    keras.utils.set_random_seed(1)
    np.testing.assert_array_equal(again((200, 200)), drawn)
    assert abs(np.std(drawn) - 0.5) < 0.01 and abs(np.mean(drawn)) < 0.01


@pytest.mark.parametrize("policy", ["float16", "mixed_bfloat16", "float32"])
def test_a_dtype_policy_reaches_every_part_and_comes_back(policy):
    stack = Stack(CONFIG, dtype=policy)
    stack.build()
    for layer in stack._flatten_layers():
        assert layer.dtype_policy.name == policy, layer.name
    again = keras.saving.deserialize_keras_object(
        json.loads(json.dumps(keras.saving.serialize_keras_object(stack)))
    )
    assert again.dtype_policy.name == policy
