"""Learning-rate schedules."""

import keras
import numpy as np
import tensorflow as tf

from zoo.errors import ConfigError


@keras.saving.register_keras_serializable(package="zoo")
class WarmupLinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Rises to a peak and falls to zero, both linearly (Devlin et al. 2018).

    Args:
        peak: Highest learning rate.
        warmup_steps: Steps of the rise.
        total_steps: Step at which it reaches zero; None: it stays at the peak.
        first_step: Step that counts as 0; earlier ones have the rate of step 0.
    """

    def __init__(self, peak, *, warmup_steps=0, total_steps=None, first_step=0):
        if total_steps is not None and not 0 <= warmup_steps <= total_steps:
            raise ConfigError(
                f"warmup_steps={warmup_steps} does not fit into total_steps="
                f"{total_steps}."
            )
        if not isinstance(peak, int | float | np.number) or not peak > 0:
            raise ConfigError(
                f"peak={peak!r}: expected a positive learning rate. Schedules go into "
                "an optimizer of your own."
            )
        self.peak = float(peak)
        self.warmup_steps = int(warmup_steps)
        self.total_steps = None if total_steps is None else int(total_steps)
        self.first_step = int(first_step)

    def __call__(self, step):
        step = tf.cast(step, tf.float32) - self.first_step
        # The rate of step 0 is not 0: no step is in vain.
        rise = (step + 1) / (self.warmup_steps + 1)
        fall = 1.0
        if self.total_steps is not None:
            left = self.total_steps - step
            fall = left / max(self.total_steps - self.warmup_steps, 1)
        return self.peak * tf.clip_by_value(tf.minimum(rise, fall), 0.0, 1.0)

    def get_config(self):
        return {
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
            "first_step": self.first_step,
        }
