"""Which keys a query sees, spelled out."""

import numpy as np
import tensorflow as tf

from zoo.layers.masks import (
    AttentionBias,
    attention_bias,
    positions_in_documents,
    visible_keys,
)


def seen(**options):
    pattern = visible_keys(tf.range(4), tf.range(4), **options)
    return ["".join(".x"[int(key)] for key in row) for row in pattern.numpy()]


def test_an_encoder_sees_everything():
    assert visible_keys(tf.range(4), tf.range(4), causal=False) is None
    assert attention_bias() == AttentionBias(None, None)


def test_a_causal_query_sees_itself_and_what_came_before():
    assert seen(causal=True) == ["x...", "xx..", "xxx.", "xxxx"]


def test_a_window_counts_the_query_itself():
    assert seen(causal=True, window=2) == ["x...", "xx..", ".xx.", "..xx"]
    assert seen(causal=True, window=1) == ["x...", ".x..", "..x.", "...x"]
    assert seen(causal=True, window=9) == seen(causal=True)
    assert seen(causal=False, window=2) == ["xx..", "xxx.", ".xxx", "..xx"]


def test_order_and_padding_hide_together():
    pattern = visible_keys(tf.range(3), tf.range(3), causal=True)
    bias = attention_bias(pattern, np.array([[0, 1, 1], [0, 0, 0]]))
    lowest = np.finfo(np.float32).min
    expected = [[lowest] * 3, [lowest, 0, lowest], [lowest, 0, 0]]
    np.testing.assert_array_equal(bias.scores[0, 0], expected)
    np.testing.assert_array_equal(bias.seen[:, :, 0], [[0, 1, 1], [0, 0, 0]])


def test_masks_of_any_type_mean_the_same():
    mask = np.array([[1, 1, 0]])
    expected = attention_bias(None, mask).scores
    for dtype in (bool, np.float32, np.int64, np.float16):
        found = attention_bias(None, mask.astype(dtype)).scores
        np.testing.assert_array_equal(found, expected)


def test_biases_add_up():
    bias = attention_bias(None, np.array([[1, 0]])).plus(tf.constant([[[[3.0, 3.0]]]]))
    assert bias.scores[0, 0, 0, 0] == 3
    assert np.isfinite(bias.scores).all()
    assert AttentionBias().plus(tf.constant(1.0)).scores == 1


def test_a_query_sees_its_own_document_alone_and_padding_sees_nothing():
    documents = tf.constant([[1, 1, 2, 0]])
    pattern = visible_keys(tf.range(4), tf.range(4), causal=True)
    bias = attention_bias(pattern, documents=(documents, documents))
    found = ["".join(".x"[int(key == 0)] for key in row) for row in bias.scores[0, 0]]
    assert found == ["x...", "xx..", "..x.", "...."]
    np.testing.assert_array_equal(bias.seen[0, :, 0], [1, 1, 1, 0])


def test_positions_begin_anew_with_each_document():
    documents = tf.constant([[1, 1, 1, 2, 3, 3, 0, 0], [5, 5, 4, 4, 4, 4, 4, 4]])
    expected = [[0, 1, 2, 0, 0, 1, 0, 1], [0, 1, 0, 1, 2, 3, 4, 5]]
    for compiled in (False, True):
        count = tf.function(positions_in_documents, jit_compile=compiled)
        np.testing.assert_array_equal(count(documents), expected)
