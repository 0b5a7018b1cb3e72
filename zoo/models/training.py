"""The step that `fit` repeats: a batch, its loss, gradients, and what is noted."""

import math
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from zoo.errors import InputError
from zoo.models.compiled import CompiledModel, steps_of_epoch
from zoo.training.accumulation import in_parts
from zoo.training.chunked_cross_entropy import chunked_cross_entropy
from zoo.training.labels import counted
from zoo.training.losses import CrossEntropy, like
from zoo.training.model_flops import ModelFlops, sequence_lengths
from zoo.training.progress import with_speed
from zoo.training.replicas import agreed, gradient_norm


class TrainableModel(CompiledModel):
    """A model whose `fit` and `evaluate` know labels, parts of batches and replicas.

    Subclasses say in `prepare_labels` what their labels are; where a loss can be had
    without outputs (of a vocabulary, say), `assess` is the place for it.
    """

    scores_vocabulary = False  # whether each token gets scores of the whole vocabulary

    @property
    def reads(self) -> Mapping[str, str]:
        """Its stacks in order, each with what the names of its inputs begin with.

        Outputs are those of the last one.
        """
        if self.assembly == "encoder_decoder":
            return {"encoder": "", "decoder": "decoder_"}
        return {self.assembly: ""}

    # --- Which batch is what ----------------------------------------------------------

    def read_batch(self, data):
        """Inputs, labels and weights of what a dataset yields.

        Args:
            data: `(inputs, labels)`, `(inputs, labels, sample_weight)`, or inputs with
                "labels" among them.

        Raises:
            InputError: if labels come twice, or there are strings in it.
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
        _refuse_strings(batch)
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
        norm = None
        if self.meter.gradient_norm:
            norm = gradient_norm(gradients, self.optimizer)
        self.meter.count(tokens, flops, norm)
        scaled = isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)
        applied = agreed(gradients, self.optimizer)
        done = self._guard.apply(
            lambda: self.optimizer.apply(applied, variables),
            loss,
            self.optimizer.learning_rate,
            self._named(gradients, variables),
            scale=self.optimizer.dynamic_scale if scaled else None,
        )
        mean = loss * total / tf.maximum(count, 1.0)  # of several replicas, this one's
        self._track(tf.where(done, mean, 0.0), tf.where(done, count, 0.0))
        return self.get_metrics_result()

    def _work(self, inputs, labels, count):
        """Tokens of a batch that are no padding, and the model FLOPs they take."""
        named = inputs if isinstance(inputs, Mapping) else {"input_ids": inputs}
        prefixes = dict.fromkeys(self.reads.values())
        width = 1 + tf.reduce_max(
            [tf.shape(named[f"{p}input_ids"])[1] for p in prefixes]
        )

        def lengths(prefix):
            ids = named[f"{prefix}input_ids"]
            valid = named.get(f"{prefix}attention_mask")
            if valid is None and prefix and labels is not None:
                valid = counted(labels)  # what is no label is padding
            valid = tf.ones_like(ids) if valid is None else valid
            documents = named.get(f"{prefix}document_ids")
            return sequence_lengths(valid, documents, width=width)

        found = {prefix: lengths(prefix) for prefix in prefixes}
        tokens = tf.add_n([tf.reduce_sum(each) for each in found.values()])
        *sources, own = (found[prefix] for prefix in self.reads.values())
        if not isinstance(self.loss, CrossEntropy):
            count = tf.reduce_sum(own)  # a loss of ones own looks at all of them
        flops = ModelFlops(
            self.config,
            "_".join(self.reads),  # "encoder", "decoder", "encoder_decoder"
            self.scores_vocabulary,
            self._trained_share(),
        )
        return tokens, flops(
            own, sources=sources[0] if sources else None, predicted=count
        )

    def _trained_share(self):
        """Share of the parameters of blocks that is trained."""
        sizes = {True: 0, False: 0}
        for stack in self._stacks():
            for weight in stack.weights:
                if len(weight.shape) > 1:
                    sizes[bool(weight.trainable)] += math.prod(weight.shape)
        return sizes[True] / max(sum(sizes.values()), 1)

    def _named(self, gradients, variables):
        """Gradients by the names of their weights."""
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
            # A step that makes variables is traced a second time without.
            if self.optimizer is not None and not self.optimizer.built:
                self.optimizer.build(weights)

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
        steps = steps_of_epoch(x, batch_size, kwargs)
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


def _refuse_strings(batch):
    for x in tf.nest.flatten(batch):
        if getattr(x, "dtype", None) == tf.string:
            raise InputError(
                "the dataset yields strings, and a step takes numbers: neither XLA nor "
                "a gradient knows strings. Pass texts through a tokenizer inside the "
                "dataset, or take a task of zoo.tasks, which does."
            )


def _with_none(batch, present):
    """The flat batch, with None where it had None."""
    values = iter(present)
    return [None if x is None else next(values) for x in tf.nest.flatten(batch)]
