"""The layers once more in plain numpy and float64, loop-free but without any trick."""

import math

import numpy as np


def linear(layer, x):
    y = x @ np.asarray(layer.weight, np.float64).T
    return y if layer.bias is None else y + np.asarray(layer.bias, np.float64)


def norm(layer, x):
    if layer.kind == "layer":
        x = x - x.mean(-1, keepdims=True)
    y = x / np.sqrt((x**2).mean(-1, keepdims=True) + layer.epsilon)
    y = y * np.asarray(layer.weight, np.float64)
    return y if layer.bias is None else y + np.asarray(layer.bias, np.float64)


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def feedforward(layer, x):
    y = linear(layer.up, x)
    if layer.gated:
        gate, y = np.split(y, 2, -1)
        return linear(layer.down, gelu(gate) * y)
    return linear(layer.down, gelu(y))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def rotate(x, position, theta):
    """One head `[d]` at one position: each pair (i, i + d/2) turns as a plane."""
    half = len(x) // 2
    plane = x[:half] + 1j * x[half:]
    turned = plane * np.exp(1j * position * theta ** (-np.arange(half) / half))
    return np.concatenate([turned.real, turned.imag])


def attention(layer, x, visible, states=None, theta=None):
    """One query and one head at a time.

    Args:
        x: `[B, T, D]`. `visible`: bool `[B, T, S]`. `states`: `[B, S, D]` or None.
        theta: Base of rotary positions 0, 1, 2 ..., or None.
    """
    config, size = layer.config, layer.head_dim
    group = layer.heads // layer.kv_heads
    if layer.cross:
        queries = linear(layer.query, x)
        keys, values = np.split(linear(layer.key_value, states), 2, -1)
    else:
        rows = layer.heads * size
        fused = linear(layer.qkv, x)
        queries = fused[..., :rows]
        keys, values = np.split(fused[..., rows:], 2, -1)
    context = np.zeros((*x.shape[:2], layer.heads * size))
    for b in range(len(x)):
        for h in range(layer.heads):
            mine = slice(h * size, (h + 1) * size)
            shared = slice(h // group * size, (h // group + 1) * size)
            k, v = keys[b, :, shared], values[b, :, shared]
            if layer.key_norm is not None:
                k = norm(layer.key_norm, k)
            if theta:
                k = np.stack([rotate(row, at, theta) for at, row in enumerate(k)])
            for t in range(x.shape[1]):
                q = queries[b, t, mine]
                if layer.query_norm is not None:
                    q = norm(layer.query_norm, q)
                if theta:
                    q = rotate(q, t, theta)
                if not visible[b, t].any():
                    continue
                scale = config.attention_scale or 1 / math.sqrt(size)
                scores = k @ q * scale
                if cap := config.attn_logit_softcapping:
                    scores = cap * np.tanh(scores / cap)
                scores = np.where(visible[b, t], scores, -np.inf)
                context[b, t, mine] = softmax(scores) @ v
    return linear(layer.out_proj, context)


def block(layer, x, visible, states=None, states_visible=None, theta=None):
    """A Block, by the formulas of its docstring."""

    def attend(y):
        return attention(layer.attention, y, visible, theta=theta)

    def across(y):
        return attention(layer.cross_attention, y, states_visible, states)

    def feed(y):
        return feedforward(layer.feedforward, y)

    if layer.place == "parallel":
        y = norm(layer.attention_norm, x)
        return x + attend(y) + feed(y)
    steps = [(attend, layer.attention_norm, layer.attention_post_norm)]
    if layer.cross:
        steps.append((across, layer.cross_attention_norm, None))
    steps.append((feed, layer.feedforward_norm, layer.feedforward_post_norm))
    for sublayer, before, after in steps:
        if layer.place == "post":
            x = norm(before, x + sublayer(x))
        elif after is not None:
            x = x + norm(after, sublayer(norm(before, x)))
        else:
            x = x + sublayer(norm(before, x))
    return x
