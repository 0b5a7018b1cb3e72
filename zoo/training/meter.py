"""What a training step works through, counted in it: tokens, operations, gradients."""

import time
from typing import NamedTuple

import tensorflow as tf

clock = time.perf_counter
TOKENS, FLOPS, NORMS, STEPS = range(4)


class Reading(NamedTuple):
    """What had been counted when the last step ended.

    Attributes:
        seconds: Of the clock.
        tokens: Tokens that are no padding.
        flops: Model FLOPs of these.
        norms: Sum of the norms of gradients.
        steps: How many norms these were; those that were not finite are left out.
    """

    seconds: float
    tokens: float
    flops: float
    norms: float
    steps: float


class Meter:
    """Adds up in the compiled step, and is read behind it.

    Attributes:
        gradient_norm: Whether norms of gradients are counted. It is compiled in.
        reading: Reading behind the last step, None before the first one.
    """

    def __init__(self):
        self.gradient_norm = False
        self.reading = None
        self._sums = None

    def prepare(self):
        """Makes its state; in the scope of the strategy, where there is one."""
        if self._sums is None:
            with tf.init_scope():
                self._sums = tf.Variable(
                    tf.zeros([4], tf.float64),
                    trainable=False,
                    # Each replica counts its own share.
                    synchronization=tf.VariableSynchronization.ON_READ,
                    aggregation=tf.VariableAggregation.SUM,
                    name="meter",
                )

    def count(self, tokens, flops, norm=None):
        """Counts a step, in a graph.

        Args:
            tokens, flops: Of this replica's batch, scalars.
            norm: Norm of the gradient of the whole batch, or None.
        """
        self.prepare()
        norms = [tf.zeros([], tf.float64)] * 2
        if norm is not None:
            share = 1 / tf.distribute.get_strategy().num_replicas_in_sync
            norm = tf.cast(norm, tf.float64)
            finite = tf.math.is_finite(norm)
            norms = [tf.where(finite, norm * share, 0), tf.where(finite, share, 0)]
            norms = [tf.cast(each, tf.float64) for each in norms]
        counted = [tf.cast(each, tf.float64) for each in (tokens, flops)]
        self._sums.assign_add(tf.stack([*counted, *norms]))

    def tick(self):
        """Reads the sums. Call it on the host when a step has ended."""
        if self._sums is not None:
            sums = tf.convert_to_tensor(self._sums).numpy().tolist()
            self.reading = Reading(clock(), *sums)


class Interval:
    """What happened between two readings of a meter: from the first step's end on.

    The first step is left out where there are more, since tracing or the first batch
    may have kept it waiting.
    """

    def __init__(self, meter):
        self._meter = meter
        self._before = meter.reading
        self._began = clock()
        self._first = None

    def note(self):
        """Call it behind each step."""
        if self._first is None and self._meter.reading is not self._before:
            self._first = self._meter.reading

    def rates(self):
        """Tokens and model FLOPs per second; None before a step has ended."""
        self.note()
        last = self._meter.reading
        if self._first is None:
            return None
        if last is not self._first:
            return _rates(self._first, last)
        zero = Reading(self._began, 0, 0, 0, 0)
        before = self._before or zero
        return _rates(before._replace(seconds=self._began), last)

    def gradient_norm(self):
        """Mean norm of the gradients of all steps; None where none was counted."""
        norms, steps = (
            getattr(self._meter.reading, name, 0) - getattr(self._before, name, 0)
            for name in ("norms", "steps")
        )
        return norms / steps if steps else None


def _rates(one, other):
    seconds = max(other.seconds - one.seconds, 1e-9)
    return (other.tokens - one.tokens) / seconds, (other.flops - one.flops) / seconds
