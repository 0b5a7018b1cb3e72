"""Trains on two replicas and on one, and prints what came of it, as JSON.

A process of its own: TensorFlow splits a CPU into two devices only before it begins.
"""

import json
import sys

import keras
import numpy as np
import tensorflow as tf

from zoo.config import TransformerConfig
from zoo.errors import TrainingError, ZooError
from zoo.models import GPTModel
from zoo.training.tensorboard import TensorBoard

IDS = np.random.default_rng(0).integers(0, 32, (16, 8)).astype("int32")
MASK = (np.arange(8) < 6).astype("int32") * np.ones_like(IDS)
MASK[:4, 3:] = 0  # replicas have unequal numbers of labels
DATA = {"input_ids": IDS, "attention_mask": MASK}
LABELS = np.where(MASK, IDS, -100)


def made(strategy, dtype=None, **options):
    keras.utils.set_random_seed(7)
    with strategy.scope():
        config = TransformerConfig(
            vocab_size=32,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=8,
        )
        model = GPTModel(config, dtype=dtype)
        model.compile(keras.optimizers.SGD(0.5), **options)
    return model


def fitted(model, callbacks=(), **options):
    options = {"batch_size": 8, "shuffle": False, "verbose": 0, **options}
    return model.fit(DATA, LABELS, callbacks=list(callbacks), **options).history


def state(model):
    return np.concatenate([w.numpy().ravel() for w in model.trainable_weights])


def compared(strategy, logs):
    """Weights and readings of two replicas, at once and in parts, beside one's."""
    alone = tf.distribute.get_strategy()
    ways = {"one": (alone, {}), "plain": (strategy, {})}
    ways["in parts"] = (strategy, {"micro_batch_size": 3})
    found = {}
    for name, (place, options) in ways.items():
        model = made(place, **options)
        history = fitted(model, [TensorBoard(f"{logs}/{name}", peak_flops=1e9)])
        found[name] = state(model), [*model.meter.reading[1:], *history["loss"]]
    expected = found.pop("one")
    return {
        name: {
            "difference": float(np.abs(weights - expected[0]).max()),
            "readings": [readings, expected[1]],
        }
        for name, (weights, readings) in found.items()
    }


def with_a_bad_row(strategy, bad, **options):
    """One row of the second replica of the first batch has this weight."""
    model = made(strategy, **options)
    fitted(model)
    before = state(model)
    weights = np.ones(16, "float32")
    weights[6] = bad
    said = ""
    try:
        fitted(model, sample_weight=weights)
    except TrainingError as error:
        said = str(error)
    return {
        "said": said,
        "changed": bool((state(model) != before).any()),
        "finite": bool(np.isfinite(state(model)).all()),
        "steps": int(model.optimizer.iterations.numpy()),
        "skipped": model._guard.skipped,
        "scale": float(getattr(model.optimizer, "initial_scale", 0)),
        "scale_after": float(
            model.optimizer.dynamic_scale.numpy()
            if hasattr(model.optimizer, "dynamic_scale")
            else 0
        ),
    }


def refusal(strategy):
    model = made(strategy)
    try:
        model.compile(jit_compile=True)  # outside of the scope
    except ZooError as error:
        return str(error)
    return ""


def main(logs):
    cpu = tf.config.list_physical_devices("CPU")[0]
    devices = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, devices)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    found = {
        **compared(strategy, logs),
        "stop": with_a_bad_row(strategy, np.nan),
        "skip": with_a_bad_row(strategy, np.nan, nonfinite="skip"),
        "float16": with_a_bad_row(strategy, 1e30, dtype="mixed_float16"),
        "XLA": refusal(strategy),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
