"""TextClassifier: one label for each text, or for each pair of texts."""

import difflib
from collections import Counter
from typing import ClassVar

import keras
import numpy as np
import tensorflow as tf

from zoo.config import TransformerConfig
from zoo.errors import DataError, InputError
from zoo.layers.linear import Linear
from zoo.tasks.bodies import DecoderBody, EncoderBody, RereadingBody, body_of
from zoo.tasks.examples import forms
from zoo.tasks.examples.checks import require
from zoo.tasks.examples.labels import fits, label_names, never_seen
from zoo.tasks.examples.sets import ExampleSet, texts_of
from zoo.tasks.task import Task


@keras.saving.register_keras_serializable(package="zoo")
class TextClassifier(Task):
    """An encoder whose pooled output goes through one layer (Devlin et al. 2018).

    Or a decoder, whose last token does (`GPT2ForSequenceClassification` and its like);
    or an encoder-decoder, whose decoder reads the text too, through a second layer at
    its end (`T5ForSequenceClassification`).

    Calling it with token ids gives logits `[B, C]`; `predict` gives probabilities
    `[N, C]`, in the order of `labels`. Labels to learn from are numbers or names; a
    name that a checkpoint gives to several labels is refused there.

    Args:
        config: TransformerConfig; its `id2label` names the labels.
        labels: Names of the labels, in order, in place of those of `config`.
        tokenizer, max_length, dtype: As of `Task`.

    Raises:
        InputError: if there are not two labels at least, or if one stands there twice.
    """

    task_name = "text-classification"
    architecture = "sequence_classification"
    bodies = (EncoderBody, DecoderBody, RereadingBody)
    columns: ClassVar = {"text": "text", "pair": "", "label": "label"}
    answer_column = "label"
    parts = ("text", "pair")

    def __init__(self, config, *, labels=None, **kwargs):
        config = self.adapt_config(TransformerConfig.of(config), labels=labels)
        super().__init__(config, **kwargs)
        config = self.config
        self.reads_first = self.backbone.summary_reads
        rate = config.classifier_dropout
        self.dropout = keras.layers.Dropout(
            config.hidden_dropout_prob if rate is None else rate,
            dtype=self.dtype_policy,
        )
        self.classifier = Linear(
            len(self.labels),
            use_bias=self.backbone.summary_bias,
            stddev=config.initializer_range,
            dtype=self.dtype_policy,
            name="classifier",
        )
        self.build()

    @classmethod
    def adapt_config(cls, config, labels=None):
        if labels is not None:
            config = config.replace(id2label=label_names(labels))
        if not config.id2label:
            raise InputError(
                "the labels are not known: the configuration names none. Pass "
                "labels=[...], in the order in which they are numbered."
            )
        if config.problem_type not in (None, "single_label_classification"):
            raise InputError(
                f"problem_type={config.problem_type!r}: TextClassifier gives one label "
                "to each text ('single_label_classification')."
            )
        heads = body_of(config, cls.bodies).summary_heads
        return config.replace(pooler="pooler" in heads)

    @classmethod
    def new_heads(cls, config, labels=None):
        """The checkpoint's classifier is kept if its labels are these, or nameless."""
        return () if fits(config.id2label, labels) else ("classifier",)

    @property
    def heads(self):
        return (*self.backbone.summary_heads, "classifier")

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels, in order."""
        return self.config.id2label

    def build_head(self):
        self.classifier.build((None, self.config.hidden_size))

    def head(self, states, inputs, training=None):
        summary = self.backbone.summary(states, inputs, training)
        logits = self.classifier(self.dropout(summary, training=training))
        return tf.cast(logits, tf.float32)

    def answers(self, outputs):
        return tf.nn.softmax(outputs)

    def classify(self, texts, *, top_k=1, batch_size=None):
        """The likeliest labels of texts.

        Args:
            texts: One text, or a list of texts or of pairs of texts.
            top_k: How many labels to give; None: all.

        Returns:
            For each text `{"label": str, "score": float}`, or with another `top_k` than
            1 a list of these, likeliest first. For a single text the one alone.
        """
        if top_k is not None:
            forms.check_top_k(top_k)
        single = forms.is_one_text(texts)
        if not single and isinstance(texts, list | tuple) and not texts:
            return []
        probabilities = self.predict(
            [texts] if single else texts, batch_size=batch_size, verbose=0
        )
        best = np.argsort(-probabilities, axis=-1, kind="stable")[:, :top_k]
        answers = [
            [{"label": self.labels[i], "score": float(row[i])} for i in places]
            for row, places in zip(probabilities, best, strict=True)
        ]
        if top_k == 1:
            answers = [answer[0] for answer in answers]
        return answers[0] if single else answers

    def serve(self, columns):
        """`label` (string `[B]`) and `probabilities` (float32 `[B, C]`) of `text`."""
        probabilities = self.answer(columns)
        best = tf.gather(tf.constant(self.labels), tf.argmax(probabilities, -1))
        return {"label": best, "probabilities": probabilities}

    # --- Examples of files, answers in plain Python -----------------------------------

    @classmethod
    def read_sample(cls):
        """Sentences of film reviews, positive or negative; see `movie_snippets`."""
        from zoo.data.samples import movie_snippets

        texts, numbers = movie_snippets()
        labels = [("negative", "positive")[number] for number in numbers]
        report = f"film reviews: {len(texts):,} sentences"
        return ExampleSet(texts, labels, "film reviews", report)

    @classmethod
    def options_for(cls, examples):
        labels = sorted(set(examples.answers))
        if len(labels) < 2:
            raise DataError(
                f"{examples.name}: all {len(examples):,} examples have the label "
                f"{labels[0]!r}. There is nothing to tell apart."
            )
        return {"labels": labels}

    def check_answers(self, examples):
        known = self._numbers_by_name()
        wrong = Counter(label for label in examples.answers if label not in known)
        if wrong:
            raise never_seen(examples.name, wrong, "examples", self._hint)

    def respond(self, inputs, *, batch_size=None, top_k=1):
        """As `classify`, for a list."""
        return self.classify(texts_of(inputs), top_k=top_k, batch_size=batch_size)

    def show(self, given, answer):
        best = answer if isinstance(answer, list) else [answer]
        said = ", ".join(f"{each['label']} {each['score']:.3f}" for each in best)
        text = " | ".join(map(str, given)) if isinstance(given, tuple) else given
        return f"{said}\t{text}"

    def measure(self, examples, *, batch_size=None):
        """Accuracy, F1 (mean over the labels), loss, each label's own, confusion.

        As scikit-learn computes them; a label that is neither there nor given counts as
        an F1 of 0.
        """
        from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

        self.check_answers(examples)
        numbers = [self._numbers_by_name()[label] for label in examples.answers]
        probabilities = self.predict(examples.inputs, batch_size, verbose=0)
        given, every = probabilities.argmax(-1), range(len(self.labels))
        rows = precision_recall_fscore_support(
            numbers, given, labels=every, zero_division=0.0
        )
        names = ("precision", "recall", "f1", "examples")
        right = probabilities[np.arange(len(numbers)), numbers]
        return {
            "accuracy": float(np.mean(given == numbers)),
            "f1": float(rows[2].mean()),
            "loss": float(-np.log(np.maximum(right, 1e-12)).mean()),
            "labels": {
                label: {
                    name: row[i].item() for name, row in zip(names, rows, strict=True)
                }
                for i, label in enumerate(self.labels)
            },
            "confusion": confusion_matrix(numbers, given, labels=every).tolist(),
        }

    # --- Labels -----------------------------------------------------------------------

    def default_loss(self):
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def default_metrics(self):
        return [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]

    def read_labels(self, labels):
        """Labels `[N]`, numbers or names, as int32.

        Raises:
            InputError: on a label that does not exist, with the row that has it.
        """
        if labels.dtype.kind in "biuf":
            numbers = labels.astype(np.int32)
            bad = np.flatnonzero((numbers != labels) | (numbers < 0))
            bad = bad if len(bad) else np.flatnonzero(numbers >= len(self.labels))
            if len(bad):
                raise InputError(
                    f"y[{bad[0]}] is {labels[bad[0]]}; expected a whole number from 0 "
                    f"to {len(self.labels) - 1}, or one of {self._listed()}."
                )
            return numbers
        table = self._numbers_by_name()
        numbers = []
        for row, label in enumerate(labels.tolist()):
            name = (
                label.decode("utf-8", "replace") if isinstance(label, bytes) else label
            )
            if isinstance(name, int) and 0 <= name < len(self.labels):
                numbers.append(name)
            elif isinstance(name, str) and name in table:
                numbers.append(table[name])
            else:
                raise InputError(f"y[{row}] is {label!r}. {self._hint(name)}")
        return np.asarray(numbers, np.int32)

    def map_labels(self, labels):
        """The same as graph ops; a label that does not exist fails when it comes."""
        if labels.shape.rank == 2 and labels.shape[1] != 1:
            raise InputError(
                f"the dataset yields labels of shape {labels.shape}; expected one "
                "label, a number or a name, for each text."
            )
        if labels.dtype == tf.string:
            known = tf.equal(labels[..., None], tf.constant(self.labels))
            right = tf.equal(tf.math.count_nonzero(known, -1), 1)
            numbers = tf.argmax(known, -1, output_type=tf.int32)
        else:
            numbers = tf.cast(labels, tf.int32)
            whole = tf.equal(tf.cast(numbers, labels.dtype), labels)
            right = whole & (numbers >= 0) & (numbers < len(self.labels))
        said = f"expected labels among {self._listed()}, got"
        return require(right, said, labels, numbers)

    def read_class_weight(self, class_weight):
        if class_weight is None:
            return None
        weights = dict.fromkeys(range(len(self.labels)), 1.0)
        known = {**self._numbers_by_name(), **{number: number for number in weights}}
        try:
            for label, weight in dict(class_weight).items():
                weights[known[label]] = float(weight)
        except (KeyError, TypeError, ValueError):
            raise InputError(
                f"class_weight={class_weight!r}: expected a dictionary from labels, "
                f"numbers or names, to their weights. The labels are {self._listed()}."
            ) from None
        return weights

    def _numbers_by_name(self):
        """Number of each label whose name is its own."""
        times = Counter(self.labels)
        return {name: i for i, name in enumerate(self.labels) if times[name] == 1}

    def _listed(self):
        listed = ", ".join(self.labels[:10])
        if len(self.labels) > 10:
            listed += f" and {len(self.labels) - 10} more"
        shared = sorted({*self.labels} - {*self._numbers_by_name()})
        if shared:
            listed += f" ({', '.join(shared[:3])}: a name of several, pass numbers)"
        return listed

    def _hint(self, name):
        close = difflib.get_close_matches(str(name), self._numbers_by_name(), n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        return f"The labels are {self._listed()}.{hint}"
