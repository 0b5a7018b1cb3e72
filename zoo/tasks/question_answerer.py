"""QuestionAnswerer: the span of a context that answers a question, or none."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import keras
import numpy as np
import tensorflow as tf

from zoo.config import TransformerConfig
from zoo.data import batches
from zoo.data.squad import read_squad
from zoo.data.squad_scores import squad_scores
from zoo.errors import InputError
from zoo.layers.linear import Linear
from zoo.tasks.answers import candidates, spans
from zoo.tasks.answers.settings import AnswerSettings
from zoo.tasks.bodies import DecoderBody, EncoderBody, RereadingBody
from zoo.tasks.examples import forms, question_windows, streams
from zoo.tasks.examples import questions as question_forms
from zoo.tasks.task import Task
from zoo.tokenizers import splitting
from zoo.training.losses import CrossEntropy
from zoo.training.metrics import SpanMatch

STRINGS = tf.TensorSpec([None], tf.string)


def _setting(name):
    """An attribute of `AnswerSettings` as one of the model, which may be set."""
    return property(
        lambda self: getattr(self.settings, name),
        lambda self, value: self._change(**{name: value}),
    )


@keras.saving.register_keras_serializable(package="zoo")
class QuestionAnswerer(Task):
    """An encoder with BERT's head for SQuAD: a first and a last token (Devlin 2018).

    Or a decoder (`LlamaForQuestionAnswering`), or an encoder-decoder, whose decoder
    reads question and context too (`T5ForQuestionAnswering`).

    Calling it with token ids gives logits float32 `[B, 2, T]`, of first and of last
    tokens; in padding they are the least float32. Labels are first and last places
    `[B, 2]`; (0, 0), the place of `[CLS]`, stands for no answer, also where a
    tokenizer puts none there. The loss is the mean of both cross-entropies.

    `fit`, `evaluate` and `predict` take examples `{"question": str, "context": str,
    "answers": {"text": [...], "answer_start": [...]}}` in a list, as `datasets` and
    SQuAD have them, or questions and contexts as x and answers as y; and token ids. A
    `tf.data.Dataset` of examples is read whole.
    A context that is too long is read in windows that overlap, and the best span of
    all windows is the answer. Answers begin at code points.

    Args:
        config: TransformerConfig.
        max_length: Tokens in a window; None: 384, or as many as the model takes.
        doc_stride: Tokens from the beginning of a window to that of the next; None: a
            third of `max_length`.
        max_question_length: Longer questions are cut to so many tokens.
        max_answer_length: Most tokens of an answer.
        null_threshold: No answer is given where the score of having none is higher by
            more than this than that of the best span (both are sums of two logits).
            None: there is always an answer. See `tune_null_threshold`.
        n_best: How many spans of each window are looked at.
        tokenizer, dtype: As of `Task`.
    """

    task_name = "question-answering"
    architecture = "question_answering"
    bodies = (EncoderBody, DecoderBody, RereadingBody)
    columns: ClassVar = {}
    parts = served = ("question", "context")
    metric = "exact_match"
    usual_length = 384  # as in BERT's run_squad

    doc_stride = _setting("doc_stride")
    max_question_length = _setting("max_question_length")
    max_answer_length = _setting("max_answer_length")
    null_threshold = _setting("null_threshold")
    n_best = _setting("n_best")

    def __init__(
        self,
        config,
        *,
        doc_stride=None,
        max_question_length=64,
        max_answer_length=30,
        null_threshold=None,
        n_best=20,
        **kwargs,
    ):
        super().__init__(self.adapt_config(TransformerConfig.of(config)), **kwargs)
        self.settings = AnswerSettings(
            doc_stride, max_question_length, max_answer_length, null_threshold, n_best
        )
        self.qa_outputs = Linear(
            2,
            stddev=self.config.initializer_range,
            dtype=self.dtype_policy,
            name="qa_outputs",
        )
        self.build()

    @classmethod
    def adapt_config(cls, config):
        names = config.id2label
        names = names if names is not None and len(names) == 2 else None
        return config.replace(pooler=False, id2label=names, problem_type=None)

    @property
    def heads(self):
        return ("qa_outputs",)

    def build_head(self):
        self.qa_outputs.build((None, None, self.config.hidden_size))

    def head(self, states, inputs, training=None):
        logits = tf.cast(self.qa_outputs(states), tf.float32)
        logits = tf.transpose(logits, [0, 2, 1])
        mask = inputs.get("attention_mask")
        if mask is None:
            return logits
        return tf.where(tf.cast(mask, tf.bool)[:, None], logits, tf.float32.min)

    # --- Settings ---------------------------------------------------------------------

    def _change(self, **settings):
        self.settings = dataclasses.replace(self.settings, **settings)
        if set(settings) != {"null_threshold"}:
            self.predict_function = None  # compiled with the others
            self._encoders = {}

    def kept_settings(self):
        return {**super().kept_settings(), **vars(self.settings)}

    # --- From questions to windows ----------------------------------------------------

    def _encoder(self):
        key = (self.tokenizer, self.max_length)
        if key not in self._encoders:
            self._encoders.clear()
            columns = dict.fromkeys(self.parts, STRINGS)
            self._encoders[key] = tf.function(
                self.encode, autograph=False, input_signature=[columns]
            )
        return self._encoders[key]

    def encode(self, columns):
        """Strings to windows, as graph ops.

        Args:
            columns: "question" and "context", string tensors `[B]`.

        Returns:
            `(windows, table)`: zoo.tokenizers.windows.Windows, ragged, with the ids of
            this model alone in `inputs`, and offsets; and int32 `[W, 4]`, as
            `question_windows.own_spans` gives it.
        """
        length = self.max_length
        windows = self.tokenizer.windows(
            columns["question"],
            columns["context"],
            max_length=length,
            step=self.doc_stride or max(length // 3, 1),
            longest_text=self.max_question_length,
            padding=None,
        )
        names = (*self.padding(), "offsets")
        inputs = {
            name: windows.inputs[name] for name in names if name in windows.inputs
        }
        return windows._replace(inputs=inputs), question_windows.own_spans(windows)

    def serve(self, columns):
        """The answers to `question`s of `context`s, as `ask` gives them; all `[B]`.

        `answer` (string), `start` and `end` (int32, code points), `score` (float32).
        Without an answer "", 0 and 0. Windows are cut inside.
        """
        contexts = splitting.repair(columns["context"])
        windows, table = self.encode({**columns, "context": contexts})
        inputs = dict(windows.inputs)
        inputs.pop("offsets")
        logits = self(batches.pad(inputs, self.padding()), training=False)
        best = spans.best_spans(logits, table, longest=self.max_answer_length, count=1)
        return spans.best_of_windows(
            best, windows, contexts, threshold=self.null_threshold
        )

    answer = serve

    def _windows(self, questions, *, labelled):
        """All windows of Questions, a WindowSet."""
        if not self.has_tokenizer:
            super()._read(questions.questions)  # the error that says so
        names = list(self.padding())
        return question_windows.cut(
            questions, self._encoder(), names, labelled=labelled
        )

    def _batching(self, batch_size):
        # Windows are encoded before they are batched, for their number is not known.
        return dataclasses.replace(super()._batching(batch_size), encode=dict)

    def _read(self, x, labels=None, weights=None, *, needs_labels=False):
        x, labels, weights = _listed(x, labels, weights)
        if isinstance(x, question_forms.Questions):
            return self._windows(x, labelled=needs_labels)
        if question_forms.is_questions(x):
            given = question_forms.read(x, labels, weights, answered=needs_labels)
            return self._windows(given, labelled=needs_labels)
        if isinstance(x, tf.data.Dataset):
            return super()._read(x, labels, weights, needs_labels=needs_labels)
        found = super()._read(x)
        return self._with_places(found, labels, weights) if needs_labels else found

    def _with_places(self, found, labels, weights):
        """Token ids in memory, with a first and a last place for each row."""
        rows, width = found.inputs["input_ids"].shape
        if labels is None:
            raise InputError(
                "y is missing: pass first and last places [N, 2], or a tf.data.Dataset "
                "of (x, y)."
            )
        places = np.asarray(labels)
        if places.shape != (rows, 2) or places.dtype.kind not in "iu":
            raise InputError(
                f"y has shape {places.shape} and dtype {places.dtype}; expected first "
                f"and last places of answers, whole numbers ({rows}, 2)."
            )
        wrong = places[(places < 0) | (places >= width)]
        if wrong.size:
            raise InputError(
                f"y has the place {wrong[0]}; expected places from 0 to {width - 1}, "
                "and 0 where there is no answer."
            )
        if weights is not None:
            weights = np.asarray(weights, np.float32)
        return forms.Memory(found.inputs, False, places.astype(np.int32), weights)

    # --- Training ---------------------------------------------------------------------

    def default_loss(self):
        return CrossEntropy()

    def default_metrics(self):
        return [SpanMatch(name=self.metric)]

    def fit(  # type: ignore[override]
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        *,
        validation_split=0.0,
        **kwargs,
    ):
        """As `Task.fit`, for examples as well; see the head of this class.

        Examples whose answer does not stand at its `answer_start`, or for which no
        token stands, are left out, with a warning that counts and shows them.
        `validation_split` holds out examples, and not windows.
        """
        x, y, weights = _listed(x, y, kwargs.pop("sample_weight", None))
        held_out = kwargs.get("validation_data")
        if isinstance(held_out, list) and held_out and isinstance(held_out[0], Mapping):
            kwargs["validation_data"] = (held_out,)
        if validation_split and question_forms.is_questions(x):
            given = question_forms.read(x, y, weights, answered=True)
            x, held_out = given.split(validation_split)
            kwargs = {"validation_data": (held_out,), **kwargs}
            return super().fit(x, None, batch_size, epochs, **kwargs)
        kwargs |= {"validation_split": validation_split, "sample_weight": weights}
        return super().fit(x, y, batch_size, epochs, **kwargs)

    def read_class_weight(self, class_weight):
        if class_weight is not None:
            raise InputError(
                "class_weight: places of answers are no classes. Pass sample_weight."
            )

    # --- Answers ----------------------------------------------------------------------

    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """Answers of examples, or logits `[N, 2, T]` for token ids.

        Returns:
            For examples a list of `{"answer": str, "start": int, "end": int, "score":
            float}`, in the order given; see `ask`.
        """
        x, _, _ = _listed(x, None, None)
        if not question_forms.is_questions(x):
            return super().predict(x, batch_size, verbose, steps, callbacks)
        if steps is not None:
            raise InputError("steps is for datasets; pass fewer examples.")
        given = question_forms.read(x)
        found = self._candidates(given, batch_size, verbose, callbacks)
        return [self._ranked(each)[0] for each in found]

    def ask(self, question, context, *, top_k=1, batch_size=None):
        """The answers to questions.

        Args:
            question: One question, or a list.
            context: The text that answers it, or as many as there are questions.
            top_k: How many answers to give, at most `n_best`.
            batch_size: Windows at a time; None: 32.

        Returns:
            For each question `{"answer": str, "start": int, "end": int, "score":
            float}`, or with another `top_k` than 1 a list of these, best first. `start`
            and `end` are code points: `context[start:end] == answer`. Without an answer
            "", 0 and 0. `score` is the probability of that span among all spans of all
            windows, and having no answer where `null_threshold` is set.
        """
        forms.check_top_k(top_k)
        if top_k > self.n_best:
            raise InputError(
                f"top_k={top_k}: expected at most {self.n_best} (n_best). Set n_best "
                "first."
            )
        single = forms.is_one_text(question)
        if single != forms.is_one_text(context):
            raise InputError(
                "question and context: expected one string each, or a list each."
            )
        columns = {
            "question": [question] if single else list(question),
            "context": [context] if single else list(context),
        }
        if not single and not columns["question"] and not columns["context"]:
            return []
        found = self._candidates(question_forms.read(columns), batch_size)
        if top_k == 1:
            answers = [self._ranked(each)[0] for each in found]
        else:
            answers = [self._ranked(each)[:top_k] for each in found]
        return answers[0] if single else answers

    def _candidates(self, questions, batch_size=None, verbose=0, callbacks=None):
        """For each question its spans, best first, and what their scores are worth."""
        found = self._windows(questions, labelled=False)
        outputs = self._predict_windows(found, batch_size, verbose, callbacks)
        splits = np.searchsorted(found.example, np.arange(len(questions) + 1))
        return [
            candidates.of_windows(
                found, outputs, slice(start, stop), context, n_best=self.n_best
            )
            for start, stop, context in zip(
                splits[:-1], splits[1:], questions.contexts, strict=True
            )
        ]

    def _predict_windows(self, found, batch_size, verbose, callbacks):
        """What `best_spans` gives for each window, in numpy."""
        rows = np.arange(found.size)[:, None]
        about = np.concatenate([rows, found.table], 1).astype(np.int32)
        found = dataclasses.replace(found, labels=about)
        batching = self._batching(batch_size)
        if found.size <= batching.batch_size and callbacks is None:
            inputs = batches.pad(found.inputs, batching.fill, batching.lengths)
            spec = {name: tf.TensorSpec([None, None], tf.int32) for name in inputs}
            self._trace_predict((spec, tf.TensorSpec([None, 5], tf.int32)))
            outputs, _ = self.predict_function([(inputs, tf.constant(about))])
            return {name: x.numpy() for name, x in outputs.items()}
        data = self._data(found, batch_size)
        return self._in_order(**data, verbose=verbose, callbacks=callbacks)

    def predict_step(self, data):
        x, about, _ = keras.utils.unpack_x_y_sample_weight(data)
        logits = self(x, training=False)
        if about is None:
            return logits
        longest, count = self.max_answer_length, self.n_best
        found = spans.best_spans(logits, about[:, 1:], longest=longest, count=count)
        return found, about[:, 0]

    def _ranked(self, found):
        return found.ranked(self.null_threshold)

    def null_scores(self, x, *, batch_size=None):
        """How much better having no answer is than the best one, for each example.

        Returns:
            float64 `[N]`: what `null_threshold` is compared with; SQuAD 2.0's script
            takes it as the odds of no answer.
        """
        found = self._candidates(question_forms.read(x), batch_size)
        return np.array([each.difference for each in found])

    def tune_null_threshold(self, x, y=None, *, batch_size=None):
        """Sets `null_threshold` so that F1 on these examples is greatest.

        Args:
            x, y: Examples with answers, some of them without; not those trained on.

        Returns:
            `(threshold, f1)`.
        """
        given = question_forms.read(x, y, answered=True)
        found = self._candidates(given, batch_size)
        right = [[answer.text for answer in answers] for answers in given.answers]
        self.null_threshold, f1 = candidates.best_threshold(found, right)
        return self.null_threshold, f1

    # --- Files, pipelines, measures ---------------------------------------------------

    @classmethod
    def read_file(
        cls, path, columns=None, *, labelled=True, encoding="utf-8", file_format=None
    ):
        """The examples of a JSON file of SQuAD's form, 1.1 or 2.0."""
        cls.name_columns(columns)
        squad = read_squad(path, answered=labelled)
        report = squad.report()
        answers = [example.pop("answers") for example in squad.examples]
        return question_forms.Articles(
            squad.examples, answers if labelled else None, squad.name, report
        )

    @classmethod
    def read_sample(cls):
        """Questions made by construction; see `zoo.data.constructed_questions`."""
        from zoo.data.constructed_questions import state_of_the_union_questions

        found = state_of_the_union_questions()
        without = sum(not each["answers"]["text"] for each in found)
        return question_forms.Articles(
            found,
            [each.pop("answers") for each in found],
            "State of the Union addresses",
            f"State of the Union addresses: {len(found):,} questions made BY "
            f"CONSTRUCTION, {without:,} of them without an answer",
        )

    @classmethod
    def is_one(cls, given):
        return super().is_one(given) or (
            isinstance(given, tuple) and all(isinstance(x, str | bytes) for x in given)
        )

    def respond(self, inputs, *, batch_size=None, top_k=1):
        """As `ask`, for a list of `{"question", "context"}` or pairs of these."""
        rows = [question_forms.as_question(x, i) for i, x in enumerate(inputs)]
        given = question_forms.read(rows)
        return self.ask(
            given.questions, given.contexts, top_k=top_k, batch_size=batch_size
        )

    def show(self, given, answer):
        best = answer if isinstance(answer, list) else [answer]
        said = ", ".join(f"{x['answer'] or '(none)'} {x['score']:.3f}" for x in best)
        return f"{said}\t{question_forms.as_question(given)['question']}"

    def measure(self, examples, *, batch_size=None):
        """Exact match and F1 as of `squad_scores`, from 0 to 1."""
        given = question_forms.read(examples.inputs, examples.answers, answered=True)
        found = self._candidates(given, batch_size)
        right = [[answer.text for answer in answers] for answers in given.answers]
        return squad_scores([self._ranked(each)[0]["answer"] for each in found], right)


def _listed(x, y, weights):
    """The same, where x is a dataset of strings in lists."""
    if isinstance(x, tf.data.Dataset):
        return streams.read_questions(x) or (x, y, weights)
    return x, y, weights
