"""How models train: what `compile` chooses, and the step that `fit` repeats."""

import fnmatch
import math
import re
from collections.abc import Mapping, Sized

import keras
import numpy as np
import tensorflow as tf

from zoo.compile_policy import jit_compile as compile_policy
from zoo.errors import ConfigError, InputError
from zoo.layers.stack import Stack
from zoo.models.pretrained import Pretrained
from zoo.training.accumulation import in_parts
from zoo.training.chunked_cross_entropy import chunked_cross_entropy
from zoo.training.guard import Guard
from zoo.training.labels import counted
from zoo.training.losses import CrossEntropy, like
from zoo.training.meter import Meter
from zoo.training.metrics import TokenMean
from zoo.training.model_flops import ModelFlops, sequence_lengths
from zoo.training.optimizers import AdamW
from zoo.training.progress import with_speed
from zoo.training.schedules import WarmupDecay

LEARNING_RATE = 5e-5
WARMUP = 0.1  # share of the steps, where `compile` is not told another
BATCH_SIZE = 32  # Keras's


class TrainableModel(Pretrained):
    """A model with a loss, an optimizer and metrics of its own.

    Subclasses say in `default_loss` and `default_metrics` what they learn by, and in
    `prepare_labels` what their labels are; where a loss can be had without outputs (of
    a vocabulary, say), `assess` is the place for it.
    """

    _micro_batch_size: int | None = None
    _counts_tokens = False  # whether all metrics are of labels and their tokens
    _guard: Guard
    meter: Meter | None = None
    scores_vocabulary = False  # whether each token gets scores of the whole vocabulary

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

    # --- Which batch is what ----------------------------------------------------------

    def read_batch(self, data):
        """Inputs, labels and weights of what a dataset yields.

        Args:
            data: `(inputs, labels)`, `(inputs, labels, sample_weight)`, or inputs with
                "labels" among them.
        """
        inputs, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
        if isinstance(inputs, Mapping) and "labels" in inputs:
            inputs = dict(inputs)
            among = inputs.pop("labels")
            if labels is not None:
                raise InputError(
                    "labels were given twice: among the inputs and as y. Leave one."
                )
            labels = among
        batch = tf.nest.map_structure(  # eagerly, Keras passes arrays as they are
            lambda x: tf.convert_to_tensor(x) if isinstance(x, np.ndarray) else x,
            (inputs, labels, weights),
        )
        return self.prepare_labels(*batch)

    def prepare_labels(self, inputs, labels, weights):
        """Inputs, labels and weights as the loss takes them; labels may be missing."""
        return inputs, labels, weights

    # --- The step ---------------------------------------------------------------------

    def states_and_head(self, inputs, training):
        """What logits of tokens are made of: states `[B, T, D]`, and a Head.

        None where the model is none of a vocabulary, or more than that makes them.
        """
        return None

    def assess(self, inputs, labels, weights, training):
        """The loss of a batch or a part of one, a scalar; metrics are updated.

        Nothing else of a step looks at outputs. Where only the losses of tokens are
        asked for, logits are never held as a whole.
        """
        made = None
        counts_tokens = isinstance(self.loss, CrossEntropy) and self._counts_tokens
        if labels is not None and counts_tokens:
            made = self.states_and_head(inputs, training)
        if made is None:
            outputs = self(inputs, training=training)
            loss = self._compute_loss(inputs, labels, outputs, weights, training)
        else:
            states, head = made
            outputs = self._scored(states, head, labels, weights, training)
            loss = tf.add_n([outputs.loss, *self.losses])
        self.compute_metrics(inputs, labels, outputs, weights)
        return loss

    def _scored(self, states, head, labels, weights, training):
        """An Assessed of `[B, T]`, whose loss is that of `self.loss`."""
        labels = tf.convert_to_tensor(labels)
        shares = tf.cast(counted(labels), tf.float32)
        shares /= tf.maximum(self.loss.count(labels), 1.0)
        if weights is not None:
            shares *= like(weights, shares)
        return chunked_cross_entropy(
            tf.reshape(states, [-1, states.shape[-1]]),
            head,
            labels=tf.reshape(labels, [-1]),
            weights=tf.reshape(shares, [-1]),
            label_smoothing=self.loss.label_smoothing,
            scale=tf.cast(self.optimizer.scale_loss(1.0), tf.float32),
            training=training,
        ).of_shape(tf.shape(labels))

    def train_step(self, data):
        inputs, labels, weights = self.read_batch(data)
        variables = self.trainable_variables
        self._check_variables(variables)
        if not self.optimizer.built:
            self.optimizer.build(variables)
        count = self._count(inputs, labels)
        total = self._total(count)
        loss, gradients = self._gradients(inputs, labels, weights, variables, total)
        tokens, flops = self._work(inputs, labels, count)
        norm = self._norm(gradients) if self.meter.gradient_norm else None
        self.meter.count(tokens, flops, norm)
        gradients = self._agreed(gradients)
        done = self._guard.apply(
            lambda: self.optimizer.apply(gradients, variables),
            loss,
            self.optimizer.learning_rate,
            self._named(gradients, variables),
        )
        mean = loss * total / tf.maximum(count, 1.0)  # of several replicas, this one's
        self._track(tf.where(done, mean, 0.0), tf.where(done, count, 0.0))
        return self.get_metrics_result()

    def _work(self, inputs, labels, count):
        """Tokens of a batch that are no padding, and the model FLOPs they take."""
        named = inputs if isinstance(inputs, Mapping) else {"input_ids": inputs}

        def lengths(prefix, others, width):
            ids = named[f"{prefix}input_ids"]
            valid = named.get(f"{prefix}attention_mask", others)
            valid = tf.ones_like(ids) if valid is None else valid
            return sequence_lengths(
                valid, named.get(f"{prefix}document_ids"), width=width
            )

        flops = ModelFlops(
            self.config, self.assembly, self.scores_vocabulary, self._trained_share()
        )
        if self.assembly != "encoder_decoder":
            found = lengths("", None, None)
            tokens = tf.reduce_sum(found)
            sources = None
        else:
            names = ("input_ids", "decoder_input_ids")
            width = 1 + tf.reduce_max([tf.shape(named[name])[1] for name in names])
            sources = lengths("", None, width)
            # What is no label is padding, unless a mask says otherwise.
            valid = None if labels is None else counted(labels)
            found = lengths("decoder_", valid, width)
            tokens = tf.reduce_sum(found) + tf.reduce_sum(sources)
        if not isinstance(self.loss, CrossEntropy):
            count = tf.reduce_sum(found)  # a loss of ones own looks at all of them
        return tokens, flops(found, sources=sources, predicted=count)

    def _trained_share(self):
        """Share of the parameters of blocks that is trained."""
        sizes = {True: 0, False: 0}
        for stack in self._stacks():
            for weight in stack.weights:
                if len(weight.shape) > 1:
                    sizes[bool(weight.trainable)] += math.prod(weight.shape)
        return sizes[True] / max(sum(sizes.values()), 1)

    def _norm(self, gradients):
        """Norm of the gradient of the whole batch, as it is before it is clipped."""
        # Rows of a table that came several times are added up; float16 would overflow
        # in a square.
        present = [
            tf.cast(tf.convert_to_tensor(g), tf.float32)
            for g in gradients
            if g is not None
        ]
        replica = tf.distribute.get_replica_context()
        if replica is not None and replica.num_replicas_in_sync > 1:
            present = replica.all_reduce(tf.distribute.ReduceOp.SUM, present)
        norm = tf.linalg.global_norm(present)
        if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
            norm /= self.optimizer.scale_loss(1.0)
        return norm

    def _agreed(self, gradients):
        """The same, with infinity on all replicas where one of them has it.

        Keras's loss scaling (3.15) looks at the first replica alone, and what another
        one overflowed to would reach the weights.
        """
        replica = tf.distribute.get_replica_context()
        scaled = isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)
        if not scaled or replica is None or replica.num_replicas_in_sync == 1:
            return gradients
        dense = [None if g is None else tf.convert_to_tensor(g) for g in gradients]
        first = next(i for i, g in enumerate(dense) if g is not None)
        finite = [tf.reduce_all(tf.math.is_finite(g)) for g in dense if g is not None]
        bad = tf.cast(~tf.reduce_all(finite), tf.int32)
        bad = replica.all_reduce(tf.distribute.ReduceOp.SUM, bad) > 0
        infinity = tf.cast(float("inf"), dense[first].dtype)
        dense[first] = tf.where(bad, infinity, dense[first])
        return dense

    def _named(self, gradients, variables):
        """Gradients by the names of their weights."""
        if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
            return {}  # they are infinite now and then, and for it to look at
        paths = {id(weight): path for path, weight in self.weights_by_path().items()}
        return {
            paths.get(id(variable), variable.path): gradient
            for gradient, variable in zip(gradients, variables, strict=True)
        }

    def test_step(self, data):
        inputs, labels, weights = self.read_batch(data)
        loss = self.assess(inputs, labels, weights, False)
        self._track(loss, self._count(inputs, labels))
        return self.get_metrics_result()

    def predict_step(self, data):
        inputs, _, _ = self.read_batch(data)
        return self(inputs, training=False)

    def _track(self, loss, count):
        if not isinstance(self.loss, CrossEntropy):  # Keras has divided it by them
            loss *= tf.distribute.get_strategy().num_replicas_in_sync
        self._loss_tracker.update_state(loss, sample_weight=count)

    def _count(self, inputs, labels):
        """What the loss is the mean of: labels that count, or rows; float32."""
        if isinstance(self.loss, CrossEntropy) and labels is not None:
            return self.loss.count(labels)
        return tf.cast(tf.shape(tf.nest.flatten(inputs)[0])[0], tf.float32)

    def _total(self, count):
        """The same of all replicas, where the loss leaves it to us to divide by it."""
        replica = tf.distribute.get_replica_context()
        if replica is None or replica.num_replicas_in_sync == 1:
            return count
        if not isinstance(self.loss, CrossEntropy):
            return count
        return replica.all_reduce(tf.distribute.ReduceOp.SUM, count)

    def _gradients(self, inputs, labels, weights, variables, total):
        """The loss and its gradients, of the batch at once or in parts.

        Args:
            total: What the loss is the mean of: this batch is a part of it where there
                are several replicas, whose gradients are added up.
        """
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        divided = self._micro_batch_size is not None or replicas > 1
        connected = [True] * len(variables)

        def compute(part):
            inputs, labels, weights = part
            with tf.GradientTape() as tape:
                loss = self.assess(inputs, labels, weights, True)
                if divided:
                    share = self._count(inputs, labels) / tf.maximum(total, 1.0)
                    loss = tf.cast(loss, tf.float32) * share
                scaled = self.optimizer.scale_loss(loss)
            found = tape.gradient(scaled, [v.value for v in variables])
            return loss, found

        batch = inputs, labels, weights
        if self._micro_batch_size is None:
            return compute(batch)

        def compute_part(part):
            loss, found = compute(
                tf.nest.pack_sequence_as(batch, _with_none(batch, part))
            )
            connected[:] = [gradient is not None for gradient in found]
            return [
                loss,
                *(
                    tf.zeros_like(variable) if g is None else tf.convert_to_tensor(g)
                    for g, variable in zip(found, variables, strict=True)
                ),
            ]

        zeros = [tf.constant(0.0), *(tf.zeros_like(v.value) for v in variables)]
        present = [x for x in tf.nest.flatten(batch) if x is not None]
        loss, *gradients = in_parts(
            compute_part, present, self._micro_batch_size, zeros
        )
        return loss, [
            g if c else None for g, c in zip(gradients, connected, strict=True)
        ]

    def _check_variables(self, variables):
        optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        if not optimizer.built:
            return
        known = {id(v) for v in optimizer._trainable_variables}
        if known != {id(v) for v in variables}:
            raise InputError(
                "what is to be trained has changed since the optimizer began. Call "
                "compile again."
            )

    def make_train_function(self, force=False):
        """Keras's, and behind each call the look at what the guard found."""
        if self.train_function is not None and not force:
            return
        super().make_train_function(force)
        run, guard, meter = self.train_function, self._guard, self.meter
        with self.distribute_strategy.scope():
            meter.prepare()
            weights = self.trainable_variables
            guard.prepare(self._named([None] * len(weights), weights))

        def function(iterator):
            logs = run(iterator)
            guard.check()
            meter.tick()
            return logs

        self.train_function = function

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Under a strategy Keras would build from a batch, whose ids it makes floats.

        Here all is built but the optimizer, which needs no batch.
        """
        if self._distribute_strategy is None or self.optimizer is None:
            return
        if not self.optimizer.built:
            with self._distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)

    # --- fit --------------------------------------------------------------------------

    def fit(self, x=None, y=None, batch_size=None, epochs=1, **kwargs):
        """As Keras's `fit`; without `compile`, what that chooses.

        Raises:
            InputError: if this model has no loss.
            TrainingError: if NaN or infinity turns up; see `compile`.
        """
        if not self.compiled:
            self.compile()
        if self.loss is None and not self.losses:
            raise InputError(
                f"{type(self).__name__} has no loss of its own. Pass one to compile, "
                "or take a model or a task that has one."
            )
        if isinstance(x, tf.data.Dataset):
            kwargs["shuffle"] = False  # as it comes; Keras would warn
        steps = _steps(x, batch_size, kwargs)
        self._schedule(steps, epochs, kwargs.get("initial_epoch", 0))
        callbacks = kwargs.pop("callbacks", None)
        self._watch(callbacks)
        verbose = kwargs.get("verbose", "auto")
        kwargs["callbacks"] = with_speed(callbacks, self.meter, verbose)
        return super().fit(x, y, batch_size, epochs, **kwargs)

    def _watch(self, callbacks):
        """Has the step count what callbacks ask for, and no more."""
        callbacks = getattr(callbacks, "callbacks", callbacks)
        asked = any(
            getattr(each, "wants_gradient_norm", False)
            for each in tf.nest.flatten(callbacks)
        )
        if asked != self.meter.gradient_norm:
            self.meter.gradient_norm = asked
            self.train_function = None  # it has the other choice compiled in

    def evaluate(self, *args, **kwargs):
        """As Keras's `evaluate`; without `compile`, with what that chooses."""
        if not self.compiled:
            self.compile()
        return super().evaluate(*args, **kwargs)

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


def _with_none(batch, present):
    """The flat batch, with None where it had None."""
    values = iter(present)
    return [None if x is None else next(values) for x in tf.nest.flatten(batch)]


def _steps(x, batch_size, options):
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
