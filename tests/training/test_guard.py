"""A step with NaN or infinity changes no weight, and says which one it was."""

import logging

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.errors import ConfigError, TrainingError
from zoo.training import guard as guards
from zoo.training.guard import Guard


class Loop:
    """Two weights, Adam, and a step that takes what the gradients shall be."""

    def __init__(self, choice, jit_compile=False):
        self.weights = [keras.Variable([1.0, 2.0]), keras.Variable([3.0])]
        self.optimizer = keras.optimizers.Adam(0.1)
        self.optimizer.build(self.weights)
        self.guard = Guard(choice)
        self.compiled = tf.function(self.step, jit_compile=jit_compile)

    def step(self, loss, *gradients):
        return self.guard.apply(
            lambda: self.optimizer.apply(gradients, self.weights),
            loss,
            self.optimizer.learning_rate,
            dict(zip(("one", "two"), gradients, strict=True)),
        )

    def __call__(self, loss=1.0, one=(1.0, 1.0), two=(1.0,)):
        done = self.compiled(*map(tf.constant, (loss, one, two)))
        self.guard.check()
        return bool(done)

    def state(self):
        variables = [*self.weights, *self.optimizer.variables]
        return [v.numpy() for v in variables]


BAD = {
    "loss": ({"loss": np.float32("nan")}, "the loss is not"),
    "NaN": ({"two": [np.float32("nan")]}, "the gradient of two is not"),
    "infinity": ({"one": [1.0, -np.inf]}, "the gradient of one is not"),
    "square overflows": ({"one": [1.0, 1e30]}, "the gradient of one is not"),
    "both": (
        {"one": [np.nan, 1.0], "two": [np.inf]},
        "the gradient of one, two are not",
    ),
}


@pytest.fixture(scope="module", params=[False, True], ids=["graph", "XLA"])
def loop(request):
    return Loop("stop", request.param)


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_step_stops_training_and_changes_nothing(loop, kind):
    assert loop()
    before = loop.state()
    batch, said = BAD[kind]
    step = int(loop.guard._steps) + 1
    with pytest.raises(TrainingError, match=f"step {step}: .*{said} finite"):
        loop(**batch)
    for old, new in zip(before, loop.state(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert loop()  # one may go on by hand


def test_steps_that_follow_before_anybody_looks_change_nothing_either():
    loop = Loop("stop")
    loop.compiled(*map(tf.constant, (float("inf"), [1.0, 1.0], [1.0])))
    before = loop.state()
    for _ in range(2):  # as with several steps in one execution
        loop.compiled(*map(tf.constant, (1.0, [1.0, 1.0], [1.0])))
    for old, new in zip(before, loop.state(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_bad_steps_are_skipped_if_one_wants_and_the_log_names_them(caplog):
    loop = Loop("skip")
    assert loop()
    before = loop.state()
    with caplog.at_level(logging.WARNING, "zoo"):
        assert not loop(one=[np.nan, 0.0])
    assert "step 2 was skipped: the gradient of one is not finite" in caplog.text
    for old, new in zip(before, loop.state(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert loop()
    assert loop.guard.skipped == 1


def test_skipping_has_an_end(monkeypatch):
    monkeypatch.setattr(guards, "MOST_SKIPPED", 3)
    loop = Loop("skip")
    loop()
    for _ in range(2):
        loop(loss=float("nan"))
    with pytest.raises(TrainingError, match=r"step 4: .* weights are those of step 1"):
        loop(loss=float("nan"))


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "XLA"])
def test_infinity_is_the_optimizers_until_no_scale_of_the_loss_helps(jit_compile):
    guard, applied = Guard("stop"), tf.Variable(0)

    @tf.function(jit_compile=jit_compile)
    def step(gradient, scale):
        gradients = {"one": gradient, "none": None}
        one = tf.constant(1.0)
        guard.apply(lambda: applied.assign_add(1), one, one, gradients, scale=scale)

    for gradient, scale in ((np.inf, 2.0**15), (1.0, 2.0**-30)):
        step(tf.constant([gradient], tf.float32), tf.constant(scale))
        guard.check()
    assert int(applied) == 2
    step(tf.constant([np.inf], tf.float32), tf.constant(2.0**-11))
    with pytest.raises(TrainingError, match="step 3: the gradient of one is not"):
        guard.check()
    assert int(applied) == 2


def test_a_learning_rate_that_is_not_finite_is_named():
    loop = Loop("stop")
    loop.optimizer.learning_rate.assign(float("inf"))
    with pytest.raises(TrainingError, match="the learning rate is not finite"):
        loop()


def test_other_choices_are_refused():
    with pytest.raises(ConfigError, match="nonfinite='ignore'"):
        Guard("ignore")
