"""`model.generate`: the tokens that the model prefers, whatever way they are found."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tests.generation.tiny import (
    KINDS,
    SHORT,
    SIZE,
    TEXTS,
    by_hand,
    make,
    prompts,
    with_texts,
)
from zoo.errors import CheckpointError, ConfigError, InputError
from zoo.generation import generator
from zoo.generation.evaluation import log_likelihood
from zoo.models import GPTModel

ROWS = prompts(np.random.default_rng(0), 8)


@pytest.fixture(scope="module")
def models():
    """One model of each kind, compiled with XLA; tests must not change it."""
    return {kind: make(kind) for kind in KINDS}


@pytest.fixture(scope="module")
def plain():
    """The same, run as TensorFlow graphs, which compile faster."""
    return {kind: in_graph(make(kind)) for kind in KINDS}


@pytest.fixture(scope="module")
def writers():
    """Models with tokenizers, run as graphs."""
    return {kind: in_graph(with_texts(kind)) for kind in ("learned", "t5")}


def in_graph(model):
    model._generator.jit_compile = False
    return model


@pytest.fixture
def eagerly():
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


# --- Greedy search ----------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_search_equals_a_loop_without_a_cache(models, plain, kind):
    found = models[kind].generate(ROWS, max_new_tokens=12)
    assert found == [by_hand(models[kind], row, 12) for row in ROWS]
    assert plain[kind].generate(ROWS, max_new_tokens=12) == found


@pytest.mark.parametrize("kind", KINDS)
def test_a_prompt_alone_gives_what_it_gives_in_a_batch(plain, kind):
    found = plain[kind].generate(ROWS, max_new_tokens=12)
    few = [i for i, row in enumerate(ROWS) if len(row) <= 8][:3]  # of one bucket
    for i in few:
        assert plain[kind].generate(ROWS[i], max_new_tokens=12) == found[i]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("window", {}),
        ("t5", {"do_sample": True, "seed": 3}),
        pytest.param("t5", {}, marks=pytest.mark.parity),
        pytest.param(
            "window", {"do_sample": True, "seed": 3}, marks=pytest.mark.parity
        ),
    ],
)
def test_eager_mode_gives_the_tokens_of_graphs(plain, eagerly, kind, options):
    found = plain[kind].generate(ROWS[:3], max_new_tokens=5, **options)
    tf.config.run_functions_eagerly(False)
    assert plain[kind].generate(ROWS[:3], max_new_tokens=5, **options) == found


def test_xla_draws_what_graphs_draw(models, plain):
    options = {"do_sample": True, "seed": 5, "top_p": 0.9, "max_new_tokens": 12}
    found = models["grouped"].generate(ROWS, **options)
    assert plain["grouped"].generate(ROWS, **options) == found


def test_a_bucket_of_lengths_compiles_once():
    model = make("learned", max_position_embeddings=128)
    rng = np.random.default_rng(1)
    for length in range(33, 63):
        batch = (1, 2, 5)[length % 3]
        model.generate(rng.integers(3, SIZE, (batch, length)), max_new_tokens=4)
    (program,) = model._generator.programs.values()
    assert program.traces == 3 * 2  # for each size of a batch: prompts, and steps


def test_numbers_among_the_options_compile_nothing_new(plain):
    model = plain["grouped"]
    before = len(model._generator.programs)
    for temperature, new in ((0.5, 3), (0.7, 4), (2.0, 9)):
        model.generate(
            ROWS, do_sample=True, temperature=temperature, max_new_tokens=new, top_k=5
        )
    assert len(model._generator.programs) == before + 1


# --- Where it ends ----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["grouped", "t5"])
def test_a_row_ends_at_an_end_token_and_the_others_go_on(plain, kind):
    free = plain[kind].generate(ROWS, max_new_tokens=12)
    ends = {free[0][1], free[1][7]}
    found = plain[kind].generate(ROWS, max_new_tokens=12, eos_token_id=sorted(ends))
    for row, expected in zip(found, free, strict=True):
        places = [i for i, token in enumerate(expected) if token in ends]
        assert row == expected[: places[0] + 1 if places else 12]
    assert len(found[0]) <= 2


def test_an_end_as_the_first_token_ends_at_once(plain):
    first = plain["learned"].generate(ROWS[0], max_new_tokens=1)
    options = {"max_new_tokens": 12, "return_dict_in_generate": True}
    found = plain["learned"].generate(ROWS[0], eos_token_id=first, **options)
    assert (found.ids, found.finish_reason) == (first, "stop")
    found = plain["learned"].generate(ROWS[0], **options)
    assert found.finish_reason == "length"


def test_padding_may_be_the_end_token(plain):
    free = plain["grouped"].generate(ROWS, max_new_tokens=12)
    end = free[0][3]
    found = plain["grouped"].generate(
        ROWS, max_new_tokens=12, eos_token_id=end, pad_token_id=end
    )
    for row, expected in zip(found, free, strict=True):
        stop = expected.index(end) + 1 if end in expected else 12
        assert row == expected[:stop]


def test_no_new_tokens_are_an_empty_answer(plain, writers):
    assert plain["learned"].generate(ROWS[:2], max_new_tokens=0) == [[], []]
    assert plain["t5"].generate(ROWS[0], max_new_tokens=0) == []
    assert writers["learned"].generate("the cat", max_new_tokens=0) == ""
    assert list(writers["learned"].generate("a", stream=True, max_new_tokens=0)) == []


def test_max_length_counts_the_prompt_of_each_row(plain):
    found = plain["grouped"].generate([[5, 6, 7], [8]], max_length=6)
    assert [len(row) for row in found] == [3, 5]
    assert plain["grouped"].generate([5, 6, 7], max_length=2) == []
    found = plain["grouped"].generate([[5, 6, 7], [8]], max_length=3)
    assert [len(row) for row in found] == [0, 2]
    # A decoder's start token counts, its source does not.
    assert len(plain["t5"].generate([5, 6, 7], max_length=4)) == 3


def test_a_prompt_may_fill_all_positions_but_not_more(plain):
    row = np.random.default_rng(2).integers(3, SIZE, 64).tolist()
    last = plain["learned"].generate(row, max_new_tokens=9)
    assert last == by_hand(plain["learned"], row, 1)
    found = plain["learned"].generate([row[:60], row[:2]], max_new_tokens=9)
    assert [len(written) for written in found] == [5, 9]
    assert found[0] == by_hand(plain["learned"], row[:60], 5)
    with pytest.raises(InputError, match=r"a prompt has 65 tokens.* positions for 64"):
        plain["learned"].generate([[5], [*row, 5]])


def test_rotary_positions_end_for_prompts_but_not_for_what_is_written(plain):
    row = np.random.default_rng(2).integers(3, SIZE, 62).tolist()
    found = plain["window"].generate(row, max_new_tokens=5)
    assert found == by_hand(plain["window"], row, 5)
    with pytest.raises(InputError, match=r"65 tokens.* 64 .*or give.* a rope_scaling"):
        plain["window"].generate([5] * 65)
    scaled = make("grouped", rope_scaling={"rope_type": "linear", "factor": 2.0})
    scaled.check_prompts([[5] * 65])
    plain["t5"].check_prompts([[5] * 65])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_new_tokens": 2**31 - 1}, "smaller max_new_tokens"),
        ({"max_length": 2**31 - 1}, "smaller max_length"),
        (
            {"do_sample": True, "num_return_sequences": 2**31 - 1},
            "fewer prompts, beams or sequences",
        ),
    ],
)
def test_what_no_machine_holds_is_refused_before_it_is_tried(plain, options, said):
    with pytest.raises(ConfigError, match=rf"rows take .* GB, .*{said}"):
        plain["grouped"].generate(ROWS, **options)


def test_caches_are_as_large_as_they_are_said_to_be(plain):
    for model in plain.values():
        names = {"input_ids", model.prompt_name}
        inputs = dict.fromkeys(names, tf.constant([ROWS[0]]))
        inputs["padding"] = tf.constant([0])
        _, cache = model.prefill(inputs, length=40)
        found = sum(x.shape.num_elements() * 4 for x in tf.nest.flatten(cache.layers))
        assert model.cache_bytes(40) == found


def test_ctrl_c_is_looked_for_between_runs_of_the_loop(plain, monkeypatch):
    model = plain["grouped"]
    whole = model.generate(ROWS, max_new_tokens=12)
    monkeypatch.setattr(generator, "LONGEST_RUN", 5)
    assert model.generate(ROWS, max_new_tokens=12) == whole
    steps, go = [], generator.Program.go

    def interrupted(self, request, carry, limit):
        steps.append(limit)
        if len(steps) == 2:  # as Python does between two calls
            raise KeyboardInterrupt
        return go(self, request, carry, limit)

    monkeypatch.setattr(generator.Program, "go", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.generate(ROWS, max_new_tokens=12)
    assert steps == [6, 11]
    monkeypatch.undo()
    assert model.generate(ROWS, max_new_tokens=12) == whole


# --- What goes in and comes out ---------------------------------------------------


def test_an_empty_prompt_is_the_begin_token_or_refused(plain):
    model = plain["learned"]
    begun = model.generate([[1], [5, 6]], max_new_tokens=5)
    assert model.generate([[], [5, 6]], max_new_tokens=5) == begun
    assert model.generate([], max_new_tokens=5) == []
    bare = in_graph(make("learned", bos_token_id=None))
    with pytest.raises(InputError, match=r"empty.* no bos_token_id"):
        bare.generate([[]])


def test_ids_come_in_many_forms(plain):
    model = plain["grouped"]
    rows = [[5, 6, 7], [8, 9, 10]]
    expected = model.generate(rows, max_new_tokens=5)
    for given in (
        np.array(rows),
        tf.constant(rows, tf.int64),
        tf.ragged.constant(rows),
        {"input_ids": rows},
        {"input_ids": rows, "attention_mask": None},
        {"input_ids": tf.constant(rows), "attention_mask": np.ones((2, 3))},
        tuple(np.array(row) for row in rows),
    ):
        assert model.generate(given, max_new_tokens=5) == expected
    for given in ([5, 6, 7], np.array([5, 6, 7]), tf.constant([5, 6, 7])):
        assert model.generate(given, max_new_tokens=5) == expected[0]


@pytest.mark.parametrize("kind", ["learned", "t5"])
def test_padding_is_left_out_wherever_it_stands(plain, kind):
    expected = plain[kind].generate([[5, 6], [7, 8, 9]], max_new_tokens=5)
    for row, mask in (([5, 6, 3], [1, 1, 0]), ([3, 5, 6], [0, 1, 1])):
        given = {"input_ids": [row, [7, 8, 9]], "attention_mask": [mask, [1, 1, 1]]}
        assert plain[kind].generate(given, max_new_tokens=5) == expected


@pytest.mark.parametrize("kind", ["learned", "t5"])
def test_text_gives_text_and_the_ids_are_those_of_the_tokenizer(writers, kind):
    model = writers[kind]
    texts = model.generate(TEXTS, max_new_tokens=9)
    rows = model.tokenizer(TEXTS, padding=None)["input_ids"].to_list()
    ids = model.generate(rows, max_new_tokens=9)
    assert all(isinstance(text, str) for text in texts)
    assert model.generate(TEXTS[0], max_new_tokens=9) == texts[0]
    assert model.generate(tf.constant(TEXTS), max_new_tokens=9) == texts
    found = model.generate(TEXTS, max_new_tokens=9, return_dict_in_generate=True)
    assert [(one.text, one.ids) for one in found] == list(zip(texts, ids, strict=True))
    if kind == "learned":
        whole = model.tokenizer.decode([*rows[2], *ids[2]])
        assert whole == TEXTS[2] + texts[2]


@pytest.mark.parametrize("kind", ["learned", "t5"])
def test_a_stream_is_the_text_in_pieces(writers, kind):
    for options in ({}, {"do_sample": True, "seed": 4}):
        for text in SHORT:
            whole = writers[kind].generate(text, max_new_tokens=20, **options)
            pieces = writers[kind].generate(
                text, stream=True, max_new_tokens=20, **options
            )
            assert "".join(pieces) == whole


def test_a_stream_of_ids_is_the_ids(plain):
    pieces = list(plain["window"].generate(ROWS[0], stream=True, max_new_tokens=11))
    assert len(pieces) > 1
    whole = plain["window"].generate(ROWS[0], max_new_tokens=11)
    assert [token for piece in pieces for token in piece] == whole


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ([3.5], r"float64 with 1 dimension.*a text, or a list of ids"),
        ([[3], 4], r"0 dimensions"),
        ([[[3]]], r"2 dimensions"),
        ([SIZE], rf"has the id {SIZE}; the vocabulary has 0 to {SIZE - 1}"),
        ([-1], r"has the id -1"),
        (7, r"prompts=7: expected a text"),
        (None, r"prompts=None"),
        ([[3], [4, [5]]], r"one of the prompts has rows of unequal length"),
        (tf.constant([["a"]]), r"texts of shape \(1, 1\); expected \[B\]"),
        ({"ids": [[3]]}, r"\['ids'\]; expected input_ids"),
        ({"input_ids": [[3], [4, 5]]}, r"input_ids has rows of unequal length"),
        ({"input_ids": [3]}, r"expected \[B, T\]"),
        ({"input_ids": [[3]], "attention_mask": [[1, 1]]}, r"attention_mask \(1, 2\)"),
    ],
)
def test_what_is_no_prompt_is_refused(plain, given, match):
    with pytest.raises(InputError, match=match):
        plain["learned"].generate(given)


def test_sources_need_a_token_that_answers_begin_with():
    model = make("t5", decoder_start_token_id=None)
    for ask in (
        lambda: model.generate([[5, 6]], max_new_tokens=2),
        lambda: log_likelihood(model, [[5, 6]], [[7]]),
    ):
        with pytest.raises(ConfigError, match="decoder_start_token_id"):
            ask()


def test_text_without_a_tokenizer_is_refused(plain):
    with pytest.raises(CheckpointError, match=r"no tokenizer.*Set model\.tokenizer"):
        plain["learned"].generate("hello")


def test_a_stream_is_one_sequence_of_one_prompt(plain):
    model = plain["learned"]
    with pytest.raises(InputError, match="stream=True takes one prompt"):
        model.generate([[3], [4]], stream=True)
    for options, match in (
        ({"num_beams": 2}, "num_beams=2"),
        ({"do_sample": True, "num_return_sequences": 2}, "num_return_sequences=2"),
        ({"output_logprobs": True}, "output_logprobs=True"),
    ):
        with pytest.raises(ConfigError, match=f"stream=True and {match}"):
            next(model.generate([3], stream=True, **options))


# --- Options ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"max_new_token": 3}, r"no option 'max_new_token'.*'max_new_tokens'"),
        ({"strategy": "best"}, r"strategy='best': expected one of greedy, sample"),
        ({"temperature": 0.5}, r"temperature=0\.5 needs do_sample=True"),
        ({"max_new_tokens": 3, "max_length": 9}, r"max_new_tokens=3 and max_length=9"),
        ({"num_return_sequences": 2}, r"num_return_sequences=2, but num_beams=1"),
        ({"eos_token_id": SIZE}, rf"eos_token_id={SIZE}.*{SIZE} tokens"),
        ({"suppress_tokens": list(range(SIZE))}, r"forbid every token"),
        ({"num_beams": SIZE + 1}, rf"num_beams={SIZE + 1} is above the vocabulary"),
    ],
)
def test_options_that_make_no_sense_are_refused(plain, options, match):
    with pytest.raises(ConfigError, match=match):
        plain["learned"].generate(ROWS[0], **options)


def test_several_sequences_are_a_list_for_each_prompt(plain):
    options = {"do_sample": True, "seed": 1, "max_new_tokens": 8}
    found = plain["grouped"].generate(ROWS, num_return_sequences=3, **options)
    assert np.shape(found) == (len(ROWS), 3, 8)
    assert len({tuple(row) for group in found for row in group}) > 8
    one = plain["grouped"].generate(ROWS[0], num_return_sequences=3, **options)
    assert one == found[0]


def test_a_seed_gives_the_same_draws_and_none_others(plain):
    options = {"do_sample": True, "max_new_tokens": 10}
    model = plain["learned"]
    found = model.generate(ROWS, seed=1, **options)
    assert model.generate(ROWS, seed=1, **options) == found
    assert model.generate(ROWS, seed=2, **options) != found
    assert model.generate(ROWS, **options) != model.generate(ROWS, **options)
    # A row draws the same whatever the others are and however many.
    others = model.generate([[9, 9], *ROWS[1:4]], seed=1, **options)
    assert others[1:] == found[1:4]


def test_scores_are_the_log_probabilities_of_the_tokens(plain):
    model = plain["window"]
    found = model.generate(ROWS, max_new_tokens=6, output_logprobs=True)
    for row, one in zip(ROWS, found, strict=True):
        logits = model(tf.constant([[*row, *one.ids]]))[0, len(row) - 1 : -1]
        expected = np.take_along_axis(
            tf.nn.log_softmax(logits).numpy(), np.array(one.ids)[:, None], 1
        )
        np.testing.assert_allclose(one.logprobs, expected[:, 0], atol=1e-4)
        assert one.score == pytest.approx(sum(one.logprobs))


def test_a_stop_string_may_span_tokens(writers):
    model = writers["t5"]
    options = {"do_sample": True, "seed": 6, "max_new_tokens": 30}
    free = model.generate(TEXTS, return_dict_in_generate=True, **options)
    stop = free[0].text[7:10]
    found = model.generate(
        TEXTS, stop_strings=[stop, "never"], return_dict_in_generate=True, **options
    )
    for one, before in zip(found, free, strict=True):
        if stop not in before.text:
            assert one == before
            continue
        assert one.finish_reason == "stop_string"
        # Ends with the token that completes it.
        assert before.ids[: len(one.ids)] == one.ids
        assert stop in one.text
        assert stop not in model.tokenizer.decode(one.ids[:-1])
    assert len(model.tokenizer.decode(found[0].ids[-1:])) < len(stop)
    text = "".join(
        model.generate(TEXTS[0], stream=True, stop_strings=[stop, "never"], **options)
    )
    assert text == found[0].text


def test_a_stop_string_needs_a_tokenizer(plain):
    with pytest.raises(InputError, match=r"stop_strings=.* need a tokenizer"):
        plain["learned"].generate(ROWS[0], stop_strings="a")


def test_a_python_function_may_say_what_is_allowed(models):
    model = models["grouped"]
    asked = []

    def allowed(number, ids):
        asked.append((number, len(ids)))
        return [10 + number, 20 + len(ids) % 3]

    found = model.generate(ROWS[:2], max_new_tokens=6, prefix_allowed_tokens_fn=allowed)
    for number, (row, written) in enumerate(zip(ROWS, found, strict=False)):
        for i, token in enumerate(written):
            assert token in allowed(number, [*row, *written[:i]])
    assert (1, len(ROWS[1])) in asked


def test_a_function_of_ones_own_runs_in_the_compiled_loop(models):
    model = models["grouped"]

    def rising(logits, state):
        last = state.tokens[:, state.start + state.step - 1]
        low = tf.range(logits.shape[-1])[None] <= last[:, None]
        return tf.where(low & (last < SIZE - 1)[:, None], -float("inf"), logits)

    found = model.generate(ROWS[:2], max_new_tokens=4, processors=rising)
    for row, written in zip(ROWS, found, strict=False):
        steps = np.diff([row[-1], *written])
        full = np.array([row[-1], *written[:-1]]) == SIZE - 1
        assert np.all((steps > 0) | full)
    with pytest.raises(InputError, match="the processor <lambda> gave float32"):
        model.generate(ROWS[:2], processors=lambda logits, state: logits[:, :3])


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda number, ids: [SIZE], r"allows \[40\] for prompt 0: expected at least"),
        (lambda number, ids: None, r"gave None for prompt 0: expected a list of ids"),
        (lambda number, ids: "abc", r"gave 'abc' for prompt 0: expected a list of ids"),
        (lambda number, ids: {}[ids.size], r"failed for prompt 0 with KeyError: \d+"),
    ],
)
def test_a_python_function_that_fails_is_told_in_a_line(plain, function, said):
    with pytest.raises(InputError, match=f"^prefix_allowed_tokens_fn {said}") as caught:
        plain["learned"].generate(ROWS, prefix_allowed_tokens_fn=function)
    assert len(str(caught.value).splitlines()) == 1


# --- The model around it ----------------------------------------------------------


def test_the_options_of_a_checkpoint_hold_and_are_written_back(tmp_path):
    model = make("grouped", model_type="llama")
    model.generation_defaults = {"max_new_tokens": 3, "repetition_penalty": 1.5}
    model.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "generation_config.json").read_text())
    assert written == model.generation_defaults
    again = in_graph(GPTModel.from_pretrained(tmp_path))
    found = again.generate(ROWS)
    assert {len(row) for row in found} == {3}
    expected = in_graph(make("grouped"))
    expected = expected.generate(ROWS, max_new_tokens=3, repetition_penalty=1.5)
    assert found == expected
    assert {len(row) for row in again.generate(ROWS, max_new_tokens=2)} == {2}


def test_options_of_a_checkpoint_that_cannot_be_honoured_are_refused():
    model = make("learned")
    model.generation_defaults = {"guidance_scale": 2.0}
    with pytest.raises(CheckpointError, match=r"guidance_scale=2\.0"):
        model.generate([5])


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("grouped", "mixed_bfloat16"),
        ("t5", "bfloat16"),
        pytest.param("grouped", "bfloat16", marks=pytest.mark.parity),
        pytest.param("t5", "mixed_bfloat16", marks=pytest.mark.parity),
    ],
)
def test_half_precision_writes_what_the_model_says(dtype, kind):
    model = in_graph(make(kind, dtype))
    found = model.generate(ROWS[:3], max_new_tokens=6, output_logprobs=True)
    for row, one in zip(ROWS, found, strict=False):
        if kind == "t5":
            inputs = {"input_ids": [row], "decoder_input_ids": [[0, *one.ids[:-1]]]}
            logits = model({name: tf.constant(x) for name, x in inputs.items()})[0]
        else:
            logits = model(tf.constant([[*row, *one.ids[:-1]]]))[0, len(row) - 1 :]
        logits = tf.cast(logits, tf.float32).numpy()
        chosen = np.take_along_axis(logits, np.array(one.ids)[:, None], 1)[:, 0]
        # Of 8 bits, sums in another order differ in the last.
        assert np.all(logits.max(-1) - chosen <= 0.03 * np.abs(logits).max())


def test_weights_that_change_are_seen_by_what_was_compiled(tmp_path):
    model = make("grouped", model_type="llama")
    before = model.generate(ROWS, max_new_tokens=8)
    other = make("grouped", seed=1, model_type="llama")
    other.save_pretrained(tmp_path)
    model.load_checkpoint(tmp_path)
    after = model.generate(ROWS, max_new_tokens=8)
    assert after != before
    assert after == [by_hand(other, row, 8) for row in ROWS]
    (program,) = model._generator.programs.values()
    assert program.traces == 2


def test_training_is_seen_by_what_was_compiled():
    model = in_graph(make("grouped"))
    before = model.generate(ROWS, max_new_tokens=8)
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    model.optimizer.learning_rate = 0.5
    ids = np.random.default_rng(3).integers(3, SIZE, (8, 6))
    model.fit(ids, np.roll(ids, -1, 1), epochs=2, verbose=0)
    after = model.generate(ROWS, max_new_tokens=8)
    assert after != before
    assert after == [by_hand(model, row, 8) for row in ROWS]
