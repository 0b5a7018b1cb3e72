"""Models train with Keras's own methods, by a loss of their own."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.models.conftest import make, random_ids
from zoo.errors import ConfigError, InputError, TrainingError
from zoo.training.losses import CrossEntropy

IDS = random_ids(6, 7)
MASK = np.ones_like(IDS)
MASK[0, 4:] = MASK[3, :2] = MASK[4] = 0
LABELS = np.where(MASK, IDS, -100)


def by_hand(model, ids=IDS, mask=MASK):
    """Mean loss of the next tokens, one token at a time."""
    logs = tf.nn.log_softmax(model({"input_ids": ids, "attention_mask": mask})).numpy()
    places = [
        (row, place)
        for row in range(len(ids))
        for place in range(ids.shape[1] - 1)
        if mask[row, place] and mask[row, place + 1]
    ]
    return -np.mean([logs[row, place, ids[row, place + 1]] for row, place in places])


def small(kind="gpt2", **options):
    model = make(kind, num_hidden_layers=1)
    model.compile(options.pop("optimizer", None), run_eagerly=True, **options)
    return model


def values(model):
    return [w.numpy() for w in model.trainable_weights]


@pytest.fixture(scope="module")
def gpt():
    """Trained already, for tests that do not train it."""
    model = make("gpt2", num_hidden_layers=1)
    inputs = {"input_ids": IDS, "attention_mask": MASK}
    model.expected = by_hand(model)
    model.trained = model.fit(inputs, batch_size=6, epochs=2, verbose=0).history
    return model


def test_fit_without_compile_and_labels_learns_the_inputs(gpt):
    history = gpt.trained
    assert set(history) == {"loss", "perplexity", "accuracy"}
    assert history["loss"][0] == pytest.approx(gpt.expected, rel=1e-5)
    assert history["loss"][1] < history["loss"][0]
    assert history["perplexity"] == pytest.approx(np.exp(history["loss"]), rel=1e-5)


def test_every_form_of_a_batch_gives_the_same_loss_and_batches_do_not_matter(gpt):
    inputs, expected = {"input_ids": IDS, "attention_mask": MASK}, by_hand(gpt)
    named = {**inputs, "labels": LABELS}
    forms = [
        {"x": inputs, "batch_size": 4},
        {"x": named, "batch_size": 6},
        {"x": inputs, "y": LABELS, "batch_size": 3},
        {"x": tf.data.Dataset.from_tensor_slices(named).batch(4)},
        {"x": tf.data.Dataset.from_tensor_slices((inputs, LABELS)).batch(5)},
    ]
    for form in forms:
        found = gpt.evaluate(**form, verbose=0, return_dict=True)
        assert found["loss"] == pytest.approx(expected, rel=1e-5)


def test_predict_takes_what_fit_takes(gpt):
    inputs = {"input_ids": IDS, "attention_mask": MASK}
    found = gpt.predict({**inputs, "labels": LABELS}, verbose=0)
    np.testing.assert_allclose(found, gpt(inputs), atol=1e-5)


def test_labels_twice_are_refused(gpt):
    with pytest.raises(InputError, match="twice"):
        gpt.evaluate({"input_ids": IDS, "labels": IDS}, IDS, verbose=0)


@pytest.mark.parametrize("choice", ["auto", True])
def test_strings_in_a_step_are_refused_with_the_reason(choice):
    model = make("gpt2", num_hidden_layers=1)
    model.compile(jit_compile=choice)
    texts = tf.data.Dataset.from_tensors({"input_ids": [["a", "text"]]})
    for method in (model.fit, model.evaluate):
        with pytest.raises(InputError, match="neither XLA nor a gradient knows str"):
            method(texts, verbose=0)


def test_t5_reads_its_labels_shifted_and_a_model_without_a_start_says_so():
    model = make("t5", decoder_start_token_id=3, pad_token_id=0, num_hidden_layers=1)
    model.compile(run_eagerly=True)
    labels = np.where(MASK, IDS, -100)[:, :5]
    inputs = {"input_ids": IDS, "attention_mask": MASK}
    found = model.evaluate({**inputs, "labels": labels}, verbose=0)
    decoder = np.concatenate([np.full((6, 1), 3), np.where(labels < 0, 0, labels)], 1)
    logits = model({**inputs, "decoder_input_ids": decoder[:, :-1]})
    expected = CrossEntropy()(labels, logits)
    assert found[0] == pytest.approx(float(expected), rel=1e-5)
    model = small("t5")
    with pytest.raises(InputError, match="decoder_start_token_id"):
        model.evaluate({**inputs, "labels": labels}, verbose=0)


def test_an_encoder_has_no_loss_of_its_own():
    with pytest.raises(InputError, match="BertModel has no loss"):
        make("bert").fit({"input_ids": IDS}, verbose=0)


def test_a_batch_in_parts_gives_the_weights_of_the_whole_batch():
    inputs = {"input_ids": IDS, "attention_mask": MASK}  # parts of unequal masks
    weights = np.linspace(0.5, 2.0, len(IDS)).astype("float32")
    whole, parts = (
        small(optimizer=keras.optimizers.SGD(0.5), micro_batch_size=size)
        for size in (None, 4)
    )
    for model in (whole, parts):
        model.logs = model.train_on_batch(
            inputs, sample_weight=weights, return_dict=True
        )
    assert parts.logs == pytest.approx(whole.logs, rel=1e-6)
    for one, other in zip(values(whole), values(parts), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_every_batch_counts_where_they_are_no_multiple_of_anything():
    seen = []

    class Seen(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(int(self.model.optimizer.iterations))

    model = small(micro_batch_size=2)
    model.fit({"input_ids": IDS[:5]}, batch_size=3, verbose=0, callbacks=[Seen()])
    assert seen == [1, 2]


def test_kerass_own_accumulation_is_refused_with_the_reason():
    optimizer = keras.optimizers.SGD(gradient_accumulation_steps=4)
    with pytest.raises(InputError, match="micro_batch_size"):
        make("gpt2").compile(optimizer)


@pytest.mark.parametrize("choice", ["stop", "skip"])
def test_nan_never_reaches_the_weights(choice):
    model = small(nonfinite=choice)
    model.decoder.final_norm.weight.assign(np.full(16, np.nan))
    before = values(model)
    if choice == "stop":
        said = "step 1: the loss and the gradient of .*weight.* and .* more are not"
        with pytest.raises(TrainingError, match=said):
            model.fit({"input_ids": IDS}, verbose=0)
    else:
        history = model.fit({"input_ids": IDS}, batch_size=3, verbose=0).history
        assert history["loss"] == [0.0]  # of no step at all
    for old, new in zip(before, values(model), strict=True):
        np.testing.assert_array_equal(old, new)
    assert int(model.optimizer.iterations) == 0


def test_layers_learn_the_slower_the_deeper_they_are():
    model = make("gpt2")
    assert dict(model.layer_rates(0.5)) == {
        "*[/.]decoder[/.]blocks_0[/.]*": 0.25,
        "*[/.]decoder[/.]blocks_1[/.]*": 0.5,
        "*[/.]decoder[/.]relative_bias_*": 0.25,
        "*[/.]embeddings[/.]*": 0.125,
    }
    model.add_lora(target=["c_attn"], train=["*"])
    model.compile(layer_decay=0.5)
    model.optimizer.build(model.trainable_weights)
    paths = {w.path: p for p, w in model.weights_by_path().items()}
    factors = {
        paths.get(w.path, w.path): factor
        for w, factor in zip(
            model.trainable_weights, model.optimizer._factors, strict=True
        )
    }
    assert factors["embeddings.tokens.weight"] == 0.125
    assert factors["decoder.blocks.0.attention.qkv.bias"] == 0.25
    assert factors["decoder.final_norm.weight"] == 1.0
    lora = "gpt_model.decoder.blocks_1.attention.qkv.lora/lora_A_0"
    assert [f for path, f in factors.items() if path.endswith("lora_A_0")] == [
        0.25,
        0.5,
    ]
    assert lora.partition(".")[2] in {path.partition(".")[2] for path in factors}
    with pytest.raises(ConfigError, match="layer_decay=2"):
        model.layer_rates(2)


def test_frozen_weights_stay_and_the_count_is_told():
    model = make("gpt2")
    assert model.freeze("embeddings.*", re.compile(r".*blocks\.0\..*norm.*")) == 6
    assert "decoder.blocks.0.attention_norm.bias" in model.frozen()
    model.compile(run_eagerly=True, learning_rate=0.1)
    before = {path: w.numpy() for path, w in model.weights_by_path().items()}
    model.train_on_batch({"input_ids": IDS})
    for path, weight in model.weights_by_path().items():
        changed = not np.array_equal(before[path], weight.numpy())
        assert changed == (path not in model.frozen()), path
    assert model.unfreeze() == len(before)
    with pytest.raises(InputError, match="compile again"):
        model.train_on_batch({"input_ids": IDS})


def test_a_pattern_that_matches_nothing_is_an_error():
    with pytest.raises(InputError, match=r"matches 'encoder\.\*'.*embeddings\.tokens"):
        make("gpt2").freeze("embeddings.*", "encoder.*")


def test_a_keras_file_keeps_what_is_frozen_and_how_it_was_compiled(tmp_path):
    model = small(micro_batch_size=3, nonfinite="skip", schedule="cosine")
    model.freeze("embeddings.*")
    model.compile(
        run_eagerly=True, micro_batch_size=3, nonfinite="skip", schedule="cosine"
    )
    model.fit({"input_ids": IDS}, batch_size=3, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.frozen() == model.frozen() != []
    assert again._own_arguments == model._own_arguments
    assert again._own_arguments["micro_batch_size"] == 3
    assert again.optimizer.learning_rate == model.optimizer.learning_rate
    for one in (model, again):
        one.train_on_batch({"input_ids": IDS})
    for one, other in zip(values(model), values(again), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_dataset_of_known_length_gets_a_schedule():
    model = small(learning_rate=1e-3, schedule="cosine")
    data = tf.data.Dataset.from_tensor_slices({"input_ids": IDS}).batch(2)
    model.fit(data, epochs=2, verbose=0)
    schedule = model.optimizer._learning_rate
    assert (schedule.decay, schedule.total_steps) == ("cosine", 6)


def test_what_is_for_the_chosen_optimizer_is_refused_beside_another():
    with pytest.raises(InputError, match="layer_decay"):
        make("gpt2").compile(keras.optimizers.SGD(), layer_decay=0.9)
    with pytest.raises(InputError, match="micro_batch_size=0"):
        make("gpt2").compile(micro_batch_size=0)


def test_a_loss_of_ones_own_gets_the_labels_as_they_are():
    model = small(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    found = model.evaluate(IDS[:, :-1], IDS[:, 1:], verbose=0)
    assert found[0] == pytest.approx(by_hand(model, mask=np.ones_like(IDS)), rel=1e-4)


def test_gradient_checkpointing_trains_to_the_same_weights():
    plain, sparing = small(), small(gradient_checkpointing=True)
    sparing.set_weights(plain.get_weights())
    assert sparing.decoder.gradient_checkpointing
    for model in (plain, sparing):
        model.fit(IDS, batch_size=3, verbose=0)
    for one, other in zip(values(plain), values(sparing), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    sparing.compile()
    assert not sparing.decoder.gradient_checkpointing


@pytest.mark.parametrize("kind", ["gpt2", "t5"])
def test_no_logits_of_a_whole_batch_are_made(kind, monkeypatch):
    model = make(kind, num_hidden_layers=1, decoder_start_token_id=0)
    model.compile(run_eagerly=True)
    batch = {"input_ids": IDS, "labels": IDS}
    expected = model.evaluate(batch, verbose=0)  # Keras asks for their shape once

    def refuse(*_):
        raise AssertionError("logits of a whole batch")

    monkeypatch.setattr(type(model), "logits", refuse)
    np.testing.assert_allclose(model.evaluate(batch, verbose=0), expected)
    model.train_on_batch(batch)
    model.compile(metrics=[keras.metrics.SparseTopKCategoricalAccuracy()])
    with pytest.raises(AssertionError, match="logits of a whole batch"):
        model.evaluate(batch, verbose=0)


def scaled_gradients(model, batch):
    """Gradients of the loss of a batch, times what the optimizer scales them by."""
    with tf.GradientTape() as tape:
        loss = model.assess(*model.read_batch(batch), True)
        loss = model.optimizer.scale_loss(loss)
    found = tape.gradient(loss, [v.value for v in model.trainable_variables])
    return [tf.convert_to_tensor(x).numpy() for x in found]


@pytest.mark.parametrize("kind", ["float16", "LoRA on the head"])
def test_gradients_without_logits_are_those_with_them(kind):
    half = kind == "float16"
    options = {"dtype": "mixed_float16"} if half else {"tie_word_embeddings": False}
    model = make("gpt2", num_hidden_layers=1, **options)
    if not half:
        model.add_lora(2, 4, target=["lm_head"], train=["*"])
        for layer in model.trainable_weights:
            layer.assign_add(0.1 * np.ones(layer.shape))
    model.compile(run_eagerly=True)
    batch = {"input_ids": IDS}
    assert model.states_and_head({"input_ids": tf.constant(IDS)}, True) is not None
    model.optimizer.build(model.trainable_variables)
    found = scaled_gradients(model, batch)
    model._counts_tokens = False
    expected = scaled_gradients(model, batch)
    size = max(np.abs(x).max() for x in expected)
    assert size > 1 or not half
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=size * (0.01 if half else 1e-6))


def test_a_head_whose_inputs_are_dropped_has_logits():
    model = make("gpt2", num_hidden_layers=1, tie_word_embeddings=False)
    model.add_lora(2, 4, target=["lm_head"], dropout=0.1)
    assert model.states_and_head({"input_ids": tf.constant(IDS)}, True) is None
