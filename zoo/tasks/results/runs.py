"""The directory of a training: what `zoo fit` and the recipes leave in it.

model/        what `from_pretrained` takes
metrics.json  how good it is
curve.png     loss and metric of each step
confusion.png of labels
logs/         for TensorBoard
export/1/     a SavedModel, where one was asked for
resume/       the last complete epoch of a training that has not ended
"""

import json
import shutil
from pathlib import Path

import keras

from zoo.errors import DataError, InputError
from zoo.files import read_json, staged_directory
from zoo.tasks.results.pictures import draw_confusion

STATE, MODEL = "state.json", "model.keras"


def make_output(path):
    """The directory for results; made if it is not there.

    Raises:
        DataError: if it cannot be made.
    """
    path = Path(path).expanduser()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"--output {path}: {error.strerror}.") from error
    return path


def write_results(output, metrics, *, curve=None, untrained=None, compared=None):
    """Writes metrics.json and the pictures; all or none, if it fails.

    Args:
        output: The directory.
        metrics: What stands in metrics.json; with "confusion" and "labels" as of
            `TextClassifier.measure`, that is drawn as well.
        curve: zoo.training.curves.Curve, or None.
        untrained, compared: As of `Curve.draw`.

    Returns:
        Names of the files.
    """
    with staged_directory(output, error=DataError) as stage:
        text = json.dumps(metrics, indent=2, ensure_ascii=False, default=str)
        (stage / "metrics.json").write_text(text + "\n", encoding="utf-8")
        if curve is not None and curve.steps:
            curve.draw(stage / "curve.png", untrained=untrained, compared=compared)
        if "confusion" in metrics:
            names = list(metrics["labels"])
            draw_confusion(stage / "confusion.png", metrics["confusion"], names)
        return sorted(path.name for path in stage.iterdir())


class Resumption(keras.callbacks.Callback):
    """Keeps the last complete epoch, for a training that is interrupted to go on from.

    Weights, the optimizer's state, the state of dropout's generators and the order of
    examples go on as if nothing had happened.

    Args:
        output: The directory of the training.
        settings: What it was begun with, as plain Python.
        epochs: How many epochs it has: behind the last one nothing is to be kept.
        curve: zoo.training.curves.Curve.
    """

    def __init__(self, output, settings, epochs, curve):
        super().__init__()
        self.directory = Path(output) / "resume"
        self.settings = settings
        self.epochs = epochs
        self.curve = curve

    def begin(self):
        """Notes what is begun; an epoch that was kept there is of another training."""
        self.end()
        self._write(0)

    def end(self):
        """Removes what was kept."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def on_epoch_end(self, epoch, logs=None):
        if epoch + 1 < self.epochs:
            self._write(epoch + 1)

    def _write(self, done):
        state = {"settings": self.settings, "epochs_done": done}
        with staged_directory(self.directory, error=DataError) as stage:
            if done:
                self.model.save(stage / MODEL)
                state["curve"] = self.curve.get_state()
            (stage / STATE).write_text(json.dumps(state), encoding="utf-8")


def read_resumption(output):
    """What `Resumption` kept: settings, epochs done, the curve's state, the model.

    Returns:
        `(settings, epochs_done, curve, path)`; the last two are None where no epoch was
        complete.

    Raises:
        InputError: if there is no training to go on with.
    """
    directory = Path(output).expanduser() / "resume"
    if not (directory / STATE).is_file():
        raise InputError(
            f"{output}: there is no training to go on with: it was never begun, or has "
            "come to its end. Leave --resume out."
        )
    state = read_json(directory / STATE, error=DataError)
    done = state["epochs_done"]
    path = directory / MODEL if done else None
    return state["settings"], done, state.get("curve"), path
