"""Learning-rate schedules: a linear rise, then one of four ways down."""

import math

import keras
import numpy as np
import tensorflow as tf

from zoo.errors import ConfigError

DECAYS = ("linear", "cosine", "inverse_sqrt", "constant")


@keras.saving.register_keras_serializable(package="zoo")
class WarmupDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly to a peak, and then falls.

    - "linear": to `end * peak` at `total_steps` (Devlin et al. 2018, arXiv:1810.04805);
    - "cosine": there too, along half a cosine (Loshchilov, Hutter, arXiv:1608.03983);
    - "inverse_sqrt": as one over the square root of the step, without an end (Vaswani
      et al. 2017, arXiv:1706.03762);
    - "constant": not at all.

    Args:
        peak: Highest learning rate.
        decay: The way down.
        warmup_steps: Steps of the rise.
        total_steps: Step at which a linear or cosine way ends; None: it stays at the
            peak.
        end: Where that way ends, as a share of the peak.
        first_step: Step that counts as 0; earlier ones have the rate of step 0.

    Raises:
        ConfigError: if these contradict each other.
    """

    def __init__(
        self,
        peak,
        decay="linear",
        *,
        warmup_steps=0,
        total_steps=None,
        end=0.0,
        first_step=0,
    ):
        if decay not in DECAYS:
            raise ConfigError(
                f"decay={decay!r}: expected one of {', '.join(map(repr, DECAYS))}."
            )
        if warmup_steps < 0 or (total_steps is not None and warmup_steps > total_steps):
            raise ConfigError(
                f"warmup_steps={warmup_steps} does not fit into total_steps="
                f"{total_steps}."
            )
        number = isinstance(peak, int | float | np.number)
        if not number or not 0 < peak < math.inf:
            raise ConfigError(
                f"peak={peak!r}: expected a positive learning rate. Schedules go into "
                "an optimizer of your own."
            )
        if not 0 <= end <= 1:
            raise ConfigError(f"end={end!r}: expected a share of the peak, in [0, 1].")
        self.peak = float(peak)
        self.decay = decay
        self.warmup_steps = int(warmup_steps)
        self.total_steps = None if total_steps is None else int(total_steps)
        self.end = float(end)
        self.first_step = int(first_step)

    def __call__(self, step):
        step = tf.maximum(tf.cast(step, tf.float32) - self.first_step, 0.0)
        # The rate of step 0 is not 0: no step is in vain.
        rise = (step + 1) / (self.warmup_steps + 1)
        return self.peak * tf.minimum(tf.minimum(rise, 1.0), self._fall(step))

    def _fall(self, step):
        if self.decay == "constant":
            return 1.0
        if self.decay == "inverse_sqrt":
            first = float(max(self.warmup_steps, 1))
            return tf.math.rsqrt(tf.maximum(step, first) / first)
        if self.total_steps is None:
            return 1.0
        steps = max(self.total_steps - self.warmup_steps, 1)
        done = tf.clip_by_value((step - self.warmup_steps) / steps, 0.0, 1.0)
        left = 1 - done
        if self.decay == "cosine":
            left = 0.5 * (1 + tf.cos(math.pi * done))
        return self.end + (1 - self.end) * left

    def get_config(self):
        return {
            "peak": self.peak,
            "decay": self.decay,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
            "end": self.end,
            "first_step": self.first_step,
        }
