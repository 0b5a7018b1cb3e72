"""Penalties and prohibitions against their definitions, spelled out by hand."""

import numpy as np
import pytest
import tensorflow as tf

from tests.generation.states import MODES, random_logits, run, state_of
from zoo.errors import ConfigError, InputError
from zoo.generation import processors
from zoo.generation.config import GenerationConfig
from zoo.generation.state import State

NEVER = -np.inf


def forbidden(process, state, size=6):
    """Ids that a processor forbids, for every row."""
    found = run(process, np.zeros((state.tokens.shape[0], size)), state)
    assert set(np.unique(found)) <= {NEVER, 0.0}
    return [sorted(np.flatnonzero(row == NEVER).tolist()) for row in found]


def test_repetition_divides_what_is_positive_and_multiplies_what_is_negative():
    state = state_of([[1, 2, 2], [3]], prompt=1)
    found = run(
        processors.repetition_penalty(2.0), [[4, 4, -4, 0], [4, 4, 4, -4]], state
    )
    np.testing.assert_array_equal(found, [[4, 2, -8, 0], [4, 4, 4, -8]])


def test_presence_and_frequency_count_what_was_written_and_not_the_prompt():
    state = state_of([[1, 2, 3, 3, 2, 3]], prompt=2)
    process = processors.count_penalties(presence=0.5, frequency=0.25)
    found = run(process, np.zeros((1, 5)), state)
    expected = [0, 0, -0.25 - 0.5, -0.75 - 0.5, 0]
    np.testing.assert_allclose(found, [expected], rtol=1e-6)
    negative = processors.count_penalties(frequency=-1.0)
    np.testing.assert_array_equal(
        run(negative, np.zeros((1, 5)), state), [[0, 0, 1, 3, 0]]
    )


def test_an_ngram_is_not_written_twice():
    rows = [[1, 2, 3, 1, 2], [5, 1, 2, 1, 2], [1, 1]]
    assert forbidden(processors.no_repeated_ngrams(3), state_of(rows)) == [[3], [1], []]
    assert forbidden(processors.no_repeated_ngrams(2), state_of(rows)) == [
        [3],
        [1],
        [1],
    ]
    assert forbidden(processors.no_repeated_ngrams(1), state_of(rows)) == [
        [1, 2, 3],
        [1, 2, 5],
        [1],
    ]


@pytest.mark.parametrize("size", [4, 5, 6, 9])
def test_an_ngram_longer_than_what_is_written_forbids_nothing(size):
    state = state_of([[1, 1, 1]], size=5)
    assert forbidden(processors.no_repeated_ngrams(size), state) == [[]]


@pytest.mark.parametrize("mode", [*MODES, "lengths unknown"])
def test_a_long_ngram_is_not_written_twice(mode):
    once = list(range(10))
    state = state_of([[*once, 11, *once[:9]], [0, *once[1:], 11, *once[:9]], [3] * 19])
    expected = [[9], [9], [3]]

    def forbids(size):
        process = processors.no_repeated_ngrams(size)
        logits = np.zeros((3, 12))
        if mode == "lengths unknown":
            return forbidden_in_a_served_graph(process, logits, state)
        found = run(process, logits, state, mode)
        return [np.flatnonzero(row == NEVER).tolist() for row in found]

    assert forbids(10) == expected
    assert forbids(11) == [[], [], [3]]
    assert forbids(10**9) == [[], [], []]  # a checkpoint may ask for that


def forbidden_in_a_served_graph(process, logits, state):
    """Ids that a processor forbids where a graph serves tokens of any length."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, logits.shape[1]]),
            tf.TensorSpec([None, None], tf.int32),
            tf.TensorSpec([None, None], tf.bool),
            *[tf.TensorSpec([], tf.int32)] * 2,
        ]
    )
    def step(logits, *state):
        return process(logits, State(*state))

    state = [tf.convert_to_tensor(each) for each in state]
    found = step(tf.constant(logits, tf.float32), *state).numpy()
    return [np.flatnonzero(row == NEVER).tolist() for row in found]


def test_a_bad_word_is_not_completed():
    words = ((3,), (1, 2), (4, 1, 5), (4, 1, 0), (1, 1, 1, 1, 1, 1, 1))
    state = state_of([[4, 1], [2, 2], [1]])
    found = forbidden(processors.no_bad_words(words), state)
    assert found == [[0, 2, 3, 5], [3], [2, 3]]


def test_a_bad_word_longer_than_what_is_written_is_not_completed():
    process = processors.no_bad_words(((1, 1, 2), (1, 1, 1, 3)))
    assert forbidden(process, state_of([[1]])) == [[]]
    assert forbidden(process, state_of([[1, 1]])) == [[2]]


def test_a_bad_word_that_is_only_an_end_is_passed_over():
    process = processors.no_bad_words(((3,), (1, 3)), ends=(3,))
    assert forbidden(process, state_of([[1], [2]])) == [[3], []]


def test_ends_wait_for_the_least_length():
    state = state_of([[1, 2, 3, 4], [4]], prompt=3)
    assert forbidden(processors.min_new_tokens(1, (0, 5)), state) == [[], []]
    assert forbidden(processors.min_new_tokens(2, (0, 5)), state) == [[0, 5]] * 2
    assert forbidden(processors.min_length(4, (0, 5)), state) == [[], [0, 5]]
    assert forbidden(processors.min_length(5, (0, 5)), state) == [[0, 5], [0, 5]]


def test_suppressed_tokens_are_never_written():
    assert forbidden(processors.suppressed((0, 3)), state_of([[1], [2, 3]])) == [
        [0, 3],
        [0, 3],
    ]


def test_tokens_are_suppressed_as_the_first_only():
    process = processors.suppressed_first((4,))
    assert forbidden(process, state_of([[1], [2, 3]])) == [[4], [4]]
    assert forbidden(process, state_of([[1], [2, 3]], prompt=1)) == [[], []]
    forced = processors.suppressed_first((4,), after_forced=True)
    assert forbidden(forced, state_of([[1], [2, 3]])) == [[], [4]]
    assert forbidden(forced, state_of([[1, 5], [2, 3]], prompt=1)) == [[4], [4]]


def test_the_first_token_is_forced_after_a_prompt_of_one():
    process = processors.forced_first(2)
    logits = [[9.0, 8, 7], [9, 8, 7]]
    found = run(process, logits, state_of([[1], [1, 1]]))
    np.testing.assert_array_equal(found, [[NEVER, NEVER, 0], [9, 8, 7]])


def test_the_last_token_is_forced_to_end():
    logits = [[9.0, 8, 7], [9, 8, 7]]
    forced, free = [0, NEVER, 0], [9, 8, 7]

    def after(state, **limit):
        return run(processors.forced_last((0, 2), **limit), logits, state)

    one = state_of([[1], [1, 1]])
    np.testing.assert_array_equal(after(one, max_new_tokens=1), [forced] * 2)
    np.testing.assert_array_equal(after(one, max_new_tokens=2), [free] * 2)
    np.testing.assert_array_equal(after(one, max_length=3), [free, forced])
    written = state_of([[1, 1, 1]], prompt=1)
    np.testing.assert_array_equal(
        run(processors.forced_last(0, max_new_tokens=3), [free], written),
        [[0, NEVER, NEVER]],
    )


def test_a_function_allows_tokens_by_prompt_and_prefix():
    asked = []

    def allowed(number, ids):
        asked.append((number, ids.tolist()))
        return [number, 3] if ids[-1] == 1 else [4]

    process = processors.allowed_tokens(allowed, num_beams=2)
    state = state_of([[2, 1], [2], [1], [2, 2]])
    assert forbidden(process, state) == [
        [1, 2, 4, 5],
        [0, 1, 2, 3, 5],
        [0, 2, 4, 5],
        [0, 1, 2, 3, 5],
    ]
    assert asked == [(0, [2, 1]), (0, [2]), (1, [1]), (1, [2, 2])]


def test_a_function_is_not_asked_about_rows_that_have_ended():
    def allowed(number, ids):
        assert number == 1
        return [2]

    process = processors.allowed_tokens(allowed, ends=(5,))
    state = state_of([[1, 5], [5, 3]], prompt=1)  # an end in the prompt is none
    assert forbidden(process, state) == [[], [0, 1, 3, 4, 5]]


def test_what_a_function_allows_holds_even_where_all_is_forbidden():
    process = processors.allowed_tokens(lambda number, ids: [1], num_beams=2)
    logits = [[2, NEVER], [2, 3], [2, NEVER], [2, NEVER]]
    found = run(process, logits, state_of([[1]] * 4))
    expected = [[NEVER, NEVER], [NEVER, 3], [NEVER, 0], [NEVER, 0]]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("some", [[], [6], [-1]])
@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_a_function_that_allows_nothing_is_an_error(some, mode):
    process = processors.allowed_tokens(lambda number, ids: some)
    error = InputError if mode == "eager" else tf.errors.InvalidArgumentError
    with pytest.raises(error, match="at least one id, all below 6"):
        run(process, np.zeros((1, 6)), state_of([[1]]), mode)


def test_a_users_function_runs_inside_the_compiled_step():
    def ban_last(logits, state):
        last = tf.gather(state.tokens, state.start + state.step - 1, axis=1)
        return logits - 5 * tf.one_hot(last, logits.shape[-1])

    for mode in MODES:
        found = run(processors.own(ban_last), [[0.0, 0, 0]], state_of([[1, 2]]), mode)
        np.testing.assert_array_equal(found, [[0, 0, -5]])


@pytest.mark.parametrize(
    "wrong",
    [
        lambda logits, state: tf.argmax(logits, -1),
        lambda logits, state: logits[:, :2],
        lambda logits, state: tf.cast(logits, tf.int32),
        lambda logits, state: None,  # who forgets to return
    ],
)
def test_a_users_function_must_give_logits(wrong):
    with pytest.raises(InputError, match=r"the processor <lambda> gave .*\(1, 3\)"):
        run(processors.own(wrong), [[0.0, 0, 0]], state_of([[1]]))


EVERYTHING = GenerationConfig(
    max_new_tokens=9,
    do_sample=True,
    num_beams=2,
    temperature=0.7,
    top_k=12,
    top_p=0.9,
    min_p=0.01,
    typical_p=0.95,
    repetition_penalty=1.3,
    presence_penalty=0.2,
    frequency_penalty=0.1,
    no_repeat_ngram_size=2,
    bad_words_ids=[[1], [2, 3], [4, 5, 6]],
    min_new_tokens=8,
    min_length=9,
    suppress_tokens=[7],
    begin_suppress_tokens=[8],
    forced_bos_token_id=9,
    forced_eos_token_id=10,
    eos_token_id=[10, 11],
    renormalize_logits=True,
    processors=lambda logits, state: logits + 1,
)


def sentences(rng, count, size=20):
    lengths = rng.integers(1, 9, count)
    lengths[0] = 9
    return [rng.integers(0, size, length).tolist() for length in lengths]


def test_eager_graph_and_xla_agree():
    rng = np.random.default_rng(0)
    chain = processors.of(EVERYTHING, vocab_size=20)
    assert len(chain) == 17
    for case in range(3):
        state = state_of(sentences(rng, 4), prompt=9 - case)
        logits = random_logits(rng, 4, 20)

        def process(logits, state):
            return processors.apply(chain, logits, state)

        eager, *others = (run(process, logits, state, mode) for mode in MODES)
        assert np.isfinite(eager).any(-1).all()
        for other in others:
            np.testing.assert_allclose(eager, other, rtol=1e-5, atol=1e-5)


OF_ANY_SHAPE = [  # logits, and a State
    tf.TensorSpec([None, 20]),
    tf.TensorSpec([None, None], tf.int32),
    tf.TensorSpec([None, None], tf.bool),
    tf.TensorSpec([], tf.int32),
    tf.TensorSpec([], tf.int32),
]


def test_shapes_may_be_unknown():
    rng = np.random.default_rng(0)
    state, logits = state_of(sentences(rng, 4), prompt=9), random_logits(rng, 4, 20)
    chain = processors.of(EVERYTHING, vocab_size=20)

    @tf.function(input_signature=OF_ANY_SHAPE)
    def step(logits, *state):
        logits = processors.apply(chain, logits, State(*state))
        return logits, processors.sampling.draw(logits, 3, step=state[-1])

    changed, drawn = step(logits, *(tf.convert_to_tensor(each) for each in state))
    expected = run(lambda *given: processors.apply(chain, *given), logits, state)
    np.testing.assert_allclose(changed, expected, rtol=1e-5)
    np.testing.assert_array_equal(
        drawn, processors.sampling.draw(tf.constant(expected), 3, step=state.step)
    )


def test_padding_changes_nothing():
    rng = np.random.default_rng(1)
    neutral = EVERYTHING.replace(max_new_tokens=20, forced_bos_token_id=None)
    chain = processors.of(neutral, vocab_size=20)

    @tf.function(input_signature=OF_ANY_SHAPE)
    def process(logits, *state):
        return processors.apply(chain, logits, State(*state))

    def run(logits, state):
        return process(logits, *map(tf.convert_to_tensor, state)).numpy()

    for case in range(20):
        rows = sentences(rng, 5)
        prompts = 9 - case % 3
        rows = [row if len(row) > 3 else [*row, 1, 1, 1] for row in rows]
        logits = random_logits(rng, 5, 20)
        pad = int(rng.integers(0, 20))
        together = run(logits, state_of(rows, prompt=prompts, pad=pad))
        for i, row in enumerate(rows):
            alone = state_of([row], prompt=prompts - 9 + len(row))
            np.testing.assert_allclose(
                together[i], run(logits[i : i + 1], alone)[0], atol=1e-5
            )


def test_only_what_is_asked_for_is_there():
    assert processors.of(GenerationConfig(), vocab_size=9) == []
    assert len(processors.of(GenerationConfig(do_sample=True), vocab_size=9)) == 1
    assert processors.of(GenerationConfig(do_sample=True, top_k=0), vocab_size=9) == []
    ends = GenerationConfig(
        min_new_tokens=3
    )  # without an end there is none to wait for
    assert processors.of(ends, vocab_size=9) == []


def test_numbers_may_be_tensors():
    config = GenerationConfig(
        do_sample=True, temperature=0.5, top_p=0.9, repetition_penalty=2
    )
    state, logits = state_of([[1, 2]]), [[1.0, 3, 4, 0]]

    def process(logits, state):
        values = {"temperature": tf.constant(4.0), "top_p": tf.constant(0.5)}
        values["repetition_penalty"] = tf.constant(4.0)
        chain = processors.of(config, vocab_size=4, values=values)
        return processors.apply(chain, logits, state)

    other = config.replace(temperature=4, top_p=0.5, repetition_penalty=4)
    chain = processors.of(other, vocab_size=4)
    expected = run(lambda *given: processors.apply(chain, *given), logits, state)
    np.testing.assert_allclose(run(process, logits, state, "XLA"), expected)


def test_a_limit_of_one_token_is_the_forced_end():
    config = GenerationConfig(max_new_tokens=1, forced_eos_token_id=2, eos_token_id=2)
    (process,) = processors.of(config, vocab_size=4)
    assert np.argmax(run(process, [[9.0, 9, 0, 9]], state_of([[1, 1]]))) == 2
    by_default = processors.of(config.replace(max_new_tokens=None), vocab_size=4)[0]
    state = state_of([[1, 1]])._replace(step=tf.constant(127))
    assert np.argmax(run(by_default, [[9.0, 9, 0, 9]], state)) == 2


def test_a_vocabulary_of_one_has_one_thing_to_say():
    config = GenerationConfig(
        do_sample=True, top_p=0.5, typical_p=0.5, min_p=0.5, repetition_penalty=2
    )
    chain = processors.of(config, vocab_size=1)
    found = run(
        lambda *given: processors.apply(chain, *given), [[3.0]], state_of([[0]])
    )
    np.testing.assert_array_equal(found, [[1.5]])


def test_a_configuration_must_fit_the_vocabulary():
    with pytest.raises(ConfigError, match="suppress_tokens"):
        processors.of(GenerationConfig(suppress_tokens=[9]), vocab_size=9)


def test_ids_that_the_head_does_not_have_are_passed_over():
    state = state_of([[7, 1, 7]], prompt=1)
    found = run(processors.repetition_penalty(2.0), [[4, 4, 4]], state)
    np.testing.assert_array_equal(found, [[4, 2, 4]])
    assert forbidden(processors.no_repeated_ngrams(1), state, size=3) == [[1]]
