"""The LSTM writes by the loop of zoo's models what its own probabilities say."""

import keras
import numpy as np
import pytest

from applications.lstm import LSTMWriter, make_lstm
from zoo import Tokenizer

TEXTS = ["one two three", "three two one", "one one two"]


@pytest.fixture(scope="module")
def written():
    keras.utils.set_random_seed(3)
    tokenizer = Tokenizer.train(TEXTS, kind="bpe", vocab_size=265)
    model = make_lstm(tokenizer.vocab_size, 20_000, 1e-3, 10)
    model.layers[2].kernel.assign(10 * model.layers[2].kernel)  # as if it had learnt
    return model, tokenizer, LSTMWriter(model, tokenizer)


def test_greedy_search_takes_the_likeliest_token_of_the_whole_model(written):
    model, tokenizer, writer = written
    prompts = ["one", "three two one two three"]  # so that one is padded
    found = writer.generate(prompts, max_new_tokens=5)
    for prompt, text in zip(prompts, found, strict=True):
        ids = tokenizer([prompt], padding=None)["input_ids"].to_list()[0]
        first = len(ids)
        while len(ids) < first + 5 and tokenizer.eos_token_id not in ids:
            ids.append(int(np.argmax(model(np.array([ids]))[0, -1])))
        wanted = tokenizer.decode(ids[first:], skip_special_tokens=True)
        assert text == wanted


def test_what_is_drawn_depends_on_the_seed_alone(written):
    _, _, writer = written
    options = {"do_sample": True, "top_k": 0, "max_new_tokens": 5}
    first = writer.generate(["one", "two"], seed=1, **options)
    assert writer.generate(["one", "two"], seed=1, **options) == first
    assert writer.generate(["one", "two"], seed=2, **options) != first
