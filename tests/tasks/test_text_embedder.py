"""TextEmbedder: pooled as the files beside the checkpoint say, in the order given."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.errors import CheckpointError, InputError
from zoo.tasks import TextEmbedder
from zoo.tasks.answers.pooling import MODES, Pooling, pool

TEXTS = ["a good film", "dull", "the film is great, very great!", "", "bad. " * 30]


def by_hand(states, mask, mode):
    rows = []
    for row, valid in zip(states, mask.astype(bool), strict=True):
        x = row[valid]
        rows.append(
            {
                "cls": lambda x: x[0],
                "max": lambda x: x.max(0),
                "mean": lambda x: x.mean(0),
                "mean_sqrt_len": lambda x: x.sum(0) / np.sqrt(len(x)),
            }[mode](x)
        )
    return np.stack(rows)


@pytest.fixture(scope="module")
def states(embedder):
    """Last hidden states and mask of TEXTS."""
    ids = embedder.tokenizer(TEXTS, max_length=embedder.max_length)
    return embedder.backbone(ids).numpy(), ids["attention_mask"].numpy()


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_pools_valid_tokens_only(states, mode):
    found = pool(states[0], states[1], (mode,)).numpy()
    np.testing.assert_allclose(found, by_hand(*states, mode), rtol=1e-5, atol=1e-6)


def test_several_modes_stand_side_by_side_in_their_order(states):
    found = pool(states[0], states[1], Pooling(["mean", "cls"]).modes).numpy()
    wanted = [by_hand(*states, mode) for mode in ("cls", "mean")]
    np.testing.assert_allclose(found, np.concatenate(wanted, 1), rtol=1e-5, atol=1e-6)


def test_a_row_without_tokens_gives_zeros():
    found = pool(np.ones([1, 3, 4], np.float32), np.zeros([1, 3]), MODES[1:]).numpy()
    np.testing.assert_array_equal(found, np.zeros([1, 12]))


def test_embeddings_come_in_the_order_given(embedder, states):
    found = embedder.embed(TEXTS, batch_size=2)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_hand(*states, "mean"), rtol=0, atol=5e-6)
    np.testing.assert_allclose(embedder.embed(TEXTS[2]), found[2], rtol=0, atol=5e-6)
    assert embedder.embed([]).shape == (0, 16)


def test_normalised_on_request_and_similar_to_itself(embedder):
    plain, unit = embedder.embed(TEXTS), embedder.embed(TEXTS, normalize=True)
    wanted = plain / np.linalg.norm(plain, axis=1, keepdims=True)
    np.testing.assert_allclose(unit, wanted, rtol=0, atol=1e-6)
    np.testing.assert_allclose(
        embedder.similarity(TEXTS, plain[:2]), wanted @ wanted[:2].T, atol=2e-6
    )
    np.testing.assert_allclose(np.diag(embedder.similarity(TEXTS)), 1, atol=1e-6)
    assert not embedder.normalize


def test_embeddings_may_be_tensors_and_have_to_be_of_this_width(embedder):
    rows = embedder.embed(["a good film", "dull"])
    for given in (rows, tf.constant(rows)):
        np.testing.assert_allclose(
            embedder.similarity(given), embedder.similarity(rows), atol=1e-6
        )
    with pytest.raises(InputError, match=r"shape \(2, 5\).*\[N, 16\]"):
        embedder.similarity(np.ones([2, 5]), rows)


def test_saved_directories_and_files_come_back_bit_exact(config, tokenizer, tmp_path):
    model = TextEmbedder(
        config.replace(id2label=None, pooler=False),
        pooling=("cls", "max"),
        normalize=True,
        tokenizer=tokenizer,
        max_length=12,
    )
    wanted = model.embed(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(wanted, axis=1), 1, atol=1e-6)
    model.save_pretrained(tmp_path / "x")
    model.save(tmp_path / "x.keras")
    for loaded in (
        TextEmbedder.from_pretrained(tmp_path / "x"),
        keras.saving.load_model(tmp_path / "x.keras"),
    ):
        assert loaded.pooling == model.pooling and loaded.max_length == 12
        np.testing.assert_array_equal(loaded.embed(TEXTS), wanted)
    not_unit = loaded.embed(TEXTS, normalize=False)
    assert np.linalg.norm(not_unit, axis=1).min() > 1.5
    written = json.loads((tmp_path / "x" / "1_Pooling" / "config.json").read_text())
    assert written["pooling_mode_cls_token"] and written["pooling_mode_max_tokens"]
    assert not written["pooling_mode_mean_tokens"]
    assert written["word_embedding_dimension"] == 32


def written(tmp_path, **files):
    names = {
        "modules": "modules.json",
        "pooling": "1_Pooling/config.json",
        "settings": "sentence_bert_config.json",
    }
    (tmp_path / "1_Pooling").mkdir()
    for key, value in files.items():
        (tmp_path / names[key]).write_text(json.dumps(value))
    return tmp_path


def modules(*kinds):
    return [{"type": f"sentence_transformers.models.{kind}"} for kind in kinds]


def test_the_files_of_sentence_transformers_are_honoured(tmp_path):
    found = Pooling.read(
        written(
            tmp_path,
            modules=modules("Transformer", "Pooling", "Normalize"),
            pooling={"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False},
            settings={"max_seq_length": 7, "do_lower_case": True},
        )
    )
    assert found == Pooling(("cls",), normalize=True, max_length=7, lowercase=True)


def test_newer_files_name_the_mode(tmp_path):
    assert Pooling.read(written(tmp_path, pooling={"pooling_mode": "max"})).modes == (
        "max",
    )


def test_without_files_it_is_the_mean_of_the_tokens(tmp_path):
    assert Pooling.read(tmp_path) == Pooling(("mean",), normalize=False)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"pooling": {"pooling_mode_lasttoken": True}},
            "pooling_mode_lasttoken is set",
        ),
        ({"pooling": {"pooling_mode_mean_tokens": False}}, "no mode is set"),
        ({"modules": modules("Transformer", "Pooling", "Dense")}, "Dense.*honours"),
        ({"modules": {"a": 1}}, "expected a list"),
        ({"settings": {"max_seq_length": "long"}}, "max_seq_length='long'"),
    ],
)
def test_what_is_not_honoured_is_refused_by_name(tmp_path, files, said):
    with pytest.raises(CheckpointError, match=said):
        Pooling.read(written(tmp_path, **files))


def test_an_unknown_mode_is_refused(config):
    with pytest.raises(InputError, match="pooling='last'"):
        TextEmbedder(config, pooling="last")


@pytest.mark.download
def test_real_sentences_have_the_similarities_of_the_reference(sample):
    """Values from transformers 5.23 with the pooling of sentence-transformers."""
    model = TextEmbedder.from_pretrained(sample("minilm"))
    sentences = [
        "A man is eating food.",
        "Someone eats a meal.",
        "The girl plays violin.",
        "Markets fell sharply today.",
    ]
    found = model.similarity(sentences)
    wanted = [
        [1.0, 0.7614187, -0.0623871, 0.0120309],
        [0.7614187, 1.0, 0.0299277, 0.0111614],
        [-0.0623871, 0.0299277, 1.0, 0.0083759],
        [0.0120309, 0.0111614, 0.0083759, 1.0],
    ]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)
    assert model.max_length == 256
    np.testing.assert_allclose(tf.norm(model.embed(sentences), axis=1), 1, atol=1e-6)


def test_a_configuration_with_a_pooler_is_one_without_here(config, tokenizer, tmp_path):
    assert config.pooler
    TextEmbedder(config, tokenizer=tokenizer).save_pretrained(tmp_path)
    assert TextEmbedder.from_pretrained(tmp_path).config.pooler is False
