"""The progress bar of `fit`, with tokens per second."""

import keras

from zoo.training.meter import Interval


class Speed(keras.callbacks.Callback):
    """Adds tokens per second to the logs of what stands behind it in the list."""

    async_safe = True  # it only hands on what the step has noted

    def __init__(self, meter):
        super().__init__()
        self._meter = meter
        self._interval = Interval(meter)

    def on_epoch_begin(self, epoch, logs=None):
        self._interval = Interval(self._meter)

    def on_train_batch_end(self, batch, logs=None):
        self._add(logs)

    def on_epoch_end(self, epoch, logs=None):
        self._add(logs)

    def _add(self, logs):
        rates = self._interval.rates()
        if logs is not None and rates is not None:
            logs["tokens/s"] = rates[0]


class _Bar(keras.callbacks.ProgbarLogger):
    async_safe = True  # as Keras takes the one that it makes itself to be


def with_speed(callbacks, meter, verbose):
    """Callbacks for Keras's `fit`, whose progress bar then shows tokens per second.

    Nobody else sees them: the user's callbacks and the history stand before.
    """
    if not verbose or isinstance(callbacks, keras.callbacks.CallbackList):
        return callbacks
    given = keras.tree.flatten(callbacks) if callbacks else []
    bars = [c for c in given if isinstance(c, keras.callbacks.ProgbarLogger)]
    histories = [c for c in given if isinstance(c, keras.callbacks.History)]
    others = [c for c in given if c not in bars]
    if not histories:
        others.append(keras.callbacks.History())
    return [*others, Speed(meter), *(bars or [_Bar()])]
