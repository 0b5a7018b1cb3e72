"""The course of a training: loss and metric of each step, and a picture of them."""

import keras
import numpy as np


class Curve(keras.callbacks.Callback):
    """Loss and metric of each step, and held-out ones at the end of each epoch.

    Args:
        metric: Name of the metric, a mean over examples.

    Attributes:
        steps: Array `[2]` of loss and metric for each step.
        held_out: `(steps so far, loss, metric)` for each epoch.
    """

    def __init__(self, metric="accuracy"):
        super().__init__()
        self.names = ("loss", metric)
        self.steps, self.held_out, self.total = [], [], np.zeros(2)

    def on_epoch_begin(self, epoch, logs=None):
        self.total = np.zeros(2)

    def on_train_batch_end(self, batch, logs=None):
        # Keras logs the mean over the epoch so far.
        total = (batch + 1) * np.array([logs[name] for name in self.names])
        self.steps.append(total - self.total)
        self.total = total

    def on_epoch_end(self, epoch, logs=None):
        values = (logs[f"val_{name}"] for name in self.names)
        self.held_out.append((len(self.steps), *values))

    def draw(self, path, *, untrained, compared):
        """Writes the picture: loss on the left, metric on the right.

        Args:
            path: A .png file.
            untrained: Held-out loss and metric before the first step, by name.
            compared: Name -> metric of what the model is compared with.
        """
        import matplotlib

        matplotlib.use("Agg")
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
        points = [(0, *(untrained[name] for name in self.names)), *self.held_out]
        places, *held_out = zip(*points, strict=True)
        width = min(20, len(self.steps))
        for i, (axis, name) in enumerate(zip(axes, self.names, strict=True)):
            values = [step[i] for step in self.steps]
            smooth = np.convolve(values, np.ones(width) / width, "valid")
            axis.plot(
                range(width, len(values) + 1),
                smooth,
                label=f"training, mean of {width} steps",
            )
            axis.plot(places, held_out[i], "o:", label="held out")
            axis.set(xlabel="step", title=name, xlim=(0, None))
            axis.grid(alpha=0.3)
        for name, value in compared.items():
            axes[1].axhline(value, ls="--", color="grey", label=name)
        axes[0].set_ylim(0, None)
        axes[1].set_ylim(None, 1)
        axes[0].legend()
        axes[1].legend(loc="lower right")
        figure.savefig(path, dpi=120)
        plt.close(figure)
