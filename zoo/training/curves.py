"""Curve: loss and metric of each step of a training, and pictures of them."""

import keras
import numpy as np

from zoo.figures import new_figure, save_figure


class Curve(keras.callbacks.Callback):
    """Loss and metric of each step, and held-out ones at the end of each epoch.

    Args:
        metric: Name of a metric whose variables are sums, as those of a mean over
            examples or tokens, or the counts of an F1. Where the model has none of that
            name, the loss stands alone.

    Attributes:
        steps: Array `[2]` of loss and metric for each step.
        held_out: `(steps so far, loss, metric)` for each epoch.
    """

    def __init__(self, metric="accuracy"):
        super().__init__()
        self.names = ("loss", metric)
        self.steps: list = []
        self.held_out: list = []
        self._sums: dict = {}

    def on_epoch_begin(self, epoch, logs=None):
        self._sums = {}

    def on_train_batch_end(self, batch, logs=None):
        found = {metric.name: metric for metric in _every_metric(self.model)}
        # Each once: `metric` may be the loss as well.
        own = {name: self._own(found.get(name)) for name in {*self.names}}
        self.steps.append(np.array([own[name] for name in self.names]))

    def _own(self, metric):
        """A metric of the last step alone; Keras logs that of the epoch so far."""
        if metric is None:
            return np.nan
        sums = [variable.numpy() for variable in metric.variables]
        before = self._sums.get(metric.name, [0] * len(sums))
        self._sums[metric.name] = sums
        added = [now - then for now, then in zip(sums, before, strict=True)]
        return float(metric.stateless_result(added))

    def on_epoch_end(self, epoch, logs=None):
        found = [logs.get(f"val_{name}") for name in self.names]
        if found[0] is not None:
            values = (np.nan if value is None else float(value) for value in found)
            self.held_out.append((len(self.steps), *values))

    def get_state(self):
        """What `set_state` takes, as plain Python."""
        steps = [[float(value) for value in step] for step in self.steps]
        return {"steps": steps, "held_out": [list(each) for each in self.held_out]}

    def set_state(self, state):
        """Goes on where another one stopped."""
        self.steps = [np.array(step) for step in state["steps"]]
        self.held_out = [tuple(each) for each in state["held_out"]]

    def draw(self, path, *, untrained=None, compared=None):
        """Writes the picture: loss on the left, metric on the right.

        Args:
            path: A .png file.
            untrained: Held-out loss and metric before the first step, by name.
            compared: Name -> metric of what the model is compared with.
        """
        logged = [
            i for i in range(2) if any(np.isfinite(step[i]) for step in self.steps)
        ]
        figure = new_figure(5 * len(logged), 4)
        points = list(self.held_out)
        if untrained is not None:
            points.insert(0, (0, *(untrained[name] for name in self.names)))
        width = min(20, len(self.steps))
        panels = figure.subplots(1, len(logged), squeeze=False)[0]
        for i, axis in zip(logged, panels, strict=True):
            values = [step[i] for step in self.steps]
            smooth = np.convolve(values, np.ones(width) / width, "valid")
            axis.plot(
                range(width, len(values) + 1),
                smooth,
                label=f"training, mean of {width} steps",
            )
            if points:
                places, held_out = zip(*((p[0], p[i + 1]) for p in points), strict=True)
                axis.plot(places, held_out, "o:", label="held out")
            axis.set(xlabel="step", title=self.names[i], xlim=(0, None))
            axis.grid(alpha=0.3)
            if i == 0:
                axis.set_ylim(0, None)
                axis.legend()
                continue
            for name, value in (compared or {}).items():
                axis.axhline(value, ls="--", color="grey", label=name)
            axis.set_ylim(None, 1)
            axis.legend(loc="lower right")
        save_figure(figure, path)


def _every_metric(model):
    """The metrics of a model, those that it was compiled with among them."""
    for metric in model.metrics:
        yield from getattr(metric, "metrics", [metric])


def draw_losses(path, curves, *, constant):
    """Writes a picture of the losses of several trainings.

    Args:
        path: A .png file.
        curves: Name -> Curve, of whose second values the picture is.
        constant: Name -> loss of what is not trained in steps.
    """
    figure = new_figure(7, 4)
    axis = figure.subplots()
    for name, curve in curves.items():
        values = [step[1] for step in curve.steps]
        width = min(20, len(values))
        smooth = np.convolve(values, np.ones(width) / width, "valid")
        places = range(width, len(values) + 1)
        [line] = axis.plot(places, smooth, alpha=0.4, label=f"{name}, training")
        places, _, held_out = zip(*curve.held_out, strict=True)
        color = line.get_color()
        axis.plot(places, held_out, "o:", color=color, label=f"{name}, held out")
    for name, value in constant.items():
        axis.axhline(value, ls="--", color="grey", label=f"{name}, held out")
    axis.set(xlabel="step", title="loss, nats per token", xlim=(0, None))
    axis.grid(alpha=0.3)
    axis.legend()
    save_figure(figure, path)
