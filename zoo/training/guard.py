"""NaN and infinity are caught between the gradients and the weights."""

import logging

import numpy as np
import tensorflow as tf

from zoo.errors import ConfigError, TrainingError

logger = logging.getLogger("zoo")

MOST_SKIPPED = 100  # steps in a row, after which skipping is no longer a remedy


class Guard:
    """Lets an update through only if all that it is made of is finite.

    It lives in the compiled step, so that a bad step changes neither weights nor the
    state of the optimizer; afterwards `check` says on the host what was bad.

    Args:
        choice: "stop": training ends with an error at the first bad step. "skip": it
            goes on with the next batch, and the log says so.

    Attributes:
        skipped: How many steps changed nothing.
    """

    def __init__(self, choice):
        if choice not in ("stop", "skip"):
            raise ConfigError(f"nonfinite={choice!r}: expected 'stop' or 'skip'.")
        self.choice = choice
        self.skipped = 0
        self._names = None

    def _prepare(self, names):
        """Makes its state, for gradients of these names."""
        if self._names == tuple(names):
            return
        self._names = tuple(names)
        with tf.init_scope():  # out of the graph that is being traced
            self._steps = tf.Variable(0, dtype=tf.int64, trainable=False)
            self._bad_in_a_row = tf.Variable(0, dtype=tf.int64, trainable=False)
            self._bad = tf.Variable(tf.zeros([len(names) + 2], tf.bool))

    def apply(self, update, loss, rate, gradients):
        """Calls `update()` if all is finite; gives whether it did, a bool scalar.

        Args:
            update: Applies the gradients.
            loss: Scalar.
            rate: Learning rate, scalar.
            gradients: Tensors or `tf.IndexedSlices` by the names of their weights.
        """
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            update()  # replicas cannot agree within a condition: there is no guard
            return tf.constant(True)
        self._prepare(gradients)
        values = [getattr(each, "values", each) for each in gradients.values()]
        # Squares, in one pass: numbers whose square overflows would spoil Adam's
        # second moment for ever.
        sums = [tf.cast(tf.nn.l2_loss(each), tf.float32) for each in values]
        bad = ~tf.math.is_finite(
            tf.stack([tf.cast(loss, tf.float32), tf.cast(rate, tf.float32), *sums])
        )
        good = ~tf.reduce_any(bad)
        before = tf.convert_to_tensor(self._bad_in_a_row)
        if self.choice == "stop":  # nothing moves before the host has seen it
            good &= tf.equal(before, 0)

        def let_through():
            update()
            return tf.constant(True)

        done = tf.cond(good, let_through, lambda: tf.constant(False))
        self._steps.assign_add(1)
        self._bad_in_a_row.assign(tf.where(good, tf.zeros_like(before), before + 1))
        first = tf.equal(before, 0) if self.choice == "stop" else tf.constant(True)
        self._bad.assign(tf.where(first, bad, self._bad))
        return done

    def check(self):
        """Raises or logs if the last step was bad. Call it on the host.

        Raises:
            TrainingError: naming the step and what was not finite.
        """
        if self._names is None:
            return
        row = int(self._bad_in_a_row)
        if not row:
            return
        self.skipped += 1
        step = int(self._steps) - (row - 1 if self.choice == "stop" else 0)
        found = self._found()
        if self.choice == "stop":
            self._bad_in_a_row.assign(0)
            raise TrainingError(
                f"step {step}: {found} not finite. The step was not taken: the weights "
                "are those of the step before. Lower the learning rate, clip the "
                "gradients, look at the batch, or pass nonfinite='skip' to compile."
            )
        logger.warning("step %d was skipped: %s not finite.", step, found)
        if row >= MOST_SKIPPED:
            self._bad_in_a_row.assign(0)
            raise TrainingError(
                f"step {step}: {found} not finite, as in the {row - 1} steps before, "
                "all of which were skipped. The weights are those of step "
                f"{step - row}."
            )

    def _found(self):
        bad = np.asarray(self._bad)
        found = [
            name
            for name, wrong in zip(
                ("the loss", "the learning rate"), bad[:2], strict=True
            )
            if wrong
        ]
        names = [n for n, wrong in zip(self._names, bad[2:], strict=True) if wrong]
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            listed = ", ".join(names[:3]) + more
            found.append(f"the gradient of {listed}")
        single = len(found) == 1 and len(names) < 2
        return f"{' and '.join(found)} {'is' if single else 'are'}"
