"""Whether XLA compiles: one measured rule, and no request that is silently dropped."""

import tensorflow as tf
from tensorflow.python.framework.config import is_op_determinism_enabled

from zoo.errors import ConfigError


def jit_compile(choice="auto", *, string_inputs=False):
    """What to pass to Keras as `jit_compile` for a training step.

    On a GPU or TPU XLA is faster. On a CPU oneDNN's graph kernels are: a training step
    of a small BERT takes half the time that it takes under XLA.

    Args:
        choice: "auto", True or False.
        string_inputs: Whether strings enter the compiled step.

    Raises:
        ConfigError: if True was asked for and cannot be had, with the reason. Keras
            itself would drop the request with a warning.
    """
    accelerated = bool(tf.config.list_logical_devices("GPU")) or bool(
        tf.config.list_logical_devices("TPU")
    )
    obstacle = _obstacle(accelerated, string_inputs)
    if choice == "auto":
        return accelerated and obstacle is None
    if choice and obstacle is not None:
        raise ConfigError(
            f"jit_compile=True cannot be honoured: {obstacle}. Use jit_compile='auto'."
        )
    return bool(choice)


def _obstacle(accelerated, string_inputs):
    if string_inputs:
        return "XLA has no strings, and string tensors enter the compiled step"
    if is_op_determinism_enabled():
        return "op determinism is enabled, under which TensorFlow does not use XLA"
    if tf.distribute.has_strategy() and not accelerated:
        return "XLA does not run under a distribution strategy on CPUs"
    return None
