"""Where a token stands: rotary angles, sinusoids, ALiBi slopes, relative buckets."""

import math

import keras
import numpy as np
import tensorflow as tf

from zoo.layers.initializers import Normal


def sinusoids(length, width):
    """Sinusoidal table (Vaswani et al. 2017, arXiv:1706.03762), sines then cosines.

    Returns:
        float32 numpy array `[length, width]`.
    """
    half = (width + 1) // 2
    angles = np.arange(length)[:, None] * 10_000.0 ** (-np.arange(half) * 2 / width)
    table = np.concatenate([np.sin(angles), np.cos(angles)], -1)[:, :width]
    return table.astype(np.float32)


# Rotary (Su et al. 2021, arXiv:2104.09864), half-split form.


def rotary_angles(config, positions):
    """Cosines and sines by which queries and keys are turned.

    Args:
        config: A TransformerConfig with position "rotary".
        positions: Absolute positions, int32 `[B, T]`.

    Returns:
        `(cos, sin)`, each float32 `[B, 1, T, rotary_dim / 2]`.
    """
    frequencies, factor = _rotary_frequencies(config, positions)
    angles = tf.cast(positions, tf.float32)[:, None, :, None] * frequencies
    return tf.cos(angles) * factor, tf.sin(angles) * factor


def rotate(x, angles):
    """Turns the first `rotary_dim` features of each head by its position.

    Args:
        x: Queries or keys `[B, H, T, d]`.
        angles: What `rotary_angles` returned.

    Returns:
        `[B, H, T, d]`, same dtype as `x`; computed in float32.
    """
    cos, sin = angles
    half = cos.shape[-1]
    wide = tf.cast(x, tf.float32)
    first, second, rest = tf.split(wide, [half, half, x.shape[-1] - 2 * half], -1)
    turned = [first * cos - second * sin, second * cos + first * sin]
    if rest.shape[-1]:
        turned.append(rest)
    return tf.cast(tf.concat(turned, -1), x.dtype)


def _rotary_frequencies(config, positions):
    """Radians per token `[rotary_dim / 2]`, and the factor on cosine and sine."""
    scaling = config.rope_scaling or {"rope_type": "default"}
    kind, factor = scaling["rope_type"], scaling.get("factor", 1.0)
    size = config.rotary_dim
    if kind == "dynamic":
        return _dynamic_frequencies(config, factor, positions), 1.0
    theta = config.rope_theta
    if kind == "ntk":  # https://www.reddit.com/r/LocalLLaMA/comments/14lz7j5
        theta *= factor ** (size / (size - 2))
    frequencies = (theta ** -(np.arange(0, size, 2) / size)).astype(np.float32)
    if kind == "linear":  # Chen et al. 2023, arXiv:2306.15595
        return frequencies / np.float32(factor), 1.0
    if kind == "llama3":
        return _llama3_frequencies(frequencies, scaling), 1.0
    if kind == "yarn":
        return _yarn_frequencies(config, frequencies, scaling)
    return frequencies, 1.0


def _dynamic_frequencies(config, factor, positions):
    """NTK scaling that grows with the input once it outgrows the trained length.

    As in the reference, with the longest row of a batch: beyond that length, what is
    written behind a prompt depends on the prompts beside it.
    """
    size, trained = config.rotary_dim, config.max_position_embeddings
    length = tf.cast(tf.maximum(tf.reduce_max(positions) + 1, trained), tf.float32)
    stretch = (factor * length / trained - (factor - 1)) ** (size / (size - 2))
    exponents = np.arange(0, size, 2, dtype=np.float32) / size
    return 1.0 / (config.rope_theta * stretch) ** exponents


def _llama3_frequencies(frequencies, scaling):
    """Llama 3.1: long waves are stretched, short ones kept, between them a ramp."""
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    turns = scaling["original_max_position_embeddings"] * frequencies / (2 * math.pi)
    kept = np.clip((turns - low) / (high - low), 0, 1)
    mixed = frequencies * (kept + (1 - kept) / scaling["factor"])
    return mixed.astype(np.float32)


def _yarn_frequencies(config, frequencies, scaling):
    """YaRN (Peng et al. 2023, arXiv:2309.00071), and its attention temperature."""
    size, factor = config.rotary_dim, scaling["factor"]
    trained = scaling["original_max_position_embeddings"]

    def feature(turns):
        """Index of the feature that turns so often over the trained length."""
        share = math.log(trained / (turns * 2 * math.pi))
        return size * share / (2 * math.log(config.rope_theta))

    low = feature(scaling.get("beta_fast") or 32)
    high = feature(scaling.get("beta_slow") or 1)
    if scaling.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, size - 1)
    if low == high:
        high += 0.001
    ramp = np.clip((np.arange(size // 2) - low) / (high - low), 0, 1)
    mixed = frequencies * (1 - ramp) + frequencies / factor * ramp
    return mixed.astype(np.float32), _yarn_temperature(scaling)


def _yarn_temperature(scaling):
    given = scaling.get("attention_factor")
    if given is not None:
        return float(given)

    def magnitude(weight=1.0):
        factor = scaling["factor"]
        return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0

    over, under = scaling.get("mscale"), scaling.get("mscale_all_dim")
    return magnitude(over) / magnitude(under) if over and under else magnitude()


# Biases on the attention scores.


def alibi_slopes(heads):
    """Slope of each head (Press et al. 2021, arXiv:2108.12409), float32 `[H]`."""

    def powers(count, step=1):
        base = 2 ** (-8 / count)
        return [base ** (i + 1) for i in range(0, count, step)]

    whole = 2 ** math.floor(math.log2(heads))
    slopes = powers(whole) + powers(2 * whole, step=2)[: heads - whole]
    return np.asarray(slopes, np.float32)


def alibi_bias(heads, query_positions, key_positions):
    """Penalty that grows with distance, float32 `[B, H, T, S]`.

    Args:
        query_positions, key_positions: int32 `[B, T]` and `[B, S]`.
    """
    distance = tf.abs(
        key_positions[:, None, None, :] - query_positions[:, None, :, None]
    )
    return -tf.cast(distance, tf.float32) * alibi_slopes(heads)[None, :, None, None]


@keras.saving.register_keras_serializable(package="zoo")
class RelativeBias(keras.layers.Layer):
    """T5's bias on the scores by bucketed distance (Raffel et al. 2019, 1910.10683).

    Args:
        heads: H.
        buckets: Rows of the table.
        max_distance: From here on all distances share the last bucket, in tokens.
        bidirectional: Whether keys after the query have buckets of their own.

    Call with query and key positions, int32 `[T]` and `[S]`, and where gradients are to
    go elsewhere with a tensor in the place of its weight; gives `[1, H, T, S]`.
    """

    def __init__(
        self, heads, *, buckets, max_distance, bidirectional, stddev=0.02, **kwargs
    ):
        super().__init__(**kwargs)
        self.heads = heads
        self.buckets = buckets
        self.max_distance = max_distance
        self.bidirectional = bidirectional
        self.stddev = stddev

    def build(self, input_shape=None):
        if self.built:
            return
        self.weight = self.add_weight(
            name="weight",
            shape=(self.buckets, self.heads),
            initializer=Normal(self.stddev),
        )
        self.built = True

    def call(self, query_positions, key_positions, weight=None):
        distance = key_positions[None, :] - query_positions[:, None]
        weight = tf.convert_to_tensor(self.weight if weight is None else weight)
        bias = tf.gather(weight, self.bucket(distance))
        return tf.transpose(bias, [2, 0, 1])[None]

    def bucket(self, distance):
        """Row of the table for each signed distance `key - query`, int32."""
        buckets, offset = self.buckets, 0
        if self.bidirectional:
            buckets //= 2
            offset = tf.where(distance > 0, buckets, 0)
            distance = tf.abs(distance)
        else:
            distance = tf.maximum(-distance, 0)
        exact = buckets // 2
        # The reference computes in float32 and truncates: so do we.
        ratio = tf.cast(tf.maximum(distance, 1), tf.float32) / exact
        steps = tf.math.log(ratio) / math.log(self.max_distance / exact)
        far = exact + tf.cast(steps * (buckets - exact), tf.int32)
        far = tf.minimum(far, buckets - 1)
        return offset + tf.where(distance < exact, distance, far)

    def get_config(self):
        return {
            **super().get_config(),
            "heads": self.heads,
            "buckets": self.buckets,
            "max_distance": self.max_distance,
            "bidirectional": self.bidirectional,
            "stddev": self.stddev,
        }
