"""Attention in blocks: the numbers of the plain form, whatever the blocks."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.config import TransformerConfig
from zoo.layers import blockwise
from zoo.layers.attention import soft_cap
from zoo.layers.blockwise import BlockBias, attend_in_blocks
from zoo.layers.masks import Order, attention_bias, visible_keys
from zoo.layers.positions import RelativeBias
from zoo.layers.stack import Stack


def problem(
    *,
    batch=2,
    queries=7,
    keys=7,
    heads=4,
    kv_heads=2,
    causal=False,
    window=None,
    masked=False,
    packed=False,
    relative=False,
    dtype="float32",
    seed=0,
):
    """Queries, keys and values, an upstream gradient, and the bias of an attention."""
    random = np.random.default_rng(seed)

    def normal(*shape):
        return tf.constant(random.normal(size=shape), dtype)

    tensors = [
        normal(batch, heads, queries, 3),
        normal(batch, kv_heads, keys, 3),
        normal(batch, kv_heads, keys, 3),
    ]
    mask = documents = None
    if masked:
        mask = tf.constant(random.integers(0, 2, (batch, keys)))
        mask = tf.concat([tf.zeros_like(mask[:1]), mask[1:]], 0)  # a row of padding
    if packed:
        documents = tuple(
            tf.constant(np.sort(random.integers(0, 4, (batch, n)))[:, ::-1] % 3)
            for n in (queries, keys)
        )
    order = Order(tf.range(queries), tf.range(keys), None, None, mask, documents)
    table = RelativeBias(heads, buckets=8, max_distance=6, bidirectional=not causal)
    table.build()
    learnt = (tf.constant(random.normal(size=(8, heads)), tf.float32),)

    def make(order, *learnt):
        pattern = visible_keys(order.queries, order.keys, causal=causal, window=window)
        bias = attention_bias(pattern, order.mask, documents=order.documents)
        for weight in learnt:
            bias = bias.plus(table(order.queries, order.keys, weight))
        return bias

    bias = BlockBias(order, make, learnt if relative else (), causal, window)
    return tensors, normal(batch, heads, queries, 3), bias


def plainly(tensors, bias, cap=None):
    """Attention with all scores at once."""
    queries, keys, values = tensors
    group = queries.shape[1] // keys.shape[1]
    keys, values = (tf.repeat(x, group, 1) for x in (keys, values))
    scores = tf.cast(tf.matmul(queries, keys, transpose_b=True), tf.float32)
    scores = scores if cap is None else cap(scores)
    made = bias.make(bias.order, *bias.learnt)
    weights = tf.nn.softmax(scores if made.scores is None else scores + made.scores)
    context = tf.matmul(tf.cast(weights, values.dtype), values)
    if made.seen is not None:
        context *= tf.cast(made.seen, context.dtype)[:, None]
    return context


def with_gradients(attend, tensors, upstream, bias):
    """The context, and its gradients by queries, keys, values and what is learnt."""
    watched = [*tensors, *bias.learnt]
    with tf.GradientTape() as tape:
        tape.watch(watched)
        context = attend(tensors, bias)
    found = tape.gradient(context, watched, upstream)
    return [context, *map(tf.convert_to_tensor, found)]


def in_blocks(tensors, bias, block=3, **options):
    return attend_in_blocks(*tensors, bias, block=block, **options)


def check(found, expected, tolerance=1e-5):
    for ours, theirs in zip(found, expected, strict=True):
        ours, theirs = (tf.cast(x, tf.float32).numpy() for x in (ours, theirs))
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@settings(max_examples=15, deadline=None)
@given(
    sizes=st.tuples(*[st.integers(1, 8)] * 2),
    heads=st.sampled_from([(1, 1), (2, 2), (4, 2), (3, 1)]),
    block=st.integers(1, 9),
    kind=st.sampled_from(["all", "causal", "window", "causal window"]),
    hidden=st.sampled_from(["", "masked", "packed", "masked packed"]),
    relative=st.booleans(),
    seed=st.integers(0, 9),
)
def test_sums_and_gradients_are_those_of_all_scores_at_once(
    sizes, heads, block, kind, hidden, relative, seed
):
    queries, keys = sizes if kind == "all" else (max(sizes),) * 2
    made = problem(
        queries=queries,
        keys=keys,
        heads=heads[0],
        kv_heads=heads[1],
        causal="causal" in kind,
        window=2 if "window" in kind else None,
        masked="masked" in hidden,
        packed="packed" in hidden,
        relative=relative,
        seed=seed,
    )
    attend = functools.partial(in_blocks, block=block)
    check(with_gradients(attend, *made), with_gradients(plainly, *made))


def test_xla_finds_the_same():
    tensors, upstream, bias = problem(masked=True, causal=True, relative=True)
    cap = functools.partial(soft_cap, limit=1.0)

    @tf.function(jit_compile=True)
    def run(tensors, upstream):
        attend = functools.partial(in_blocks, cap=cap)
        return with_gradients(attend, tensors, upstream, bias)

    attend = functools.partial(plainly, cap=cap)
    expected = with_gradients(attend, tensors, upstream, bias)
    check(run(tensors, upstream), expected)
    assert np.all(expected[0][0] == 0)  # a row of padding


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision(dtype):
    made = problem(causal=True, dtype=dtype)
    found, expected = (with_gradients(a, *made) for a in (in_blocks, plainly))
    assert {x.dtype.name for x in found} == {dtype}
    check(found, expected, tolerance={"bfloat16": 0.06, "float16": 0.01}[dtype])


def test_what_stands_behind_hidden_keys_changes_nothing():
    tensors, upstream, bias = problem(masked=True)
    hidden = tf.cast(bias.order.mask == 0, tf.float32)[:, None, :, None]
    other = [tensors[0], *(x + 100 * hidden for x in tensors[1:])]
    found, expected = (
        with_gradients(in_blocks, x, upstream, bias) for x in (other, tensors)
    )
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_blocks_that_nobody_sees_are_left_out():
    computed = []

    def counted(bias):
        def make(order, *learnt):
            computed.append((int(order.queries[0]), int(order.keys[0])))
            return bias.make(order, *learnt)

        return BlockBias(bias.order, make, bias.learnt, bias.causal, bias.window)

    tensors, _, bias = problem(queries=8, keys=8, causal=True, window=3)
    attend_in_blocks(*tensors, counted(bias), block=2)
    assert computed == [(0, 0), (2, 0), (2, 2), (4, 2), (4, 4), (6, 4), (6, 6)]
    computed.clear()
    documents = tf.constant([[1, 1, 1, 1, 2, 2, 0, 0]] * 2)
    order = bias.order._replace(documents=(documents, documents))
    packed = BlockBias(order, bias.make)
    attend_in_blocks(*tensors, counted(packed), block=2)
    assert computed == [(0, 0), (0, 2), (2, 0), (2, 2), (4, 4)]


def test_dropout_of_weights_is_the_same_in_the_gradient():
    tensors, upstream, bias = problem(causal=True)
    random = np.random.default_rng(1).integers(0, 2, (9, 2, 4, 3, 3)) * 2.0
    drops = tf.constant(random, tf.float32)
    whole = tf.reshape(drops, [3, 3, 2, 4, 3, 3])
    whole = tf.reshape(tf.transpose(whole, [2, 3, 0, 4, 1, 5]), [2, 4, 9, 9])

    def dropped(tensors, bias):
        queries, keys, values = tensors
        keys, values = (tf.repeat(x, 2, 1) for x in (keys, values))
        scores = tf.matmul(queries, keys, transpose_b=True)
        weights = tf.nn.softmax(scores + bias.make(bias.order).scores)
        return tf.matmul(weights * whole[:, :, :7, :7], values)

    attend = functools.partial(in_blocks, factors=lambda shape, i: drops[i])
    check(
        with_gradients(attend, tensors, upstream, bias),
        with_gradients(dropped, tensors, upstream, bias),
    )


SMALL = {
    "vocab_size": 20,
    "hidden_size": 16,
    "num_attention_heads": 4,
    "num_hidden_layers": 1,
    "intermediate_size": 24,
}
X = np.random.default_rng(0).normal(size=(2, 7, 16)).astype("float32")
MASK = np.array([[1] * 7, [1] * 4 + [0] * 3])
KINDS = {
    "rotary": ({"position": "rotary", "num_key_value_heads": 2}, {"causal": True}),
    "relative, across": (
        {"position": "relative", "relative_attention_num_buckets": 8},
        {"causal": True, "cross": True},
    ),
    "alibi": (
        {"position": "alibi", "attention_probs_dropout_prob": 0.5},
        {"causal": True},
    ),
}


@functools.cache
def stack_of(kind):
    keras.utils.set_random_seed(0)
    config, options = KINDS[kind]
    made = Stack(TransformerConfig(**{**SMALL, **config}), **options)
    made.build()
    return made


def run_stack(kind, *, checkpointing=False, length=7):
    """The output of a stack and its gradients, from the same seeds each time."""
    made = stack_of(kind)
    for variable in made.variables:
        if "seed" in variable.path:
            variable.assign([1, 2])

    @tf.function(input_signature=[tf.TensorSpec([2, length, 16])], autograph=False)
    def step(x):
        with tf.GradientTape() as tape:
            y = made(
                x,
                attention_mask=MASK,
                position_ids=tf.range(7)[None],
                states=x[:, ::-1] if made.cross else None,
                states_mask=MASK if made.cross else None,
                training=True,
            )
            loss = tf.reduce_sum(y * tf.sin(tf.range(16.0)))
        found = tape.gradient(loss, [w.value for w in made.trainable_weights])
        return [y, *map(tf.convert_to_tensor, found)]

    made.gradient_checkpointing = checkpointing
    try:
        return step(tf.constant(X))
    finally:
        made.gradient_checkpointing = False


@pytest.mark.parametrize("kind", ["rotary", "relative, across"])
def test_a_stack_goes_by_blocks_above_a_length(kind, monkeypatch):
    expected = run_stack(kind)
    monkeypatch.setattr(blockwise, "LONG", 6)
    calls = []

    def attend(*arguments, **options):
        calls.append(1)
        return attend_in_blocks(*arguments, block=4, **options)

    monkeypatch.setattr("zoo.layers.attention.attend_in_blocks", attend)
    check(run_stack(kind), expected)
    assert len(calls) == 1 + stack_of(kind).cross


def test_draws_are_repeated_when_a_block_is_computed_again(monkeypatch):
    monkeypatch.setattr(blockwise, "LONG", 6)
    expected = run_stack("alibi")
    check(run_stack("alibi", checkpointing=True), expected)


def test_a_length_that_is_not_known_decides_when_it_comes(monkeypatch):
    expected = run_stack("rotary")
    calls = []

    def attend(*arguments, **options):
        calls.append(1)
        return attend_in_blocks(*arguments, block=4, **options)

    monkeypatch.setattr("zoo.layers.attention.attend_in_blocks", attend)
    check(run_stack("rotary", length=None), expected)
    assert not calls  # the model is made for 512 tokens
    monkeypatch.setattr(blockwise, "LONG", 6)
    check(run_stack("rotary", length=None), expected)
    assert calls
