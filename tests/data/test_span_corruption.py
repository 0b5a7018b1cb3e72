"""Span corruption: T5's counts and lengths, nothing lost, document by document."""

import numpy as np
import pytest
import tensorflow as tf

from zoo.data.span_corruption import span_batches, span_counts, span_lengths
from zoo.errors import InputError
from zoo.tokenizers import Tokenizer
from zoo.training.labels import IGNORED

WIDTH = 24
END = 1


@pytest.fixture(scope="module")
def tokenizer():
    texts = ["Thank you for inviting me to your party last week ."] * 3
    return Tokenizer.train(texts, kind="unigram", vocab_size=60, extra_ids=30)


def corrupted(rows, tokenizer, **options):
    rows = {name: np.asarray(x, np.int32) for name, x in rows.items()}
    batches = tf.data.Dataset.from_tensors(rows)
    [found] = span_batches(batches, tokenizer, **options).as_numpy_iterator()
    return found


def sentinels(tokenizer):
    return [tokenizer.token_to_id(f"<extra_id_{i}>") for i in range(30)]


def restored(source, target, tokenizer, *, final=True):
    """The text that an input and its target were made of, and its spans."""
    marks = sentinels(tokenizer)
    assert source.pop() == END
    if not target:
        return source, []
    assert target.pop() == END
    spans, number = [], 0
    for token in target:
        if token == marks[number]:
            spans.append([])
            number += 1
        else:
            assert token not in marks
            spans[-1].append(token)
    if final:
        assert spans.pop() == []
    text, places = [], iter(zip(marks, spans, strict=False))
    mark, span = next(places)
    lengths = []
    for token in source:
        if token == mark:
            text += span
            lengths.append(len(span))
            mark, span = next(places, (None, None))
        else:
            assert token not in marks
            text.append(token)
    assert len(lengths) == len(spans) and all(lengths)
    return text, lengths


def test_lengths_are_those_of_t5s_pretraining():
    # t5.data.preprocessors.random_spans_helper(inputs_length=512): 568 -> 512, 114.
    assert span_counts(568) == (85, 28)
    assert span_lengths(568, final_sentinel=False) == (512, 114)
    assert span_lengths(568) == (512, 115)
    assert span_counts(0) == span_counts(1) == (0, 0)
    assert span_counts(2) == (1, 1)
    assert span_lengths(1) == (2, 0)


@pytest.mark.parametrize("final", [True, False])
@pytest.mark.parametrize("seed", [1, 2])
def test_input_and_target_make_up_the_text(tokenizer, final, seed):
    lengths = [*range(WIDTH + 1)] * 4
    ids = np.full((len(lengths), WIDTH), 0)
    for row, length in zip(ids, lengths, strict=True):
        row[:length] = np.arange(length) % 20 + 3
    mask = np.arange(WIDTH) < np.array(lengths)[:, None]
    rows = {"input_ids": ids, "attention_mask": mask}
    batch = corrupted(rows, tokenizer, final_sentinel=final, seed=seed)
    source, target = span_lengths(WIDTH, final_sentinel=final)
    assert batch["input_ids"].shape == (len(lengths), source)
    assert batch["labels"].shape == (len(lengths), target)
    for row, length in enumerate(lengths):
        shown = batch["input_ids"][row][batch["attention_mask"][row] > 0].tolist()
        labels = batch["labels"][row]
        labels = labels[labels != IGNORED].tolist()
        assert (len(shown), len(labels)) == span_lengths(length, final_sentinel=final)
        if not length:
            continue
        text, spans = restored(shown, labels, tokenizer, final=final)
        assert text == ids[row, :length].tolist()
        assert (sum(spans), len(spans)) == span_counts(length)


def test_spans_lie_anywhere_and_are_of_any_length(tokenizer):
    ids = np.tile(np.arange(WIDTH) % 20 + 3, (2000, 1))
    batch = corrupted({"input_ids": ids}, tokenizer, mean_span_length=2.0)
    noise, spans = span_counts(WIDTH, mean_span_length=2.0)
    assert (noise, spans) == (4, 2)
    lengths, starts = [], []
    for source, target in zip(batch["input_ids"], batch["labels"], strict=True):
        found = restored(source.tolist(), target.tolist(), tokenizer)[1]
        lengths.append(found[0])
        starts.append(source.tolist().index(sentinels(tokenizer)[0]))
    # 4 tokens in 2 spans: 1 + 3, 2 + 2 and 3 + 1 are alike (3 sd of 1/3 are 0.032).
    shares = np.bincount(lengths, minlength=4)[1:] / 2000
    assert shares == pytest.approx(np.full(3, 1 / 3), abs=0.035)
    # 20 other tokens around and between: after a of them, the second span has 20 - a
    # places, of 210 in all.
    shares = np.bincount(starts, minlength=20) / 2000
    assert shares == pytest.approx((20 - np.arange(20)) / 210, abs=0.02)


def test_each_document_is_corrupted_as_if_it_were_alone(tokenizer):
    documents = [[1] * 9 + [2] * 2 + [3] + [4] * 8 + [0] * 4, [0] * WIDTH]
    ids = np.array([[*range(3, 23), 0, 0, 0, 0], [0] * WIDTH])
    ids[0, 8] = END  # of the first document: stays where it is
    rows = {"input_ids": ids, "document_ids": documents}
    batch = corrupted(rows, tokenizer, seed=3)
    assert batch["input_ids"].shape == (2, WIDTH)
    assert batch["labels"].shape[1] % 16 == 0
    for number, text in enumerate(
        ([*range(3, 11)], [12, 13], [14], [*range(15, 23)]), 1
    ):
        source = batch["input_ids"][0][batch["document_ids"][0] == number].tolist()
        target = batch["labels"][0][batch["decoder_document_ids"][0] == number].tolist()
        found, spans = restored(source, target, tokenizer)
        assert found == text
        assert (sum(spans), len(spans)) == span_counts(len(text))
    padding = batch["decoder_document_ids"] == 0
    assert (batch["labels"][padding] == IGNORED).all()
    assert (batch["labels"][~padding] != IGNORED).all()
    assert not batch["document_ids"][1].any()


def test_batches_are_functions_of_seed_and_step(tokenizer):
    rows = {"input_ids": np.tile(np.arange(WIDTH) % 20 + 3, (8, 4, 1))}

    def batches(seed, first_step=0):
        given = tf.data.Dataset.from_tensor_slices(rows).skip(first_step)
        found = span_batches(given, tokenizer, seed=seed, first_step=first_step)
        return [batch["input_ids"] for batch in found.as_numpy_iterator()]

    assert np.array_equal(batches(1)[5:], batches(1, 5))
    assert not np.array_equal(batches(1)[0], batches(1)[1])
    assert not np.array_equal(batches(1), batches(2))


def test_short_rows(tokenizer):
    batch = corrupted({"input_ids": np.full((2, 1), 5)}, tokenizer)
    assert batch["input_ids"].tolist() == [[5, END]] * 2
    assert batch["labels"].shape == (2, 0)
    batch = corrupted({"input_ids": np.full((20, 2), 5)}, tokenizer)
    first, second, *_ = sentinels(tokenizer)
    shown = {tuple(row) for row in batch["input_ids"].tolist()}
    assert shown == {(5, first, END), (first, 5, END)}
    assert batch["labels"].tolist() == [[first, 5, second, END]] * 20


def test_too_few_sentinels_are_an_error_that_says_what_to_do(tokenizer):
    with pytest.raises(InputError, match=r"need 52 sentinels.*the tokenizer has 30"):
        corrupted({"input_ids": np.full((1, 1024), 5)}, tokenizer)
    wordpiece = Tokenizer.train(["text"], kind="wordpiece", vocab_size=30)
    with pytest.raises(InputError, match="the tokenizer has 0"):
        corrupted({"input_ids": [[5] * 8]}, wordpiece)


@pytest.mark.parametrize(
    "options", [{"noise_density": 0}, {"noise_density": 1}, {"mean_span_length": 0.5}]
)
def test_options_that_make_no_sense_are_refused(tokenizer, options):
    with pytest.raises(InputError, match=r"expected a share between 0 and 1"):
        corrupted({"input_ids": [[5] * 8]}, tokenizer, **options)


def test_rows_of_unknown_length_are_refused(tokenizer):
    spec = {"input_ids": tf.TensorSpec([None, None], tf.int32)}
    batches = tf.data.Dataset.from_generator(lambda: iter(()), output_signature=spec)
    with pytest.raises(InputError, match="with a known T"):
        span_batches(batches, tokenizer)
