"""Multi-head, grouped-query and multi-query attention, over itself or other states."""

import contextlib
import contextvars
import functools

import keras
import tensorflow as tf

from zoo.config import TransformerConfig
from zoo.errors import InputError
from zoo.layers.blockwise import BlockBias, attend_in_blocks
from zoo.layers.dropout import Dropout
from zoo.layers.linear import Linear
from zoo.layers.masks import AttentionBias
from zoo.layers.norms import Norm
from zoo.layers.positions import rotate
from zoo.layers.precision import widened
from zoo.layers.xla import barrier, in_xla

_watched: contextvars.ContextVar = contextvars.ContextVar("attention", default=None)


@contextlib.contextmanager
def watched_attention():
    """Gives a list that fills with what attends while the context lasts, in order.

    Each entry is an Attention and its weights, `[B, H, T, S]`. Attention by blocks has
    no such matrix and raises InputError.
    """
    seen: list = []
    token = _watched.set(seen)
    try:
        yield seen
    finally:
        _watched.reset(token)


@keras.saving.register_keras_serializable(package="zoo")
class Attention(keras.layers.Layer):
    """Attention (Vaswani et al. 2017, arXiv:1706.03762; grouped: arXiv:2305.13245).

    One product makes queries, keys and values of a self-attention; their weight rows
    are stacked in this order. Cross-attention has one for queries and one for both
    keys and values.

    Args:
        config: TransformerConfig, or the dictionary of one.
        cross: Whether keys and values come from other states.
    """

    def __init__(self, config, *, cross=False, **kwargs):
        super().__init__(autocast=False, **kwargs)  # biases and angles stay float32
        self.config = config = TransformerConfig.of(config)
        self.cross = cross
        self.heads = config.num_attention_heads
        self.kv_heads = config.num_key_value_heads
        self.head_dim = config.head_dim
        self.scale = config.attention_scale
        if self.scale is None:
            self.scale = self.head_dim**-0.5
        queries, both = self.heads * self.head_dim, 2 * self.kv_heads * self.head_dim
        options = {"dtype": self.dtype_policy}
        biased = {"use_bias": config.attention_bias, **options}
        if cross:
            self.query = Linear.of(config, queries, name="query", **biased)
            self.key_value = Linear.of(config, both, name="key_value", **biased)
        else:
            self.qkv = Linear.of(config, queries + both, name="qkv", **biased)
        self.out_proj = Linear.of(
            config,
            config.hidden_size,
            use_bias=config.attention_output_bias,
            name="out_proj",
            **options,
        )
        self.query_norm = self.key_norm = None
        if config.qk_norm:
            kind, epsilon = config.qk_norm, config.layer_norm_eps
            self.query_norm = Norm(kind, epsilon=epsilon, name="query_norm", **options)
            self.key_norm = Norm(kind, epsilon=epsilon, name="key_norm", **options)
        self.dropout = Dropout(config.attention_probs_dropout_prob, **options)

    def build(self, input_shape=None):
        if self.built:
            return
        states = (None, None, self.config.hidden_size)
        for layer in (self.query, self.key_value) if self.cross else (self.qkv,):
            layer.build(states)
        self.out_proj.build((None, None, self.heads * self.head_dim))
        for norm in (self.query_norm, self.key_norm):
            if norm is not None:
                norm.build((None, None, None, self.head_dim))
        self.built = True

    def call(
        self,
        x,
        bias=None,
        angles=None,
        states=None,
        first=None,
        memory=None,
        training=None,
    ):
        """Attends.

        Args:
            x: `[B, T, D]`.
            bias: AttentionBias, or a BlockBias for long inputs; None where every query
                sees every key.
            angles: Rotary angles of the positions, or None.
            states: `[B, S, D]` to attend to, or what `keys_and_values` made of them;
                cross-attention only.
            first: Self-attention only: compute the first so many queries, T of the
                output, over all keys; None: all.
            memory: Memory of the tokens before, which takes in these; or None.

        Returns:
            `[B, T, D]`. A query that sees no key gets zeros from the heads.
        """
        bias = bias or AttentionBias()
        if first is not None:
            bias = bias.of_first(first)
        queries, keys, values = self.project(x, states, angles, first)
        attend = functools.partial(self.attend, queries, training=training)
        if memory is None:
            return self.out_proj(attend(keys, values, bias))
        return self.out_proj(memory.look(attend, *memory.extend(keys, values), bias))

    def project(self, x, states=None, angles=None, first=None):
        """Queries `[B, H, T, d]`, keys and values `[B, K, S, d]`, scaled and turned."""
        heads, kv = self.heads, self.kv_heads
        if self.cross:
            queries = self._split_heads(self.query(x), heads)
            if not isinstance(states, tuple):
                states = self.keys_and_values(states)
            keys, values = states
        elif first is not None:
            rows = heads * self.head_dim
            queries = self._split_heads(self.qkv.part(x[:, :first], 0, rows), heads)
            both = self._split_heads(self.qkv.part(x, rows), 2 * kv)
            keys, values = tf.split(both, 2, 1)
        else:
            fused = self._split_heads(self.qkv(x), heads + 2 * kv)
            queries, keys, values = tf.split(fused, [heads, kv, kv], 1)
        if self.query_norm is not None:
            queries, keys = self.query_norm(queries), self.key_norm(keys)
        if angles is not None:
            keys = rotate(keys, angles)
            if first is not None:
                angles = tuple(angle[:, :, :first] for angle in angles)
            queries = rotate(queries, angles)
        # Scaling queries and not scores costs S times less and keeps float16 in range.
        # By a vector: TensorFlow moves a scalar behind the product and fuses both with
        # the bias, and for one bias of several rows oneDNN has but its reference kernel
        # for that: 40 times slower (TensorFlow 2.20, 4 rows of 256 tokens).
        scale = tf.fill([self.head_dim], tf.cast(self.scale, queries.dtype))
        return queries * scale, keys, values

    def keys_and_values(self, states):
        """What cross-attention sees of `states` `[B, S, D]`: two `[B, K, S, d]`."""
        both = self._split_heads(self.key_value(states), 2 * self.kv_heads)
        return tuple(tf.split(both, 2, 1))

    def attend(self, queries, keys, values, bias, training=None):
        """Softmax-weighted sums of values, `[B, T, H d]`."""
        watched = _watched.get()
        if isinstance(bias, BlockBias):
            if watched is not None:
                raise InputError(
                    f"attention weights of {queries.shape[2]} tokens were asked for, "
                    "but rows as long as that are attended to in blocks, which keep "
                    "none. Give fewer tokens."
                )
            return self._joined(self._in_blocks(queries, keys, values, bias, training))
        shape, group = tf.shape(queries), self.heads // self.kv_heads
        batch, length = shape[0], shape[2]
        if group > 1:  # the queries of a group stand below each other: no key is copied
            stacked = [batch, self.kv_heads, group * length, self.head_dim]
            queries = tf.reshape(queries, stacked)
        if queries.shape[2] == 1 and in_xla():
            scores = barrier(tf.matmul(keys, queries, transpose_b=True))
            scores = tf.linalg.matrix_transpose(scores)
        else:
            scores = tf.matmul(queries, keys, transpose_b=True)
        if group > 1:
            scores = tf.reshape(scores, [batch, self.heads, length, -1])
        weights = self._weights(scores, bias)
        if watched is not None:
            watched.append((self, weights))
        weights = self.dropout(weights, training=training)
        if group > 1:
            weights = tf.reshape(
                weights, [batch, self.kv_heads, group * length, tf.shape(keys)[2]]
            )
        context = tf.matmul(weights, values)
        if group > 1:
            context = tf.reshape(context, shape)
        context = self._joined(context)
        if bias.seen is not None:
            context *= tf.cast(bias.seen, context.dtype)
        return context

    def _weights(self, scores, bias):
        dtype, scores = scores.dtype, widened(scores)
        if self.config.attn_logit_softcapping:
            scores = soft_cap(scores, self.config.attn_logit_softcapping)
        if bias.scores is not None:
            scores += bias.scores
        return tf.cast(tf.nn.softmax(scores), dtype)

    def _in_blocks(self, queries, keys, values, bias, training):
        cap = factors = None
        if self.config.attn_logit_softcapping:
            cap = functools.partial(soft_cap, limit=self.config.attn_logit_softcapping)
        if training and self.dropout.generator is not None:
            factors = functools.partial(self._factors, self.dropout.draw())
        return attend_in_blocks(queries, keys, values, bias, cap=cap, factors=factors)

    def _factors(self, seed, shape, number):
        """Dropout of the weights of one block, the same whenever it is computed."""
        seed = tf.random.experimental.stateless_fold_in(seed, number)
        return self.dropout.factors(shape, seed, tf.float32)

    def _joined(self, context):
        """`[B, H, T, d]` to `[B, T, H d]`."""
        shape = tf.shape(context)
        context = tf.transpose(context, [0, 2, 1, 3])
        return tf.reshape(context, [shape[0], shape[2], self.heads * self.head_dim])

    def _split_heads(self, x, heads):
        """`[B, T, heads d]` to `[B, heads, T, d]`."""
        shape = tf.shape(x)
        x = tf.reshape(x, [shape[0], shape[1], heads, self.head_dim])
        return tf.transpose(x, [0, 2, 1, 3])

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        config = self.config.to_dict()
        return {**super().get_config(), "config": config, "cross": self.cross}


def soft_cap(x, limit):
    """`limit tanh(x / limit)`: bounds logits smoothly (Gemma 2, arXiv:2408.00118)."""
    return limit * tf.tanh(x / limit)
