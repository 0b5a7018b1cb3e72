"""Texts to texts: learnt from strings, written by beams, saved in three ways."""

import json
import random

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.errors import CheckpointError, InputError
from zoo.export import run_in_clean_process
from zoo.tasks import Summarizer, Translator
from zoo.tasks.examples.sets import ExampleSet
from zoo.tasks.pipeline import pipeline

pytestmark = pytest.mark.usefixtures("forked_processes")

WORDS = {
    "red": "rot",
    "green": "grün",
    "blue": "blau",
    "dog": "Hund",
    "cat": "Katze",
}


def pairs(count):
    draw = random.Random(0)
    sources = [" ".join(draw.choices([*WORDS], k=1 + i % 2)) for i in range(count)]
    targets = [" ".join(WORDS[word] for word in text.split()) for text in sources]
    return ExampleSet(sources, targets, "colours")


@pytest.fixture(scope="module")
def examples():
    return pairs(128)


@pytest.fixture(scope="module")
def translator(examples):
    keras.utils.set_random_seed(3)
    model = Translator.from_examples(
        examples, vocab_size=60, hidden_size=64, layers=1, dropout=0.0
    )
    model.max_length, model.target_length = 20, 14
    model.generation_defaults = {"num_beams": 2, "max_new_tokens": 12}
    model.compile(learning_rate=5e-3)
    return model


@pytest.fixture(scope="module")
def trained(translator, examples):
    translator.fit(
        examples.inputs,
        examples.answers,
        batch_size=16,
        steps_per_epoch=120,
        seed=1,
        verbose=0,
    )
    return translator


def test_the_loss_of_strings_is_that_of_their_ids(translator, examples):
    few = examples.take(range(24))
    found = translator.evaluate(
        few.inputs, few.answers, batch_size=8, verbose=0, return_dict=True
    )

    def ids(texts):
        return translator.tokenizer(texts)["input_ids"].numpy()

    sources, labels = ids(few.inputs), ids(few.answers)
    pad = translator.config.pad_token_id
    batch = {
        "input_ids": sources,
        "attention_mask": (sources != pad).astype("int32"),
        "labels": np.where(labels != pad, labels, -100),
    }
    expected = translator.evaluate(
        tf.data.Dataset.from_tensors(batch), verbose=0, return_dict=True
    )
    assert found["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    assert found["accuracy"] == pytest.approx(expected["accuracy"])
    rows = tf.data.Dataset.from_tensor_slices((few.inputs, few.answers))
    for dataset in (rows, rows.batch(5)):
        streamed = translator.evaluate(dataset, verbose=0, return_dict=True)
        assert streamed["loss"] == pytest.approx(found["loss"], rel=1e-5)
    weighted = translator.evaluate(
        few.inputs, few.answers, sample_weight=[0.5] * 24, verbose=0, return_dict=True
    )
    assert weighted["loss"] == pytest.approx(found["loss"] / 2, rel=1e-5)


def test_it_writes_what_it_learnt_in_the_order_of_the_sources(trained, examples):
    few = examples.take(range(16))
    found = trained.measure(few, batch_size=8)
    assert found["chrf"] > 40  # of two words at most, BLEU has nothing to count
    assert set(found) == {"bleu", "chrf", "signature", "exact"}
    written = trained.predict(few.inputs, 8, verbose=0)
    assert trained.predict(few.inputs[::-1], 8, verbose=0) == written[::-1]


def test_a_pipeline_takes_options_of_generate(trained, examples):
    translate = pipeline("translation", trained, batch_size=8)
    sources = examples.inputs[:8]
    assert translate(sources) == trained.predict(sources, verbose=0)
    with pytest.raises(InputError, match="takes no option 'colour'"):
        translate("red", colour=1)


def test_directories_keras_files_weights_and_exports_are_the_same(
    trained, examples, tmp_path
):
    trained.save_pretrained(tmp_path / "model")
    config = json.loads((tmp_path / "model/config.json").read_text())
    assert config["architectures"] == ["T5ForConditionalGeneration"]
    trained.save(tmp_path / "model.keras")
    trained.save_weights(tmp_path / "model.weights.h5")
    bare = Translator.from_config(trained.get_config())
    bare.load_weights(tmp_path / "model.weights.h5")
    bare.tokenizer = trained.tokenizer
    inputs = {
        "input_ids": np.array([[3, 4, 5]]),
        "decoder_input_ids": np.array([[0, 6]]),
    }
    logits = trained(inputs).numpy()
    for other in (
        Translator.from_pretrained(tmp_path / "model"),
        keras.saving.load_model(tmp_path / "model.keras"),
        bare,
    ):
        for ours, theirs in zip(other.weights, trained.weights, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(other(inputs), logits)
        assert other.generation_defaults == trained.generation_defaults
        assert other.tokenizer_files() == trained.tokenizer_files()
        assert (other.max_length, other.target_length) == (20, 14)
    longer = Translator.from_pretrained(tmp_path / "model", target_length=30)
    assert (longer.max_length, longer.target_length) == (20, 30)
    # The last ones are longer than max_length: both have to cut them alike.
    rows = examples.inputs
    sources = [*rows[:8], *(f"{' '.join(rows[:20])} {row}" for row in rows[:4])]
    sources += [" ".join([row] * 20) for row in rows[:4]]
    exported = trained.export_saved_model(tmp_path / "export")
    found = run_in_clean_process(exported, {"text": sources})["text"]
    assert found == trained.predict(sources, verbose=0)


def test_lengths_that_cannot_be_are_refused(translator, tmp_path):
    for wrong in (0, 1, -3, 2.5, "9"):
        with pytest.raises(InputError, match="target_length="):
            translator.target_length = wrong
    translator.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    config["task_specific_params"]["translation"]["zoo_target_length"] = "long"
    path.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"config\.json: target_length='long'"):
        Translator.from_pretrained(tmp_path)


def test_a_prefix_is_read_written_and_put_before_sources(translator, tmp_path):
    translator.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    config["task_specific_params"] = {
        "summarization": {"prefix": "red: ", "num_beams": 4},
        "translation_en_to_de": {"prefix": "green: "},
    }
    path.write_text(json.dumps(config))
    found = Translator.from_pretrained(tmp_path)
    assert found.prefix == "green: "
    assert Summarizer.from_pretrained(tmp_path).prefix == "red: "
    assert Translator.from_pretrained(tmp_path, prefix="").prefix == ""
    rows = found._source_rows(["dog"], 1, None)
    assert rows == translator.tokenizer(["green: dog"])["input_ids"].numpy().tolist()
    found.save_pretrained(tmp_path / "again")
    saved = json.loads((tmp_path / "again/config.json").read_text())
    assert saved["task_specific_params"] == {
        "translation_en_to_de": {"prefix": "green: "}
    }


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (["red"], None, "y is missing"),
        (["red"], [3], r"y\[0\] is 3"),
        (["red", "blue"], ["rot"], "x has 2 examples"),
        ({"text": ["red"], "pair": ["blue"]}, ["rot"], "pairs of texts"),
    ],
)
def test_what_is_no_pair_of_texts_is_refused(translator, x, y, said):
    with pytest.raises(InputError, match=said):
        translator.fit(x, y, verbose=0)


def test_columns_of_a_file_are_source_and_target(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("en\ttarget\nred dog\troter Hund\nblue\tblau\n", encoding="utf-8")
    found = Translator.read_file(path, {"source": "en"})
    assert found.inputs == ["red dog", "blue"]
    assert found.answers == ["roter Hund", "blau"]
