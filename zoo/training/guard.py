"""NaN and infinity are caught between the gradients and the weights."""

import logging

import tensorflow as tf

from zoo.errors import ConfigError, TrainingError

logger = logging.getLogger("zoo")

MOST_SKIPPED = 100  # steps in a row, after which skipping is no longer a remedy
# A gradient that is infinite where the loss is scaled by less is no matter of scale:
# 25 halvings of Keras's 2 ** 15, and float16 goes up to 65,504.
SMALLEST_SCALE = 2.0**-10


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

    def prepare(self, names):
        """Makes its state, for gradients of these names.

        Call it in the scope of the strategy where there are several replicas.
        """
        if self._names == tuple(names):
            return
        self._names = tuple(names)

        def variable(value):
            return tf.Variable(
                value,
                trainable=False,
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            )

        with tf.init_scope():  # out of the graph that is being traced
            self._steps = variable(tf.zeros([], tf.int64))
            self._bad_in_a_row = variable(tf.zeros([], tf.int64))
            self._bad = variable(tf.zeros([len(self._names) + 2], tf.bool))

    def apply(self, update, loss, rate, gradients, *, scale=None):
        """Calls `update()` if all is finite; gives whether it did, a bool scalar.

        What is bad on one of several replicas is bad on all of them.

        Args:
            update: Applies the gradients.
            loss: Scalar.
            rate: Learning rate, scalar.
            gradients: Tensors, `tf.IndexedSlices` or None by the names of their
                weights.
            scale: Of the loss, where the optimizer finds it by trial: gradients are
                infinite now and then, for `update` to look at, until it is tiny.
        """
        self.prepare(gradients)

        def sums():
            # Squares, in one pass: numbers whose square overflows would spoil Adam's
            # second moment for ever.
            return [_sum_of_squares(each) for each in gradients.values()]

        if scale is None or not gradients:
            found = sums()
        else:
            tiny = tf.cast(scale, tf.float32) < SMALLEST_SCALE
            found = tf.cond(tiny, sums, lambda: [tf.constant(0.0) for _ in gradients])
        bad = ~tf.math.is_finite(
            tf.stack([tf.cast(loss, tf.float32), tf.cast(rate, tf.float32), *found])
        )
        replica = tf.distribute.get_replica_context()
        several = replica is not None and replica.num_replicas_in_sync > 1
        if several:
            count = tf.cast(bad, tf.int32)
            bad = replica.all_reduce(tf.distribute.ReduceOp.SUM, count) > 0
        good = ~tf.reduce_any(bad)
        before = tf.convert_to_tensor(self._bad_in_a_row)
        if self.choice == "stop":  # nothing moves before the host has seen it
            good &= tf.equal(before, 0)
        if several:
            replica.merge_call(_update_on_all, args=(good, update))
        else:
            tf.cond(good, lambda: _done(update), lambda: tf.constant(False))
        self._steps.assign_add(1)
        self._bad_in_a_row.assign(tf.where(good, tf.zeros_like(before), before + 1))
        first = tf.equal(before, 0) if self.choice == "stop" else tf.constant(True)
        self._bad.assign(tf.where(first, bad, self._bad))
        return good

    def check(self):
        """Raises or logs if the last step was bad. Call it on the host.

        Raises:
            TrainingError: naming the step and what was not finite.
        """
        if self._names is None:
            return
        row = _int(self._bad_in_a_row)
        if not row:
            return
        self.skipped += 1
        step = _int(self._steps) - (row - 1 if self.choice == "stop" else 0)
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
        bad = tf.convert_to_tensor(self._bad).numpy()
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


def _int(variable):
    return int(tf.convert_to_tensor(variable))  # of several replicas, the first one's


def _sum_of_squares(gradient):
    if gradient is None:
        return tf.constant(0.0)
    return tf.cast(tf.nn.l2_loss(getattr(gradient, "values", gradient)), tf.float32)


def _done(update):
    update()
    return tf.constant(True)


def _update_on_all(strategy, good, update):
    """Calls each replica's `update()` in a condition that is outside of replicas.

    Optimizers gather gradients by leaving their replica, which TensorFlow refuses
    within a condition.
    """
    agreed = strategy.experimental_local_results(good)[0]

    def on_all():
        strategy.extended.call_for_each_replica(_done, args=(update,))
        return tf.constant(True)

    tf.cond(agreed, on_all, lambda: tf.constant(False))
