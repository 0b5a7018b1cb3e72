"""TextTask: a model and its tokenizer; strings become inputs, and outputs answers."""

import random

import keras
import numpy as np
import tensorflow as tf

from zoo.data import batches
from zoo.errors import InputError
from zoo.models.compiled import BATCH_SIZE
from zoo.tasks.examples import forms
from zoo.tasks.examples.checks import clear_errors, no_example, require
from zoo.tasks.form import Form
from zoo.tasks.kept_settings import KeptSettings

ANY_IDS = tf.TensorSpec([None, None], tf.int32)


class TextTask(Form, KeptSettings):
    """A model that takes strings.

    `fit`, `evaluate` and `predict` take what Keras takes, and strings in its place: a
    list of texts, a list of pairs of texts, `{"text": [...], "pair": [...]}`, or a
    `tf.data.Dataset` of these, batched or not. Strings become ids inside tf.data; the
    compiled step sees numbers alone, in batches of few different lengths.

    Args:
        config: TransformerConfig.
        tokenizer: zoo.Tokenizer; without one the task takes ids only.
        max_length: Longer texts are cut to so many tokens; None: as many as the model
            and its tokenizer take.
        dtype: Keras dtype policy.
    """

    usual_length: int | None = None  # `max_length` where nobody says otherwise

    def __init__(
        self, config, *, tokenizer=None, max_length=None, dtype=None, **kwargs
    ):
        super().__init__(config, dtype=dtype, **kwargs)
        self._tokenizer = tokenizer
        self._max_length = None
        self.max_length = max_length
        self._encoders = {}

    # --- Strings in, answers out ------------------------------------------------------

    @property
    def longest(self):
        """Tokens that the model has positions for."""
        if self.config.position == "relative":
            return 1 << 20  # no table of positions ends; attention grows
        return self.config.max_position_embeddings

    @property
    def max_length(self):
        """Most tokens of an input, special tokens included; longer texts are cut."""
        limits = [self.longest]
        if self.has_tokenizer:
            limits.append(self.tokenizer.model_max_length)
        usual = self.usual_length or self.config.max_position_embeddings
        own = usual if self._max_length is None else self._max_length
        return min(x for x in (*limits, own) if x is not None)

    @max_length.setter
    def max_length(self, value):
        limit = self.longest
        if value is not None and not (isinstance(value, int) and 2 < value <= limit):
            raise InputError(
                f"max_length={value!r}: expected a number of tokens from 3 to {limit} "
                "(max_position_embeddings of this model)."
            )
        self._max_length = value

    def limit_length(self, length):
        """Has inputs cut to so many tokens, whatever the checkpoint was cut to before.

        Where the model takes fewer, to these.
        """
        self.max_length = None
        self.max_length = min(length, self.max_length)

    @property
    def has_tokenizer(self):
        return self._tokenizer is not None or bool(self._tokenizer_files)

    def encode(self, columns):
        """Strings to ids, as graph ops.

        Args:
            columns: "text", and for pairs "pair": string tensors `[B]`.

        Returns:
            Ragged int32 `[B, (tokens)]`: `input_ids`, and `token_type_ids` where the
            model has token types.
        """
        rows = self.tokenizer(
            columns["text"],
            pair=columns.get("pair"),
            max_length=self.max_length,
            padding=None,
        )
        return {name: rows[name] for name in self.padding() if name in rows}

    def encode_texts(self, columns):
        """`encode`, under a name that no model has for something else."""
        return self.encode(columns)

    def answer(self, columns):
        """Strings to answers, as graph ops: what a SavedModel of this task serves."""
        inputs = batches.pad(self.encode(columns), self.padding())
        return self.answers(self(inputs, training=False))

    def answers(self, outputs):
        """What `predict` gives, from what calling the model gives."""
        return outputs

    def padding(self):
        """What stands in the padding of inputs, by their names."""
        pad = self.config.pad_token_id
        if self.has_tokenizer and self.tokenizer.pad_token_id is not None:
            pad = self.tokenizer.pad_token_id
        fill = {"input_ids": pad or 0}
        return {**fill, "token_type_ids": 0} if self.config.type_vocab_size else fill

    def _batching(self, batch_size):
        vocabulary = self.tokenizer.vocab_size
        if vocabulary > self.config.vocab_size:
            raise InputError(
                f"the tokenizer has {vocabulary} ids, but the model has vectors for "
                f"{self.config.vocab_size} (vocab_size). They do not belong together."
            )
        return batches.Batching(
            self._encoder(),
            self.padding(),
            batches.bucket_lengths(self.max_length),
            BATCH_SIZE if batch_size is None else batch_size,
        )

    def _encoder(self):
        """`encode`, traced once for all datasets: that takes longer than its work."""
        key = (self.tokenizer, self.max_length)
        if key not in self._encoders:
            self._encoders.clear()
            self._encoders[key] = tf.function(
                self.encode_texts, autograph=False, reduce_retracing=True
            )
        return self._encoders[key]

    # --- Labels -----------------------------------------------------------------------

    def read_labels(self, labels):
        """Labels `[N]` in memory as numbers."""
        return labels

    def map_labels(self, labels):
        """The same for a tensor, as graph ops."""
        return labels

    def read_class_weight(self, class_weight):
        return class_weight

    def _read(self, x, labels=None, weights=None, *, needs_labels=False):
        in_memory = x is not None and not isinstance(x, tf.data.Dataset)
        if (
            needs_labels and in_memory and labels is None
        ):  # x may be an endless generator
            raise InputError(
                "y is missing: pass one label for each example, or a tf.data.Dataset "
                "of (x, y)."
            )
        found = forms.read(x, labels, weights)
        textual = found.textual
        if textual and not self.has_tokenizer:
            raise InputError(
                f"this {type(self).__name__} has no tokenizer, so it takes token ids "
                "only. Set model.tokenizer = zoo.Tokenizer.from_pretrained(...)."
            )
        if isinstance(found, forms.Stream):
            if needs_labels and not found.labelled:
                raise InputError(
                    "the dataset yields no labels. Let it yield (x, y), or (x, y, "
                    "sample_weight)."
                )
            return found
        if not textual:
            self._check_ids(found.inputs)
        if labels is None:
            return found
        return forms.Memory(
            found.inputs, textual, self.read_labels(found.labels), found.weights
        )

    def _check_ids(self, inputs):
        """Refuses what TensorFlow would fail on, or on a GPU read as zeros."""
        self.read_inputs({name: rows[:1] for name, rows in inputs.items()})
        size, ids = self.config.vocab_size, inputs["input_ids"]
        wrong = ids[(ids < 0) | (ids >= size)]
        if wrong.size:
            raise InputError(
                f"x has the token id {wrong[0]}; expected ids from 0 to {size - 1} "
                "(vocab_size). Is it from another tokenizer?"
            )

    def _map_ids(self, inputs):
        """The same as graph ops; a wrong id fails when it comes."""
        named = inputs if isinstance(inputs, dict) else {"input_ids": inputs}
        if "input_ids" not in named:
            return inputs  # the call says what is missing
        size, ids = self.config.vocab_size, named["input_ids"]
        right = (ids >= 0) & (ids < tf.cast(size, ids.dtype))
        said = f"expected token ids from 0 to {size - 1}, got"
        checked = {**named, "input_ids": require(right, said, ids, ids)}
        return checked if isinstance(inputs, dict) else checked["input_ids"]

    # --- Training ---------------------------------------------------------------------

    def fit(  # type: ignore[override]
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        class_weight=None,
        sample_weight=None,
        initial_epoch=0,
        steps_per_epoch=None,
        validation_steps=None,
        validation_batch_size=None,
        validation_freq=1,
        *,
        seed=None,
    ):
        """As Keras's `fit`, for strings as well; see the head of this class.

        Texts in memory are shuffled anew in each epoch and batched by length, as a
        function of (seed, step): with `initial_epoch` it goes on as if uninterrupted.

        Args:
            seed: Of the order of examples. None: drawn from Python's generator, which
                `keras.utils.set_random_seed` seeds.

        Raises:
            InputError: if examples or labels do not have a form that is taken.
            DataError: if there are no examples.
        """
        training = self._read(x, y, sample_weight, needs_labels=True)
        held_out = None
        if validation_data is not None:
            given = validation_data
            given = tuple(given) if isinstance(given, list | tuple) else (given,)
            if len(given) > 3:
                raise InputError(
                    f"validation_data has {len(given)} parts; expected (x, y), or (x, "
                    "y, sample_weight), or a dataset."
                )
            held_out = self._read(*given, needs_labels=True)
        elif validation_split:
            training, held_out = training.split(validation_split)
        if not self.compiled:
            self.compile()
        if seed is None:
            seed = random.randrange(2**31)
        if not isinstance(seed, int | np.integer) or abs(int(seed)) >= 2**63:
            raise InputError(f"seed={seed!r}: expected a whole number of 64 bits.")
        if not isinstance(epochs, int) or epochs < 0:
            raise InputError(f"epochs={epochs!r}: expected a whole number from 0 on.")
        data = self._training_data(
            training, batch_size, shuffle, seed, steps_per_epoch, initial_epoch
        )
        if held_out is not None:
            size = validation_batch_size or batch_size
            held_out = self._data(held_out, size, validation_steps)
            validation_steps = held_out["steps"]
            held_out = (
                held_out.get("x"),
                held_out.get("y"),
                held_out.get("sample_weight"),
            )
            if isinstance(held_out[0], tf.data.Dataset):
                held_out = held_out[0]
        with clear_errors():
            history = super().fit(
                **{"shuffle": False, **data},  # datasets are shuffled already
                epochs=epochs,
                verbose=verbose,
                callbacks=callbacks,
                validation_data=held_out,
                class_weight=self.read_class_weight(class_weight),
                initial_epoch=initial_epoch,
                validation_steps=validation_steps,
                validation_batch_size=validation_batch_size,
                validation_freq=validation_freq,
            )
        if history.epoch and not history.history:
            raise no_example()
        return history

    def evaluate(
        self,
        x=None,
        y=None,
        batch_size=None,
        verbose="auto",
        sample_weight=None,
        steps=None,
        callbacks=None,
        return_dict=False,
        **kwargs,
    ):
        """As Keras's `evaluate`, for strings as well; see the head of this class."""
        options = {
            "verbose": verbose,
            "callbacks": callbacks,
            "return_dict": return_dict,
        }
        with clear_errors():
            if kwargs.get("_use_cached_eval_dataset"):  # Keras, in the midst of `fit`
                return super().evaluate(x, steps=steps, **options, **kwargs)
            found = self._read(x, y, sample_weight, needs_labels=True)
            if not self.compiled:
                self.compile()
            data = one_pass(**self._data(found, batch_size, steps))
            found = super().evaluate(**data, **options, **kwargs)
        if found in ([], {}):
            raise no_example()
        return found

    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """Answers for each example, in the order given; see the head of this class."""
        found = self._read(x)
        options = {"verbose": verbose, "callbacks": callbacks}
        if isinstance(found, forms.Stream):
            dataset = found.dataset.map(lambda x, *rest: (x,))
            data = forms.Stream(dataset, found.textual, found.batched, labelled=False)
            if found.textual and not found.batched:  # numbered, to find back the order
                dataset = tf.data.Dataset.zip(found.dataset, tf.data.Dataset.counter())
                dataset = dataset.map(lambda element, row: (element[0], row))
                data = forms.Stream(dataset, True, False, labelled=False)
            return self._in_order(**self._data(data, batch_size, steps), **options)
        if found.textual:
            batching = self._batching(batch_size)
            if found.size <= batching.batch_size and callbacks is None:
                return self._predict_batch(found.inputs, batching)
            rows = np.arange(found.size)
            found = forms.Memory(found.inputs, True, labels=rows)
        return self._in_order(**self._data(found, batch_size, steps), **options)

    def _predict_batch(self, columns, batching):
        """One batch, without the second that a tf.data pipeline takes to start."""
        inputs = batches.pad(batching.encode(columns), batching.fill, batching.lengths)
        self._trace_predict(({name: ANY_IDS for name in inputs},))
        return self.predict_on_batch(inputs)

    def _trace_predict(self, spec):
        """Traces `predict`'s step for batches of any size and length.

        Keras hands it batches themselves; without this the first two lengths would
        each be traced before the shape is relaxed.
        """
        self.make_predict_function()
        if not self.run_eagerly:
            self.predict_function.get_concrete_function([spec])

    def predict_step(self, data):
        x, row, _ = keras.utils.unpack_x_y_sample_weight(data)
        outputs = self.answers(self(x, training=False))
        return outputs if row is None else (outputs, row)

    def _in_order(self, x, **options):
        with clear_errors():
            if isinstance(x, tf.data.Dataset):
                self._trace_predict(x.element_spec)
            found = super().predict(**one_pass(x, **options))
        if not isinstance(found, tuple):
            return found
        outputs, rows = found
        return tf.nest.map_structure(lambda x: x[np.argsort(rows)], outputs)

    # --- Batches ----------------------------------------------------------------------

    def _training_data(self, found, size, shuffle, seed, steps, initial_epoch):
        """Arguments of Keras's `fit`."""
        if isinstance(found, forms.Memory) and found.textual:
            batching = self._batching(size)
            steps = steps or batching.steps(found.size)
            endless = batches.epochs(
                found.inputs,
                batching,
                rest=found.rest,
                seed=seed,
                shuffle=shuffle,
                first_step=initial_epoch * steps,
            )
            return {"x": endless, "steps_per_epoch": steps}
        data = self._data(found, size, seed=seed)
        if isinstance(found, forms.Memory):
            data["shuffle"] = shuffle
        data["steps_per_epoch"] = data.pop("steps") or steps
        return data

    def _data(self, found, size, steps=None, seed=None):
        """Arguments of Keras's methods for one pass over examples.

        Batching by length changes their order, and Keras would read ahead of `steps`:
        hence a dataset is cut first of all.
        """
        if isinstance(found, forms.Memory):
            if not found.textual:
                names = ("y", "sample_weight")
                rest = dict(zip(names, found.rest, strict=False))
                inputs = dict(found.inputs)
                return {"x": inputs, **rest, "batch_size": size, "steps": steps}
            batching = self._batching(size)
            found = found.first(steps and steps * batching.batch_size)
            dataset = batches.epoch(found.inputs, batching, rest=found.rest)
            return {"x": dataset, "steps": None}
        dataset = found.dataset
        if found.labelled:
            label = batches.plain(lambda x, y, *w: (x, self.map_labels(y), *w))
            dataset = dataset.map(label)
        if not found.textual:
            check = batches.plain(lambda x, *rest: (self._map_ids(x), *rest))
            return {"x": dataset.take(steps or -1).map(check), "steps": None}
        batching = self._batching(size)
        if found.batched:
            dataset = dataset.take(steps or -1)
            return {"x": batches.encode_batches(dataset, batching), "steps": None}
        dataset = dataset.take(steps * batching.batch_size if steps else -1)
        return {"x": batches.stream(dataset, batching, seed=seed), "steps": None}


def one_pass(x, **options):
    """Arguments of Keras's `evaluate` or `predict` for a single pass over `x`.

    Of a dataset of known length Keras (3.15) makes a second iterator at the end, for a
    pass that does not come: with a tokenizer in it that takes 0.2 to 1.8 s. So it is
    told how many steps there are, and not that the dataset then ends.
    """
    if isinstance(x, tf.data.Dataset) and (steps := int(x.cardinality())) > 0:
        every = x.filter(batches.plain(lambda *_: True))  # of unknown length
        return {**options, "x": every, "steps": steps}
    return {**options, "x": x}
