"""ELECTRA: two models, one table of tokens, one loss; what is kept is a BERT."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.config import TransformerConfig
from zoo.errors import ConfigError, InputError
from zoo.models import BertModel
from zoo.tasks.replaced_tokens import ReplacedTokenDetection
from zoo.training.labels import IGNORED

MASK = 4
CONFIG = TransformerConfig(
    model_type="bert",
    vocab_size=24,
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=4,
    max_position_embeddings=12,
    type_vocab_size=2,
    norm_place="post",
    embedding_norm=True,
    initializer_range=0.2,
)


def batch_of(rows=6, seed=0):
    """Rows that count upwards, each with two tokens masked, and padding at the end."""
    draw = np.random.default_rng(seed)
    ids = (draw.integers(0, 19, (rows, 1)) + np.arange(10)) % 19 + 5
    mask = np.ones_like(ids)
    mask[:, 8:] = 0
    labels = np.full_like(ids, IGNORED)
    shown = ids.copy()
    for row in range(rows):
        places = draw.choice(8, 2, replace=False)
        labels[row, places] = ids[row, places]
        shown[row, places] = MASK
    batch = {"input_ids": shown, "attention_mask": mask, "labels": labels}
    return {name: x.astype(np.int32) for name, x in batch.items()}


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    model = ReplacedTokenDetection(CONFIG, loss_weight=50.0)
    model.compile(learning_rate=1e-2)
    return model


def parts(model, batch):
    """Both losses of a batch, computed here from what the model draws."""
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    places = np.argwhere(batch["labels"] != IGNORED)
    wanted = batch["labels"][tuple(places.T)]
    logits = model.generate(model.read_inputs(inputs), places).numpy()
    log = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    drawn = model.draw(tf.constant(logits), False).numpy()
    shown = batch["input_ids"].copy()
    shown[tuple(places.T)] = drawn
    replaced = np.zeros(shown.shape)
    replaced[tuple(places.T)] = drawn != wanted  # what it got right counts as original
    scores = model({**inputs, "input_ids": shown}).numpy()
    each = np.log1p(np.exp(-scores)) + (1 - replaced) * scores
    valid = batch["attention_mask"] > 0
    return {
        "generator_loss": -log[range(len(wanted)), wanted].mean(),
        "detection_loss": each[valid].mean(),
        "detection_accuracy": ((scores > 0) == replaced)[valid].mean(),
        "replaced": replaced[valid].mean(),
    }


def test_the_loss_is_that_of_both_by_the_papers_weight(model):
    batch = batch_of()
    found = model.evaluate(tf.data.Dataset.from_tensors(batch), verbose=0)
    found = model.evaluate(
        tf.data.Dataset.from_tensors(batch), verbose=0, return_dict=True
    )
    wanted = parts(model, batch)
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value, rel=1e-4), name
    both = wanted["generator_loss"] + 50 * wanted["detection_loss"]
    assert found["loss"] == pytest.approx(both, rel=1e-4)
    assert found["perplexity"] == pytest.approx(
        np.exp(wanted["generator_loss"]), rel=1e-4
    )


def test_each_learns_from_its_own_loss_and_the_table_from_both(model):
    batch = {name: tf.constant(x) for name, x in batch_of().items()}
    labels = batch.pop("labels")
    weights = model.weights_by_path()
    table = weights["embeddings.tokens.weight"]
    assert not any("tokens" in name for name in weights if "generator" in name)

    def gradients(loss_weight):
        model.loss_weight = loss_weight
        watched = [
            table.value,
            weights["generator.bias.bias"].value,
            weights["detector.weight"].value,
        ]
        with tf.GradientTape() as tape:
            loss = model.assess(dict(batch), labels, None, False)
        found = tape.gradient(loss, watched)
        model.loss_weight = 50.0
        return [tf.convert_to_tensor(x).numpy() for x in found]

    table_0, bias_0, detector_0 = gradients(0.0)
    table_1, bias_1, detector_1 = gradients(1.0)
    assert not detector_0.any() and detector_1.any()
    # What the generator draws passes no gradient back to it.
    assert np.allclose(bias_0, bias_1)
    assert table_0.any() and np.abs(table_1 - table_0).max() > 1e-4


def test_it_learns_what_was_replaced(model):
    batches = tf.data.Dataset.range(40).map(
        lambda i: tf.numpy_function(
            lambda i: tuple(batch_of(16, int(i)).values()), [i], [tf.int32] * 3
        )
    )
    names = list(batch_of())

    def named(*values):
        values = [tf.ensure_shape(x, [16, 10]) for x in values]
        return dict(zip(names, values, strict=True))

    history = model.fit(batches.map(named), epochs=6, verbose=0).history
    assert history["generator_loss"][-1] < 0.97 * history["generator_loss"][0]
    assert history["detection_loss"][-1] < history["detection_loss"][0]


def test_tokens_are_drawn_by_the_generators_probabilities(model):
    """As the paper has it (arXiv:2003.10555, section 2), and not the likeliest."""
    shares = np.array([0.5, 0.3, 0.15, 0.05])
    logits = np.full((4000, 24), -1e9, "float32")
    logits[:, 5:9] = np.log(shares)
    drawn = np.bincount(model.draw(tf.constant(logits), True), minlength=24) / 4000
    # Three standard deviations of a share of one half are 0.024.
    assert drawn[5:9] == pytest.approx(shares, abs=0.024)
    assert drawn[5:9].sum() == 1


def test_drawing_differs_in_training_and_stays_in_evaluation(model):
    logits = tf.zeros([200, 24])
    assert np.array_equal(model.draw(logits, False), model.draw(logits, False))
    assert not np.array_equal(model.draw(logits, True), model.draw(logits, True))


def test_what_is_kept_is_a_bert_that_others_load(model, tmp_path):
    model.save_pretrained(tmp_path)
    loaded = BertModel.from_pretrained(tmp_path)
    ids = np.arange(5, 15)[None]
    same = loaded({"input_ids": ids}) - model.discriminator({"input_ids": ids})
    assert np.abs(same).max() < 1e-6
    with pytest.raises(InputError, match="begins anew"):
        ReplacedTokenDetection.from_pretrained(tmp_path)


def test_a_keras_file_holds_both(model, tmp_path):
    model.save(tmp_path / "both.keras")
    loaded = keras.saving.load_model(tmp_path / "both.keras")
    assert loaded.get_config() == model.get_config()
    for path, weight in loaded.weights_by_path().items():
        assert np.array_equal(weight, model.weights_by_path()[path]), path


def test_nothing_masked_is_no_failure(model):
    batch = batch_of()
    batch["labels"][:] = IGNORED
    found = model.evaluate(
        tf.data.Dataset.from_tensors(batch), verbose=0, return_dict=True
    )
    assert found["replaced"] == 0 and np.isfinite(found["loss"])


def test_what_it_cannot_do_is_refused():
    model = ReplacedTokenDetection(CONFIG)
    for options in ({"loss": "mse"}, {"metrics": ["mse"]}, {"micro_batch_size": 2}):
        with pytest.raises(InputError, match="its own loss"):
            model.compile(**options)
    with pytest.raises(ConfigError, match="cannot be honoured"):
        model.compile(jit_compile=True)
    for size in (0, 1.5):
        with pytest.raises(ConfigError, match="generator_size="):
            ReplacedTokenDetection(CONFIG, generator_size=size)
    batch = batch_of()
    labels = batch.pop("labels")
    model.compile(run_eagerly=True)
    with pytest.raises(InputError, match="has no labels"):
        model.fit(tf.data.Dataset.from_tensors(batch), verbose=0)
    weighted = (batch, labels, np.ones(6, np.float32))
    with pytest.raises(InputError, match="has weights"):
        model.fit(tf.data.Dataset.from_tensors(weighted), verbose=0)
