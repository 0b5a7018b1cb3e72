"""Pictures of what a task answers: the confusion of labels."""

MOST_LABELS = 30  # more rows than that cannot be read


def draw_confusion(path, counts, labels):
    """Writes how often each label was answered where another was right.

    Args:
        path: A .png file.
        counts: `[C, C]`, rows by the right label and columns by the answer.
        labels: Names of the labels.

    Returns:
        Whether it was drawn: of more than 30 labels nothing could be read.
    """
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if len(labels) > MOST_LABELS:
        return False
    counts = np.asarray(counts)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = max(4.0, 0.5 * len(labels) + 2)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    image = axis.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    figure.colorbar(image, label="share of the examples with this label", shrink=0.8)
    places = range(len(labels))
    axis.set_xticks(places, labels, rotation=45, ha="right")
    axis.set_yticks(places, labels)
    axis.set(xlabel="answer", ylabel="right label")
    for row in places:
        for column in places:
            shade = "white" if shares[row, column] > 0.6 else "black"
            axis.text(
                column,
                row,
                f"{counts[row, column]:,}",
                ha="center",
                va="center",
                color=shade,
            )
    figure.savefig(path, dpi=120)
    return True
