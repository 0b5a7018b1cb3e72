"""SequenceToSequence: texts to texts, with an encoder-decoder.

Every task of writing is the same model, T5 (Raffel et al. 2019, arXiv:1910.10683); they
differ in how answers are measured, and in what their sources begin with.
"""

from typing import ClassVar

import keras
import numpy as np
import tensorflow as tf

from zoo.config import TransformerConfig
from zoo.data import batches
from zoo.errors import InputError
from zoo.families.t5 import FIXED as T5_FIXED
from zoo.models.compiled import BATCH_SIZE
from zoo.models.encoder_decoder import T5Model
from zoo.tasks.examples import forms
from zoo.tasks.keras_files import KeptWriter
from zoo.tasks.text_task import TextTask
from zoo.training.labels import IGNORED

ENCODED_AT_ONCE = 1024  # sources, before they are batched by length


@keras.saving.register_keras_serializable(package="zoo")
class SequenceToSequence(TextTask, KeptWriter, T5Model):
    """An encoder-decoder that learns to write a text for a text.

    `fit` and `evaluate` take sources as x and targets as y, lists of str or a
    `tf.data.Dataset` of pairs; ids as `T5Model` takes them as well. `predict` writes:
    it takes sources, and options of `generate`.

    Args:
        config: TransformerConfig of a T5.
        tokenizer: zoo.Tokenizer, of sources and of targets.
        max_length: Longer sources are cut to so many tokens; None: 512.
        target_length: The same of targets, and the most that is written where no option
            says otherwise; None: as `max_length`.
        prefix: What every source begins with, such as "summarize: "; None: nothing, or
            with `from_pretrained` what config.json's task_specific_params says.
        dtype: Keras dtype policy.
    """

    columns: ClassVar = {"source": "source", "target": "target"}
    text_column, answer_column = "source", "target"
    usual_length = 512
    sample_model = None
    task_name = "text2text"
    new_settings: ClassVar = {"epochs": 5, "batch_size": 64, "learning_rate": 2e-3}

    def __init__(self, config, *, target_length=None, prefix=None, **kwargs):
        super().__init__(config, **kwargs)
        self._target_length = None
        self.target_length = target_length
        self._prefix = prefix

    @classmethod
    def from_pretrained(
        cls, source, dtype=None, *, prefix=None, target_length=None, **options
    ):
        model = super().from_pretrained(source, dtype, **options)
        if target_length is not None:
            model.target_length = target_length
        model._prefix = prefix
        return model

    @classmethod
    def adapt_config(cls, config, *, prefix=None, target_length=None):
        return config

    @classmethod
    def from_examples(
        cls,
        examples,
        *,
        vocab_size=8000,
        hidden_size=256,
        layers=3,
        dropout=0.1,
        dtype=None,
        **options,
    ):
        """A small new model, with a vocabulary of its own that it learns from examples.

        Args:
            examples: ExampleSet of sources and targets to train on.
            vocab_size: Tokens at most.
            hidden_size: D, a multiple of 64.
            layers: Blocks of the encoder, and as many of the decoder.
            dropout: Share of activations that are dropped in training.
            dtype: Keras dtype policy.
            options: Further arguments of this class, such as `prefix`.
        """
        from zoo.tokenizers import Tokenizer

        tokenizer = Tokenizer.train(
            [*examples.inputs, *examples.answers],
            kind="unigram",
            vocab_size=vocab_size,
            extra_ids=0,
        )
        kinds = ("hidden", "embedding", "attention_probs", "feedforward", "final")
        config = TransformerConfig(
            model_type="t5",
            vocab_size=tokenizer.vocab_size,
            hidden_size=hidden_size,
            num_hidden_layers=layers,
            num_decoder_layers=layers,
            num_attention_heads=max(1, hidden_size // 64),
            intermediate_size=hidden_size * 2,
            embedding_initializer_range=1.0,
            tie_word_embeddings=False,  # logits of such rows would be far too large
            feedforward="gated",
            hidden_act="gelu_new",
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            decoder_start_token_id=tokenizer.pad_token_id,
            **{f"{kind}_dropout_prob": dropout for kind in kinds},
            **T5_FIXED,
        )
        model = cls(config, tokenizer=tokenizer, dtype=dtype, **options)
        model.generation_defaults = {"num_beams": 4, "max_new_tokens": 64}
        return model

    # --- Strings to ids ---------------------------------------------------------------

    @property
    def target_length(self):
        """Most tokens of a target; longer ones are cut."""
        return self._target_length or self.max_length

    @target_length.setter
    def target_length(self, value):
        if value is not None and not (isinstance(value, int) and value > 1):
            raise InputError(
                f"target_length={value!r}: expected a number of tokens from 2 on."
            )
        self._target_length = value
        self._encoders = {}

    @property
    def prefix(self):
        """What every source begins with."""
        if self._prefix is not None:
            return self._prefix
        found = {each.get("prefix") for each in self._task_params.values()}
        return found.pop() or "" if len(found) == 1 else ""

    @prefix.setter
    def prefix(self, value):
        self._prefix = value
        self._encoders.clear()

    encode = T5Model.encode  # of ids; that of a task is of texts

    def encode_texts(self, columns):
        """Ragged ids of sources and, where there are "target"s, of labels."""
        rows = TextTask.encode(
            self, {"text": tf.strings.join([self.prefix, columns["text"]])}
        )
        if "target" in columns:
            found = self.tokenizer(
                columns["target"], max_length=self.target_length, padding=None
            )
            rows["labels"] = found["input_ids"]
        return rows

    def padding(self):
        return {"input_ids": super().padding()["input_ids"], "labels": IGNORED}

    def _batching(self, batch_size):
        found = super()._batching(batch_size)
        lengths = batches.bucket_lengths(self.target_length)
        return batches.Batching(
            found.encode,
            found.fill,
            found.lengths,
            found.batch_size,
            others={"labels": lengths},
        )

    # --- Training ---------------------------------------------------------------------

    def fit(self, x=None, y=None, *args, seed=None, **kwargs):
        """As `TextTask.fit` for strings, as `T5Model.fit` for ids."""
        if forms.holds_strings(x):
            return super().fit(x, y, *args, seed=seed, **kwargs)
        return super(TextTask, self).fit(x, y, *args, **kwargs)

    def evaluate(self, x=None, y=None, *args, **kwargs):
        """As `TextTask.evaluate` for strings, as `T5Model.evaluate` for ids."""
        if forms.holds_strings(x) or kwargs.get("_use_cached_eval_dataset"):
            return super().evaluate(x, y, *args, **kwargs)
        return super(TextTask, self).evaluate(x, y, *args, **kwargs)

    def read_labels(self, labels):
        rows = labels.tolist()
        for row, text in enumerate(rows):
            if not isinstance(text, str | bytes):
                raise InputError(
                    f"y[{row}] is {text!r} ({type(text).__name__}); expected a target, "
                    "as a string."
                )
        rows = [
            text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
            for text in rows
        ]
        return tf.constant(rows, tf.string, shape=[len(rows)])

    def map_labels(self, labels):
        if labels.dtype != tf.string:
            raise InputError(
                f"the dataset yields targets of type {labels.dtype.name}; expected "
                "strings."
            )
        return labels

    def _read(self, x, labels=None, weights=None, *, needs_labels=False):
        found = super()._read(x, labels, weights, needs_labels=needs_labels)
        pairs = isinstance(found, forms.Memory) and "pair" in found.inputs
        if pairs:
            raise InputError(
                "x holds pairs of texts; expected sources as x, and targets as y."
            )
        if isinstance(found, forms.Memory) and found.labels is not None:
            inputs = {**found.inputs, "target": found.labels}
            return forms.Memory(inputs, found.textual, None, found.weights)
        return found

    def _training_data(self, found, *args):
        data = super()._training_data(found, *args)
        if isinstance(found, forms.Memory):
            data["x"] = data["x"].map(_with_labels)
        return data

    def _data(self, found, *args, **options):
        if isinstance(found, forms.Stream):

            @batches.plain
            def joined(columns, targets, *weights):
                return {**columns, "target": self.map_labels(targets)}, *weights

            dataset = found.dataset.map(joined)
            found = forms.Stream(dataset, True, found.batched, labelled=False)
        data = super()._data(found, *args, **options)
        data["x"] = data["x"].map(_with_labels)
        return data

    # --- Writing ----------------------------------------------------------------------

    def predict(
        self, x, batch_size=None, verbose="auto", steps=None, callbacks=None, **options
    ):
        """What is written for each source, in their order.

        Sources of like length are written for together.

        Args:
            x: Sources: list of str, `{"text": [...]}` or a dataset of these; or ids as
                `generate` takes them.
            batch_size: Sources at a time; None: 32.
            verbose: 0 shows no progress.
            steps: Of a dataset, so many batches alone.
            callbacks: None are called.
            options: As of `generate`, such as `num_beams=4`, `max_new_tokens=64`.

        Returns:
            List of str, of lists of str with `num_return_sequences` above 1.
        """
        size = BATCH_SIZE if batch_size is None else batch_size
        rows = self._source_rows(x, size, steps)
        config = self._writing(options)
        decode = self._decode if self.has_tokenizer else None
        kind = "text" if decode is not None else "ids"
        order = np.argsort([len(row) for row in rows], kind="stable")
        written = [None] * len(rows)
        bar = keras.utils.Progbar(len(rows), unit_name="text", verbose=1)
        for start in range(0, len(rows), size):
            chosen = order[start : start + size]
            found = self._answers(
                [rows[i] for i in chosen], config, decode, kind, single=False
            )
            for i, each in zip(chosen, found, strict=True):
                written[i] = each
            if verbose not in (0, "auto"):
                bar.update(min(start + size, len(rows)))
        return written

    def _writing(self, options):
        """The GenerationConfig of a call."""
        given = {name: value for name, value in options.items() if value is not None}
        defaults = self.generation_defaults or {}
        if not {"max_new_tokens", "max_length"} & {*given, *defaults}:
            given["max_new_tokens"] = self.target_length
        return self.generation_config(**given)

    def _source_rows(self, x, size, steps):
        """Lists of ids, of all sources."""
        found = forms.read(x)
        if isinstance(found, forms.Stream):
            if not found.textual:
                raise InputError("x is a dataset of ids; expected one of strings.")
            dataset = found.dataset.map(lambda columns, *rest: columns["text"])
            dataset = dataset if found.batched else dataset.batch(size)
            texts = tf.concat([*dataset.take(steps or -1)], 0)
        elif not found.textual:
            self._check_ids(found.inputs)
            mask = found.inputs.get("attention_mask")
            ids = found.inputs["input_ids"]
            keep = np.ones_like(ids) if mask is None else mask
            return [r[k != 0].tolist() for r, k in zip(ids, keep, strict=True)]
        else:
            texts = self._read(x).inputs["text"]
        rows = []
        for start in range(0, int(texts.shape[0]), ENCODED_AT_ONCE):
            part = {"text": texts[start : start + ENCODED_AT_ONCE]}
            rows += self._encoder()(part)["input_ids"].to_list()
        return rows

    def _check_ids(self, inputs):
        ids = {"input_ids": inputs["input_ids"]}
        super()._check_ids({**ids, "decoder_input_ids": ids["input_ids"][:, :1]})

    def respond(
        self,
        inputs,
        *,
        batch_size=None,
        num_beams=None,
        max_new_tokens=None,
        min_new_tokens=None,
        length_penalty=None,
        no_repeat_ngram_size=None,
        repetition_penalty=None,
        do_sample=None,
        temperature=None,
        top_k=None,
        top_p=None,
        num_return_sequences=None,
        seed=None,
    ):
        """What is written for each of a list of sources; options as of `generate`."""
        options = {
            "num_beams": num_beams,
            "max_new_tokens": max_new_tokens,
            "min_new_tokens": min_new_tokens,
            "length_penalty": length_penalty,
            "no_repeat_ngram_size": no_repeat_ngram_size,
            "repetition_penalty": repetition_penalty,
            "do_sample": do_sample,
            "temperature": temperature,
            "top_k": top_k,
            "top_p": top_p,
            "num_return_sequences": num_return_sequences,
            "seed": seed,
        }
        texts = [
            x["text"] if isinstance(x, dict) and "text" in x else x for x in inputs
        ]
        return self.predict(texts, batch_size, verbose=0, **options)

    def show(self, given, answer):
        return answer if isinstance(answer, str) else "\n".join(answer)

    def export_saved_model(self, directory, *, version=None, **options):
        """As of `T5Model`: a SavedModel from texts to texts, the prefix inside."""
        if self._writing({}).max_new_tokens != self.generation_config().max_new_tokens:
            options = {"max_new_tokens": self.target_length, **options}
        return super().export_saved_model(directory, version=version, **options)

    def encode_prompts(self, texts):
        """Behind the prefix and cut at `max_length`, as `predict` reads sources."""
        return self.encode_texts({"text": texts})["input_ids"]

    # --- Files ------------------------------------------------------------------------

    def kept_settings(self):
        return {**super().kept_settings(), "target_length": self._target_length}

    def task_params(self):
        prefix = {"prefix": self.prefix} if self.prefix else {}
        return {**prefix, **super().task_params()}

    def get_config(self):
        return {**super().get_config(), "prefix": self.prefix or None}

    def _measured(self, examples, batch_size, scores):
        given = self.predict(examples.inputs, batch_size, verbose=0)
        same = [g == e for g, e in zip(given, examples.answers, strict=True)]
        return {**scores(given, examples.answers), "exact": float(np.mean(same))}


@batches.plain
def _with_labels(inputs, *weights):
    """A batch as Keras takes it: inputs, labels, weights."""
    inputs = dict(inputs)
    labels = inputs.pop("labels")
    return inputs, labels, *weights
