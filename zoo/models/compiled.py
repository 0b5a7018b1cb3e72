"""What of a model is trained, and by what: weights, loss, optimizer and schedule."""

import fnmatch
import re
from collections.abc import Sized

import keras
import numpy as np
import tensorflow as tf

from zoo.compile_policy import jit_compile as compile_policy
from zoo.errors import ConfigError, InputError
from zoo.layers.stack import Stack
from zoo.models.pretrained import Pretrained
from zoo.training.guard import Guard
from zoo.training.meter import Meter
from zoo.training.metrics import TokenMean
from zoo.training.optimizers import AdamW
from zoo.training.schedules import WarmupDecay

LEARNING_RATE = 5e-5
WARMUP = 0.1  # share of the steps, where `compile` is not told another
BATCH_SIZE = 32  # Keras's


class CompiledModel(Pretrained):
    """A model that `compile` without arguments gives all that it needs to learn.

    Subclasses say in `default_loss` and `default_metrics` what they learn by.
    """

    _micro_batch_size: int | None = None
    _counts_tokens = False  # whether all metrics are of labels and their tokens
    _guard: Guard
    meter: Meter | None = None

    # --- What is chosen ---------------------------------------------------------------

    def default_loss(self):
        """The loss that `compile` takes when none is given, or None."""
        return None

    def default_metrics(self):
        return []

    def compile(
        self,
        optimizer=None,
        loss=None,
        *,
        metrics=None,
        learning_rate=None,
        schedule="linear",
        warmup=None,
        layer_decay=None,
        micro_batch_size=None,
        gradient_checkpointing=False,
        nonfinite="stop",
        jit_compile="auto",
        **kwargs,
    ):
        """As Keras's `compile`; what is left out is chosen.

        Args:
            optimizer: None: AdamW that, where the number of steps is known, warms up
                over the first tenth of them and then decays to zero.
            loss: None, or the name of the model's own: that of the model, on logits.
            metrics: None: those of the model; `[]` for none.
            learning_rate: Peak of the chosen optimizer; None: 5e-5.
            schedule: Its way down: "linear", "cosine", "inverse_sqrt" or "constant".
            warmup: Share of the steps in which it rises to the peak; None: a tenth.
            layer_decay: Factor below 1 by which the chosen optimizer's learning rate
                falls from each block to the one below; None: all learn alike.
            micro_batch_size: Rows that are in memory at once; the gradient is that of
                the whole batch. None: all.
            gradient_checkpointing: Whether a step keeps the inputs of the blocks alone,
                and computes each block once more for its gradient: a third of the
                memory for a quarter more time, equal gradients.
            nonfinite: What happens when NaN or infinity turns up in the loss or in a
                gradient; the weights never see it. "stop": an error that names the step
                and the tensors. "skip": a warning that does, and the next batch.
            jit_compile: "auto" compiles with XLA where that is faster.
            kwargs: Further arguments of `keras.Model.compile`.

        Raises:
            InputError: if both an optimizer and what is for the chosen one are given,
                or an optimizer that accumulates gradients by itself.
        """
        if optimizer is not None:
            self._refuse_options(
                learning_rate=learning_rate, warmup=warmup, layer_decay=layer_decay
            )
            optimizer = keras.optimizers.get(optimizer)
            if getattr(optimizer, "gradient_accumulation_steps", None):
                raise InputError(
                    "gradient_accumulation_steps="
                    f"{optimizer.gradient_accumulation_steps}: Keras's accumulation "
                    "leaves out the last batches of `fit` where they do not make up a "
                    "whole. Leave it out, let the dataset yield the whole batch, and "
                    "pass micro_batch_size=... to compile."
                )
        self._warmup = WARMUP if warmup is None else warmup
        if not 0 <= self._warmup < 1:
            raise InputError(
                f"warmup={warmup!r}: expected a share of the steps, from 0 to below 1."
            )
        if micro_batch_size is not None and not (
            isinstance(micro_batch_size, int) and micro_batch_size > 0
        ):
            raise InputError(
                f"micro_batch_size={micro_batch_size!r}: expected a number of rows."
            )
        self._automatic = {"optimizer": optimizer is None, "jit": jit_compile == "auto"}
        self._micro_batch_size = micro_batch_size
        self._guard = Guard(nonfinite)
        self.meter = Meter()
        for stack in self._stacks():
            stack.gradient_checkpointing = bool(gradient_checkpointing)
        self._own_arguments = {
            "micro_batch_size": micro_batch_size,
            "gradient_checkpointing": bool(gradient_checkpointing),
            "nonfinite": nonfinite,
        }
        if optimizer is None:
            peak = LEARNING_RATE if learning_rate is None else learning_rate
            optimizer = AdamW(
                WarmupDecay(peak, schedule),
                rates=() if layer_decay is None else self.layer_rates(layer_decay),
                weight_decay=0.01,
                global_clipnorm=1.0,
            )
        default = self.default_loss()
        # Keras's loss of that name takes probabilities, and the model gives logits.
        if loss is None or loss == getattr(default, "name", None):
            loss = default
        if metrics is None:
            metrics = self.default_metrics()
        given = tf.nest.flatten([metrics, kwargs.get("weighted_metrics") or []])
        self._counts_tokens = all(isinstance(metric, TokenMean) for metric in given)
        with self.distribute_strategy.scope():  # which the caller may have left
            jit_compile = compile_policy(jit_compile)
        super().compile(
            optimizer, loss=loss, metrics=metrics, jit_compile=jit_compile, **kwargs
        )

    @staticmethod
    def _refuse_options(**options):
        for name, value in options.items():
            if value is not None:
                raise InputError(
                    f"{name}={value} is for the optimizer that is chosen when none is "
                    "given. Give this one its rate yourself."
                )

    def get_compile_config(self):
        config = super().get_compile_config()
        if not config:
            return config
        if self._automatic["jit"]:
            config["jit_compile"] = "auto"  # the machine that loads it may be another
        return {
            **config,
            **self._own_arguments,
            "automatic_optimizer": self._automatic["optimizer"],
            "automatic_warmup": self._warmup,
            "optimizer_built": self.optimizer.built,
        }

    def compile_from_config(self, config):
        config = dict(config)
        automatic = config.pop("automatic_optimizer", False)
        built = config.pop("optimizer_built", True)
        warmup = config.pop("automatic_warmup", WARMUP)
        self.compile(**keras.saving.deserialize_keras_object(config))
        self._automatic["optimizer"] = automatic
        self._warmup = warmup
        if built:  # Keras then fills its variables
            self.optimizer.build(self.trainable_variables)

    def layer_rates(self, decay):
        """Rates for an optimizer: 1 for what is above the blocks, `decay` less below.

        The topmost block of each stack has `decay`, the one below `decay ** 2`, and so
        on; embeddings have the smallest (Howard and Ruder 2018, arXiv:1801.06146).

        Args:
            decay: Above 0, at most 1.

        Returns:
            Pairs of a pattern of `keras.Variable.path` and a factor.
        """
        if not 0 < decay <= 1:
            raise ConfigError(f"layer_decay={decay!r}: expected a factor in (0, 1].")
        rates, deepest = [], 0
        for stack in self._stacks():
            count = len(stack.blocks)
            deepest = max(deepest, count)
            rates += [
                (f"*[/.]{stack.name}[/.]blocks_{i}[/.]*", decay ** (count - i))
                for i in range(count)
            ]
            rates.append((f"*[/.]{stack.name}[/.]relative_bias_*", decay**count))
        return [*rates, ("*[/.]embeddings[/.]*", decay ** (deepest + 1))]

    def _stacks(self):
        return [x for x in self._flatten_layers() if isinstance(x, Stack)]

    # --- What is trained --------------------------------------------------------------

    def freeze(self, *patterns):
        """Keeps weights as they are. Call `compile` afterwards if it was called before.

        Args:
            patterns: Of names as of `weights_by_path`, such as "embeddings.*" or
                "encoder.blocks.[0-3].*" (as in `fnmatch`); or compiled regular
                expressions that match whole names.

        Returns:
            How many weights the patterns match.

        Raises:
            InputError: naming a pattern that matches none.
        """
        return self._set_trainable(patterns, False)

    def unfreeze(self, *patterns):
        """Lets weights be trained again, all without patterns; as `freeze`."""
        return self._set_trainable(patterns or ("*",), True)

    def _set_trainable(self, patterns, trainable):
        weights, chosen = self.weights_by_path(), set()
        for pattern in patterns:
            found = matching(pattern, weights)
            if not found:
                raise InputError(
                    f"no weight of this {type(self).__name__} matches "
                    f"{getattr(pattern, 'pattern', pattern)!r}. Its weights are "
                    f"{shortened(weights)}; see weights_by_path()."
                )
            chosen.update(found)
        for name in chosen:
            weights[name].trainable = trainable
        self.train_function = None  # it has the old ones compiled in
        return len(chosen)

    def frozen(self):
        """Names of the weights that are not trained."""
        return [n for n, w in self.weights_by_path().items() if not w.trainable]

    # --- How many steps ---------------------------------------------------------------

    def _schedule(self, steps, epochs, initial_epoch):
        """Sets the chosen optimizer's schedule for a call of `fit`."""
        optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        before = optimizer._learning_rate
        if not self._automatic["optimizer"] or steps is None:
            return
        if not isinstance(before, WarmupDecay):  # the user has set another
            return
        total = steps * epochs
        # Goes on where an interrupted `fit` stopped, be it with a new optimizer (then
        # `first` is below 0); otherwise begins anew.
        first = int(self.optimizer.iterations.numpy()) - steps * initial_epoch
        after = WarmupDecay(
            before.peak,
            before.decay,
            warmup_steps=int(total * self._warmup),
            total_steps=total,
            first_step=first,
        )
        if after.get_config() != before.get_config():
            optimizer.learning_rate = after
            self.train_function = None  # it has the old schedule compiled in


def steps_of_epoch(x, batch_size, options):
    """Steps of an epoch of Keras's `fit`, or None where that cannot be known."""
    if (steps := options.get("steps_per_epoch")) is not None:
        return steps
    if isinstance(x, tf.data.Dataset):
        count = int(x.cardinality())
        return count if count >= 0 else None
    if isinstance(x, keras.utils.PyDataset):
        return x.num_batches
    flat = tf.nest.flatten(x)
    if not flat or not isinstance(flat[0], np.ndarray | tf.Tensor | Sized):
        return None
    rows = len(flat[0])
    held_out = options.get("validation_split") or 0.0
    if held_out and options.get("validation_data") is None:
        rows = int(rows * (1 - held_out))
    return -(-rows // (batch_size or BATCH_SIZE))


def matching(pattern, names):
    """Those of `names` that a pattern of `fnmatch`, or a compiled one, matches."""
    if isinstance(pattern, re.Pattern):
        return [name for name in names if pattern.fullmatch(name)]
    return [name for name in names if fnmatch.fnmatchcase(name, pattern)]


def shortened(names, most=6):
    """Some of many names, for a message."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
