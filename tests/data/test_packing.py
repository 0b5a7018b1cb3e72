"""Packing: every token in one place, rows nearly full, the same for the same step."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.data.encoded import EncodedTexts
from zoo.data.packing import METHODS, pack, packed_batches, packed_rows
from zoo.errors import InputError


def texts_of(lengths):
    """Texts whose ids are all different, from 1 on."""
    ends = np.cumsum(lengths)
    return EncodedTexts(np.arange(1, ends[-1] + 1, dtype=np.int32), ends)


def documents_of(batch):
    """The documents of each row, as lists of ids."""
    found = []
    for ids, numbers in zip(batch["input_ids"], batch["document_ids"], strict=True):
        present = numbers[numbers > 0]
        assert np.array_equal(present, np.sort(present))  # then padding
        assert not numbers[len(present) :].any()
        some = range(1, numbers.max() + 1)
        found.append([ids[numbers == number].tolist() for number in some])
        assert all(found[-1])
    return found


def flat(lists):
    return [x for each in lists for x in each]


def every_row(lengths, size, method):
    texts, packing = texts_of(lengths), pack(lengths, size, method=method)
    return packing, documents_of(packed_rows(texts, packing, range(packing.rows)))


@settings(max_examples=150, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 12), min_size=1, max_size=30),
    size=st.integers(1, 9),
    method=st.sampled_from(METHODS),
)
def test_every_token_stands_in_one_place_and_in_its_order(lengths, size, method):
    if not sum(lengths):
        lengths[0] = 1
    packing, rows = every_row(lengths, size, method)
    documents = [document for row in rows for document in row]
    assert sorted(flat(documents)) == list(range(1, sum(lengths) + 1))
    for document in documents:
        assert document == list(range(document[0], document[0] + len(document)))
    assert packing.padding == pytest.approx(1 - sum(lengths) / (len(rows) * size))
    owner = np.repeat(np.arange(len(lengths)), lengths)
    for document in documents:  # of one text
        assert len({owner[token - 1] for token in document}) == 1
    if method != "cut":  # what fits into a row is whole
        wanted = sum(-(-length // size) for length in lengths)
        assert len(documents) == wanted
    if method in ("cut", "in_order"):
        assert flat(documents) == sorted(flat(documents))


def test_rows_spelled_out():
    lengths = [3, 4, 2, 0, 7, 1]
    assert every_row(lengths, 5, "in_order")[1] == [
        [[1, 2, 3]],
        [[4, 5, 6, 7]],
        [[8, 9]],
        [[10, 11, 12, 13, 14]],
        [[15, 16], [17]],
    ]
    assert every_row(lengths, 5, "best_fit")[1] == [
        [[10, 11, 12, 13, 14]],
        [[4, 5, 6, 7], [17]],
        [[1, 2, 3], [8, 9]],
        [[15, 16]],
    ]
    assert every_row(lengths, 5, "cut")[1] == [
        [[1, 2, 3], [4, 5]],
        [[6, 7], [8, 9], [10]],
        [[11, 12, 13, 14, 15]],
        [[16], [17]],
    ]


def test_best_fit_pads_less_than_order_and_cutting_least():
    lengths = np.random.default_rng(0).lognormal(4.5, 0.8, 3000).astype(int) + 1
    share = {method: pack(lengths, 512, method=method) for method in METHODS}
    assert share["cut"].padding < 0.002
    assert share["best_fit"].padding < 0.002  # 0.1 %: one row in a thousand
    assert 0.08 < share["in_order"].padding < 0.25
    assert share["best_fit"].cut == share["in_order"].cut == (lengths > 512).sum()
    assert share["cut"].cut > 500
    assert "rows of 512: 0." in share["best_fit"].report()


def test_batches_are_a_function_of_seed_and_step():
    lengths = [3, 4, 2, 5, 7, 1, 6, 2]
    texts, packing = texts_of(lengths), pack(lengths, 7)
    options = {"batch_size": 2, "seed": 5, "pad": 99}

    def batches(count, **changes):
        data = packed_batches(texts, packing, **{**options, **changes})
        return [documents_of(batch) for batch in data.take(count).as_numpy_iterator()]

    steps = packing.steps(2)
    first = batches(2 * steps)
    for one_pass in (first[:steps], first[steps:]):
        tokens = flat(flat(flat(one_pass)))
        assert sorted(tokens) == list(range(1, sum(lengths) + 1))
    assert first[:steps] != first[steps:]
    assert batches(3, first_step=steps - 1) == first[steps - 1 : steps + 2]
    assert batches(steps, seed=6) != first[:steps]
    plain = batches(steps, shuffle=False)
    assert plain == batches(2 * steps, shuffle=False)[steps:]
    shards = [batches(steps, shard=(i, 2)) for i in range(2)]
    for whole, one, other in zip(first[:steps], *shards, strict=True):
        assert whole == [one[0], other[0]]
    assert first[steps - 1][1] == []  # a row of padding
    for wrong in ({"batch_size": 3, "shard": (0, 2)}, {"batch_size": 0}):
        with pytest.raises(InputError, match="can share evenly"):
            batches(1, **wrong)
    with pytest.raises(InputError, match="shard="):
        batches(1, shard=(1, 1))


def test_padding_holds_what_was_asked_for():
    texts, packing = texts_of([2]), pack([2], 4)
    batch = packed_rows(texts, packing, [0], pad=9)
    assert batch["input_ids"].tolist() == [[1, 2, 9, 9]]
    assert batch["document_ids"].tolist() == [[1, 1, 0, 0]]


def test_what_cannot_be_packed_is_refused():
    with pytest.raises(InputError, match="method='fast'"):
        pack([1], 4, method="fast")
    with pytest.raises(InputError, match="length=0"):
        pack([1], 0)
    for lengths in ([], [0, 0]):
        with pytest.raises(InputError, match="no token"):
            pack(lengths, 4)
