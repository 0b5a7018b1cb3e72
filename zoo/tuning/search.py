"""Search: trials of a hyper-model, one after the other, that survive an interruption.

KerasTuner proposes the values and keeps the books, in `trials/` of the directory; here
is what it leaves to others: the first trial has the usual values, a trial that fails is
noted with its reason, weights of trials that cannot be the best are removed, and a
search that was interrupted goes on when it is begun again with the same settings.
"""

import contextlib
import json
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras_tuner

from zoo.errors import DataError, InputError, TrainingError
from zoo.files import read_json, staged_directory
from zoo.training.tensorboard import TensorBoard

PROJECT = "trials"
SETTINGS = "search.json"
# So many in a row, and something is wrong with more than their values.
MOST_FAILURES = 10


@dataclass(frozen=True)
class TrialResult:
    """What came of a trial.

    Attributes:
        number: From 1 on.
        values: Of the hyperparameters that are varied, by name.
        score: The larger the better; None if it failed.
        epochs: Epochs that it was trained, those before a promotion included.
        failure: Why it failed, in one line, or "".
    """

    number: int
    values: dict[str, Any] = field(default_factory=dict)
    score: float | None = None
    epochs: int | None = None
    failure: str = ""


def search_space(
    hypermodel,
    train,
    directory,
    *,
    tuner="random",
    trials=10,
    epochs=1,
    seed=0,
    logs=None,
    settings=None,
    on_begin=None,
    on_end=None,
):
    """Runs trials, or goes on with those that were begun in a directory.

    Args:
        hypermodel: zoo.tuning.hypermodel.TaskHyperModel.
        train: ExampleSet to train on.
        directory: Where the trials are kept.
        tuner: "random", "bayesian", "hyperband" or "grid".
        trials: How many at most, those of earlier calls included. Hyperband may come to
            its end before.
        epochs: Of a trial; for Hyperband, of those that survive every round.
        seed: Of the proposals.
        logs: Directory for TensorBoard, its HParams among them; None: none.
        settings: What the search is about, as JSON values: it goes on only with the
            same.
        on_begin: Called with `(number, values)` when a trial begins.
        on_end: Called with its TrialResult when it has ended.

    Returns:
        A `Search`.

    Raises:
        InputError: if the options make no sense, or the directory has another search.
        TrainingError: if ten trials in a row fail, with the reason of the last.
    """
    if tuner not in TUNERS:
        raise InputError(f"tuner={tuner!r}: expected one of {', '.join(TUNERS)}.")
    for name, value in {"trials": trials, "epochs": epochs}.items():
        if not isinstance(value, int) or value < 1:
            raise InputError(f"{name}={value!r}: expected a whole number from 1 on.")
    directory = Path(directory)
    settings = {
        **(settings or {}),
        "tuner": tuner,
        "epochs": epochs,
        "seed": seed,
        "space": hypermodel.space.to_dict(),
    }
    _check_settings(directory, settings)
    with contextlib.redirect_stdout(sys.stderr):  # KerasTuner says that it reloads
        found = _make(tuner, hypermodel, directory, trials, epochs, seed)
    found.on_begin, found.on_end = on_begin, on_end
    options: dict[str, Any] = {"epochs": epochs, "verbose": 0}
    if logs is not None:
        options["callbacks"] = [TensorBoard(logs, peak_flops=0)]
    try:
        with warnings.catch_warnings():  # few trials have no length scale
            warnings.filterwarnings("ignore", module="sklearn.gaussian_process")
            found.search(train.inputs, train.answers, **options)
    except RuntimeError as error:
        if "consecutive failures" not in str(error):
            raise
        last = _reason(str(error))
        raise TrainingError(
            f"{MOST_FAILURES} trials in a row failed; the last one: {last}"
        ) from error
    return Search(found)


class Search:
    """What a search has found.

    Args:
        tuner: KerasTuner's.
    """

    def __init__(self, tuner):
        self.tuner = tuner

    @property
    def results(self):
        """A TrialResult for each trial, in the order in which they began."""
        oracle = self.tuner.oracle
        return [
            _result(number, oracle.trials[name])
            for number, name in enumerate(oracle.start_order, 1)
        ]

    @property
    def best(self):
        """The TrialResult of the best trial.

        Raises:
            TrainingError: if none has succeeded.
        """
        good = [result for result in self.results if result.score is not None]
        if not good:
            reasons = {result.failure for result in self.results}
            raise TrainingError(f"no trial has succeeded: {'; '.join(sorted(reasons))}")
        return max(good, key=lambda result: result.score)

    def best_model(self):
        """The model of the best trial, with the weights of its best epoch."""
        oracle = self.tuner.oracle
        name = oracle.start_order[self.best.number - 1]
        return self.tuner.load_model(oracle.trials[name])


class _Kept(keras_tuner.Tuner):
    """What all four tuners do beside searching."""

    on_begin: Callable | None = None
    on_end: Callable | None = None
    promotes = False  # whether later trials begin with the weights of earlier ones

    def on_trial_begin(self, trial):
        super().on_trial_begin(trial)
        if self.on_begin is not None:
            number = self.oracle.start_order.index(trial.trial_id) + 1
            self.on_begin(number, _values(trial))

    def on_trial_end(self, trial):
        super().on_trial_end(trial)
        if not self.promotes:
            self._remove_weights()
        if self.on_end is not None:
            number = self.oracle.start_order.index(trial.trial_id) + 1
            self.on_end(_result(number, self.oracle.trials[trial.trial_id]))

    def on_search_end(self):
        super().on_search_end()
        self._remove_weights()

    def _remove_weights(self):
        """Removes the weights of all trials but the best, and those that it came by."""
        scored = [t for t in self.oracle.trials.values() if t.score is not None]
        wanted = set()
        if scored:
            trial = max(scored, key=lambda each: each.score)
            while trial is not None:
                wanted.add(trial.trial_id)
                before = trial.hyperparameters.values.get("tuner/trial_id")
                trial = self.oracle.trials.get(before)
        for name in self.oracle.end_order:
            if name not in wanted:
                Path(self._get_checkpoint_fname(name)).unlink(missing_ok=True)


def _usual_first(oracle, space):
    """Has an oracle propose the usual values first."""
    propose = oracle.populate_space

    def populate_space(trial_id):
        found = propose(trial_id)
        if not oracle.start_order and found.get("values"):
            found["values"].update(space.first())
        return found

    oracle.populate_space = populate_space


class _Random(_Kept, keras_tuner.RandomSearch):
    pass


class _Bayesian(_Kept, keras_tuner.BayesianOptimization):
    pass


class _Grid(_Kept, keras_tuner.GridSearch):
    pass


class _Hyperband(_Kept, keras_tuner.Hyperband):
    promotes = True


TUNERS: dict[str, type[_Kept]] = {
    "random": _Random,
    "bayesian": _Bayesian,
    "hyperband": _Hyperband,
    "grid": _Grid,
}


def _make(tuner, hypermodel, directory, trials, epochs, seed):
    kind = TUNERS[tuner]
    options: dict[str, Any] = {
        "objective": hypermodel.objective,
        "directory": str(directory),
        "project_name": PROJECT,
        "max_consecutive_failed_trials": MOST_FAILURES,
    }
    if tuner != "grid":  # which knows no chance
        options["seed"] = seed or 1  # KerasTuner takes 0 for none
    if tuner == "hyperband":
        options["max_epochs"] = epochs
    else:
        options["max_trials"] = trials
    if tuner == "bayesian":
        # Before it learns from any, KerasTuner draws three trials by chance for each
        # hyperparameter: more than most searches have.
        usual = 3 * len(hypermodel.space.first())
        options["num_initial_points"] = max(2, min(usual, trials // 3))
    found = kind(hypermodel, **options)
    found.oracle.max_trials = trials
    if tuner != "grid":  # whose first trial has them by itself
        _usual_first(found.oracle, hypermodel.space)
    return found


def _check_settings(directory, settings):
    """Refuses a directory with another search; notes what this one is about."""
    path = directory / SETTINGS
    if path.is_file():
        saved = read_json(path, error=DataError)
        settings = json.loads(json.dumps(settings))
        for name in sorted({*saved, *settings}):
            if saved.get(name) != settings.get(name):
                raise InputError(
                    f"{directory} has a search with {name}={saved.get(name)!r}; this "
                    f"one has {settings.get(name)!r}. Pass the same to go on with it, "
                    "or another directory."
                )
        return
    if (directory / PROJECT).exists():
        raise InputError(
            f"{directory / PROJECT} is there already, and is not of zoo. Pass another "
            "directory."
        )
    with staged_directory(directory, error=DataError) as stage:
        text = json.dumps(settings, indent=2, ensure_ascii=False)
        (stage / SETTINGS).write_text(text + "\n", encoding="utf-8")


def _values(trial):
    """The values of a trial that the space varies, by name."""
    return {
        name: value
        for name, value in trial.hyperparameters.values.items()
        if not name.startswith("tuner/")
    }


def _result(number, trial):
    score = trial.score if trial.status == "COMPLETED" else None
    epochs = trial.hyperparameters.values.get("tuner/epochs")
    return TrialResult(
        number,
        _values(trial),
        score=None if score is None else float(score),
        epochs=epochs,
        failure="" if score is not None else _reason(trial.message, trial.status),
    )


def _reason(message, status=""):
    """The line of a traceback that says what was wrong."""
    lines = [line for line in (message or "").splitlines() if line.strip()]
    if not lines:
        return {"FAILED": "the score is not a number"}.get(status, "interrupted")
    return lines[-1].strip()[:300]
