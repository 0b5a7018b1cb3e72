"""Speeds come from what the steps have counted and from the clock, and nothing else."""

import pytest
import tensorflow as tf

from zoo.training import meter as meters
from zoo.training.meter import Interval, Meter


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is told the time."""
    now = [100.0]
    monkeypatch.setattr(meters, "clock", lambda: now[0])
    return now


def step(meter, clock, seconds, tokens, norm=None):
    clock[0] += seconds
    meter.count(tf.constant(tokens), tokens * 10, norm)
    meter.tick()


def test_the_first_step_of_an_interval_is_left_out_where_there_are_more(clock):
    meter = Meter()
    interval = Interval(meter)
    assert interval.rates() is None
    step(meter, clock, 20, 64)  # traces
    assert interval.rates() == (64 / 20, 640 / 20)  # there is nothing else yet
    step(meter, clock, 2, 30)
    step(meter, clock, 3, 70)
    assert interval.rates() == (100 / 5, 1000 / 5)
    clock[0] += 50  # validation
    assert interval.rates() == (100 / 5, 1000 / 5)
    following = Interval(meter)
    step(meter, clock, 4, 8)
    assert following.rates() == (2, 20)


def test_the_mean_norm_leaves_out_those_that_are_not_finite(clock):
    meter = Meter()
    step(meter, clock, 1, 1, norm=5.0)
    interval = Interval(meter)
    assert interval.gradient_norm() is None
    for norm in (1.0, float("inf"), float("nan"), 2.0):
        step(meter, clock, 1, 1, norm=tf.constant(norm))
    assert interval.gradient_norm() == 1.5


def test_many_tokens_are_counted_to_the_last_one(clock):
    meter = Meter()
    meter.count(2**52, 1e15)
    step(meter, clock, 1, 1)
    assert meter.reading.tokens == 2**52 + 1
