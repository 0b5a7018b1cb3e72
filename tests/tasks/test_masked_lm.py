"""MaskedLM: the likeliest tokens at each mask, with their probabilities."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.errors import InputError
from zoo.tasks import MaskedLM


def probabilities(model, text, place):
    """By calling the model as a whole, at one place."""
    ids = model.tokenizer([text])
    return ids["input_ids"][0].numpy(), tf.nn.softmax(model(ids)[0, place]).numpy()


def test_tokens_come_likeliest_first_with_their_probability(masked_lm):
    _, wanted = probabilities(masked_lm, "a [MASK] film", 2)
    found = masked_lm.fill_mask("a [MASK] film", top_k=3)
    best = np.argsort(-wanted)[:3]
    assert [answer["token"] for answer in found] == best.tolist()
    scores = [answer["score"] for answer in found]
    np.testing.assert_allclose(scores, wanted[best], rtol=1e-5)
    for answer in found:
        token = masked_lm.tokenizer.id_to_token(answer["token"])
        assert answer["token_str"] == token
        if not token.startswith(("#", "[")):
            assert answer["sequence"] == f"a {token} film"


def test_several_masks_and_texts_of_other_lengths(masked_lm):
    texts = ["[MASK] is very [MASK]", "the [MASK]", "[MASK] film. " + "good " * 9]
    found = masked_lm.fill_mask(texts, top_k=2, batch_size=2)
    assert [len(found[0]), len(found[0][0]), len(found[1])] == [2, 2, 2]
    for text, answers, place in (
        (texts[0], found[0][0], 1),
        (texts[0], found[0][1], 4),
        (texts[1], found[1], 2),
        (texts[2], found[2], 1),
    ):
        _, wanted = probabilities(masked_lm, text, place)
        assert answers[0]["token"] == wanted.argmax()
        assert answers[0]["score"] == pytest.approx(wanted.max(), rel=1e-5)
    assert "[MASK]" in found[0][0][0]["sequence"]


def test_what_is_saved_comes_back_bit_exact(masked_lm, config, tokenizer, tmp_path):
    wanted = masked_lm.fill_mask("a [MASK] film")
    masked_lm.save_pretrained(tmp_path / "x")
    masked_lm.save(tmp_path / "x.keras")
    assert MaskedLM.from_pretrained(tmp_path / "x").fill_mask("a [MASK] film") == wanted
    assert (
        keras.saving.load_model(tmp_path / "x.keras").fill_mask("a [MASK] film")
        == wanted
    )


def test_a_head_of_its_own_is_used_and_saved(config, tokenizer, tmp_path):
    untied = config.replace(tie_word_embeddings=False, pooler=False, id2label=None)
    model = MaskedLM(untied, tokenizer=tokenizer)
    model.lm_head.bias.assign(tf.one_hot(9, tokenizer.vocab_size) * 100)
    assert model.fill_mask("a [MASK]", top_k=1)[0]["token"] == 9
    model.save_pretrained(tmp_path)
    loaded = MaskedLM.from_pretrained(tmp_path)
    for ours, theirs in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_text_without_a_mask_is_refused(masked_lm):
    with pytest.raises(InputError, match=r"text 1 has no \[MASK\]: 'b'"):
        masked_lm.fill_mask(["a [MASK]", "b"])
    with pytest.raises(InputError, match=r"only beyond its first 40 tokens"):
        masked_lm.fill_mask("good " * 50 + "[MASK]")


def test_logits_of_texts_are_not_given_by_predict(masked_lm):
    with pytest.raises(InputError, match="fill_mask"):
        masked_lm.predict(["a [MASK]"])
    ids = {"input_ids": np.array([[2, 4, 3]])}
    np.testing.assert_allclose(
        masked_lm.predict(ids, verbose=0), masked_lm(ids).numpy(), atol=1e-5
    )


def test_no_texts_give_no_answers(masked_lm):
    assert masked_lm.fill_mask([]) == []
