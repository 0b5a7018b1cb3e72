"""What is drawn from, by hand, and whether draws have the probabilities they should."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tests.generation.states import MODES, random_logits, run
from zoo.generation import sampling

NEVER = -np.inf
# Probabilities 0.5, 0.25, 0.125, 0.1, 0.025.
FIVE = np.log([[0.25, 0.5, 0.025, 0.125, 0.1]])


def kept(process, logits):
    return [np.flatnonzero(row > NEVER).tolist() for row in run(process, logits)]


def test_temperature_divides():
    np.testing.assert_allclose(run(sampling.temperature(0.5), FIVE), 2 * FIVE)


def test_top_k_keeps_the_k_largest_and_their_equals():
    assert kept(sampling.top_k(2), FIVE) == [[0, 1]]
    assert kept(sampling.top_k(1, keep=3), FIVE) == [[0, 1, 3]]
    assert kept(sampling.top_k(9), FIVE) == [[0, 1, 2, 3, 4]]
    assert kept(sampling.top_k(2), [[1.0, 2, 1, 0]]) == [[0, 1, 2]]


@pytest.mark.parametrize("among", [None, 5, 9])
def test_top_p_keeps_the_fewest_that_have_the_mass(among):
    def keeps(mass, **options):
        return kept(sampling.top_p(mass, among=among, **options), FIVE)[0]

    assert keeps(0.0) == [1]
    assert keeps(0.49) == [1]
    assert keeps(0.51) == [0, 1]
    assert keeps(0.8) == [0, 1, 3]
    assert keeps(0.9999) == [0, 1, 2, 3, 4]
    assert keeps(1.0) == [0, 1, 2, 3, 4]
    assert keeps(0.1, keep=3) == [0, 1, 3]


def test_top_p_takes_the_last_of_equals():
    assert kept(sampling.top_p(0.41), np.zeros((1, 5))) == [[2, 3, 4]]
    assert kept(sampling.top_p(0.0), np.zeros((1, 5))) == [[4]]
    row = np.log([[0.1, 0.6, 0.1, 0.1, 0.1]])
    assert kept(sampling.top_p(0.75), row) == [[1, 3, 4]]
    # Where top-k let equals through, they count though only k are searched.
    assert kept(sampling.top_p(0.75, among=2), row) == [[1, 3, 4]]
    assert kept(sampling.top_p(0.95, among=2), row) == [[0, 1, 2, 3, 4]]


def test_min_p_is_relative_to_the_best():
    assert kept(sampling.min_p(0.45), FIVE) == [[0, 1]]
    assert kept(sampling.min_p(1.0), FIVE) == [[1]]
    assert kept(sampling.min_p(0.0), FIVE) == [[0, 1, 2, 3, 4]]
    assert kept(sampling.min_p(1.0, keep=2), FIVE) == [[0, 1]]


@pytest.mark.parametrize("among", [None, 5])
def test_typical_tokens_are_near_the_entropy(among):
    # Entropy 1.30 nats; informations 1.39, 0.69, 3.69, 2.08, 2.30: in the order of
    # their distance from it, the tokens are 0, 1, 3, 4, 2.
    def keeps(mass, **options):
        return kept(sampling.typical_p(mass, among=among, **options), FIVE)[0]

    assert keeps(0.2) == [0]
    assert keeps(0.26) == [0, 1]
    assert keeps(0.8) == [0, 1, 3]
    assert keeps(0.2, keep=3) == [0, 1, 3]
    assert keeps(1.0) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "process",
    [
        sampling.top_k(2),
        sampling.top_p(0.5),
        sampling.min_p(0.5),
        sampling.typical_p(0.5),
        sampling.typical_p(0.5, among=2),
    ],
)
def test_what_is_forbidden_stays_forbidden(process):
    nothing = np.full((1, 4), NEVER)
    np.testing.assert_array_equal(run(process, nothing), nothing)
    only = np.array([[NEVER, NEVER, 1, NEVER]])
    np.testing.assert_array_equal(run(process, only), only)


def test_threefry_is_threefry():
    # Known answers of the Random123 library, Salmon et al. 2011.
    ones = 0xFFFFFFFF
    for key, counter, expected in (
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((ones, ones), (ones, ones), (0x1CB996FC, 0xBB002BE7)),
        (
            (0x13198A2E, 0x03707344),
            (0x243F6A88, 0x85A308D3),
            (0xC4923A9C, 0x483DF7A0),
        ),
    ):
        found = sampling.threefry(key, counter)
        assert tuple(int(word) for word in found) == expected


def draws(logits, count, *, seed=3):
    """`count` draws from one row of logits: rows of a batch, over a number of steps."""
    rows = 2000
    logits = tf.repeat(tf.constant(logits, tf.float32), rows, axis=0)
    draw = tf.function(lambda step: sampling.draw(logits, seed, step=step))
    return np.concatenate([draw(tf.constant(i)) for i in range(count // rows)])


@pytest.mark.parametrize("size", [5, 256, 700])
def test_draws_have_the_probabilities_of_the_logits(size):
    rng = np.random.default_rng(size)
    logits = random_logits(rng, 1, size, spread=1.0)
    probabilities = np.exp(logits[0].astype(np.float64))
    probabilities /= probabilities.sum()
    found = np.bincount(draws(logits, 100_000), minlength=size)
    assert found.sum() == 100_000
    assert stats.chisquare(found, 100_000 * probabilities).pvalue > 0.001


def test_draws_after_filters_have_the_filtered_probabilities():
    logits = random_logits(np.random.default_rng(5), 1, 40, spread=0.5)
    for process in (
        sampling.temperature(0.6),
        sampling.top_k(10),
        sampling.top_p(0.9),
        sampling.min_p(0.1),
        sampling.typical_p(0.8),
    ):
        logits = run(process, logits)
    left = logits[0] > NEVER
    assert 3 < left.sum() < 10
    p = np.exp(logits[0, left].astype(np.float64))
    found = np.bincount(draws(logits, 100_000), minlength=40)
    assert found[~left].sum() == 0
    assert stats.chisquare(found[left], 100_000 * p / p.sum()).pvalue > 0.001


def test_neighbouring_rows_steps_and_seeds_are_independent():
    size, rows, steps = 4, 200, 250
    logits = tf.zeros([rows, size])
    draw = tf.function(lambda seed, step: sampling.draw(logits, seed, step=step))

    def table(seed):
        return np.stack(
            [draw(tf.constant(seed, tf.int64), tf.constant(i)) for i in range(steps)]
        )

    one, two = table(0), table(1)
    pairs = [(one[1:], one[:-1]), (one[:, 1:], one[:, :-1]), (one, two)]
    for first, second in pairs:
        counts = np.bincount((first * size + second).ravel(), minlength=size**2)
        assert stats.chisquare(counts).pvalue > 0.001


def test_a_filtered_token_is_never_drawn():
    logits = np.full((1, 600), NEVER)
    logits[0, [0, 255, 256, 599]] = 0
    assert set(draws(logits, 4000)) == {0, 255, 256, 599}
    alone = np.full((1, 600), NEVER)
    alone[0, 511] = -50
    assert set(draws(alone, 2000)) == {511}
    assert set(draws(np.full((1, 600), NEVER), 2000)) == {0}


def test_a_draw_depends_on_seed_row_and_step_alone():
    rng = np.random.default_rng(0)
    logits = random_logits(rng, 8, 300)
    whole = sampling.draw(logits, 5, step=2).numpy()
    some = [6, 1]
    part = sampling.draw(logits[some], 5, step=2, rows=tf.constant(some)).numpy()
    np.testing.assert_array_equal(part, whole[some])
    same = np.repeat(logits[:1], 64, axis=0)
    assert len(set(sampling.draw(same, 5, step=2).numpy())) > 8
    assert (
        (sampling.draw(same, 5, step=3) != sampling.draw(same, 5, step=2)).numpy().any()
    )
    high = sampling.draw(same, 5 + 2**32, step=2)  # the upper half of a seed counts
    assert (high != sampling.draw(same, 5, step=2)).numpy().any()


def test_draws_are_the_same_in_every_mode():
    rng = np.random.default_rng(1)
    logits = random_logits(rng, 64, 1000)

    def one(logits, step):
        return sampling.draw(logits, 2**40 + 7, step=step)

    def several(logits, step):
        return sampling.draw_several(logits, 3, -1, step=step)

    for function in (one, several):
        for step in range(3):
            given = tf.constant(logits), tf.constant(step)
            eager = function(*given)
            for jit in (False, True):
                found = tf.function(function, jit_compile=jit)(*given)
                np.testing.assert_array_equal(eager, found)


def test_several_draws_are_draws_without_replacement():
    p = np.array([0.5, 0.3, 0.2])
    logits = tf.repeat(tf.constant(np.log(p)[None], tf.float32), 20_000, axis=0)
    found = sampling.draw_several(logits, 2, 11, step=0).numpy()
    assert (found[:, 0] != found[:, 1]).all()
    counts, expected = [], []
    for first in range(3):
        for second in {0, 1, 2} - {first}:
            counts.append(((found == (first, second)).all(-1)).sum())
            expected.append(20_000 * p[first] * p[second] / (1 - p[first]))
    assert stats.chisquare(counts, expected).pvalue > 0.001


def test_uniform_numbers_are_below_one():
    numbers = sampling.uniform(0, step=0, rows=tf.range(100_000)).numpy()
    assert numbers.dtype == np.float64 and numbers.min() >= 0 and numbers.max() < 1
    assert stats.kstest(numbers, "uniform").pvalue > 0.001


def test_a_fresh_seed_follows_the_global_one(seed):
    import keras

    one = sampling.fresh_seed()
    assert one != sampling.fresh_seed()
    keras.utils.set_random_seed(seed)
    assert sampling.fresh_seed() == one


@pytest.mark.parametrize(
    "process",
    [
        sampling.top_k(7),
        sampling.top_p(0.8),
        sampling.top_p(0.8, among=30),
        sampling.typical_p(0.8, keep=2),
    ],
)
def test_filters_keep_the_same_in_every_mode(process):
    logits = random_logits(np.random.default_rng(2), 8, 400)
    eager, *others = (run(process, logits, mode=mode) for mode in MODES)
    for other in others:
        np.testing.assert_array_equal(eager, other)
