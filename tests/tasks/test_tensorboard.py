"""A task's answers and its vocabulary in TensorBoard."""

import keras
import numpy as np
import pytest

from tests.training.test_tensorboard import read
from zoo.errors import ConfigError
from zoo.training.tensorboard import TensorBoard

TEXTS = ["the film was good", "a very bad film", "fine", "no"]


def test_answers_of_each_epoch_and_vectors_with_their_names(
    steady_classifier, tokenizer, tmp_path
):
    model = steady_classifier
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    callback = TensorBoard(
        tmp_path, peak_flops=0, samples="good | bad", embeddings=["film", "##s"]
    )
    model.fit(TEXTS, ["pos", "neg", "pos", "neg"], verbose=0, callbacks=[callback])
    found = model.classify("good | bad")
    said = f"{found['label']} ({found['score']:.3f})"
    [text] = read(tmp_path)["samples"].values()
    assert text.decode().splitlines()[2] == rf"| good \| bad | {said} |"
    directory = tmp_path / "train"
    assert (directory / "token_names.tsv").read_text() == "film\n##s\n"
    ids = [tokenizer.token_to_id(token) for token in ("film", "##s")]
    np.testing.assert_allclose(
        np.loadtxt(directory / "tokens.tsv"),
        model.backbone.embeddings.tokens.weight.numpy()[ids],
        rtol=1e-4,
    )
    config = (directory / "projector_config.pbtxt").read_text()
    assert 'metadata_path: "token_names.tsv"' in config
    mask = model.encode({"text": np.array(TEXTS)})["input_ids"]
    assert model.meter.reading.tokens == mask.flat_values.shape[0]


def test_special_tokens_are_left_out_and_unknown_ones_refused(
    fresh_classifier, tmp_path
):
    fresh_classifier.compile(run_eagerly=True)
    options = {"verbose": 0, "epochs": 0}
    callback = TensorBoard(tmp_path, embeddings=3)
    fresh_classifier.fit(TEXTS, [0, 1, 0, 1], callbacks=[callback], **options)
    assert callback._tokens_shown()[0] == ["a", "bad", "dull"]
    callback = TensorBoard(tmp_path, embeddings=["film", "cinema"])
    with pytest.raises(ConfigError, match="'cinema' is no token"):
        fresh_classifier.fit(TEXTS, [0, 1, 0, 1], callbacks=[callback], **options)
