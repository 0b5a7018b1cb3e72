"""Spaces: what is varied, from words or values, and the values of the first trial."""

import keras_tuner
import pytest

from zoo.errors import InputError
from zoo.tuning.space import VARIED, Range, Space


def test_all_is_varied_that_has_usual_values_and_the_first_trial_has_them():
    space = Space()
    hp = keras_tuner.HyperParameters()
    values = space.draw(hp)
    assert values == {name: usual for name, (_, usual) in VARIED.items()}
    assert {each.name for each in hp.space} == set(VARIED) == set(space.first())
    assert space.first() == values


def test_words_say_what_is_varied_and_nothing_else_is():
    space = Space.parse(
        ["learning_rate=1e-5:1e-3", "batch_size=8,16", "layers=2", "schedule"],
        defaults={"learning_rate": 1.0},
    )
    assert space.to_dict() == {
        "learning_rate": "1e-05:0.001",
        "batch_size": [8, 16],
        "layers": [2],
        "schedule": ["linear", "cosine", "constant"],
    }
    hp = keras_tuner.HyperParameters()
    values = space.draw(hp)
    assert values == {
        "learning_rate": 1e-3,  # the nearest to the default
        "batch_size": 8,
        "layers": 2,
        "schedule": "linear",
        "warmup": 0.1,
        "layer_decay": 1.0,
        "dropout": None,  # as the checkpoint says
        "freeze": "nothing",
    }
    assert {each.name for each in hp.space} == {
        *("learning_rate", "batch_size", "schedule")
    }
    assert space.first() == {
        "learning_rate": 1e-3,
        "batch_size": 8,
        "schedule": "linear",
    }


def test_ranges_are_drawn_on_a_logarithmic_scale():
    hp = keras_tuner.HyperParameters()
    Space({"learning_rate": Range(1e-5, 1e-3)}, only=["learning_rate"]).draw(hp)
    [rate] = hp.space
    assert (rate.min_value, rate.max_value, rate.sampling) == (1e-5, 1e-3, "log")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("learning_rat=1", "Did you mean 'learning_rate'"),
        ("batch_size=a", "expected values of type int, such as batch_size=A,B,C"),
        ("batch_size=8:16", "a range is for numbers with a point"),
        ("batch_size=8,8", "expected different values"),
        ("batch_size=0", "batch_size: 0 will not do"),
        ("learning_rate=1:x", "learning_rate=LOW:HIGH"),
        ("learning_rate=1e-3:1e-5", "is no range of positive numbers"),
        ("schedule=linea", "expected different values, linear, cosine"),
        ("layers", "layers: say its values: layers="),
    ],
)
def test_what_makes_no_sense_is_refused(words, said):
    with pytest.raises(InputError, match=said):
        Space.parse([words])
