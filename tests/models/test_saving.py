"""`.keras` files, weight files and fit: as Keras's own models do it, bit by bit."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.models.conftest import inputs_for, make, random_ids
from zoo.errors import InputError


def test_a_model_survives_its_keras_file(model, tmp_path):
    inputs = inputs_for(model, random_ids())
    expected = model(inputs).numpy()
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again) is type(model)
    assert again.config == model.config
    np.testing.assert_array_equal(again(inputs), expected)
    assert set(again.weights_by_path()) == set(model.weights_by_path())


def test_weights_survive_their_file(model, tmp_path):
    inputs = inputs_for(model, random_ids())
    model.save_weights(tmp_path / "model.weights.h5")
    keras.utils.set_random_seed(8)
    other = type(model)(model.config)
    assert np.abs(other(inputs) - model(inputs)).max() > 1e-3
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(other(inputs), model(inputs))


@pytest.mark.parametrize("name", ["model.h5", "model.hdf5", "model.weights.h5"])
def test_the_older_file_format_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=r"Save to a \.keras file"):
        make("bert").save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_dtype_policy_survives(tmp_path):
    model = make("llama", dtype="mixed_bfloat16")
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.dtype_policy.name == "mixed_bfloat16"
    assert again.decoder.blocks[1].feedforward.up.compute_dtype == "bfloat16"
    np.testing.assert_array_equal(
        tf.cast(again(random_ids()), tf.float32),
        tf.cast(model(random_ids()), tf.float32),
    )


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("gpt2", {"run_eagerly": True}),
        ("gpt2", {"jit_compile": True}),
        ("llama", {"jit_compile": False}),
        ("t5", {"run_eagerly": True}),
    ],
)
def test_fit_reduces_the_loss(kind, how):
    one = {"num_hidden_layers": 1, "num_decoder_layers": 1}
    model = make(kind, hidden_dropout_prob=0.1, **one)
    model.compile(
        keras.optimizers.Adam(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        **how,
    )
    ids = random_ids(8, 6)
    inputs = inputs_for(model, ids, np.ones_like(ids))
    history = model.fit(inputs, np.roll(ids, -1, 1), batch_size=4, epochs=6, verbose=0)
    assert history.history["loss"][-1] < 0.7 * history.history["loss"][0]


def test_fit_takes_batches_of_different_lengths():
    model = make("gpt2")
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))

    def batches():
        for length in (3, 5, 8, 4):
            ids = random_ids(2, length)
            yield {"input_ids": ids}, ids

    data = tf.data.Dataset.from_generator(
        batches,
        output_signature=(
            {"input_ids": tf.TensorSpec([2, None], tf.int32)},
            tf.TensorSpec([2, None], tf.int32),
        ),
    )
    history = model.fit(data, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
