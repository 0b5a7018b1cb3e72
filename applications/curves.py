"""The course of a training: see `zoo.training.curves`, which the verbs use as well."""

import numpy as np

from zoo.training.curves import Curve

__all__ = ["Curve", "draw_losses"]


def draw_losses(path, curves, *, constant):
    """Writes a picture of the losses of several trainings.

    Args:
        path: A .png file.
        curves: Name -> Curve, of whose second values the picture is.
        constant: Name -> loss of what is not trained in steps.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
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
    figure.savefig(path, dpi=120)
    plt.close(figure)
