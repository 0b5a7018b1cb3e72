"""Searches: the best model comes out; failures and interruptions are survived."""

import json

import keras
import numpy as np
import pytest

from zoo.errors import InputError, TrainingError
from zoo.tasks.examples.sets import ExampleSet
from zoo.tuning.hypermodel import TaskHyperModel
from zoo.tuning.pictures import draw_trials
from zoo.tuning.search import TUNERS, search_space
from zoo.tuning.space import Space

pytestmark = pytest.mark.usefixtures("little_to_collect")

EXAMPLES = ExampleSet([-2.0, -1.0, 1.0, 2.0] * 4, [0.0, 0.0, 1.0, 1.0] * 4)


class Step(keras.Model):
    """The least that a task can be: which side of a point a number is on."""

    metric = "accuracy"
    has_tokenizer = False
    max_length = 1

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1, kernel_initializer="zeros")
        self.build((None, 1))

    @classmethod
    def from_pretrained(cls, source, dtype=None, *, changes=None):
        return cls()

    def build(self, input_shape):
        self.dense.build(input_shape)
        self.built = True

    def call(self, x):
        return self.dense(x)

    def compile(self, learning_rate, **options):
        super().compile(keras.optimizers.SGD(learning_rate), "mse", run_eagerly=True)

    def fit(self, x, y, *, seed, **options):
        rows = np.array(x)[:, None], np.array(y)[:, None]
        return super().fit(*rows, shuffle=False, **options)

    def measure(self, examples):
        given = self(np.array(examples.inputs)[:, None]).numpy()[:, 0]
        if not np.isfinite(given).all():
            raise TrainingError("step 3: the loss is not finite.")
        error = np.mean((given - examples.answers) ** 2)
        return {"accuracy": float(1 / (1 + error))}


def hypermodel(*words, **options):
    return TaskHyperModel(Step, "nowhere", Space.parse(words), EXAMPLES, **options)


@pytest.mark.parametrize("tuner", list(TUNERS))
def test_the_best_model_comes_out_with_its_weights(tuner, tmp_path):
    space = ["learning_rate=3e-2,1e-4", "batch_size=8,32"]
    trials, epochs = (3, 2) if tuner == "hyperband" else (2, 1)
    made = hypermodel(*space)
    options = {"tuner": tuner, "trials": trials, "epochs": epochs, "seed": 0}
    logs = tmp_path / "logs" if tuner == "random" else None
    found = search_space(made, EXAMPLES, tmp_path, logs=logs, **options)
    results, best = found.results, found.best
    assert [result.number for result in results] == list(range(1, len(results) + 1))
    assert 0 < len(results) <= trials
    usual = {"learning_rate": 1e-4, "batch_size": 32}
    assert results[0].values == usual
    assert best.score == max(result.score for result in results)
    measured = found.best_model().measure(EXAMPLES)["accuracy"]
    assert measured == pytest.approx(best.score)
    kept = list(tmp_path.rglob("checkpoint.weights.h5"))
    assert 1 <= len(kept) <= (2 if tuner == "hyperband" else 1)
    assert logs is None or list(logs.rglob("*tfevents*"))


def test_a_bayesian_search_learns_from_its_trials(tmp_path, recwarn):
    space = ["learning_rate=1e-4:3e-2", "batch_size=8,16"]
    options = {"tuner": "bayesian", "trials": 3, "epochs": 1}
    found = search_space(hypermodel(*space), EXAMPLES, tmp_path, **options)
    process = found.tuner.oracle.gpr
    assert len(process.X_train_) == 2  # of the trials before the third
    assert not [each for each in recwarn if "length_scale" in str(each.message)]


def test_a_trial_that_fails_is_noted_and_left_behind(tmp_path):
    class Failing(TaskHyperModel):
        def build(self, hp):
            built = super().build(hp)
            if hp.get("batch_size") == 4:
                raise MemoryError("no room")
            return built

    rates = "learning_rate=1e-3,1e30"
    made = Failing(Step, "nowhere", Space.parse([rates, "batch_size=8,4"]), EXAMPLES)
    ended = []
    found = search_space(
        made, EXAMPLES, tmp_path, tuner="grid", trials=4, epochs=3, on_end=ended.append
    )
    assert ended == found.results
    told = {tuple(result.values.values()): result for result in found.results}
    assert told[(1e-3, 8)].score is not None and told[(1e-3, 8)] == found.best
    assert "no room" in told[(1e-3, 4)].failure
    diverged = told[(1e30, 8)]
    assert diverged.score is None and "finite" in diverged.failure
    draw_trials(tmp_path / "trials.png", found.results, "accuracy")
    assert (tmp_path / "trials.png").read_bytes().startswith(b"\x89PNG")


def test_a_search_of_failures_says_so(tmp_path):
    made = hypermodel("learning_rate=1e30,1e31")
    with pytest.raises(TrainingError, match=r"no trial has succeeded: .*finite"):
        _ = search_space(made, EXAMPLES, tmp_path, trials=2, epochs=3).best


def test_an_interrupted_search_goes_on_and_takes_further_trials(tmp_path):
    class Stopping(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if begun == [1, 2]:
                raise KeyboardInterrupt

    begun, space = [], ["learning_rate=1e-4:1e-2"]

    def search(trials, **more):
        return search_space(
            hypermodel(*space, **more),
            EXAMPLES,
            tmp_path,
            trials=trials,
            seed=5,
            on_begin=lambda number, values: begun.append(number),
        )

    with pytest.raises(KeyboardInterrupt):
        search(3, callbacks=lambda: [Stopping()])
    first = json.loads((tmp_path / "trials" / "trial_0" / "trial.json").read_text())
    found = search(3)
    assert begun == [1, 2, 2, 3]
    assert found.results[0].score == first["score"]
    assert all(result.score is not None for result in found.results)
    assert len(search(4).results) == 4 and begun[-1] == 4
    with pytest.raises(InputError, match="has a search with seed=5; this one has 6"):
        search_space(hypermodel(*space), EXAMPLES, tmp_path, seed=6)


def test_wrong_options_are_refused(tmp_path):
    made = hypermodel("batch_size=8,16")
    for wrong, said in (
        ({"tuner": "rando"}, "expected one of random, bayesian"),
        ({"trials": 0}, "trials=0"),
        ({"epochs": 0}, "epochs=0"),
    ):
        with pytest.raises(InputError, match=said):
            search_space(made, EXAMPLES, tmp_path, **wrong)
    (tmp_path / "trials").mkdir()
    with pytest.raises(InputError, match="is not of zoo"):
        search_space(made, EXAMPLES, tmp_path)
