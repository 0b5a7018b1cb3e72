"""Curves: each step's own values out of Keras's running sums, and the picture."""

import types

import keras
import numpy as np
import tensorflow as tf

from zoo.tasks.answers.entities import EntityF1
from zoo.training.curves import Curve, draw_losses


def test_steps_have_values_of_their_own_and_epochs_the_held_out_ones(tmp_path):
    curve = Curve("f1")
    loss, score = keras.metrics.Mean("loss"), EntityF1(["O", "B-X"])
    curve.set_model(types.SimpleNamespace(metrics=[loss, score]))
    # Steps of different sizes: losses, tokens, tags that are right, given ones.
    steps = [(3.0, 4, [0, 1]), (1.0, 1, [1, 1]), (2.0, 2, [1, 0]), (0.5, 9, [0, 0])]
    for epoch in range(2):
        curve.on_epoch_begin(epoch)
        loss.reset_state()
        score.reset_state()
        for batch, (value, size, given) in enumerate(steps[2 * epoch :][:2]):
            loss.update_state(value, sample_weight=size)
            score.update_state(tf.constant([[0, 1]]), tf.one_hot([given], 2))
            curve.on_train_batch_end(batch)
        curve.on_epoch_end(epoch, {"val_loss": 1.5 - epoch, "val_f1": 0.4 + epoch / 2})
    scores = [1.0, 2 / 3, 0.0, 0.0]
    np.testing.assert_allclose(
        curve.steps, [[step[0], f1] for step, f1 in zip(steps, scores, strict=True)]
    )
    assert curve.held_out == [(2, 1.5, 0.4), (4, 0.5, 0.9)]
    untrained = {"loss": 4.0, "f1": 0.1}
    curve.draw(tmp_path / "x.png", untrained=untrained, compared={"baseline": 0.3})
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_losses_of_several_trainings_stand_in_one_picture(tmp_path):
    curves = {name: Curve("loss") for name in ("GPT", "LSTM")}
    for slow, curve in enumerate(curves.values()):
        for epoch in range(2):
            loss = keras.metrics.Mean("loss")
            loss.update_state(3.0 - epoch + slow)
            curve.set_model(types.SimpleNamespace(metrics=[loss]))
            curve.on_epoch_begin(epoch)
            curve.on_train_batch_end(0)
            curve.on_epoch_end(epoch, {"val_loss": 3.5 - epoch + slow})
        np.testing.assert_allclose(curve.steps, [[3 + slow] * 2, [2 + slow] * 2])
    draw_losses(tmp_path / "both.png", curves, constant={"5-gram": 2.0})
    both = (tmp_path / "both.png").read_bytes()
    draw_losses(tmp_path / "one.png", {"GPT": curves["GPT"]}, constant={})
    assert both.startswith(b"\x89PNG")
    assert both != (tmp_path / "one.png").read_bytes()
