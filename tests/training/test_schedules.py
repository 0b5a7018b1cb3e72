"""Learning rates rise to the peak and fall as their names say."""

import math

import keras
import pytest

from zoo.errors import ConfigError
from zoo.training.schedules import DECAYS, WarmupDecay


def rates(*steps, **options):
    schedule = WarmupDecay(2.0, warmup_steps=4, **options)
    return [float(schedule(step)) for step in steps]


@pytest.mark.parametrize("decay", DECAYS)
def test_every_kind_rises_linearly_to_the_peak(decay):
    found = rates(0, 1, 3, 4, decay=decay, total_steps=24)
    assert found == pytest.approx([0.4, 0.8, 1.6, 2.0])


def test_the_ways_down():
    assert rates(14, 24, 99, total_steps=24) == pytest.approx([1.0, 0.0, 0.0])
    cosine = 1 + math.cos(math.pi / 4)
    found = rates(9, 14, 24, decay="cosine", total_steps=24)
    assert found == pytest.approx([cosine, 1.0, 0.0], abs=1e-6)
    found = rates(9, 16, 400, decay="inverse_sqrt", total_steps=24)
    assert found == pytest.approx([4 / 3, 1.0, 0.2])
    assert rates(9, 400, decay="constant", total_steps=24) == [2.0, 2.0]


def test_the_end_and_the_beginning_can_be_moved():
    found = rates(14, 24, 30, total_steps=24, end=0.1)
    assert found == pytest.approx([1.1, 0.2, 0.2])
    found = rates(90, 100, 104, total_steps=24, first_step=100)
    assert found == pytest.approx([0.4, 0.4, 2.0])


@pytest.mark.parametrize("decay", DECAYS)
def test_a_schedule_goes_through_its_configuration(decay):
    schedule = WarmupDecay(1e-3, decay, warmup_steps=2, total_steps=9, end=0.2)
    serialize = keras.optimizers.schedules.serialize
    again = keras.optimizers.schedules.deserialize(serialize(schedule))
    assert [float(again(i)) for i in range(10)] == [
        float(schedule(i)) for i in range(10)
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"peak": 0.0}, "peak=0.0"),
        ({"peak": float("nan")}, "peak=nan"),
        ({"peak": 1, "decay": "steps"}, "decay='steps'"),
        ({"peak": 1, "warmup_steps": 5, "total_steps": 4}, "warmup_steps=5"),
        ({"peak": 1, "warmup_steps": -1}, "warmup_steps=-1"),
        ({"peak": 1, "end": 2}, "end=2"),
    ],
)
def test_what_contradicts_itself_is_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        WarmupDecay(**options)
