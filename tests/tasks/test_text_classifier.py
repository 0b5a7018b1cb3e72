"""TextClassifier: all forms of input mean the same, and what is saved comes back."""

import itertools
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.backend.tensorflow.trainer import TFEpochIterator

from zoo.errors import CheckpointError, ConfigError, DataError, InputError
from zoo.tasks import TextClassifier, TokenClassifier

TEXTS = [
    "a good film",
    "a bad film!",
    "the film was very very good, great, it was a fine film. good good good great",
    "dull.",
    "it is not a poor film",
    "bad",
    "great great great fine",
    "the film is dull, it was poor",
    "fine",
    "a very poor film. it was dull and bad, bad, bad, no good. " * 2,
]
LABELS = ["pos", "neg", "pos", "neg", "pos", "neg", "pos", "neg", "pos", "neg"]
NUMBERS = [int(label == "pos") for label in LABELS]
# Batches of other lengths round differently in float32.
CLOSE = {"rtol": 0, "atol": 2e-6}


@pytest.fixture(scope="module")
def expected(classifier):
    """Probabilities of TEXTS, each text alone and unpadded."""
    rows = []
    for text in TEXTS:
        ids = classifier.tokenizer([text], max_length=classifier.max_length)
        rows.append(tf.nn.softmax(classifier(ids))[0].numpy())
    return np.stack(rows)


def dataset(*columns):
    return tf.data.Dataset.from_tensor_slices(
        columns if len(columns) > 1 else columns[0]
    )


def test_predictions_are_probabilities_that_differ(expected):
    np.testing.assert_allclose(expected.sum(1), 1, rtol=1e-6)
    assert len({round(float(p), 5) for p in expected[:, 0]}) == len(TEXTS)


@pytest.mark.parametrize(
    "given",
    [
        TEXTS,
        tuple(TEXTS),
        [text.encode() for text in TEXTS],
        np.array(TEXTS),
        np.array(TEXTS, object),
        tf.constant(TEXTS),
        {"text": TEXTS},
        dataset(TEXTS),
        dataset(TEXTS).batch(3),
        dataset(TEXTS, LABELS),
        dataset({"text": TEXTS}).batch(4),
    ],
    ids="list tuple bytes array objects tensor column stream batches pair dict".split(),
)
def test_strings_in_any_form_give_equal_predictions_in_order(
    classifier, given, expected
):
    # In one batch they need no pipeline, which takes most of a second to begin.
    streamed = given is TEXTS or isinstance(given, tf.data.Dataset)
    found = classifier.predict(given, batch_size=4 if streamed else 10, verbose=0)
    np.testing.assert_allclose(found, expected, **CLOSE)


def test_token_ids_in_any_form_give_equal_predictions(classifier, expected):
    padded = classifier.tokenizer(TEXTS, max_length=classifier.max_length)
    ragged = classifier.tokenizer(
        TEXTS, max_length=classifier.max_length, padding=None
    )["input_ids"]
    arrays = {name: x.numpy() for name, x in padded.items()}
    for given in (arrays, dataset(arrays).batch(5), ragged, ragged.to_list()):
        found = classifier.predict(given, batch_size=4, verbose=0)
        np.testing.assert_allclose(found, expected, **CLOSE)


def test_pairs_in_any_form_give_equal_predictions(classifier):
    firsts, seconds = TEXTS[:4], TEXTS[4:8]
    ids = classifier.tokenizer(firsts, pair=seconds)
    expected = tf.nn.softmax(classifier(ids)).numpy()
    for given in (
        list(zip(firsts, seconds, strict=True)),
        [list(pair) for pair in zip(firsts, seconds, strict=True)],
        {"text": firsts, "pair": seconds},
        dataset((tf.constant(firsts), tf.constant(seconds)), [0, 1, 0, 1]),
    ):
        found = classifier.predict(given, verbose=0)
        np.testing.assert_allclose(found, expected, **CLOSE)


def test_odd_texts_are_classified(classifier):
    odd = ["", "😀", b"\xff\xfe a", "a\0b", "good " * 3000, "\ud800", "\u202e film"]
    found = classifier.predict(odd, verbose=0)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-6)
    cut = classifier.predict(["good " * (classifier.max_length - 2)], verbose=0)
    np.testing.assert_allclose(found[4:5], cut, **CLOSE)
    lone = classifier.predict(["\ufffd"], verbose=0)
    np.testing.assert_allclose(found[5:6], lone, **CLOSE)


def test_classify_gives_names_and_scores(classifier, expected):
    answers = classifier.classify(TEXTS)
    for answer, row in zip(answers, expected, strict=True):
        assert answer["label"] == ("neg", "pos")[row.argmax()]
        assert answer["score"] == pytest.approx(row.max(), abs=2e-6)
    assert classifier.classify(TEXTS[0]) == pytest.approx(answers[0])
    both = classifier.classify(TEXTS[:1], top_k=None)[0]
    assert [a["label"] for a in both] == ["pos", "neg"][
        :: 1 if expected[0, 1] > 0.5 else -1
    ]
    assert classifier.classify([]) == []


def test_labels_in_any_form_are_evaluated_alike(classifier, expected):
    right = np.mean(expected.argmax(1) == NUMBERS)
    loss = -np.log(expected[np.arange(len(TEXTS)), NUMBERS]).mean()
    for given in (
        (TEXTS, LABELS),
        (TEXTS, NUMBERS),
        (TEXTS, np.array(NUMBERS, np.float32)),
        (TEXTS, np.array(LABELS)),
        (dataset(TEXTS, LABELS),),
        (dataset(TEXTS, NUMBERS).batch(3),),
    ):
        found = classifier.evaluate(*given, batch_size=4, verbose=0, return_dict=True)
        assert found["accuracy"] == pytest.approx(right)
        assert found["loss"] == pytest.approx(loss, rel=1e-5)


def test_the_name_of_the_loss_means_the_one_on_logits(fresh_classifier, expected):
    loss = -np.log(expected[np.arange(len(TEXTS)), NUMBERS]).mean()
    fresh_classifier.compile("adam", "sparse_categorical_crossentropy")
    found = fresh_classifier.evaluate(TEXTS, LABELS, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("given", [TEXTS, dataset(TEXTS), dataset(TEXTS).repeat()])
def test_steps_take_the_first_examples(classifier, given, expected):
    found = classifier.predict(given, batch_size=2, steps=3, verbose=0)
    np.testing.assert_allclose(found, expected[:6], **CLOSE)


@pytest.mark.parametrize("kind", ["texts", "batches of texts", "batches of ids"])
def test_an_endless_dataset_is_read_hardly_further_than_steps_need(classifier, kind):
    x, y, needed = {
        "texts": ("a film", 0, 6),
        "batches of texts": (["a film"] * 2, [0] * 2, 3),
        "batches of ids": ([[2, 8, 3]] * 2, [0] * 2, 3),
    }[kind]
    read = 0

    def endless():
        nonlocal read
        while read < 1000:
            read += 1
            yield x, y

    spec = tuple(tf.type_spec_from_value(tf.constant(part)) for part in (x, y))
    given = tf.data.Dataset.from_generator(endless, output_signature=spec)
    for method in (classifier.predict, classifier.evaluate):
        read = 0
        method(given, batch_size=2, steps=3, verbose=0)
        assert needed <= read <= needed + 20  # tf.data reads a few ahead, in parallel


def test_validation_steps_take_the_first_examples_each_time(restart):
    model = restart()
    history = model.fit(
        TEXTS,
        LABELS,
        epochs=2,
        verbose=0,
        validation_data=[TEXTS, LABELS],
        validation_batch_size=2,
        validation_steps=3,
    ).history
    loss, _ = model.evaluate(TEXTS[:6], LABELS[:6], batch_size=2, verbose=0)
    assert history["val_loss"][-1] == pytest.approx(loss, rel=1e-5)


def test_sample_weights_weigh_the_loss(classifier, expected):
    weights = np.arange(len(TEXTS), dtype=float)
    losses = -np.log(expected[np.arange(len(TEXTS)), NUMBERS])
    wanted = (losses * weights).mean()
    options = {"verbose": 0, "return_dict": True, "batch_size": len(TEXTS)}
    found = classifier.evaluate(TEXTS, LABELS, sample_weight=weights, **options)
    assert found["loss"] == pytest.approx(wanted, rel=1e-5)
    found = classifier.evaluate(
        dataset(TEXTS, LABELS, weights).batch(len(TEXTS)), verbose=0, return_dict=True
    )
    assert found["loss"] == pytest.approx(wanted, rel=1e-5)


# --- Training -----------------------------------------------------------------------


class Stop(keras.callbacks.Callback):
    """Ends training after the first epoch, as an interruption would."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = True


class Rates(keras.callbacks.Callback):
    """Learning rate of each step."""

    def __init__(self):
        super().__init__()
        self.rates = []

    def on_train_batch_begin(self, batch, logs=None):
        self.rates.append(float(self.model.optimizer.learning_rate))


def test_it_learns_and_the_rate_rises_and_falls_in_each_fit(restart_steady):
    model = restart_steady()
    seen = Rates()
    options = {"batch_size": 5, "verbose": 0, "callbacks": [seen], "seed": 1}
    history = model.fit(TEXTS, LABELS, epochs=10, **options).history
    assert history["loss"][-1] < 0.3 * history["loss"][0]
    assert model.evaluate(TEXTS, LABELS, verbose=0)[1] == 1.0
    wanted = [min((i + 1) / 3, (20 - i) / 18) * 1e-2 for i in range(20)]
    np.testing.assert_allclose(seen.rates, wanted, rtol=1e-5)
    seen.rates.clear()
    model.fit(TEXTS, NUMBERS, epochs=10, **options)
    np.testing.assert_allclose(seen.rates, wanted, rtol=1e-5)


def test_an_interrupted_fit_goes_on_to_the_same_weights(restart, tmp_path):
    model = restart()
    options = {"batch_size": 4, "epochs": 2, "verbose": 0, "seed": 5}
    model.fit(TEXTS, LABELS, callbacks=[Stop()], **options)
    model.save(tmp_path / "half.keras")
    model.fit(TEXTS, LABELS, initial_epoch=1, **options)

    resumed = keras.saving.load_model(tmp_path / "half.keras")
    assert int(resumed.optimizer.iterations) == 3
    resumed.fit(TEXTS, LABELS, initial_epoch=1, **options)
    for ours, theirs in zip(model.weights, resumed.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs, err_msg=ours.path)


@pytest.mark.parametrize("batched", [False, True])
def test_fits_on_a_dataset_from_one_seed_give_equal_weights(restart, batched):
    def fitted(seed):
        model = restart(seed)
        data = dataset(TEXTS, LABELS).shuffle(10, seed=1)
        options = {"batch_size": None if batched else 2, "epochs": 2, "verbose": 0}
        model.fit(data.batch(2) if batched else data, **options)
        return [weight.numpy() for weight in model.weights]

    first, second, other = fitted(3), fitted(3), fitted(4)
    for ours, theirs in zip(first, second, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    pairs = zip(first, other, strict=True)
    assert any(np.any(ours != theirs) for ours, theirs in pairs)


def test_datasets_validation_weights_and_tensorboard(fresh_classifier, tmp_path):
    model = fresh_classifier
    specs = []
    step = model.train_step
    model.train_step = lambda data: (specs.extend(tf.nest.flatten(data)), step(data))[1]
    history = model.fit(
        dataset(TEXTS, LABELS).repeat(2),
        batch_size=4,
        epochs=2,
        validation_data=(TEXTS, LABELS),
        class_weight={"pos": 2.0},
        callbacks=[keras.callbacks.TensorBoard(tmp_path)],
        verbose=0,
    ).history
    assert all(spec.dtype.is_floating or spec.dtype.is_integer for spec in specs)
    loss, accuracy = model.evaluate(TEXTS, LABELS, verbose=0)
    assert history["val_loss"][-1] == pytest.approx(loss, rel=1e-5)
    assert history["val_accuracy"][-1] == accuracy
    assert list(tmp_path.rglob("events.out.tfevents.*"))


def test_token_ids_and_texts_train_alike_and_validate_on_the_last(restart_steady):
    model = restart_steady()
    arrays = {name: x.numpy() for name, x in model.tokenizer(TEXTS).items()}
    options = {"batch_size": 10, "epochs": 3, "validation_split": 0.3, "verbose": 0}
    found = []
    for given in (arrays, TEXTS):
        restart_steady()
        found.append(model.fit(given, LABELS, **options).history)
    for name in ("loss", "val_loss"):
        np.testing.assert_allclose(found[0][name], found[1][name], rtol=1e-4)
    loss, _ = model.evaluate(TEXTS[7:], LABELS[7:], verbose=0)
    assert found[1]["val_loss"][-1] == pytest.approx(loss, rel=1e-5)


# --- Saving -------------------------------------------------------------------------


def test_everything_saved_comes_back_bit_exact(classifier, config, tokenizer, tmp_path):
    wanted = classifier.predict(TEXTS, verbose=0)
    classifier.save(tmp_path / "x.keras")
    loaded = keras.saving.load_model(tmp_path / "x.keras")
    assert loaded.labels == ("neg", "pos")
    np.testing.assert_array_equal(loaded.predict(TEXTS, verbose=0), wanted)

    classifier.save_pretrained(tmp_path / "x")
    loaded = TextClassifier.from_pretrained(tmp_path / "x")
    np.testing.assert_array_equal(loaded.predict(TEXTS, verbose=0), wanted)

    classifier.save_weights(tmp_path / "x.weights.h5")
    other = TextClassifier(config, tokenizer=tokenizer)
    other.load_weights(tmp_path / "x.weights.h5")
    np.testing.assert_array_equal(other.predict(TEXTS, verbose=0), wanted)


@pytest.mark.parametrize("kind", [TextClassifier, TokenClassifier])
def test_max_length_travels_with_a_model(kind, config, tokenizer, tmp_path):
    model = kind(config, tokenizer=tokenizer, max_length=9)
    model.save(tmp_path / "x.keras")
    assert keras.saving.load_model(tmp_path / "x.keras").max_length == 9
    model.save_pretrained(tmp_path)
    assert kind.from_pretrained(tmp_path).max_length == 9
    path = tmp_path / "config.json"
    said = path.read_text()
    path.write_text(said.replace('"zoo_max_length": 9', '"zoo_max_length": 49'))
    with pytest.raises(CheckpointError, match=r"config\.json: max_length=49"):
        kind.from_pretrained(tmp_path)
    path.write_text(said)
    model.max_length = None
    model.save_pretrained(tmp_path)
    assert kind.from_pretrained(tmp_path).max_length == 40  # the tokenizer's


def test_new_labels_mean_a_new_head_and_old_ones_keep_it(classifier, tmp_path):
    classifier.save_pretrained(tmp_path)
    head = classifier.classifier.weight.numpy()
    same = TextClassifier.from_pretrained(tmp_path, labels=["neg", "pos"])
    np.testing.assert_array_equal(same.classifier.weight.numpy(), head)
    more = TextClassifier.from_pretrained(tmp_path, labels=["a", "b", "c"])
    assert more.classifier.weight.shape == (3, head.shape[1])
    other = TextClassifier.from_pretrained(tmp_path, labels=["spam", "ham"])
    assert not np.array_equal(other.classifier.weight.numpy(), head)
    for name in ("backbone.pooler", "backbone.embeddings.tokens"):
        layer, original = other, classifier
        for part in name.split("."):
            layer, original = getattr(layer, part), getattr(original, part)
        np.testing.assert_array_equal(layer.weight.numpy(), original.weight.numpy())


# --- Errors -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (TEXTS, ["pso", *LABELS[1:]], r"y\[0\] is 'pso'.*Did you mean 'pos'"),
        (TEXTS, [2, *NUMBERS[1:]], r"y\[0\] is 2; expected .* from 0 to 1"),
        (TEXTS, [0.5, *NUMBERS[1:]], r"y\[0\] is 0.5"),
        (TEXTS, LABELS[:-1], "x has 10 examples, but y has 9"),
        (TEXTS, None, "y is missing"),
        ("a text", ["pos"], "x is one string"),
        (None, None, "x is None"),
        ([*TEXTS[:9], None], LABELS, r"x\[9\] is None"),
        ([*TEXTS[:9], float("nan")], LABELS, r"x\[9\] is nan"),
        ([("a", "b"), ("c",)], ["pos", "neg"], r"x\[1\] has 1 parts"),
        ({"text": TEXTS, "pair": TEXTS[1:]}, LABELS, "columns of x differ in length"),
        ({"text": TEXTS, "other": TEXTS}, LABELS, "columns .*'other'"),
        ({"ids": [[1, 2]]}, ["pos"], "expected 'text'.*'input_ids'"),
        (dataset(TEXTS), None, "yields no labels"),
        (dataset(TEXTS), LABELS, "labels and weights belong into it"),
        (np.zeros([2, 3], np.float32), [0, 1], "x"),
        (np.array("a text"), ["pos"], "x is one string"),
        ({"text": "a text"}, ["pos"] * 6, r"x\['text'\] is one string"),
        ({"text": None}, ["pos"], r"x\['text'\] is None"),
        (types.SimpleNamespace(columns=["text"]), LABELS, "x is a table"),
        (tf.ragged.constant([["a", "b"], ["c"]]), [0, 1], r"x\[1\] has 1 parts"),
        (TEXTS, [[0], [0, 1]] * 5, "parts of different lengths"),
        ({"input_ids": [[2, 3]], "labels": [1]}, [1], "labels has shape"),
        ({"input_ids": [[2, 999]]}, [1], "token id 999; expected ids from 0 to"),
        ({"input_ids": [[2, -1]]}, [1], "token id -1"),
        ({"input_ids": [[2] * 49]}, [1], "^input_ids has 49 tokens"),
        (itertools.repeat("a text"), None, "y is missing"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(classifier, x, y, said):
    with pytest.raises(InputError, match=said):
        classifier.evaluate(x, y, verbose=0)


@pytest.mark.parametrize("x", [[], {"text": []}, dataset(TEXTS).take(0), np.array([])])
def test_no_examples_are_refused(classifier, x):
    with pytest.raises(DataError, match="empty"):
        classifier.predict(x, verbose=0)


@pytest.mark.parametrize("labels", [["pos", "nope"], [0, 7], [0, 0.5]])
def test_a_label_of_a_dataset_that_does_not_exist_is_named(classifier, labels):
    with pytest.raises(InputError, match=r"neg, pos, got .*(nope|7|0.5)"):
        classifier.evaluate(dataset(TEXTS[:2], labels), verbose=0)


def test_a_dataset_of_wrong_ids_or_labels_is_refused(classifier):
    with pytest.raises(InputError, match=r"ids from 0 to \d+, got 999 -1"):
        classifier.predict(dataset([[2, 999], [-1, 3]]).batch(2), verbose=0)
    with pytest.raises(InputError, match="padded_batch"):
        classifier.predict(dataset(tf.ragged.constant([[2], [2, 3]])).batch(2))
    with pytest.raises(InputError, match="expected one label"):
        classifier.evaluate(dataset(TEXTS, np.eye(2)[NUMBERS]).batch(2), verbose=0)


def test_a_dataset_that_turns_out_empty_is_refused(classifier):
    nothing = dataset(TEXTS, LABELS).filter(lambda text, label: False)
    for method in (classifier.predict, classifier.evaluate, classifier.fit):
        with pytest.raises(DataError, match="empty dataset"):
            method(nothing, verbose=0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": 2.5}, r"batch_size=2\.5"),
        ({"batch_size": "2"}, "batch_size='2'"),
        ({"epochs": -1}, "epochs=-1"),
        ({"seed": "x"}, "seed='x'"),
        ({"class_weight": {}, "sample_weight": ["x"] * 10}, "expected numbers"),
        ({"class_weight": {"nope": 2.0}}, "class_weight=.*The labels are neg, pos"),
        ({"class_weight": {"pos": "x"}}, "class_weight="),
        ({"validation_data": TEXTS}, "validation_data has 10 parts"),
    ],
)
def test_options_of_fit_that_make_no_sense_are_refused(classifier, options, said):
    with pytest.raises(InputError, match=said):
        classifier.fit(TEXTS, LABELS, verbose=0, **options)


def test_options_of_compile_that_make_no_sense_are_refused(fresh_classifier):
    with pytest.raises(InputError, match="learning_rate=1 is for the optimizer"):
        fresh_classifier.compile("adam", learning_rate=1)
    with pytest.raises(ConfigError, match="expected a positive learning rate"):
        fresh_classifier.compile(learning_rate="fast")
    with pytest.raises(InputError, match="top_k=0"):
        fresh_classifier.classify("a film", top_k=0)


def test_labels_have_to_be_known_and_different(config):
    with pytest.raises(InputError, match=r"Pass labels"):
        TextClassifier(config.replace(id2label=None))
    with pytest.raises(InputError, match=r"\['a'\] twice"):
        TextClassifier(config, labels=["a", "a"])
    for labels in ("positive", {"a", "b"}, {"a": 0, "b": 1}, 3, ["a", None]):
        with pytest.raises(InputError, match="a list of two different names"):
            TextClassifier(config, labels=labels)


def test_a_name_that_several_labels_have_is_refused_where_it_is_used(
    config, tokenizer, tmp_path
):
    model = TextClassifier(
        config.replace(id2label=("bad", "good", "bad")), tokenizer=tokenizer
    )
    model.save_pretrained(tmp_path)
    model = TextClassifier.from_pretrained(tmp_path)
    assert model.labels == ("bad", "good", "bad")
    model.evaluate(TEXTS[:3], [0, 1, 2], verbose=0)
    model.evaluate(dataset(TEXTS[:3], ["good"] * 3), verbose=0)
    said = r"good, bad \(bad: a name of several, pass numbers\)"
    labels = ["good", "bad"]
    with pytest.raises(InputError, match=rf"y\[1\] is 'bad'.*{said}"):
        model.evaluate(TEXTS[:2], labels, verbose=0)
    with pytest.raises(InputError, match=rf"{said}, got .*bad"):
        model.evaluate(dataset(TEXTS[:2], labels), verbose=0)
    with pytest.raises(InputError, match=said):
        model.fit(TEXTS, NUMBERS, class_weight={"bad": 2.0}, verbose=0)


def test_without_a_tokenizer_strings_are_refused(config):
    with pytest.raises(InputError, match=r"no tokenizer.*model\.tokenizer ="):
        TextClassifier(config).predict(TEXTS, verbose=0)


def test_a_tokenizer_of_another_model_is_refused(config, tokenizer):
    small = TextClassifier(config.replace(vocab_size=10), tokenizer=tokenizer)
    with pytest.raises(InputError, match="do not belong together"):
        small.predict(TEXTS, verbose=0)


@pytest.mark.parametrize("value", [0, 2, 49, "x"])
def test_a_max_length_that_the_model_lacks_is_refused(config, value):
    with pytest.raises(InputError, match="max_length"):
        TextClassifier(config, max_length=value)


def test_one_pass_makes_one_iterator_and_counts_every_example(
    fresh_classifier, monkeypatch
):
    made = []
    get_iterator = TFEpochIterator._get_iterator
    monkeypatch.setattr(
        TFEpochIterator,
        "_get_iterator",
        lambda self: made.append(self) or get_iterator(self),
    )
    model, options = fresh_classifier, {"batch_size": 2, "verbose": 0}
    model.compile(run_eagerly=True)
    whole = model.evaluate(TEXTS[:5], LABELS[:5], return_dict=True, **options)
    assert len(made) == 1
    assert len(model.predict(TEXTS[:5], **options)) == 5
    assert len(made) == 2
    model.compile(steps_per_execution=2, jit_compile=False)  # three batches
    again = model.evaluate(TEXTS[:5], LABELS[:5], return_dict=True, **options)
    assert again == pytest.approx(whole, rel=1e-5)
