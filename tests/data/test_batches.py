"""Batches: nothing dropped, little padded, the same for the same seed and step."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from zoo.data.batches import (
    Batching,
    bucket_lengths,
    encode_batches,
    epoch,
    epochs,
    pad,
    stream,
)
from zoo.data.records import Records
from zoo.errors import InputError

LENGTHS = (4, 8, 16, 32)
TEXTS = ["x" * (7 * i % 31 + 1) for i in range(50)]


def encode(columns):
    """One token for each character: its code."""
    ids = tf.strings.unicode_decode(columns["text"], "UTF-8")
    return {"input_ids": ids, "token_type_ids": tf.zeros_like(ids)}


def batching(**changes):
    fill = {"input_ids": 99, "token_type_ids": 0}
    return Batching(encode, fill, LENGTHS, **{"batch_size": 4, "group": 3, **changes})


def columns(texts=TEXTS):
    return {"text": tf.constant(texts)}


def rows(dataset):
    return [row.numpy().tolist() for _, row in dataset]


def flat(batches):
    return [row for batch in batches for row in batch]


@pytest.fixture(scope="module")
def shuffled():
    """Two epochs and a bit, as lists of row numbers."""
    data = epochs(columns(), batching(), rest=(np.arange(50),), seed=3)
    return rows(data.take(30))


def test_one_pass_has_every_example_once():
    data = epoch(columns(), batching(), rest=(np.arange(50),))
    assert sorted(flat(rows(data))) == list(range(50))
    assert data.cardinality() == 13


def test_each_shuffled_epoch_has_every_example_once(shuffled):
    assert sorted(flat(shuffled[:13])) == list(range(50))
    assert sorted(flat(shuffled[13:26])) == list(range(50))


def test_epochs_have_different_orders_and_batches(shuffled):
    assert flat(shuffled[:13]) != flat(shuffled[13:26])
    first = {frozenset(batch) for batch in shuffled[:13]}
    assert not first <= {frozenset(batch) for batch in shuffled[13:26]}


@pytest.mark.parametrize("step", [1, 3, 7, 13, 17])
def test_beginning_at_a_step_is_as_if_those_before_had_been_taken(shuffled, step):
    data = epochs(columns(), batching(), rest=(np.arange(50),), seed=3, first_step=step)
    assert rows(data.take(30 - step)) == shuffled[step:]


def test_an_example_may_come_anywhere_in_an_epoch():
    """The shuffle is over all examples and no buffer: each has been in each quarter."""
    rest, given = (np.arange(48),), batching(group=3)
    found = rows(epochs(columns(TEXTS[:48]), given, rest=rest, seed=5).take(12 * 40))
    quarters = [set() for _ in range(48)]
    for step, batch in enumerate(found):
        for example in batch:
            quarters[example].add(step % 12 // 3)
    assert all(seen == {0, 1, 2, 3} for seen in quarters)


def test_another_seed_gives_another_order(shuffled):
    data = epochs(columns(), batching(), rest=(np.arange(50),), seed=4)
    assert rows(data.take(13)) != shuffled[:13]


def test_without_shuffling_the_order_is_that_of_one_pass_again_and_again():
    data = epochs(columns(), batching(), rest=(np.arange(50),), shuffle=False)
    once = rows(epoch(columns(), batching(), rest=(np.arange(50),)))
    assert rows(data.take(26)) == once * 2


def test_a_batch_is_padded_to_the_first_length_that_holds_its_longest():
    for inputs, row in epoch(columns(), batching(), rest=(np.arange(50),)):
        texts = [TEXTS[i] for i in row.numpy()]
        longest = max(map(len, texts))
        width = next(length for length in LENGTHS if length >= longest)
        expected = [[ord("x")] * len(t) + [99] * (width - len(t)) for t in texts]
        assert inputs["input_ids"].numpy().tolist() == expected
        valid = [[1] * len(t) + [0] * (width - len(t)) for t in texts]
        assert inputs["attention_mask"].numpy().tolist() == valid


def test_batches_of_a_group_have_like_lengths():
    data = epoch(columns(), batching(group=13), rest=(np.arange(50),))
    padded = sum(int(tf.size(x["input_ids"])) for x, _ in data)
    least = sum(next(n for n in LENGTHS if n >= len(t)) for t in TEXTS)
    assert padded <= 1.15 * least


def test_a_stream_has_every_example_once_and_a_known_length():
    examples = tf.data.Dataset.from_tensor_slices((columns(), tf.range(50)))
    data = stream(examples, batching(), seed=1)
    assert sorted(flat(rows(data))) == list(range(50))
    assert data.cardinality() == 13


def test_a_stream_of_unknown_length_is_read_to_its_end():
    examples = tf.data.Dataset.from_tensor_slices((columns(), tf.range(50)))
    data = stream(examples.filter(lambda x, i: i % 2 == 0), batching())
    assert sorted(flat(rows(data))) == list(range(0, 50, 2))


def test_given_batches_stay_what_and_where_they_are():
    examples = tf.data.Dataset.from_tensor_slices((columns(), tf.range(50))).batch(7)
    data = encode_batches(examples, batching())
    assert rows(data) == [list(range(i, min(i + 7, 50))) for i in range(0, 50, 7)]


def test_one_example_is_a_batch():
    data = epochs(columns(["abc"]), batching(), rest=([7],), seed=0)
    inputs, row = next(iter(data))
    assert inputs["input_ids"].numpy().tolist() == [[97, 98, 99, 99]]
    assert row.numpy() == [7]


def test_rows_without_tokens_get_padding_only():
    ids = tf.ragged.constant([[], []], tf.int32, ragged_rank=1)
    padded = pad({"input_ids": ids}, {"input_ids": 5})
    assert padded["input_ids"].numpy().tolist() == [[5], [5]]
    assert padded["attention_mask"].numpy().tolist() == [[0], [0]]


def test_bucket_lengths_end_at_the_longest_input():
    assert bucket_lengths(40, (16, 32, 64)) == (16, 32, 40)
    assert bucket_lengths(64, (16, 32, 64)) == (16, 32, 64)
    assert bucket_lengths(200, (16, 32, 64)) == (16, 32, 64, 96, 144, 200)
    assert bucket_lengths(5) == (5,)


@pytest.mark.parametrize("size", [0, -1, 1.5])
def test_a_batch_size_that_is_none_is_refused(size):
    with pytest.raises(InputError, match="batch_size"):
        batching(batch_size=size)


def test_records_of_files_give_the_batches_of_columns_in_memory(tmp_path, shuffled):
    (tmp_path / "a.txt").write_text("\n".join(TEXTS[:20]))
    (tmp_path / "b.txt").write_text("\n".join(TEXTS[20:]))
    records = Records(tmp_path / "*.txt", columns=["text"])
    data = epochs(records, batching(), rest=(np.arange(50),), seed=3, first_step=7)
    assert rows(data.take(20)) == shuffled[7:27]
    inputs, numbers = next(iter(data))
    texts = [TEXTS[number] for number in numbers.numpy()]
    assert inputs["attention_mask"].numpy().sum() == sum(map(len, texts))


def test_columns_of_records_come_along_as_labels(tmp_path):
    lines = [f'{{"text": "{text}", "label": "of {len(text)}"}}' for text in TEXTS]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    records = Records(tmp_path / "a.jsonl", columns=["text", "label"])
    rest = ("label", np.arange(50))
    for inputs, labels, numbers in epochs(records, batching(), rest=rest).take(13):
        lengths = inputs["attention_mask"].numpy().sum(1)
        said = [f"of {length}".encode() for length in lengths]
        assert labels.numpy().tolist() == said
        assert lengths.tolist() == [len(TEXTS[number]) for number in numbers.numpy()]
    with pytest.raises(InputError, match="rest='verdict': expected"):
        epochs(records, batching(), rest=("verdict",))
    with pytest.raises(InputError, match="rest='label': expected"):
        epochs(columns(), batching(), rest=("label",))


def test_targets_have_lengths_of_their_own_and_are_ordered_by_them():
    targets = ["y" * (5 * i % 13 + 1) for i in range(50)]

    def both(columns):
        rows = encode({"text": columns["text"]})
        return {**rows, "labels": encode({"text": columns["target"]})["input_ids"]}

    changes = {"fill": {"input_ids": 99, "token_type_ids": 0, "labels": -100}}
    given = replace(batching(**{"group": 100}), encode=both, **changes)
    given = replace(given, others={"labels": (2, 6, 13)})
    given_columns = {**columns(), "target": tf.constant(targets)}
    found = []
    for inputs, row in epoch(given_columns, given, rest=[tf.range(50)]):
        labels = inputs["labels"].numpy()
        assert inputs["input_ids"].shape[1] in LENGTHS
        assert labels.shape[1] in (2, 6, 13)
        lengths = [len(targets[i]) for i in row.numpy()]
        np.testing.assert_array_equal((labels != -100).sum(-1), lengths)
        assert max(lengths) <= labels.shape[1]
        width = inputs["input_ids"].shape[1]
        found += [(width, length) for length in lengths]
        assert inputs["attention_mask"].shape == inputs["input_ids"].shape
    assert len(found) == 50
    wide = [length for width, length in found if width == 32]
    assert wide[4:] == sorted(wide[4:])  # the first batch has shorter sources too
