"""The n-gram model: equal to NLTK's, sums to one, documents apart."""

import numpy as np
import pytest

from applications.ngrams import NGrams


def rows_of(tokens):
    ids = np.array(tokens)[None]
    return ids, np.ones_like(ids)


def test_it_is_what_nltk_computes():
    lm = pytest.importorskip("nltk.lm")
    from nltk.util import everygrams

    draw = np.random.default_rng(0)
    tokens = draw.choice(4, 60, p=[0.4, 0.3, 0.2, 0.1])
    tokens = np.append(tokens, tokens[:4])  # so that nothing stands at its head alone
    words = [str(token) for token in tokens]
    reference = lm.KneserNeyInterpolated(3, discount=0.4)
    reference.fit([list(everygrams(words, max_len=3))], words)
    model = NGrams(*rows_of(tokens), 4, order=3, discount=0.4)
    asked = draw.integers(0, 4, 12)
    found = np.exp(-model.losses(*rows_of(asked)))[0]
    for i, token in enumerate(asked):
        context = tuple(map(str, asked[max(0, i - 2) : i]))
        wanted = reference.score(str(token), context)
        assert found[i] == pytest.approx(wanted, rel=1e-9), (context, token)


@pytest.mark.parametrize("order", [1, 2, 5])
def test_probabilities_after_any_context_sum_to_one(order):
    draw = np.random.default_rng(1)
    ids = draw.integers(0, 7, (6, 40))
    documents = np.sort(draw.integers(0, 4, (6, 40)), 1)
    model = NGrams(ids, documents, 9, order=order)  # of 9 tokens, 7 were seen
    for context in ([], [0], [1, 2, 3, 4], [8, 8], list(ids[0, 30:34])):
        rows = np.array([[*context, last] for last in range(9)])
        found = np.exp(-model.losses(rows, np.ones_like(rows)))[:, -1]
        assert found.sum() == pytest.approx(1) and (found > 0).all()
        assert model.following(context) == pytest.approx(found)


def test_a_context_does_not_reach_beyond_its_document():
    draw = np.random.default_rng(2)
    ids = draw.integers(0, 5, (3, 50))
    model = NGrams(ids, np.ones_like(ids), 5)
    row = np.array([[1, 2, 3, 4, 0, 0]])
    together = model.losses(row, np.array([[1, 1, 2, 2, 0, 0]]))[0]
    apart = [model.losses(row[:, a:b], np.ones((1, 2)))[0] for a, b in ((0, 2), (2, 4))]
    assert together == pytest.approx([*apart[0], *apart[1], 0, 0])


def test_it_knows_what_it_has_read():
    cycle = np.tile(np.arange(6), 30)
    model = NGrams(*rows_of(cycle), 6)
    assert model.losses(*rows_of(cycle))[0, 5:].mean() < 0.05
    assert model.size == 6 * 5


def test_one_token_is_enough():
    model = NGrams(*rows_of([3]), 5)
    assert np.isfinite(model.losses(*rows_of([3, 1]))).all()
