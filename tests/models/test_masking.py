"""What a token sees: never padding, never what comes later, never beyond its window."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.models.conftest import inputs_for, make, random_ids

# Other lengths and batches give other kernels, and with them other roundings.
CLOSE = {"rtol": 2e-4, "atol": 2e-5}


@settings(
    max_examples=4,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_padding_never_changes_valid_positions(model, data):
    lengths = data.draw(st.lists(st.integers(0, 8), min_size=3, max_size=3))
    left = data.draw(st.lists(st.booleans(), min_size=3, max_size=3))
    seed = data.draw(st.integers(0, 99))
    at = np.arange(8)[None]
    mask = np.stack(
        [
            (at[0] >= 8 - n if on_left else at[0] < n)
            for n, on_left in zip(lengths, left, strict=True)
        ]
    )
    ids, junk = random_ids(), random_ids(seed=seed + 1)
    one = inputs_for(model, np.where(mask, ids, 0), mask.astype(np.int32))
    other = inputs_for(model, np.where(mask, ids, junk), mask.astype(np.int32))
    if "token_type_ids" in model.input_names and model.config.type_vocab_size:
        types = ids % 2
        one["token_type_ids"] = np.where(mask, types, 0)
        other["token_type_ids"] = np.where(mask, types, 1)
    first, second = model(one).numpy(), model(other).numpy()
    assert np.isfinite(first).all() and np.isfinite(second).all()
    np.testing.assert_array_equal(first[mask], second[mask])


def test_padded_rows_equal_rows_alone(model):
    ids = random_ids()
    mask = np.ones((3, 8), np.int32)
    mask[0, 5:] = mask[2] = 0
    whole = model(inputs_for(model, ids, mask)).numpy()
    alone = model(inputs_for(model, ids[:1, :5])).numpy()
    np.testing.assert_allclose(whole[:1, :5], alone, **CLOSE)
    if model.assembly == "decoder":  # positions count the valid tokens
        mask = np.ones((1, 8), np.int32)
        mask[0, :3] = 0
        moved = np.concatenate([random_ids(1, 3, seed=5), ids[:1, :5]], 1)
        found = model(inputs_for(model, moved, mask)).numpy()
        np.testing.assert_allclose(found[:, 3:], alone, **CLOSE)


def test_a_mask_of_ones_is_no_mask(model):
    ids = random_ids()
    found = model(inputs_for(model, ids, np.ones_like(ids))).numpy()
    np.testing.assert_allclose(found, model(inputs_for(model, ids)).numpy(), **CLOSE)


@pytest.mark.parametrize(
    "kind",
    ["gpt2", "llama", "sliding, capped, query and key norms", "parallel, alibi", "t5"],
)
def test_a_later_token_never_changes_an_earlier_logit(kind):
    model, ids = make(kind), random_ids()
    for changed in (7, 4, 1):
        other = ids.copy()
        other[:, changed:] = random_ids(seed=9)[:, changed:] % 28 + 1
        other[:, changed] = ids[:, changed] % 28 + 1
        encoded = ids if model.assembly == "encoder_decoder" else other
        one = model(inputs_for(model, ids, decoder_ids=ids)).numpy()
        two = model(inputs_for(model, encoded, decoder_ids=other)).numpy()
        np.testing.assert_array_equal(one[:, :changed], two[:, :changed])
        assert np.abs(one[:, changed] - two[:, changed]).max() > 1e-3


@pytest.mark.parametrize(
    "kind", ["bert", "albert", "sinusoidal encoder", "alibi encoder"]
)
def test_an_encoder_sees_both_ways(kind):
    model = make(kind)
    ids = random_ids()
    other = ids.copy()
    other[:, 7] = ids[:, 7] % 28 + 1
    difference = model(other).numpy() - model(ids).numpy()
    assert (np.abs(difference).max(-1) > 1e-5).all()


@pytest.mark.parametrize(("layers", "reach"), [(1, 2), (2, 4)])
def test_a_window_bounds_what_a_token_sees(layers, reach):
    changes = {"sliding_window": 3, "num_hidden_layers": layers}
    model, ids = make("llama", **changes), random_ids()
    other = ids.copy()
    other[:, 0] = ids[:, 0] % 28 + 1
    difference = np.abs(model(other).numpy() - model(ids).numpy()).max((0, 2))
    assert (difference[: reach + 1] > 1e-6).all()
    assert not difference[reach + 1 :].any()


def test_every_token_of_the_encoder_reaches_the_decoder():
    model, ids = make("t5"), random_ids()
    for changed in (0, 7):
        other = ids.copy()
        other[:, changed] = ids[:, changed] % 28 + 1
        one = model(inputs_for(model, ids, decoder_ids=ids)).numpy()
        two = model(inputs_for(model, other, decoder_ids=ids)).numpy()
        assert (np.abs(one - two).max(-1) > 1e-6).all()


def test_a_fully_padded_row_does_not_poison_gradients(model):
    import tensorflow as tf

    mask = np.ones((3, 8), np.int32)
    mask[1] = 0
    inputs = inputs_for(model, random_ids(), mask)
    with tf.GradientTape() as tape:
        y = model(inputs)
        loss = tf.reduce_mean(tf.square(y))  # of padding too
    for gradient in tape.gradient(loss, [w.value for w in model.trainable_weights]):
        if gradient is not None:
            assert np.isfinite(tf.convert_to_tensor(gradient)).all()
