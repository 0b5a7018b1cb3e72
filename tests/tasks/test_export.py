"""What a task exports gives the same answers where zoo and Keras cannot be imported."""

import numpy as np
import pytest
import tensorflow as tf

from zoo.export import export_saved_model, run_in_clean_process

pytestmark = pytest.mark.usefixtures("forked_processes")

TEXTS = ["a good film", "dull. " * 100, "", "😀 is it great?", "great"]


def test_an_exported_classifier_answers_as_predict_does(classifier, tmp_path):
    where = classifier.export_saved_model(tmp_path / "served", version=3)
    assert where == tmp_path / "served" / "3"
    found = run_in_clean_process(where, {"text": TEXTS})
    wanted = classifier.predict(TEXTS, verbose=0)
    np.testing.assert_allclose(found["probabilities"], wanted, rtol=0, atol=1e-6)
    assert found["label"] == [("neg", "pos")[row.argmax()] for row in wanted]


def test_an_exported_embedder_answers_as_embed_does(embedder, tmp_path):
    found = run_in_clean_process(
        embedder.export_saved_model(tmp_path / "served"), {"text": TEXTS}
    )
    wanted = embedder.embed(TEXTS)
    np.testing.assert_allclose(found["embedding"], wanted, rtol=0, atol=2e-6)


def test_an_export_holds_the_weights_once_and_no_optimizer(fresh_classifier, tmp_path):
    model = fresh_classifier
    model.compile()
    model.optimizer.build(model.trainable_variables)
    model.export_saved_model(tmp_path)
    loaded = tf.saved_model.load(tmp_path)
    shapes = sorted(
        tuple(v.shape) for v in loaded.signatures["serving_default"].variables
    )
    assert shapes == sorted(tuple(v.shape) for v in model.trainable_variables)
    saved = {
        name for name, _ in tf.train.list_variables(tmp_path / "variables/variables")
    }
    weights = [name for name in saved if name.endswith("VARIABLE_VALUE")]
    assert len(weights) == len(shapes)


def test_an_export_answers_one_text_and_none(classifier, tmp_path):
    classifier.export_saved_model(tmp_path)
    serve = tf.saved_model.load(tmp_path).signatures["serving_default"]
    alone = serve(text=tf.constant(TEXTS[:1]))["probabilities"].numpy()
    wanted = classifier.predict(TEXTS[:1], verbose=0)
    np.testing.assert_allclose(alone, wanted, rtol=0, atol=1e-6)
    assert serve(text=tf.constant([], tf.string))["probabilities"].shape == (0, 2)


def test_an_export_repairs_invalid_utf8(classifier, tmp_path):
    classifier.export_saved_model(tmp_path)
    serve = tf.saved_model.load(tmp_path).signatures["serving_default"]
    broken = serve(text=tf.constant([b"a \xff film"]))["probabilities"].numpy()
    wanted = classifier.predict(["a \ufffd film"], verbose=0)
    np.testing.assert_allclose(broken, wanted, rtol=0, atol=1e-6)


def test_pairs_are_served_by_a_function_of_ones_own(classifier, tmp_path):
    def serve(text, pair):
        return {"probabilities": classifier.answer({"text": text, "pair": pair})}

    strings = tf.TensorSpec([None], tf.string)
    export_saved_model(
        tmp_path,
        {"serving_default": (serve, {"text": strings, "pair": strings})},
        resources=[classifier.tokenizer],
    )
    pairs = {"text": TEXTS[:2], "pair": ["is it good?", "dull"]}
    found = run_in_clean_process(tmp_path, pairs)
    wanted = classifier.predict(pairs, verbose=0)
    np.testing.assert_allclose(found["probabilities"], wanted, rtol=0, atol=1e-6)
    alone = classifier.predict(TEXTS[:2], verbose=0)
    assert np.abs(alone - wanted).max() > 1e-3
