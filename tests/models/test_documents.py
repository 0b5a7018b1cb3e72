"""Documents packed into one row: each comes out as if it were alone."""

import numpy as np
import pytest

from tests.models.conftest import inputs_for, make, random_ids
from zoo.errors import InputError

# Other lengths give other kernels, and with them other roundings.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
LENGTHS = (3, 1, 5, 2)


def packed():
    """One row of four documents and three tokens of padding, and one of a single one.

    Returns:
        Ids and document numbers, `[2, 14]` each.
    """
    ids = random_ids(2, 14)
    numbers = np.repeat([1, 2, 3, 4, 0], [*LENGTHS, 3])
    return ids, np.stack([numbers, [1] * 14]).astype(np.int32)


def with_documents(model, ids, documents):
    inputs = {**inputs_for(model, ids), "document_ids": documents}
    if model.assembly == "encoder_decoder":
        inputs["decoder_document_ids"] = documents
    return inputs


def test_packed_documents_equal_documents_alone(model):
    ids, documents = packed()
    found = model(with_documents(model, ids, documents)).numpy()
    assert np.isfinite(found).all()
    start = 0
    for length in LENGTHS:
        part = slice(start, start + length)
        alone = model(inputs_for(model, ids[:1, part])).numpy()
        np.testing.assert_allclose(found[:1, part], alone, **CLOSE)
        start += length
    whole = model(inputs_for(model, ids[1:])).numpy()
    np.testing.assert_allclose(found[1:], whole, **CLOSE)


def test_what_stands_in_another_document_or_in_padding_has_no_influence(model):
    ids, documents = packed()
    one = model(with_documents(model, ids, documents)).numpy()
    other = ids.copy()
    other[0, :4] = other[0, :4] % 28 + 1
    other[0, 11:] = other[0, 11:] % 28 + 1
    two = model(with_documents(model, other, documents)).numpy()
    np.testing.assert_array_equal(one[0, 4:11], two[0, 4:11])
    assert np.abs(one[0, :4] - two[0, :4]).max() > 1e-3


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_positions_that_are_given_are_kept(kind):
    model = make(kind)
    ids, documents = packed()
    inputs = with_documents(model, ids, documents)
    restarting = np.concatenate([np.arange(n) for n in (*LENGTHS, 3)])
    given = np.stack([restarting, np.arange(14)]).astype(np.int32)
    np.testing.assert_array_equal(
        model({**inputs, "position_ids": given}), model(inputs)
    )


def test_the_pairs_of_an_encoder_decoder_may_have_other_lengths_on_each_side():
    model = make("t5")
    ids, decoder_ids = random_ids(1, 8), random_ids(1, 6, seed=3)
    inputs = inputs_for(model, ids, decoder_ids=decoder_ids)
    inputs["document_ids"] = np.array([[1, 1, 1, 2, 2, 2, 2, 0]])
    inputs["decoder_document_ids"] = np.array([[1, 1, 2, 2, 2, 0]])
    found = model(inputs).numpy()
    for here, there in ((slice(0, 3), slice(0, 2)), (slice(3, 7), slice(2, 5))):
        alone = inputs_for(model, ids[:, here], decoder_ids=decoder_ids[:, there])
        np.testing.assert_allclose(found[:, there], model(alone).numpy(), **CLOSE)
    del inputs["decoder_document_ids"]
    with pytest.raises(InputError, match="need both"):
        model(inputs)
