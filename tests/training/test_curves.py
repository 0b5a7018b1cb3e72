"""Curves: each step's own values out of Keras's running means, and the picture."""

import numpy as np

from zoo.training.curves import Curve, draw_losses


def test_steps_have_values_of_their_own_and_epochs_the_held_out_ones(tmp_path):
    curve = Curve("f1")
    losses, scores = [3.0, 1.0, 2.0, 0.5], [0.0, 0.5, 1.0, 0.25]
    for epoch in range(2):
        curve.on_epoch_begin(epoch)
        for batch in range(2):
            seen = slice(2 * epoch, 2 * epoch + batch + 1)
            means = {"loss": np.mean(losses[seen]), "f1": np.mean(scores[seen])}
            curve.on_train_batch_end(batch, means)
        curve.on_epoch_end(epoch, {"val_loss": 1.5 - epoch, "val_f1": 0.4 + epoch / 2})
    np.testing.assert_allclose(curve.steps, np.stack([losses, scores], 1))
    assert curve.held_out == [(2, 1.5, 0.4), (4, 0.5, 0.9)]
    untrained = {"loss": 4.0, "f1": 0.1}
    curve.draw(tmp_path / "x.png", untrained=untrained, compared={"baseline": 0.3})
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_losses_of_several_trainings_stand_in_one_picture(tmp_path):
    curves = {name: Curve("loss") for name in ("GPT", "LSTM")}
    for slow, curve in enumerate(curves.values()):
        for epoch in range(2):
            curve.on_epoch_begin(epoch)
            curve.on_train_batch_end(0, {"loss": 3.0 - epoch + slow})
            curve.on_epoch_end(epoch, {"val_loss": 3.5 - epoch + slow})
    draw_losses(tmp_path / "both.png", curves, constant={"5-gram": 2.0})
    both = (tmp_path / "both.png").read_bytes()
    draw_losses(tmp_path / "one.png", {"GPT": curves["GPT"]}, constant={})
    assert both.startswith(b"\x89PNG")
    assert both != (tmp_path / "one.png").read_bytes()
