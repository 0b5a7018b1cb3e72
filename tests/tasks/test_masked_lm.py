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


def test_a_configuration_with_a_pooler_is_one_without_here(config, tokenizer, tmp_path):
    assert config.pooler
    model = MaskedLM(config, tokenizer=tokenizer)
    assert not model.config.pooler
    model.save_pretrained(tmp_path)
    assert MaskedLM.from_pretrained(tmp_path).config.pooler is False


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


def test_texts_in_any_form_are_filled_alike(masked_lm):
    texts = ["a [MASK] film", "it is [MASK]"]
    expected = masked_lm.fill_mask(texts)
    for given in (tuple(texts), np.array(texts), tf.constant(texts), iter(texts)):
        assert masked_lm.fill_mask(given, batch_size=2) == expected


@pytest.mark.parametrize(
    ("given", "options"),
    [
        (None, {}),
        ([None], {}),
        (3, {}),
        ([("a [MASK]", "b")], {}),
        ({"input_ids": [[2, 4, 3]]}, {}),
        ("a [MASK]", {"top_k": 0}),
        ("a [MASK]", {"top_k": None}),
        ("a [MASK]", {"batch_size": 0}),
    ],
)
def test_what_cannot_be_filled_is_refused(masked_lm, given, options):
    with pytest.raises(InputError):
        masked_lm.fill_mask(given, **options)


def test_no_texts_give_no_answers(masked_lm):
    assert masked_lm.fill_mask([]) == []


# --- Training -------------------------------------------------------------------------

IDS = {
    "input_ids": np.array([[2, 5, 4, 8, 3], [2, 4, 4, 3, 0], [2, 9, 6, 3, 0]]),
    "attention_mask": np.array([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0], [1, 1, 1, 1, 0]]),
}
# The last row has nothing to learn.
LABELS = np.array(
    [[-100, -100, 7, -100, -100], [-100, 9, 11, -100, -100], [-100] * 5], np.int32
)


@pytest.fixture
def fresh_masked_lm(config, tokenizer):
    keras.utils.set_random_seed(7)
    return MaskedLM(config.replace(pooler=False, id2label=None), tokenizer=tokenizer)


def dataset(x, y=None):
    whole = x if y is None else (x, y)
    return tf.data.Dataset.from_tensor_slices(whole).batch(2)


@pytest.mark.parametrize(
    "examples",
    [
        lambda: ({**IDS, "labels": LABELS},),
        lambda: (IDS, LABELS),
        lambda: (dataset({**IDS, "labels": LABELS}),),
        lambda: (dataset(IDS, LABELS),),
    ],
    ids=["among the inputs", "as y", "dataset of dictionaries", "dataset of pairs"],
)
def test_loss_and_accuracy_are_those_of_the_labelled_tokens(masked_lm, examples):
    found = masked_lm.evaluate(*examples(), batch_size=3, verbose=0, return_dict=True)
    logits = np.asarray(masked_lm({k: tf.constant(v) for k, v in IDS.items()}))
    counts = LABELS != -100
    logs = tf.nn.log_softmax(logits).numpy()[counts]
    losses = -logs[np.arange(3), LABELS[counts]]
    right = logs.argmax(-1) == LABELS[counts]
    assert found["accuracy"] == pytest.approx(right.mean())
    if not isinstance(examples()[0], tf.data.Dataset):  # whose batches weigh alike
        assert found["loss"] == pytest.approx(losses.mean(), rel=1e-5)


def test_no_logits_of_a_whole_batch_are_made(masked_lm, monkeypatch):
    expected = masked_lm.evaluate(IDS, LABELS, verbose=0)
    monkeypatch.setattr(type(masked_lm), "logits", None)
    batch = {name: tf.constant(x) for name, x in IDS.items()}
    loss = masked_lm.assess(batch, tf.constant(LABELS), None, False)
    assert float(loss) == pytest.approx(expected[0], rel=1e-6)


def test_it_learns_what_stood_at_the_masks(fresh_masked_lm):
    model = fresh_masked_lm
    model.compile(learning_rate=0.02)
    often = {name: np.tile(x, [5, 1]) for name, x in {**IDS, "labels": LABELS}.items()}
    history = model.fit(often, epochs=8, batch_size=3, verbose=0, shuffle=False).history
    assert history["loss"][-1] < 0.2 * history["loss"][0]
    assert history["accuracy"][-1] == 1
    filled = model.predict(IDS, verbose=0).argmax(-1)
    np.testing.assert_array_equal(filled[LABELS != -100], [7, 9, 11])


def test_a_batch_without_any_label_changes_nothing(fresh_masked_lm):
    model = fresh_masked_lm
    model.compile(keras.optimizers.SGD(1.0))
    before = [w.numpy() for w in model.trainable_weights]
    history = model.fit(IDS, np.full_like(LABELS, -100), verbose=0).history
    assert history["loss"] == [0.0]
    for weight, old in zip(model.trainable_weights, before, strict=True):
        np.testing.assert_array_equal(weight, old)


def test_rows_of_different_lengths_are_padded(masked_lm):
    uneven = {
        name: [row[: 5 - (at > 0)].tolist() for at, row in enumerate(value)]
        for name, value in {"input_ids": IDS["input_ids"], "labels": LABELS}.items()
    }
    found = masked_lm.evaluate(uneven, verbose=0)
    expected = masked_lm.evaluate(IDS, LABELS, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("given", [["a good film"], {"text": ["a"], "pair": ["b"]}])
def test_texts_are_refused_with_what_to_pass_instead(fresh_masked_lm, given):
    with pytest.raises(InputError, match=r"token ids.*mask_token_id.*'labels'.*-100"):
        fresh_masked_lm.fit(given)
    texts = tf.data.Dataset.from_tensor_slices((["a", "b"], ["x", "y"]))
    with pytest.raises(InputError, match="token ids"):
        fresh_masked_lm.fit(texts)


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (IDS, None, "labels are missing"),
        ({**IDS, "labels": LABELS}, LABELS, "given twice"),
        (IDS, LABELS[:, :3], r"shape \(3, 3\)"),
        (IDS, [1, 2, 3], r"shape \(3,\)"),
        (IDS, LABELS.astype(np.float32), "dtype float32"),
        (IDS, np.where(LABELS == 9, 999, LABELS), "labels have 999"),
        (IDS, np.where(LABELS == 9, -1, LABELS), "labels have -1;"),
        (dataset(IDS, [0, 1, 1]), None, "labels of rank 1"),
        (dataset(IDS), None, "no labels"),
    ],
)
def test_labels_of_another_form_are_refused(fresh_masked_lm, x, y, said):
    with pytest.raises(InputError, match=said):
        fresh_masked_lm.fit(x, y)


def test_weights_of_rows_count(masked_lm):
    weights = [1.0, 0.0, 0.0]
    found = masked_lm.evaluate(IDS, LABELS, sample_weight=weights, verbose=0)
    alone = {name: value[:1] for name, value in IDS.items()}
    assert found[1] == masked_lm.evaluate(alone, LABELS[:1], verbose=0)[1]
    with pytest.raises(InputError, match="sample_weight"):
        masked_lm.evaluate(IDS, LABELS, sample_weight=[1.0], verbose=0)
