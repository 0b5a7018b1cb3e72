"""Pictures of a task are drawn of the numbers that they are given."""

import numpy as np
import pytest
from matplotlib.axes import Axes

from zoo.tasks.pictures import draw_attention


@pytest.mark.parametrize(("depth", "length"), [(1, 1), (2, 5), (13, 70)])
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
    count = min(64, length)
    for weights, layer in zip(shown, layers, strict=True):
        expected = attentions[layer][0].mean(0)[:count, :count]
        np.testing.assert_allclose(weights, expected)
    assert (tmp_path / "a.png").stat().st_size > 1000
