"""Pictures of a task are drawn of the numbers that they are given."""

import numpy as np
import pytest
from matplotlib.axes import Axes

from zoo.tasks.results.pictures import draw_attention


@pytest.mark.parametrize(("depth", "length"), [(1, 1), (2, 5), (13, 9)])
def test_panels_show_the_mean_over_heads_of_the_first_row(
    tmp_path, monkeypatch, depth, length
):
    random = np.random.default_rng(0)
    attentions = [random.random((2, 3, length, length)) for _ in range(depth)]
    shown, titles = [], []
    monkeypatch.setattr(Axes, "imshow", lambda axis, x, **_: shown.append(x))
    monkeypatch.setattr(Axes, "set_title", lambda axis, text, **_: titles.append(text))
    draw_attention(tmp_path / "a.png", attentions, [f"t{i}" for i in range(length)])
    layers = [int(title.split()[1]) - 1 for title in titles]
    assert layers[0] == 0 and layers[-1] == depth - 1 and len(layers) == min(6, depth)
    for weights, layer in zip(shown, layers, strict=True):
        np.testing.assert_allclose(weights, attentions[layer][0].mean(0))
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_some_tokens_are_drawn_and_64_of_those_that_they_look_at(tmp_path, monkeypatch):
    weights = np.random.default_rng(0).random((1, 2, 90, 90))
    shown = []
    monkeypatch.setattr(Axes, "imshow", lambda axis, x, **_: shown.append(x))
    draw_attention(
        tmp_path / "a.png",
        [weights],
        [f"t{i}" for i in range(90)],
        looking=range(3),
        looked_at=range(3, 90),
    )
    np.testing.assert_allclose(shown[0], weights[0].mean(0)[:3, 3:67])
    assert (tmp_path / "a.png").stat().st_size > 1000
