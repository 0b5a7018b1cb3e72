"""TextGenerator: texts are packed and learnt, and prompts are continued."""

import keras
import numpy as np
import pytest

import zoo
from tests import tiny_configs
from zoo import TextGenerator, Tokenizer
from zoo.errors import ConfigError, DataError, InputError
from zoo.models import GPTModel
from zoo.tasks.examples.sets import ExampleSet

TEXTS = ["one two three four", "two three four one", "three four one two"] * 8


@pytest.fixture(scope="module")
def generator():
    keras.utils.set_random_seed(1)
    tokenizer = Tokenizer.train(TEXTS, kind="bpe", vocab_size=270)
    config = tiny_configs.llama(
        tokenizer.vocab_size,
        hidden_size=32,
        intermediate_size=32,
        max_position_embeddings=64,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
    )
    return TextGenerator(config, tokenizer=tokenizer, max_length=16)


@pytest.fixture(scope="module")
def learnt(generator):
    generator.compile(learning_rate=1e-2)
    before = generator.measure(ExampleSet(TEXTS), batch_size=8)
    held_out = (TEXTS[:4], None)
    history = generator.fit(
        TEXTS, batch_size=4, epochs=6, validation_data=held_out, verbose=0, seed=1
    )
    return generator, before, history.history


def test_texts_are_learnt(learnt):
    generator, before, history = learnt
    after = generator.measure(ExampleSet(TEXTS), batch_size=8)
    assert after["perplexity"] < before["perplexity"] / 3
    assert after["perplexity"] == pytest.approx(np.exp(after["loss"]), rel=1e-4)
    assert {"val_loss", "val_perplexity", "val_accuracy"} <= set(history)
    assert after["accuracy"] > before["accuracy"]


def test_a_pipeline_continues_prompts_as_generate_does(learnt, tmp_path):
    generator, _, _ = learnt
    generator.save_pretrained(tmp_path)
    write = zoo.pipeline("text-generation", tmp_path, max_new_tokens=4)
    prompts = ["one two", "three"]
    wanted = generator.generate(prompts, max_new_tokens=4)
    assert write(prompts) == wanted
    assert write(prompts[0]) == wanted[0] and isinstance(wanted[0], str)
    assert list(write(iter(prompts))) == wanted
    assert write(text=prompts[1]) == wanted[1]
    assert write.model.show("one", " two") == "one two"
    plain = GPTModel.from_pretrained(tmp_path)  # what is saved is a GPTModel's
    assert plain.generate(prompts, max_new_tokens=4) == wanted
    go_on = zoo.pipeline("text-generation", plain, max_new_tokens=4)
    assert go_on(prompts) == wanted
    with pytest.raises(InputError, match="a GPTModel does not do 'fill-mask'"):
        zoo.pipeline("fill-mask", plain)
    with pytest.raises(ConfigError, match="max_new_token"):
        write("one", max_new_token=4)
    with pytest.raises(InputError, match="expected a prompt, a string"):
        write([("one", "two")])


def test_every_way_of_saving_brings_back_every_bit(generator, tmp_path):
    generator.generation_defaults = {"max_new_tokens": 3}
    generator.save_pretrained(tmp_path / "model")
    generator.save(tmp_path / "model.keras")
    generator.save_weights(tmp_path / "model.weights.h5")
    bare = TextGenerator.from_config(generator.get_config())
    bare.load_weights(tmp_path / "model.weights.h5")
    bare.tokenizer = generator.tokenizer
    ids = np.array([[5, 6, 7, 8]])
    logits = generator(ids).numpy()
    for other in (
        TextGenerator.from_pretrained(tmp_path / "model"),
        keras.saving.load_model(tmp_path / "model.keras"),
        bare,
    ):
        for ours, theirs in zip(other.weights, generator.weights, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(other(ids), logits)
        assert other.tokenizer_files() == generator.tokenizer_files()
        assert other.generation_defaults == {"max_new_tokens": 3}
        assert other.max_length == 16


def test_what_cannot_be_learnt_is_refused(generator):
    with pytest.raises(InputError, match="y was given"):
        generator.fit(TEXTS, ["a label"] * len(TEXTS))
    with pytest.raises(DataError, match="empty list"):
        generator.fit([])
    with pytest.raises(InputError, match="from 2 to 64"):
        generator.max_length = 65


def test_epochs_of_so_many_steps_go_on_where_the_last_one_ended(generator):
    batches, steps = generator._rows(TEXTS, 2, seed=1)
    later, _ = generator._rows(TEXTS, 2, seed=1, first_epoch=2, steps=2)
    assert steps > 2
    wanted = next(iter(batches.skip(4)))
    for name, found in next(iter(later)).items():
        np.testing.assert_array_equal(found, wanted[name])


def test_a_file_of_texts_has_no_answers(tmp_path):
    (tmp_path / "poems.txt").write_text("one two\n\nthree\n", encoding="utf-8")
    found = TextGenerator.read_file(tmp_path / "poems.txt")
    assert found.inputs == ["one two", "three"] and found.answers is None
