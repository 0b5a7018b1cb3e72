"""Tasks on decoders and encoder-decoders: what sums a text up, and what is saved."""

import json
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny_configs
from zoo import (
    GPTModel,
    QuestionAnswerer,
    T5Model,
    TextClassifier,
    TextEmbedder,
    TokenClassifier,
    Tokenizer,
)
from zoo.data import tags
from zoo.errors import CheckpointError, ConfigError
from zoo.tasks import MaskedLM
from zoo.training.model_flops import ModelFlops

GOLDEN = pathlib.Path(__file__).parents[1] / "fixtures" / "golden"
TEXTS = ["a good film", "a very bad film", "good", "it was bad"] * 4
LABELS = ["pos", "neg", "pos", "neg"] * 4


@pytest.fixture(scope="module")
def config():
    return tiny_configs.llama(270, pad_token_id=0)


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(TEXTS, kind="bpe", vocab_size=270)


@pytest.fixture(scope="module")
def classifier(config, tokenizer):
    keras.utils.set_random_seed(5)
    model = TextClassifier(config, labels=["neg", "pos"], tokenizer=tokenizer)
    model.compile(learning_rate=2e-2, run_eagerly=True)
    return model


@pytest.fixture(scope="module")
def rereader():
    """A classifier on an encoder-decoder."""
    keras.utils.set_random_seed(5)
    tokenizer = Tokenizer.train(TEXTS, kind="unigram", vocab_size=40, extra_ids=0)
    config = tiny_configs.t5(tokenizer.vocab_size)
    model = TextClassifier(config, labels=["neg", "pos"], tokenizer=tokenizer)
    model.compile(learning_rate=1e-2, run_eagerly=True)
    return model


@pytest.fixture(scope="module")
def tagger(config, tokenizer):
    keras.utils.set_random_seed(5)
    labels = tags.labels(["X"])
    return TokenClassifier(config, labels=labels, crf=True, tokenizer=tokenizer)


def test_the_last_token_sums_a_text_up_wherever_padding_is(classifier):
    ids = np.array([[5, 6, 7, 8]])
    states = classifier.hidden_states(ids)[-1][:, -1]
    wanted = states.numpy() @ classifier.classifier.weight.numpy().T
    assert classifier.classifier.bias is None
    for before, behind in ((0, 0), (0, 3), (2, 0), (2, 3)):
        around = [(0, 0), (before, behind)]
        padded = np.pad(ids, around)
        mask = np.pad(np.ones_like(ids), around)
        given = [{"input_ids": padded, "attention_mask": mask}]
        if not before:
            given.append(padded)  # padding is told by its id
        for inputs in given:
            np.testing.assert_allclose(classifier(inputs), wanted, rtol=0, atol=1e-5)
    nothing = {"input_ids": ids, "attention_mask": np.zeros_like(ids)}
    assert np.isfinite(classifier(nothing)).all()


def test_where_positions_have_no_end_a_text_may_be_as_long_as_is_asked_for(rereader):
    positions = rereader.config.max_position_embeddings
    assert rereader.max_length == positions  # where nobody says otherwise
    rereader.max_length = positions + 3
    try:
        found = rereader.encode({"text": tf.constant(["good " * 2 * positions])})
        assert found["input_ids"].row_lengths().numpy() == [positions + 3]
    finally:
        rereader.max_length = None


@pytest.mark.parametrize(
    ("marks", "ids", "end"),
    [
        (1, [5, 6, 1, 7], 2),
        (1, [5, 6, 7, 8], 3),
        (1, [5, 1, 6, 1], 3),
        ((5, 6), [5, 1, 6, 1], 2),
        (None, [5, 6, 1, 7], 3),
    ],
)
def test_the_end_of_a_text_sums_it_up_where_a_decoder_reads_it_too(
    rereader, marks, ids, end
):
    model = TextClassifier(rereader.config.replace(eos_token_id=marks))
    ids = np.array([ids])
    state = model.backbone(ids)[:, end].numpy()
    for layer, change in ((model.backbone.pooler, np.tanh), (model.classifier, None)):
        state = state @ layer.weight.numpy().T + layer.bias.numpy()
        state = change(state) if change else state
    for around in ((0, 0), (2, 3)):
        inputs = {
            # What stands in padding, even an end, changes nothing.
            "input_ids": np.pad(ids, [(0, 0), around], constant_values=1),
            "attention_mask": np.pad(np.ones_like(ids), [(0, 0), around]),
        }
        np.testing.assert_allclose(model(inputs), state, rtol=0, atol=1e-5)
    nothing = {"input_ids": ids, "attention_mask": np.zeros_like(ids)}
    assert np.isfinite(model(nothing)).all()


def test_what_an_encoder_decoder_serves_is_what_it_answers(rereader, tmp_path):
    texts = ["a good film", "", "😀 good"]
    served = tf.saved_model.load(rereader.export_saved_model(tmp_path))
    found = served.signatures["serving_default"](text=tf.constant(texts))
    wanted = rereader.predict(texts, verbose=0)
    np.testing.assert_allclose(found["probabilities"], wanted, rtol=0, atol=1e-5)


def test_an_encoder_decoder_learns_texts(rereader):
    before = {path: w.numpy() for path, w in rereader.weights_by_path().items()}
    rereader.fit(TEXTS, LABELS, batch_size=16, verbose=0, seed=1)
    for path, weight in rereader.weights_by_path().items():
        assert "seed" in path or (weight.numpy() != before[path]).any(), path


def test_texts_are_learnt_and_odd_ones_answered(classifier):
    history = classifier.fit(TEXTS, LABELS, batch_size=4, epochs=4, verbose=0, seed=1)
    losses = history.history["loss"]
    assert losses[-1] < 0.5 * losses[0]
    alone = [classifier.classify(text) for text in TEXTS[:4]]
    for one, other in zip(classifier.classify(TEXTS[:4]), alone, strict=True):
        assert one["label"] == other["label"]
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)
    assert len(classifier.classify(["", "😀", "good " * 99])) == 3


def test_every_way_of_saving_brings_back_every_bit(
    classifier, tagger, rereader, tmp_path
):
    ids = np.array([[5, 6, 7, 8]])
    for model, name in (
        (classifier, "LlamaForSequenceClassification"),
        (tagger, "LlamaForTokenClassification"),
        (rereader, "T5ForSequenceClassification"),
    ):
        model.save_pretrained(tmp_path / name)
        said = (tmp_path / name / "config.json").read_text()
        tied = json.dumps(model.config.tie_word_embeddings)
        assert name in said and f'"tie_word_embeddings": {tied}' in said
        model.save(tmp_path / f"{name}.keras")
        model.save_weights(tmp_path / f"{name}.weights.h5")
        again = type(model).from_pretrained(tmp_path / name)
        drawn = {"initializer_range": model.config.initializer_range}  # T5 says none
        assert again.config.replace(**drawn) == model.config and not again.new_weights
        whole = keras.saving.load_model(tmp_path / f"{name}.keras")
        filled = type(model)(model.config)
        filled.load_weights(tmp_path / f"{name}.weights.h5")
        for other in (again, whole, filled):
            np.testing.assert_array_equal(other(ids), model(ids))


def test_a_language_model_becomes_a_classifier_and_a_tagger(
    config, tokenizer, tmp_path, caplog
):
    writer = GPTModel(config)
    writer.tokenizer = tokenizer
    writer.save_pretrained(tmp_path)
    for kind in (TextClassifier, TokenClassifier):
        model = kind.from_pretrained(tmp_path, labels=["O", "B-X"])
        for path, weight in model.backbone.weights_by_path().items():
            np.testing.assert_array_equal(weight, writer.weights_by_path()[path])
        assert model.tokenizer.vocab_size == tokenizer.vocab_size
    assert "not used by this class: lm_head" in caplog.text


def test_words_have_tags_and_texts_entities(tagger):
    assert [len(row) for row in tagger.tag([["good", "film"], ["bad"], []])] == [
        2,
        1,
        0,
    ]
    for each in tagger.find_entities("it was a good film"):
        assert "it was a good film"[each["start"] : each["end"]] == each["text"]
    ids = tf.constant([[5, 6, 7, 8]])
    first = tagger(ids[:, :2])  # what comes later changes nothing
    np.testing.assert_allclose(tagger(ids)[:, :2], first, rtol=0, atol=1e-5)


def test_the_encoder_of_an_encoder_decoder_tags_and_embeds(tmp_path, caplog):
    whole = T5Model.from_pretrained(GOLDEN / "t5")
    ids = np.array([[5, 6, 7, 8]])
    states = whole.encode(ids).numpy()
    tagger = TokenClassifier.from_pretrained(GOLDEN / "t5", labels=["O", "B-X"])
    np.testing.assert_array_equal(tagger.backbone(ids), states)
    assert "not used by this class: decoder" in caplog.text
    embedder = TextEmbedder.from_pretrained(GOLDEN / "t5")
    np.testing.assert_allclose(embedder(ids), states.mean(1), rtol=0, atol=1e-6)
    for model, name in (
        (tagger, "T5ForTokenClassification"),
        (embedder, "T5EncoderModel"),
    ):
        model.save_pretrained(tmp_path / name)
        assert name in (tmp_path / name / "config.json").read_text()
        model.save(tmp_path / f"{name}.keras")
        again = type(model).from_pretrained(tmp_path / name)
        for other in (again, keras.saving.load_model(tmp_path / f"{name}.keras")):
            np.testing.assert_array_equal(other(ids), model(ids))


def test_the_encoder_of_an_encoder_decoder_learns():
    tagger = TokenClassifier(tiny_configs.t5(9), labels=["O", "B-X"])
    tagger.compile(learning_rate=1e-2, run_eagerly=True)
    examples = {"input_ids": [[5, 6, 7, 8]] * 8, "labels": [[0, 1, 0, 1]] * 8}
    history = tagger.fit(examples, batch_size=8, epochs=2, verbose=0, seed=1).history
    assert history["loss"][1] < history["loss"][0]


def test_a_decoder_finds_answers(config, tokenizer, tmp_path):
    keras.utils.set_random_seed(5)
    model = QuestionAnswerer(config, tokenizer=tokenizer, max_length=16, doc_stride=3)
    context = "it was a  very bad film, a good film. " * 3
    found = model.ask(["was it good", ""], [context, context])
    for each in found:
        assert each["answer"] and context[each["start"] : each["end"]] == each["answer"]
        assert each["answer"] == each["answer"].strip()
    model.save_pretrained(tmp_path)
    again = QuestionAnswerer.from_pretrained(tmp_path)
    assert not again.new_weights and again.settings == model.settings
    for path, weight in model.weights_by_path().items():
        np.testing.assert_array_equal(again.weights_by_path()[path], weight)
    # Llama's tensors have another prefix below this head alone.
    body = GPTModel.from_pretrained(tmp_path)
    table = model.backbone.embeddings.tokens.weight
    np.testing.assert_array_equal(body.embeddings.tokens.weight, table)


def test_a_decoder_embeds(config):
    embedder = TextEmbedder(config)
    ids = np.array([[5, 6, 7, 8]])
    states = embedder.hidden_states(ids)[-1].numpy()
    np.testing.assert_allclose(embedder(ids), states.mean(1), rtol=0, atol=1e-6)


def test_bodies_that_a_task_cannot_stand_on_are_refused(config):
    with pytest.raises(CheckpointError, match="T5Model"):
        MaskedLM.from_pretrained(GOLDEN / "t5")
    with pytest.raises(ConfigError, match="'llama' is decoder; expected encoder"):
        MaskedLM(config)


@pytest.mark.parametrize(
    ("kind", "stacks"),
    [(TextClassifier, "encoder_decoder"), (TokenClassifier, "encoder")],
)
def test_a_step_on_an_encoder_decoder_counts_tokens_once_and_what_its_stacks_do(
    kind, stacks
):
    config = tiny_configs.t5(9)
    labels = ["O", "B-X"] if kind is TokenClassifier else ["bad", "good"]
    model = kind(config, labels=labels)
    model.compile(run_eagerly=True)
    ids = np.array([[2, 3, 1, 0, 0], [2, 3, 4, 5, 1]], "int32")
    wanted = np.where(ids > 1, 1, -100) if kind is TokenClassifier else np.array([0, 1])
    model.train_on_batch({"input_ids": ids, "attention_mask": ids > 0}, wanted)
    assert model.meter.reading.tokens == 8
    sources = [3, 5] if stacks == "encoder_decoder" else None
    flops = ModelFlops(config, stacks)([3, 5], sources=sources)
    assert model.meter.reading.flops == pytest.approx(float(flops))


@pytest.mark.parametrize("make", [tiny_configs.llama, tiny_configs.t5])
def test_a_body_without_a_head_may_have_a_narrower_token_table(make):
    model = TextClassifier(make(9, embedding_size=8), labels=["bad", "good"])
    ids = np.array([[2, 3, 1]], "int32")
    assert model({"input_ids": ids}).shape == (1, 2)


def test_an_answerer_on_nomic_bert_is_saved_though_transformers_has_none(tmp_path):
    settings = {"feedforward": "gated", "attention_bias": False, "mlp_bias": False}
    config = tiny_configs.bert(
        9, model_type="nomic_bert", position="rotary", pooler=False, **settings
    )
    model = QuestionAnswerer(config)
    model.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert "architectures" not in saved
    again = QuestionAnswerer.from_pretrained(tmp_path)
    assert again.config == model.config
    for path, weight in model.weights_by_path().items():
        np.testing.assert_array_equal(again.weights_by_path()[path], weight)
