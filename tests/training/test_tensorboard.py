"""What TensorBoard will show is read back from its files and compared."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.models.conftest import make, random_ids
from zoo.errors import ConfigError
from zoo.training import meter as meters
from zoo.training.labels import causal_labels
from zoo.training.losses import CrossEntropy
from zoo.training.schedules import WarmupDecay
from zoo.training.tensorboard import TensorBoard

IDS = random_ids(6, 7)
LENGTHS = [3, 7, 5, 7, 2, 6]
MASK = (np.arange(7) < np.array(LENGTHS)[:, None]).astype("int32")
BATCHES = [slice(0, 2), slice(2, 4), slice(4, 6)]
DATA = {"input_ids": IDS, "attention_mask": MASK}


def read(directory, run="train"):
    """Values of each tag by step: numbers, or texts."""
    events = EventAccumulator(str(directory / run)).Reload()
    found = {}
    for tag in events.Tags()["tensors"]:
        values = {e.step: tf.make_ndarray(e.tensor_proto) for e in events.Tensors(tag)}
        found[tag] = {s: v.item() if v.size == 1 else v for s, v in values.items()}
    return found


def tiny(**options):
    model = make("gpt2", num_hidden_layers=1)
    # So small a rate that weights stay what they are.
    schedule = WarmupDecay(1e-12, "linear", warmup_steps=2, total_steps=8)
    options.setdefault("optimizer", keras.optimizers.SGD(schedule))
    model.compile(run_eagerly=True, **options)
    return model


@pytest.fixture
def clock(monkeypatch):
    """A second from each look at the clock to the next."""
    monkeypatch.setattr(meters, "clock", map(float, itertools.count()).__next__)


def norms(model):
    """Norm of the gradient of each batch, by a tape."""
    for rows in BATCHES:
        with tf.GradientTape() as tape:
            batch = {name: tf.constant(x[rows]) for name, x in DATA.items()}
            labels = causal_labels(batch["input_ids"], mask=batch["attention_mask"])
            loss = CrossEntropy()(labels, model(batch, training=True))
        variables = [v.value for v in model.trainable_variables]
        dense = map(tf.convert_to_tensor, tape.gradient(loss, variables))
        yield float(tf.linalg.global_norm(list(dense)))


def flops(rows):
    """PaLM's formula for valid tokens, and for a head that sees what is predicted."""
    width, vocabulary, total = 16, 29, 0
    for n in LENGTHS[rows]:
        total += n * (6 * 12 * width**2 + 12 * width * n)
        total += (n - 1) * 6 * width * vocabulary
    return total


def test_the_scalars_of_an_epoch_are_those_computed_by_hand(tmp_path, clock):
    model = tiny()
    callback = TensorBoard(tmp_path, peak_flops=1e6)
    model.fit(
        DATA,
        batch_size=2,
        epochs=2,
        shuffle=False,
        verbose=0,
        validation_data=(DATA,),
        callbacks=[callback],
    )
    found, held_out = read(tmp_path), read(tmp_path, "validation")
    history = model.history.history
    for name in ("loss", "perplexity", "accuracy"):
        expected = dict(enumerate(history[name]))
        assert found[f"epoch_{name}"] == pytest.approx(expected)
        expected = dict(enumerate(history[f"val_{name}"]))
        assert held_out[f"epoch_{name}"] == pytest.approx(expected)
    rates = {0: 1e-12, 1: 1e-12 * (1 - 3 / 6)}  # of steps 2 and 5
    assert found["epoch_learning_rate"] == pytest.approx(rates)
    mean = np.mean(list(norms(model)))
    assert found["epoch_gradient_norm"] == pytest.approx({0: mean, 1: mean}, rel=1e-5)
    # The second and third step, a second each.
    speed = sum(LENGTHS[2:]) / 2
    assert found["epoch_tokens_per_second"] == {0: speed, 1: speed}
    share = (flops(BATCHES[1]) + flops(BATCHES[2])) / 2 / 1e6
    assert found["epoch_model_flops_utilisation"] == pytest.approx({0: share, 1: share})
    assert not [name for name in found if name.startswith("batch_")]


def test_steps_are_written_as_often_as_asked_and_go_on_when_a_run_does(tmp_path):
    model = tiny()

    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if int(self.model.optimizer.iterations) == 5:
                raise KeyboardInterrupt

    options = {"batch_size": 2, "shuffle": False, "verbose": 0}
    callback = TensorBoard(tmp_path, update_freq=2, peak_flops=0)
    with pytest.raises(KeyboardInterrupt):
        model.fit(DATA, epochs=3, callbacks=[callback, Interrupt()], **options)
    model.fit(DATA, epochs=3, initial_epoch=2, callbacks=[callback], **options)
    found = read(tmp_path)
    assert list(found["batch_loss"]) == [2, 4, 6, 8]
    assert list(found["epoch_loss"]) == [0, 2]
    one, two, three = norms(model)
    # Means since the last ones, or since the epoch began.
    expected = {2: (one + two) / 2, 4: one, 6: one, 8: (two + three) / 2}
    assert found["batch_gradient_norm"] == pytest.approx(expected, rel=1e-5)
    assert "batch_model_flops_utilisation" not in found


def test_a_norm_is_only_computed_while_somebody_asks_for_it(tmp_path):
    model = tiny()
    model.fit(DATA, verbose=0, callbacks=[TensorBoard(tmp_path, peak_flops=0)])
    norms_counted = model.meter.reading.steps
    assert norms_counted == 1
    model.fit(DATA, verbose=0)
    asked = TensorBoard(tmp_path, peak_flops=0, gradient_norm=False)
    model.fit(DATA, verbose=0, callbacks=[asked])
    assert model.meter.reading.steps == norms_counted
    assert model.meter.reading.tokens == 3 * sum(LENGTHS)


def test_several_steps_in_one_execution_are_all_counted(tmp_path):
    model = make("gpt2", num_hidden_layers=1)
    model.compile(steps_per_execution=3)
    data = tf.data.Dataset.from_tensor_slices(DATA).batch(2)
    callback = TensorBoard(tmp_path, update_freq=3, profile_batch=2, write_graph=True)
    model.fit(data, epochs=2, verbose=0, callbacks=[callback])
    found = read(tmp_path)
    assert list(found["batch_tokens_per_second"]) == [3, 6]
    assert found["epoch_model_flops_utilisation"][1] > 0
    assert model.meter.reading.tokens == 2 * sum(LENGTHS)
    assert model.meter.reading.steps == 6
    assert len(list(tmp_path.glob("train/plugins/profile/*/*.xplane.pb"))) == 1
    graph = EventAccumulator(str(tmp_path / "train")).Reload().Graph()
    names = {node.name for node in graph.node}
    assert {"input_ids", "attention_mask"} <= names


def test_a_step_on_sources_and_targets_counts_both(tmp_path):
    model = make("t5", decoder_start_token_id=3, pad_token_id=0, num_hidden_layers=1)
    model.compile(run_eagerly=True)
    labels = np.where(MASK, IDS, -100)[:, :4]
    model.train_on_batch({**DATA, "labels": labels})
    assert model.meter.reading.tokens == sum(LENGTHS) + (labels >= 0).sum()


def test_packed_rows_take_less_than_their_length_would(tmp_path):
    model = tiny()
    documents = np.array([[1, 1, 1, 2, 2, 2, 0]] * 6, "int32")
    model.train_on_batch({"input_ids": IDS, "document_ids": documents})
    assert model.meter.reading.tokens == 36
    per_document = 3 * (6 * 12 * 16**2 + 12 * 16 * 3) + 2 * 6 * 16 * 29
    assert model.meter.reading.flops == 12 * per_document


def test_histograms_and_answers_come_when_asked(tmp_path):
    model = tiny()
    callback = TensorBoard(
        tmp_path,
        peak_flops=0,
        histogram_freq=2,
        samples=[[1, 2, 3]],
        sample_options={"max_new_tokens": 2, "do_sample": False},
        embeddings=5,
    )
    model.fit(DATA, epochs=2, verbose=0, callbacks=[callback])
    found = read(tmp_path)
    answer = model.generate([1, 2, 3], max_new_tokens=2)
    row = f"| [1, 2, 3] | {answer} |"
    assert [text.decode().splitlines()[2] for text in found["samples"].values()] == (
        [row, row]
    )
    path = "decoder.blocks.0.feedforward.up.weight"
    assert list(found[path]) == [0]
    assert found[path][0][:, 2].sum() == 16 * 64  # counts of all values
    vectors = np.loadtxt(tmp_path / "train/tokens.tsv")
    np.testing.assert_allclose(
        vectors, model.embeddings.tokens.weight.numpy()[:5], rtol=1e-4
    )


def test_the_progress_bar_shows_tokens_per_second_and_nobody_else_sees_them(
    tmp_path, clock, capsys
):
    seen = {}

    class Seen(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.update(logs)

    model = tiny()
    for verbose in (1, 2):
        options = {"batch_size": 2, "shuffle": False, "callbacks": [Seen()]}
        history = model.fit(DATA, verbose=verbose, **options).history
        last = capsys.readouterr().out.splitlines()[-1]
        assert f"tokens/s: {sum(LENGTHS[2:]) / 2:.4f}" in last
        assert set(history) == set(seen) == {"loss", "accuracy", "perplexity"}
        assert model.history.history == history
    assert last.count("tokens/s") == 1


def test_a_model_that_is_not_of_zoo_is_seen_without_its_tokens(tmp_path):
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    x = np.ones([4, 2], "float32")
    model.fit(x, x[:, :1], verbose=0, callbacks=[TensorBoard(tmp_path)])
    assert set(read(tmp_path)) == {"epoch_loss", "epoch_learning_rate"}
    with pytest.raises(ConfigError, match="models of zoo"):
        model.fit(x, x[:, :1], callbacks=[TensorBoard(tmp_path, write_graph=True)])
    with pytest.raises(ConfigError, match="Sequential has no answers in words"):
        model.fit(x, x[:, :1], callbacks=[TensorBoard(tmp_path, samples=["a"])])


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"update_freq": 0}, "update_freq=0"),
        ({"update_freq": "batch"}, "update_freq='batch'"),
        ({"histogram_freq": -1}, "histogram_freq=-1"),
        ({"peak_flops": -1.0}, "peak_flops=-1"),
        ({"embeddings": "film"}, "embeddings='film'"),
        ({"profile_batch": (3, 2)}, r"profile_batch=\(3, 2\)"),
        ({"profile_batch": 0}, "profile_batch=0"),
    ],
)
def test_options_that_mean_nothing_are_refused(tmp_path, option, said):
    with pytest.raises(ConfigError, match=said):
        TensorBoard(tmp_path, **option)


def test_tokens_without_a_tokenizer_cannot_be_named(tmp_path):
    callback = TensorBoard(tmp_path, embeddings=["film"])
    with pytest.raises(ConfigError, match="no tokenizer"):
        tiny().fit(DATA, verbose=0, callbacks=[callback])
