"""Beam search finds what plain loops over the same log-probabilities find."""

import itertools
import time

import numpy as np
import pytest
import tensorflow as tf

from tests.generation.tables import TableModel, prompts
from zoo.errors import ConfigError
from zoo.generation.config import GenerationConfig
from zoo.generation.generator import STRATEGIES
from zoo.generation.loop import Loop, Request

NEVER = -np.inf


def search(log_probs, *, beams, ends, limit, penalty=1.0, early=False, first=None):
    """Beam search for one prompt, in plain Python: (score, ids), best first.

    Args:
        log_probs: ids written so far -> log-probabilities of the next token.
        first: How many candidates may end; None: as many as there are beams.
    """
    opened, ended = [(0.0, [])], []
    looked_at = beams * max(2, 1 + len(ends))
    for length in range(1, limit + 1):
        candidates = [
            (total + logprob, [*ids, token])
            for total, ids in opened
            for token, logprob in enumerate(log_probs(ids))
            if total + logprob > NEVER
        ]
        candidates = sorted(candidates, key=lambda each: -each[0])[:looked_at]
        stops = [ids[-1] in ends or length == limit for _, ids in candidates]
        some = list(zip(candidates, stops, strict=True))
        ended += [
            (total / length**penalty, ids)
            for (total, ids), stop in some[: first or beams]
            if stop
        ]
        ended = sorted(ended, key=lambda each: -each[0])[:beams]
        opened = [each for each, stop in some if not stop][:beams]
        if not opened:
            break
        if len(ended) == beams:
            best = limit if early == "never" and penalty > 0 else length
            if early is True or opened[0][0] / best**penalty <= ended[-1][0]:
                break
    return ended


def expected(model, row, **options):
    return search(lambda ids: model.log_probs([*row, *ids]), **options)


def agree(found, wanted):
    """Sequences equal (score, ids) pairs."""
    assert [each.ids for each in found] == [ids for _, ids in wanted]
    scores = [score for score, _ in wanted]
    np.testing.assert_allclose([each.score for each in found], scores, rtol=1e-5)


def config(**options):
    return GenerationConfig(**{"eos_token_id": 2, "pad_token_id": 0, **options})


@pytest.mark.parametrize("penalty", [-1.0, 0.0, 1.0, 2.0])
def test_as_many_beams_as_tokens_find_the_best_of_all_short_sequences(penalty):
    model = TableModel(6)
    rows = prompts(np.random.default_rng(0), 20, 6)
    found = model.generator()(
        rows,
        config(
            num_beams=6,
            num_return_sequences=6,
            max_new_tokens=2,
            length_penalty=penalty,
            early_stopping="never",
        ),
    )
    for row, group in zip(rows, found, strict=True):
        every = [[2], *map(list, itertools.product([0, 1, 3, 4, 5], range(6)))]
        ranked = []
        for ids in every:
            steps = [model.log_probs([*row, *ids[:i]])[ids[i]] for i in range(len(ids))]
            ranked.append((sum(steps) / len(ids) ** penalty, ids))
        agree(group, sorted(ranked, reverse=True)[:6])


@pytest.mark.parametrize("ends", [(2,), (2, 5), ()], ids=["one", "two", "none"])
@pytest.mark.parametrize("early", [False, True, "never"])
def test_hypotheses_and_scores_are_those_of_a_plain_search(early, ends):
    model = TableModel(9, seed=1, favoured=dict.fromkeys(ends, 1.0))
    generator = model.generator()
    rows = prompts(np.random.default_rng(1), 30, 9)
    lengths = set()
    for penalty in (-1.0, 0.0, 0.7, 2.0):
        found = generator(
            rows,
            config(
                eos_token_id=ends or None,
                num_beams=3,
                num_return_sequences=3,
                max_new_tokens=7,
                length_penalty=penalty,
                early_stopping=early,
            ),
        )
        for row, group in zip(rows, found, strict=True):
            wanted = expected(
                model, row, beams=3, ends=ends, limit=7, penalty=penalty, early=early
            )
            agree(group, wanted)
            lengths.update(len(each.ids) for each in group)
    assert len(lengths) == 7 if ends else lengths == {7}
    assert len(generator.programs) == 1


def test_a_prompt_finds_the_same_alone_and_among_others():
    model = TableModel(9, seed=2, favoured={2: 0.5})
    options = config(num_beams=4, num_return_sequences=2, max_new_tokens=12)
    generator = model.generator()
    rows = prompts(np.random.default_rng(2), 12, 9)
    together = generator(rows, options)
    lengths = [len(group[0].ids) for group in together]
    assert min(lengths) < 3 and max(lengths) > 5  # some end long before others
    for row, group in zip(rows, together, strict=True):
        alone = generator([row], options)[0]
        agree(alone, [(each.score, each.ids) for each in group])


def test_every_prompt_has_its_own_limit_of_length():
    model = TableModel(9, seed=3)
    rows = [[1], [1, 3, 4, 5], [4] * 7, [5] * 8, [6] * 9]
    found = model.generator()(
        rows, config(num_beams=2, num_return_sequences=2, max_length=8)
    )
    for row, group in zip(rows[:3], found, strict=False):
        agree(group, expected(model, row, beams=2, ends=(2,), limit=8 - len(row)))
    assert all(each.ids == [] for group in found[3:] for each in group)


def test_a_first_token_may_end_a_sequence():
    model = TableModel(7, favoured={2: 20.0})
    (found,) = model.generator()([[3, 4]], config(num_beams=3, max_new_tokens=5))
    assert found[0].ids == [2] and found[0].finish_reason == "stop"


def test_one_token_is_written_for_each_beam_at_least():
    model = TableModel(7, seed=4)
    options = config(num_beams=3, num_return_sequences=3, max_new_tokens=1)
    rows = [[3], [4]]
    for row, group in zip(rows, model.generator()(rows, options), strict=True):
        best = np.argsort(-model.log_probs(row))[:3]
        assert [each.ids for each in group] == [[token] for token in best]
        np.testing.assert_allclose(
            [each.score for each in group], model.log_probs(row)[best], rtol=1e-5
        )


def test_many_tokens_may_end_a_sequence():
    """A checkpoint may name them all: the graph is no larger for that."""
    model = TableModel(4000)
    ends = tuple(range(1, 4000))
    started = time.process_time()
    options = {"num_beams": 2, "max_new_tokens": 3, "pad_token_id": 0}
    (found,) = model.generator()([[3, 4]], config(eos_token_id=ends, **options))
    assert found[0].finish_reason == "stop" and len(found[0].ids) == 1
    assert time.process_time() - started < 3


def test_padding_may_be_the_token_that_ends():
    model = TableModel(9, seed=5, favoured={2: 1.0})
    rows = prompts(np.random.default_rng(5), 8, 9)
    options = {"num_beams": 3, "max_new_tokens": 6}
    generator = model.generator()
    one = generator(rows, config(**options))
    other = generator(rows, config(**options, pad_token_id=2))
    assert [group[0].ids for group in one] == [group[0].ids for group in other]


def test_fewer_continuations_than_beams_leave_hypotheses_empty():
    model = TableModel(5, seed=6)
    options = config(
        num_beams=4,
        num_return_sequences=4,
        max_new_tokens=1,
        suppress_tokens=(0, 1, 2),
    )
    (found,) = model.generator()([[3]], options)
    assert sorted(each.ids for each in found) == [[], [], [3], [4]]
    assert [each.score for each in found[2:]] == [-np.inf, -np.inf]


def test_processors_see_beams_as_rows_and_change_their_scores():
    model = TableModel(8, seed=7, favoured={2: 2.0})
    rows = prompts(np.random.default_rng(7), 6, 8)
    allowed = [[2, 3, 4, 5], [2, 3, 6, 7]]

    def function(number, ids):
        assert ids[: len(rows[number])].tolist() == rows[number]
        return allowed[(number + len(ids)) % 2]

    options = {"num_beams": 3, "num_return_sequences": 3, "max_new_tokens": 5}
    found = model.generator()(
        rows, config(**options, min_new_tokens=3, prefix_allowed_tokens_fn=function)
    )
    for number, (row, group) in enumerate(zip(rows, found, strict=True)):

        def log_probs(ids, row=row, number=number):
            found = np.full(8, NEVER)
            some = function(number, np.array([*row, *ids]))
            found[some] = model.log_probs([*row, *ids])[some]
            if len(ids) < 3:
                found[2] = NEVER
            return found

        agree(group, search(log_probs, beams=3, ends=(2,), limit=5))


def test_log_probabilities_of_tokens_add_up_to_scores():
    model = TableModel(9, seed=8, favoured={2: 1.0})
    rows = prompts(np.random.default_rng(8), 5, 9)
    options = {"num_beams": 3, "num_return_sequences": 2, "max_new_tokens": 6}
    found = model.generator()(rows, config(**options, output_logprobs=True))
    for row, group in zip(rows, found, strict=True):
        for each in group:
            wanted = [
                model.log_probs([*row, *each.ids[:i]])[each.ids[i]]
                for i in range(len(each.ids))
            ]
            np.testing.assert_allclose(each.logprobs, wanted, atol=1e-5)
            np.testing.assert_allclose(each.score, np.mean(wanted), atol=1e-5)


OPTIONS = {
    "beam": {"num_beams": 3},
    "beam_sample": {"num_beams": 3, "do_sample": True, "seed": 7, "top_k": 5},
    "diverse_beam": {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.7},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_xla_graph_and_eager_mode_find_the_same(name):
    model = TableModel(9, seed=9, favoured={2: 1.0})
    rows = prompts(np.random.default_rng(9), 6, 9)
    options = config(**OPTIONS[name], num_return_sequences=2, max_new_tokens=6)
    assert options.strategy == name
    found = [model.generator(jit)(rows, options) for jit in (True, False)]
    tf.config.run_functions_eagerly(True)
    try:
        found.append(model.generator()(rows, options))
    finally:
        tf.config.run_functions_eagerly(False)
    for one, *others in zip(*found, strict=True):
        for other in others:
            agree(one, [(each.score, each.ids) for each in other])


@pytest.mark.parametrize("name", OPTIONS)
def test_one_graph_serves_batches_of_any_size(name):
    model = TableModel(9, seed=13, favoured={2: 1.0})
    options = config(**OPTIONS[name], num_return_sequences=2, max_new_tokens=6)
    strategy = STRATEGIES[name](options, vocab_size=9)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 4], tf.int32),
            tf.TensorSpec([None], tf.int64),
        ]
    )
    def served(ids, seed):
        none = tf.zeros_like(ids[:, 0])
        request = Request({"input_ids": ids}, ids, none, none + 6, seed, {})
        loop = Loop(model, strategy, length=10)
        begun = loop.begin(request._replace(inputs={"input_ids": ids, "padding": none}))
        return strategy.written(request, loop.go(request, begun, 6))

    rows = np.random.default_rng(13).integers(0, 9, (5, 4)).tolist()
    generator = model.generator()
    alone = [ids for row in rows for ids in generator([row], options)[0]]
    for count in (5, 2):
        found = served(
            tf.constant(rows[:count]), tf.fill([count], tf.constant(7, "int64"))
        )
        assert found.to_list() == [each.ids for each in alone[: 2 * count]]


def test_sampled_beams_follow_the_probabilities():
    # Of 2 k = 4 tokens that are drawn in turn, the first k = 2 are hypotheses.
    model = TableModel(5, seed=10, spread=1.0)
    options = config(
        num_beams=2,
        num_return_sequences=2,
        max_new_tokens=1,
        do_sample=True,
        top_k=0,
        seed=3,
    )
    count = 4000
    found = model.generator()([[4]] * count, options)
    p = np.exp(model.log_probs([4]))
    wanted = [
        p[i] + sum(p[j] * p[i] / (1 - p[j]) for j in range(5) if j != i)
        for i in range(5)
    ]
    drawn = np.bincount([each.ids[0] for group in found for each in group], minlength=5)
    # Four standard deviations of a share of 4000 draws.
    np.testing.assert_allclose(drawn / count, wanted, atol=4 * 0.5 / count**0.5)
    assert all(group[0].score >= group[1].score for group in found)


def test_sampled_beams_are_a_function_of_the_seed():
    model = TableModel(9, seed=11, spread=0.5)
    generator = model.generator()
    options = {"num_beams": 2, "do_sample": True, "max_new_tokens": 8}
    rows = prompts(np.random.default_rng(11), 9, 9)
    one, same, other = (
        [group[0].ids for group in generator(rows, config(**options, seed=seed))]
        for seed in (1, 1, 2)
    )
    assert one == same != other


def test_groups_of_beams_avoid_what_earlier_ones_chose():
    model = TableModel(9, seed=12)
    options = config(
        num_beams=3,
        num_beam_groups=3,
        diversity_penalty=100.0,
        num_return_sequences=3,
        max_new_tokens=4,
        eos_token_id=None,
    )
    (found,) = model.generator()([[3, 1]], options)
    for tokens in zip(*(each.ids for each in found), strict=True):
        assert len(set(tokens)) == 3
    # The first group is free.
    assert greedy(model, [3, 1], 4) in [each.ids for each in found]


def greedy(model, row, count):
    ids = []
    for _ in range(count):
        ids.append(int(np.argmax(model.log_probs([*row, *ids]))))
    return ids


def test_streams_do_not_go_with_beams():
    generator = TableModel(9).generator()
    with pytest.raises(ConfigError, match="stream=True and num_beams=2"):
        next(generator.stream([3], config(num_beams=2)))
