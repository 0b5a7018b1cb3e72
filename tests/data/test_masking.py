"""Masking: BERT's shares, whole words, nothing special, a function of (seed, step)."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.data.encoded import encode_texts
from zoo.data.masking import masked_batches
from zoo.data.packing import pack, packed_batches
from zoo.errors import InputError
from zoo.tokenizers import Tokenizer
from zoo.training.labels import IGNORED

TEXTS = [
    "unbelievable stories of the unbelievable",
    "stories believe the un able",
    "我们在北京大学学习",
] * 3


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(TEXTS, kind="wordpiece", vocab_size=90)


@pytest.fixture(scope="module")
def begins(tokenizer):
    """Whether each token begins a word."""
    tokens = [tokenizer.id_to_token(i) for i in range(tokenizer.vocab_size)]
    return np.array([not token.startswith("##") for token in tokens])


def masked(rows, tokenizer, **options):
    """One batch in and one out, as arrays; rows may be a dictionary."""
    rows = rows if isinstance(rows, dict) else {"input_ids": rows}
    rows = {name: np.asarray(x, np.int32) for name, x in rows.items()}
    batches = tf.data.Dataset.from_tensors(rows)
    [found] = masked_batches(batches, tokenizer, **options).as_numpy_iterator()
    return found


def ordinary(tokenizer, shape, seed=0):
    """Random tokens, none of them special."""
    first = len(tokenizer.special_tokens)
    return np.random.default_rng(seed).integers(first, tokenizer.vocab_size, shape)


def test_shares_are_those_of_the_paper(tokenizer):
    ids = ordinary(tokenizer, (64, 400))
    batch = masked(ids, tokenizer, whole_words=False)
    chosen = batch["labels"] != IGNORED
    assert np.array_equal(batch["labels"][chosen], ids[chosen])
    assert np.array_equal(batch["input_ids"][~chosen], ids[~chosen])
    assert set(chosen.sum(1)) == {60}  # 15 % of 400 in each row
    shown, stood = batch["input_ids"][chosen], ids[chosen]
    hidden = shown == tokenizer.mask_token_id
    same = shown == stood
    # 3,840 tokens: three standard deviations are 0.02 and 0.015.
    assert hidden.mean() == pytest.approx(0.8, abs=0.02)
    kinds = tokenizer.vocab_size - len(tokenizer.special_tokens)
    assert same.mean() == pytest.approx(0.1 + 0.1 / kinds, abs=0.015)
    others = shown[~hidden & ~same]
    assert not set(others) & {
        tokenizer.token_to_id(t) for t in tokenizer.special_tokens
    }
    assert len(set(others)) > kinds / 2
    # Each place is as likely as any other.
    assert chosen.mean(0).std() < 0.06


def test_a_share_of_words_means_the_same_share_of_tokens(tokenizer, begins):
    ids = ordinary(tokenizer, (256, 60))
    chosen = masked(ids, tokenizer)["labels"] != IGNORED
    assert chosen.mean() == pytest.approx(0.15, abs=0.01)
    number = np.cumsum(begins[ids], 1)
    for row, words in zip(chosen, number, strict=True):
        for word in set(words[row]):
            assert row[words == word].all()


@settings(max_examples=15, deadline=None)
@given(data=st.data(), rate=st.sampled_from([0.0, 0.15, 0.5, 1.0]))
def test_words_are_whole_and_special_tokens_and_padding_stay(
    tokenizer, begins, data, rate
):
    width = 12  # one shape, one trace
    token = st.integers(0, tokenizer.vocab_size - 1)
    ids = np.array(
        data.draw(
            st.lists(st.lists(token, min_size=12, max_size=12), min_size=2, max_size=2)
        )
    )
    lengths = data.draw(st.lists(st.integers(0, width), min_size=2, max_size=2))
    mask = np.arange(width) < np.array(lengths)[:, None]
    rows = {"input_ids": ids, "attention_mask": mask}
    batch = masked(rows, tokenizer, rate=rate, seed=data.draw(st.integers(0, 99)))
    chosen = batch["labels"] != IGNORED
    special = np.isin(ids, range(len(tokenizer.special_tokens)))
    can = mask & ~special
    assert not (chosen & ~can).any()
    assert np.array_equal(batch["input_ids"][~chosen], ids[~chosen])
    before = np.pad(can, ((0, 0), (1, 0)))[:, :-1]
    starts = can & (begins[ids] | ~before)
    for row in range(2):
        words = starts[row].sum()
        number = np.cumsum(starts[row]) * can[row]
        drawn = {n for n in number[chosen[row]]}
        for n in drawn:
            assert chosen[row][number == n].all()
        wanted = rate * words
        assert len(drawn) <= max(np.ceil(wanted), bool(rate and words))
        assert len(drawn) >= max(np.floor(wanted), bool(rate and words))


def test_words_do_not_reach_across_documents(tokenizer):
    inside = tokenizer.token_to_id("##l")
    documents = [1, 1, 2, 2, 2, 2, 3, 3]
    rows = {"input_ids": [[inside] * 8] * 60, "document_ids": [documents] * 60}
    labels = masked(rows, tokenizer, rate=0.3)["labels"]
    seen = {tuple((row != IGNORED).tolist()) for row in labels}
    assert seen == {
        tuple(number == each for number in rows["document_ids"][0])
        for each in (1, 2, 3)
    }


def test_chinese_words_are_cut_by_jieba(tokenizer):
    ids = tokenizer("我们在北京大学学习")["input_ids"].numpy()
    words = [(1, 2), (3,), (4, 5, 6, 7), (8, 9)]  # behind [CLS]
    rows = np.repeat(ids, 60, 0)
    labels = masked(rows, tokenizer, segment="jieba")["labels"]
    seen = {tuple(np.flatnonzero(row != IGNORED)) for row in labels}
    assert seen == set(words)
    alone = masked(rows, tokenizer)
    assert {n for n in (alone["labels"] != IGNORED).sum(1)} <= {1, 2}


def test_words_may_be_cut_by_a_function(tokenizer):
    ids = tokenizer("我们在北京")["input_ids"].numpy()
    batch = masked(ids, tokenizer, segment=lambda text: [text])
    assert (batch["labels"][0] != IGNORED).tolist() == [False, *[True] * 5, False]
    with pytest.raises(tf.errors.OpError, match="together; expected all 5"):
        masked(ids, tokenizer, segment=lambda text: [text[1:]])


def test_vocabularies_with_marks_before_words():
    files = Tokenizer.train(
        ["of the stories"] * 3, kind="bpe", vocab_size=270, special_tokens=["<mask>"]
    ).get_files()
    config = files["tokenizer_config.json"].decode().rstrip().rstrip("}")
    files["tokenizer_config.json"] = f'{config}, "mask_token": "<mask>"}}'.encode()
    tokenizer = Tokenizer.from_files(files)
    ids = tokenizer("of the sss")["input_ids"].numpy()
    tokens = [tokenizer.id_to_token(i) for i in ids[0]]
    last = max(i for i, token in enumerate(tokens) if token.startswith("Ġ"))
    labels = masked(np.repeat(ids, 40, 0), tokenizer)["labels"]
    seen = {tuple(np.flatnonzero(row != IGNORED)) for row in labels}
    assert tuple(range(last, len(tokens))) in seen


def test_batches_are_functions_of_seed_and_step(tokenizer):
    encoded = encode_texts(TEXTS, tokenizer)
    packing = pack(encoded.lengths, 32)

    def batches(seed, first_step=0):
        options = {"seed": seed, "first_step": first_step}
        found = packed_batches(encoded, packing, batch_size=2, **options)
        found = masked_batches(found, tokenizer, **options)
        return list(found.take(8 - first_step).as_numpy_iterator())

    whole = batches(1)
    for one, other in zip(whole[5:], batches(1, 5), strict=True):
        assert all(np.array_equal(one[name], other[name]) for name in one)
    assert any(
        not np.array_equal(one["labels"], other["labels"])
        for one, other in zip(whole, batches(2), strict=True)
    )


def test_ugly_rows(tokenizer):
    special = list(range(len(tokenizer.special_tokens)))
    batch = masked([special], tokenizer)
    assert (batch["labels"] == IGNORED).all() and batch["input_ids"].tolist() == [
        special
    ]
    token = special[-1] + 1
    assert masked([[token]], tokenizer)["labels"].tolist() == [[token]]  # at least one
    assert masked(np.zeros((2, 0)), tokenizer)["labels"].shape == (2, 0)
    assert masked(np.zeros((0, 4)), tokenizer)["labels"].shape == (0, 4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rate": 1.5}, "rate=1.5"),
        ({"mask_share": 0.8, "random_share": 0.3}, "more than all"),
        ({"segment": "thulac"}, "expected 'jieba', or a function"),
    ],
)
def test_options_that_make_no_sense_are_refused(tokenizer, options, said):
    with pytest.raises(InputError, match=said):
        masked([[9]], tokenizer, **options)


def test_what_is_no_batch_of_ids_is_refused(tokenizer):
    ids = tf.constant([[9, 10]])
    for wrong in ({"input_ids": ids, "labels": ids}, ids, {"input_ids": ids[0]}):
        with pytest.raises(InputError, match="the dataset yields"):
            masked_batches(tf.data.Dataset.from_tensors(wrong), tokenizer)
    bpe = Tokenizer.train(["a text"] * 3, kind="bpe", vocab_size=260)
    with pytest.raises(InputError, match="no mask token"):
        masked([[9]], bpe)
