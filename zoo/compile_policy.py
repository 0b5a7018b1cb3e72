"""Whether XLA compiles: one measured rule, and no request that is silently dropped."""

import tensorflow as tf
from tensorflow.python.framework.config import is_op_determinism_enabled

from zoo.errors import ConfigError


def jit_compile(choice="auto", *, work="training", string_inputs=False):
    """What to pass to Keras or TensorFlow as `jit_compile`.

    On a GPU or TPU XLA is faster. On a CPU it is for decoding, where a step is many
    small products; for training oneDNN's graph kernels are: a step of a small BERT
    takes half the time that it takes under XLA.

    Args:
        choice: "auto", True or False.
        work: "training" or "decoding".
        string_inputs: Whether strings enter the compiled step.

    Raises:
        ConfigError: if True was asked for and cannot be had, with the reason. Keras
            itself would drop the request with a warning.
    """
    obstacle = _obstacle(string_inputs)
    if choice == "auto":
        return (accelerated() or work == "decoding") and obstacle is None
    if choice and obstacle is not None:
        raise ConfigError(
            f"jit_compile=True cannot be honoured: {obstacle}. Use jit_compile='auto'."
        )
    return bool(choice)


def accelerated():
    """Whether there is a GPU or a TPU."""
    return any(tf.config.list_logical_devices(kind) for kind in ("GPU", "TPU"))


def _obstacle(string_inputs):
    if string_inputs:
        return "XLA has no strings, and string tensors enter the compiled step"
    if is_op_determinism_enabled():
        return "op determinism is enabled, under which TensorFlow does not use XLA"
    if tf.distribute.has_strategy() and not accelerated():
        return "XLA does not run under a distribution strategy on CPUs"
    return None
