"""What GenerationConfig takes, refuses, and inherits from a checkpoint."""

import numpy as np
import pytest

from zoo.errors import CheckpointError, ConfigError
from zoo.generation.checkpoint_defaults import HARMLESS, NOT_HONOURED
from zoo.generation.config import DEFAULTS, GenerationConfig
from zoo.generation.forms import FORMS


def same(logits, state):
    return logits


def test_every_option_has_a_form_and_is_documented():
    assert list(FORMS) == list(DEFAULTS)
    for name in FORMS:
        assert name in GenerationConfig.__doc__


@pytest.mark.parametrize(
    ("options", "strategy"),
    [
        ({}, "greedy"),
        ({"do_sample": True}, "sample"),
        ({"num_beams": 4}, "beam"),
        ({"num_beams": 4, "do_sample": True}, "beam_sample"),
        (
            {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.5},
            "diverse_beam",
        ),
        ({"penalty_alpha": 0.6, "top_k": 4}, "contrastive"),
        ({"num_assistant_tokens": 5}, "assisted"),
    ],
)
def test_the_strategy_follows_from_the_options(options, strategy):
    assert GenerationConfig(**options).strategy == strategy


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"max_new_tokens": 4, "max_length": 9}, ["max_new_tokens=4", "max_length=9"]),
        ({"min_new_tokens": 5, "max_new_tokens": 4}, ["min_new_tokens=5", "=4"]),
        ({"min_length": 5, "max_length": 4}, ["min_length=5", "max_length=4"]),
        ({"min_new_tokens": 129}, ["min_new_tokens=129", "max_new_tokens", "128"]),
        ({"temperature": 0.7}, ["temperature=0.7", "do_sample=True"]),
        ({"top_k": 5}, ["top_k=5", "do_sample=True"]),
        ({"top_p": 0.9}, ["top_p=0.9", "do_sample=True"]),
        ({"min_p": 0.1}, ["min_p=0.1", "do_sample=True"]),
        ({"typical_p": 0.9}, ["typical_p=0.9", "do_sample=True"]),
        ({"length_penalty": 2}, ["length_penalty=2.0", "num_beams=1"]),
        ({"early_stopping": True}, ["early_stopping=True", "num_beams=1"]),
        ({"num_beam_groups": 2}, ["num_beam_groups=2", "num_beams=1"]),
        ({"renormalize_logits": True}, ["renormalize_logits=True", "num_beams=1"]),
        (
            {"num_beams": 4, "num_beam_groups": 3, "diversity_penalty": 1},
            ["num_beams=4", "num_beam_groups=3"],
        ),
        (
            {"num_beams": 4, "num_beam_groups": 2},
            ["num_beam_groups=2", "diversity_penalty=0.0"],
        ),
        (
            {"num_beams": 4, "diversity_penalty": 1},
            ["num_beam_groups=1", "diversity_penalty=1.0"],
        ),
        (
            {
                "num_beams": 4,
                "num_beam_groups": 2,
                "diversity_penalty": 1,
                "do_sample": True,
            },
            ["num_beam_groups=2", "do_sample=True"],
        ),
        (
            {"num_beams": 2, "num_return_sequences": 3},
            ["num_beams=2", "num_return_sequences=3"],
        ),
        ({"num_return_sequences": 3}, ["num_return_sequences=3", "do_sample=False"]),
        ({"penalty_alpha": 0.6, "num_beams": 4}, ["penalty_alpha=0.6", "num_beams=4"]),
        (
            {"penalty_alpha": 0.6, "do_sample": True},
            ["penalty_alpha=0.6", "do_sample=True"],
        ),
        ({"penalty_alpha": 0.6, "top_k": 0}, ["penalty_alpha=0.6", "top_k=0"]),
        (
            {"num_assistant_tokens": 5, "num_beams": 4},
            ["num_assistant_tokens=5", "num_beams=4"],
        ),
        (
            {"num_assistant_tokens": 5, "penalty_alpha": 0.6},
            ["num_assistant_tokens=5", "penalty_alpha=0.6"],
        ),
        (
            {"forced_eos_token_id": [1, 2], "suppress_tokens": [2, 1, 0]},
            ["forced_eos_token_id=(1, 2)", "suppress_tokens"],
        ),
    ],
)
def test_contradictions_name_both_options(options, named):
    with pytest.raises(ConfigError) as caught:
        GenerationConfig(**options)
    for each in named:
        assert each in str(caught.value)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("max_new_tokens", [-1, 1.5, "4", True]),
        ("max_length", [0]),
        ("do_sample", [1, "yes", None]),
        ("num_beams", [0, None, 2.0]),
        ("early_stopping", ["always", 1]),
        ("temperature", [0, 0.0, -1, float("inf"), float("nan"), "hot"]),
        ("top_k", [-1, 1.5]),
        ("top_p", [-0.1, 1.1]),
        ("min_p", [-0.1, 1.1]),
        ("typical_p", [0, 1.1]),
        ("repetition_penalty", [0, -1]),
        ("presence_penalty", [float("inf"), "x"]),
        ("no_repeat_ngram_size", [-1]),
        ("bad_words_ids", [[1, 2], [[]], [[-1]], "word", {1: 2}]),
        ("suppress_tokens", [[-1], 3, ["a"]]),
        ("eos_token_id", [-1, [], "</s>", [1, -2]]),
        ("pad_token_id", [-1, [1]]),
        ("prefix_allowed_tokens_fn", ["f"]),
        ("processors", [3, [same, 3]]),
        ("stop_strings", ["", ["a", ""], [3]]),
        ("seed", [1.5, 2**63]),
        ("num_assistant_tokens", [0]),
    ],
)
def test_a_bad_value_is_refused_by_name(name, values):
    for value in values:
        with pytest.raises(ConfigError, match=f"^{name}=.*: expected"):
            GenerationConfig(**{name: value})


def test_one_may_stand_for_a_list():
    config = GenerationConfig(processors=same, stop_strings="\n")
    assert config.processors == (same,) and config.stop_strings == ("\n",)
    assert GenerationConfig(eos_token_id=3).eos_token_ids == (3,)
    assert GenerationConfig(eos_token_id=[3, 4]).eos_token_ids == (3, 4)
    assert GenerationConfig().eos_token_ids == ()
    assert GenerationConfig(suppress_tokens=None).suppress_tokens == ()


def test_equal_options_are_equal_keys():
    one = GenerationConfig(
        eos_token_id=[np.int64(3)], repetition_penalty=2, suppress_tokens={9, 8}
    )
    two = GenerationConfig(
        eos_token_id=(3,), repetition_penalty=np.float32(2), suppress_tokens=[8, 9]
    )
    assert one == two and hash(one) == hash(two)
    assert one != one.replace(eos_token_id=4)
    assert one != 3


def test_functions_are_compared_by_identity():
    class Bias:
        def __init__(self, by):
            self.by = by

        def __call__(self, logits, state):
            return logits + self.by

        def method(self, logits, state):
            return logits

        def __eq__(self, other):  # which makes it unhashable
            return True

    one, two = Bias(1), Bias(2)

    def key(function):
        return GenerationConfig(processors=function)

    assert key(one) == key(one) and hash(key(one)) == hash(key(one))
    assert key(one) != key(two)
    assert key(one.method) == key(one.method)
    assert key(one.method) != key(two.method)
    assert key(same) != GenerationConfig()


def test_a_length_limit_counts_the_prompt_or_not():
    assert GenerationConfig().new_tokens(1000) == 128
    assert GenerationConfig(max_new_tokens=0).new_tokens(7) == 0
    assert GenerationConfig(max_length=9).new_tokens(7) == 2
    assert GenerationConfig(max_length=9).new_tokens(12) == 0


def test_beams_keep_a_token_that_does_not_end_them():
    draws = GenerationConfig(do_sample=True, eos_token_id=[1, 2])
    assert draws.min_tokens_to_keep == 1
    assert draws.replace(num_beams=2).min_tokens_to_keep == 3
    assert GenerationConfig(num_beams=2).min_tokens_to_keep == 2


def test_unknown_options_are_refused_with_a_guess():
    with pytest.raises(ConfigError, match=r"'temprature'.*'temperature'"):
        GenerationConfig.from_checkpoint({}, temprature=1)
    with pytest.raises(ConfigError, match="'beams'"):
        GenerationConfig().replace(beams=1)


@pytest.mark.parametrize(
    "options",
    [
        {"eos_token_id": [3, 10]},
        {"pad_token_id": 10},
        {"bad_words_ids": [[1], [2, 10]]},
        {"suppress_tokens": [11]},
        {"forced_bos_token_id": 10},
        {"decoder_start_token_id": 10},
    ],
)
def test_ids_beyond_the_vocabulary_are_refused(options):
    config = GenerationConfig(**options)
    with pytest.raises(ConfigError, match=rf"{next(iter(options))}=.*10 tokens"):
        config.check(10)
    assert config.check(12) is config


def test_the_vocabulary_must_have_room():
    with pytest.raises(ConfigError, match="num_beams=4 is above the vocabulary of 3"):
        GenerationConfig(num_beams=4).check(3)
    with pytest.raises(ConfigError, match="forbid every token"):
        GenerationConfig(suppress_tokens=[0, 1], bad_words_ids=[[2], [0, 1]]).check(3)
    with pytest.raises(ConfigError, match=r"begin_suppress_tokens .* every token"):
        GenerationConfig(suppress_tokens=[0], begin_suppress_tokens=[2, 1]).check(3)
    assert GenerationConfig().check(1)


def test_a_call_inherits_what_applies_to_it():
    values = {
        "eos_token_id": [1, 2],
        "pad_token_id": -1,
        "temperature": 0.6,
        "top_p": 0.9,
        "length_penalty": 2.0,
        "num_beams": None,
        "max_length": 20,
        "transformers_version": "5.23.0",
        "encoder_repetition_penalty": 1.0,
        "epsilon_cutoff": 0.3,
    }
    read = GenerationConfig.from_checkpoint
    assert read(values) == GenerationConfig(eos_token_id=[1, 2], max_length=20)
    assert read(values, max_new_tokens=5, num_beams=2) == GenerationConfig(
        eos_token_id=[1, 2], max_new_tokens=5, num_beams=2, length_penalty=2.0
    )
    del values["epsilon_cutoff"]
    assert read(values, do_sample=True, top_p=0.5) == GenerationConfig(
        eos_token_id=[1, 2], do_sample=True, temperature=0.6, top_p=0.5, max_length=20
    )


@pytest.mark.parametrize(
    ("values", "options", "expected"),
    [
        ({"do_sample": True, "temperature": 0.6}, {"do_sample": False}, {}),
        (
            {"do_sample": True, "top_k": 20},
            {"penalty_alpha": 0.6},
            {"penalty_alpha": 0.6, "top_k": 20},
        ),
        (
            {"penalty_alpha": 0.6, "top_k": 4},
            {},
            {"penalty_alpha": 0.6, "top_k": 4},
        ),
        ({"penalty_alpha": 0.6, "top_k": 4}, {"num_beams": 2}, {"num_beams": 2}),
        (
            {"penalty_alpha": 0.6, "top_k": 4},
            {"num_assistant_tokens": 3},
            {"num_assistant_tokens": 3},
        ),
        ({"num_beams": 4, "num_return_sequences": 4}, {"num_beams": 1}, {}),
        (
            {"num_beams": 4, "num_return_sequences": 4, "early_stopping": True},
            {"num_beams": 2},
            {"num_beams": 2, "early_stopping": True},
        ),
        (
            {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 1.0},
            {"num_beams": 3},
            {"num_beams": 3},
        ),
        (
            {"max_new_tokens": 5, "max_length": 9},
            {},
            {"max_new_tokens": 5},
        ),
        ({"max_new_tokens": 5}, {"max_length": 9}, {"max_length": 9}),
        ({"num_assistant_tokens": 20}, {}, {}),
    ],
)
def test_what_the_caller_says_overrules_the_checkpoint(values, options, expected):
    found = GenerationConfig.from_checkpoint(values, **options)
    assert found == GenerationConfig(**expected)


def test_the_callers_own_contradictions_stay_contradictions():
    with pytest.raises(ConfigError, match=r"temperature=0.7 needs do_sample=True"):
        GenerationConfig.from_checkpoint({"temperature": 0.6}, temperature=0.7)
    with pytest.raises(ConfigError, match="num_beams='4'"):
        GenerationConfig.from_checkpoint({}, num_beams="4")


@pytest.mark.parametrize("name", NOT_HONOURED)
def test_a_checkpoint_that_asks_for_what_we_lack_is_refused_by_name(name):
    neutral = NOT_HONOURED[name]
    draws = GenerationConfig(do_sample=True)
    assert GenerationConfig.from_checkpoint({name: neutral}, do_sample=True) == draws
    with pytest.raises(CheckpointError, match=name):
        GenerationConfig.from_checkpoint({name: 0.5}, do_sample=True)


def test_a_checkpoints_bad_value_is_the_checkpoints_fault():
    with pytest.raises(CheckpointError, match=r"generation_config.json: top_p=2"):
        GenerationConfig.from_checkpoint({"top_p": 2})


def test_keys_that_nobody_reads_are_passed_over_aloud():
    with pytest.warns(UserWarning, match="alignment_heads"):
        found = GenerationConfig.from_checkpoint({"alignment_heads": [[1, 2]]})
    assert found == GenerationConfig()
    assert not set(HARMLESS) & set(NOT_HONOURED)


@pytest.mark.parity
def test_every_key_of_the_reference_is_known():
    transformers = pytest.importorskip("transformers")
    theirs = transformers.GenerationConfig().to_dict()
    assert set(theirs) <= set(FORMS) | HARMLESS | set(NOT_HONOURED)
    assert GenerationConfig.from_checkpoint(theirs) == GenerationConfig()


@pytest.mark.parity
def test_the_defaults_are_the_references():
    transformers = pytest.importorskip("transformers")
    theirs = transformers.GenerationConfig._get_default_generation_params()
    for name in FORMS.keys() & theirs.keys() - {"max_length", "num_assistant_tokens"}:
        assert DEFAULTS[name] == (theirs[name] or type(DEFAULTS[name])()), name
