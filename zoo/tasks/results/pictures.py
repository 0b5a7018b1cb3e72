"""Pictures of a task: the confusion of its labels, and what its tokens look at."""

import numpy as np

from zoo.figures import new_figure, save_figure

MOST_LABELS = 30  # more rows than that cannot be read
MOST_TOKENS = 64


def draw_confusion(path, counts, labels):
    """Writes how often each label was answered where another was right.

    Args:
        path: A .png file.
        counts: `[C, C]`, rows by the right label and columns by the answer.
        labels: Names of the labels.

    Returns:
        Whether it was drawn: of more than 30 labels nothing could be read.
    """
    if len(labels) > MOST_LABELS:
        return False
    counts = np.asarray(counts)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = max(4.0, 0.5 * len(labels) + 2)
    figure = new_figure(side + 1, side)
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
    save_figure(figure, path)
    return True


def draw_attention(path, attentions, tokens, *, looking=None, looked_at=None, most=6):
    """Writes which tokens of a text look at which, a panel for each layer.

    Args:
        path: A .png file.
        attentions: Attention weights `[B, H, T, S]` of every layer, as of
            `model.attentions`; those of the first row are drawn, as means over heads.
        tokens: The T = S tokens of that row, each as text.
        looking, looked_at: Places of the tokens that are drawn as rows and as columns;
            None: all. Of more than 64 the first 64 are drawn.
        most: Layers drawn, evenly chosen from the first to the last.
    """
    every = range(len(tokens))
    lines = list(every if looking is None else looking)[:MOST_TOKENS]
    rest = list(every if looked_at is None else looked_at)[:MOST_TOKENS]
    width, height = (max(3.0, 0.17 * len(places) + 1) for places in (rest, lines))
    chosen = np.linspace(0, len(attentions) - 1, min(most, len(attentions)))
    columns = 1 if width > 2 * height else min(3, len(chosen))
    rows = -(-len(chosen) // columns)
    figure = new_figure(width * columns, height * rows)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[len(chosen) :]:
        axis.set_axis_off()
    for axis, layer in zip(axes, map(round, chosen), strict=False):
        weights = np.asarray(attentions[layer])[0].mean(0)[np.ix_(lines, rest)]
        axis.imshow(weights, vmin=0, cmap="Blues")
        names = [tokens[place] for place in rest]
        axis.set_xticks(range(len(rest)), names, rotation=90, fontsize=7)
        names = [tokens[place] for place in lines]
        axis.set_yticks(range(len(lines)), names, fontsize=7)
        axis.set_title(f"layer {layer + 1} (darkest: {weights.max():.2f})", fontsize=9)
    figure.supxlabel("looked at", fontsize=9)
    figure.supylabel("looking", fontsize=9)
    save_figure(figure, path)
