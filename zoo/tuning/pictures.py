"""A picture of the trials of a search."""

import numpy as np

from zoo.figures import new_figure, save_figure


def draw_trials(path, results, metric):
    """Writes scores by trial, and by each hyperparameter that was varied.

    Args:
        path: A .png file.
        results: List of TrialResult; those that failed stand at the lower edge.
        metric: Name of the score.
    """
    good = [result for result in results if result.score is not None]
    names = [
        name
        for name in dict.fromkeys(name for result in results for name in result.values)
        if len({result.values.get(name) for result in results}) > 1
    ]
    columns = min(4, len(names) + 1)
    rows = -(-(len(names) + 1) // columns)
    figure = new_figure(3.4 * columns, 3 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[len(names) + 1 :]:
        axis.set_axis_off()
    numbers = [result.number for result in good]
    scores = [result.score for result in good]
    failed = [result for result in results if result.score is None]
    first = axes[0]
    first.plot(numbers, scores, "o", label="trial")
    if scores:
        first.plot(numbers, np.maximum.accumulate(scores), label="best so far")
    lowest = min(scores, default=0.0)
    if failed:
        places = [result.number for result in failed]
        first.plot(places, [lowest] * len(failed), "x", color="red", label="failed")
    first.set(xlabel="trial", ylabel=metric)
    first.xaxis.get_major_locator().set_params(integer=True)
    first.legend(fontsize="small")
    for axis, name in zip(axes[1:], names, strict=False):
        pairs = [(r.values[name], r.score) for r in good if name in r.values]
        values = sorted({value for value, _ in pairs}, key=_by_kind)
        if name == "learning_rate":
            axis.plot(*zip(*pairs, strict=True), "o") if pairs else None
            axis.set_xscale("log")
            axis.tick_params(axis="x", which="both", rotation=45, labelsize="small")
        else:
            spots = [values.index(value) for value, _ in pairs]
            axis.plot(spots, [score for _, score in pairs], "o")
            axis.set_xticks(range(len(values)), [str(value) for value in values])
            axis.margins(x=0.2)
        axis.set(xlabel=name.replace("_", " "))
    for axis in axes[: len(names) + 1]:
        axis.grid(alpha=0.3)
    figure.suptitle(f"{len(results)} trials")
    save_figure(figure, path, dpi=110)


def _by_kind(value):
    return (0, value, "") if isinstance(value, int | float) else (1, 0, str(value))
