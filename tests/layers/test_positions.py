"""Positions against their definitions."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tests.layers import reference
from zoo.config import TransformerConfig
from zoo.layers.positions import (
    RelativeBias,
    alibi_bias,
    alibi_slopes,
    rotary_angles,
    rotate,
    sinusoids,
)


def config(size=8, **options):
    return TransformerConfig(
        hidden_size=size, num_attention_heads=1, position="rotary", **options
    )


@pytest.mark.parametrize("width", [8, 7, 2])
def test_sinusoids_are_those_of_the_paper(width):
    table = sinusoids(50, width)
    half = (width + 1) // 2
    for position in (0, 1, 49):
        for i in range(width):
            angle = position / 10_000 ** (2 * (i % half) / width)
            value = math.sin(angle) if i < half else math.cos(angle)
            assert abs(table[position, i] - value) < 1e-6


def test_alibi_slopes_are_those_of_the_paper():
    np.testing.assert_allclose(alibi_slopes(8), [2.0**-i for i in range(1, 9)])
    np.testing.assert_allclose(alibi_slopes(4), [2.0 ** -(2 * i) for i in range(1, 5)])
    # Of no power of two: those of the one below, and every other one of the next.
    expected = [2.0 ** -(2 * i) for i in range(1, 5)] + [2.0**-1, 2.0**-3]
    np.testing.assert_allclose(alibi_slopes(6), expected)


def test_alibi_falls_with_distance():
    positions = tf.constant([[0, 1, 2, 3]])
    bias = alibi_bias(2, positions, positions).numpy()
    for head, slope in enumerate(alibi_slopes(2)):
        for query in range(4):
            for key in range(4):
                assert bias[0, head, query, key] == -slope * abs(query - key)


def test_rotary_turns_each_plane_by_its_frequency():
    x = np.random.default_rng(0).normal(size=(1, 1, 6, 8)).astype(np.float32)
    found = rotate(x, rotary_angles(config(rope_theta=50.0), tf.range(6)[None]))
    for position in range(6):
        expected = reference.rotate(x[0, 0, position], position, 50.0)
        np.testing.assert_allclose(found[0, 0, position], expected, atol=1e-6)


def test_rotary_scores_depend_on_distance_alone():
    random = np.random.default_rng(0)
    query, key = random.normal(size=(2, 1, 1, 1, 8)).astype(np.float32)

    def score(at, of):
        turned = [
            rotate(x, rotary_angles(config(), tf.constant([[place]])))
            for x, place in ((query, at), (key, of))
        ]
        return float(tf.reduce_sum(turned[0] * turned[1]))

    assert abs(score(7, 3) - score(104, 100)) < 1e-4
    assert abs(score(7, 3) - score(7, 4)) > 1e-2


def test_partial_rotary_leaves_the_rest_alone():
    x = np.random.default_rng(0).normal(size=(1, 1, 6, 8)).astype(np.float32)
    options = config(partial_rotary_factor=0.5)
    found = rotate(x, rotary_angles(options, tf.range(6)[None])).numpy()
    np.testing.assert_array_equal(found[..., 4:], x[..., 4:])
    expected = reference.rotate(x[0, 0, 5, :4], 5, 10_000.0)
    np.testing.assert_allclose(found[0, 0, 5, :4], expected, atol=1e-6)


def test_ntk_stretches_the_longest_wave_by_the_factor_and_keeps_the_shortest():
    scaling = {"rope_type": "ntk", "factor": 4.0}
    plain = frequencies(config())
    found = frequencies(config(rope_scaling=scaling))
    np.testing.assert_allclose(found[0], plain[0], rtol=1e-6)
    np.testing.assert_allclose(found[-1], plain[-1] / 4, rtol=1e-5)
    theta = 10_000 * 4 ** (8 / 6)
    np.testing.assert_allclose(found, theta ** -(np.arange(4) / 4), rtol=1e-5)


def test_linear_scaling_divides_positions():
    scaling = {"rope_type": "linear", "factor": 4.0}
    found = frequencies(config(rope_scaling=scaling))
    np.testing.assert_allclose(found, frequencies(config()) / 4, rtol=1e-6)


def test_dynamic_scaling_is_ntk_for_the_longer_input():
    options = {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}
    options["max_position_embeddings"] = 4
    short = rotary_angles(config(**options), tf.range(4)[None])
    np.testing.assert_allclose(
        short[0], rotary_angles(config(), tf.range(4)[None])[0], atol=1e-6
    )
    # 8 tokens where 4 were trained: factor * 8 / 4 - (factor - 1) = 3
    long = rotary_angles(config(**options), tf.range(8)[None])
    ntk = config(rope_scaling={"rope_type": "ntk", "factor": 3.0})
    np.testing.assert_allclose(
        long[0], rotary_angles(ntk, tf.range(8)[None])[0], atol=1e-5
    )


def frequencies(options):
    """Radians per token, from the angles of the first."""
    cos, sin = rotary_angles(options, tf.constant([[1]]))
    return np.arctan2(sin, cos)[0, 0, 0]


@pytest.mark.parametrize("bidirectional", [True, False])
def test_relative_buckets_are_exact_when_near_and_shared_when_far(bidirectional):
    layer = RelativeBias(3, buckets=32, max_distance=128, bidirectional=bidirectional)
    before = layer.bucket(tf.constant([0, -1, -2, -7, -127, -128, -10_000])).numpy()
    near = [0, 1, 2, 7]
    np.testing.assert_array_equal(before[:4], near)
    last = 15 if bidirectional else 31
    np.testing.assert_array_equal(before[4:], [last, last, last])
    after = layer.bucket(tf.constant([1, 5, 10_000])).numpy()
    np.testing.assert_array_equal(after, [17, 21, 31] if bidirectional else [0, 0, 0])
    every = layer.bucket(tf.range(-300, 1)).numpy()
    assert (np.diff(every) <= 0).all() and set(every) == set(range(last + 1))


def test_a_relative_bias_is_read_from_its_table():
    layer = RelativeBias(3, buckets=8, max_distance=20, bidirectional=True)
    layer.build()
    table = np.arange(24, dtype=np.float32).reshape(8, 3)
    layer.weight.assign(table)
    bias = layer(tf.range(4), tf.range(4)).numpy()
    assert bias.shape == (1, 3, 4, 4)
    for query in range(4):
        for key in range(4):
            row = int(layer.bucket(tf.constant(key - query)))
            np.testing.assert_array_equal(bias[0, :, query, key], table[row])
