"""TokenClassifier: a label for each word, and the entities that labels spell out."""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import ClassVar

import keras
import tensorflow as tf

from zoo.config import TransformerConfig
from zoo.data import tags
from zoo.data.conll import is_json_lines, read_conll, read_marked_texts
from zoo.errors import DataError, InputError
from zoo.layers.crf import Crf
from zoo.layers.linear import Linear
from zoo.tasks.answers import entities
from zoo.tasks.answers.entity_finder import EntityFinder
from zoo.tasks.bodies import DecoderBody, EncoderBody, SourceBody
from zoo.tasks.examples import forms, streams, tagged, tagged_windows, token_labels
from zoo.tasks.examples.labels import fits, label_names, never_seen
from zoo.tasks.examples.sets import ExampleSet, read_texts
from zoo.tasks.task import Task
from zoo.training.labels import IGNORED, counted
from zoo.training.losses import CrossEntropy
from zoo.training.metrics import TokenAccuracy


@keras.saving.register_keras_serializable(package="zoo")
class PathLikelihood(CrossEntropy):
    """`-log p(labels)` of whole rows under a `Crf`, a mean over all labels that count.

    It is the model that computes it, for it has the transitions.
    """

    def __init__(self, *, name="path_likelihood", **kwargs):
        kwargs.pop("label_smoothing", None)
        super().__init__(name=name, **kwargs)


@keras.saving.register_keras_serializable(package="zoo")
class TokenClassifier(Task):
    """An encoder with a label for each word, at the first of its pieces (BERT's NER).

    Or a decoder, in which a word is read without those behind it; or the encoder of an
    encoder-decoder (`T5ForTokenClassification`).

    Calling it with token ids gives logits `[B, T, C]`.

    `fit` and `evaluate` take words and tags, `[["Ann", "left"]]` and `[["B-PER",
    "O"]]`; or texts and their entities, `["Ann left"]` and `[[{"start": 0, "end": 3,
    "entity": "PER"}]]`, in code points; or token ids and a label for each, -100 where
    it does not count. A `tf.data.Dataset` may yield any of these, and is read whole if
    they are strings. `predict` gives tags for words, entities for texts, and for ids
    probabilities `[N, T, C]` (of a `Crf`'s emissions, where there is one).

    What words a text has without being told, `examples.words.words_of` says. A text
    longer than `max_length` is read in windows that overlap by a quarter; nothing is
    cut off.

    Args:
        config: TransformerConfig; its `id2label` names the labels.
        labels: Names of the labels, in order, in place of those of `config`: "O", and
            "B-PER", "I-PER" or the like in any scheme; see `zoo.data.tags.labels`.
        crf: Whether labels form a chain, a conditional random field; None: as `config`
            says (`sequence_head="crf"`).
        tokenizer, max_length, dtype: As of `Task`.

    Raises:
        InputError: if there are not two labels at least, or if one stands there twice.
    """

    task_name = "token-classification"
    architecture = "token_classification"
    bodies = (EncoderBody, DecoderBody, SourceBody)
    columns: ClassVar = {
        "word": "0",
        "tag": "-1",
        "text": "text",
        "entities": "entities",
    }
    metric = "f1"

    def __init__(self, config, *, labels=None, crf=None, **kwargs):
        config = TransformerConfig.of(config)
        super().__init__(self.adapt_config(config, labels=labels, crf=crf), **kwargs)
        config, options = self.config, {"dtype": self.dtype_policy}
        rate = config.classifier_dropout
        self.dropout = keras.layers.Dropout(
            config.hidden_dropout_prob if rate is None else rate, **options
        )
        self.classifier = Linear(
            len(self.labels),
            stddev=config.initializer_range,
            name="classifier",
            **options,
        )
        self.crf = None
        if config.sequence_head == "crf":
            self.crf = Crf(
                len(self.labels), stddev=config.initializer_range, name="crf"
            )
        self._finder = EntityFinder(self)
        self.build()

    @classmethod
    def adapt_config(cls, config, labels=None, crf=None):
        if labels is not None:
            config = config.replace(id2label=label_names(labels))
        if not config.id2label:
            raise InputError(
                "the labels are not known: the configuration names none. Pass "
                "labels=[...], such as zoo.data.tags.labels(['PER', 'LOC'])."
            )
        if crf is not None:
            config = config.replace(sequence_head="crf" if crf else None)
        return config.replace(pooler=False)

    @classmethod
    def new_heads(cls, config, labels=None, crf=None):
        """The checkpoint's heads are kept if its labels are these, or nameless."""
        if fits(config.id2label, labels):
            return ()
        chained = config.sequence_head == "crf" if crf is None else crf
        return ("classifier", "crf") if chained else ("classifier",)

    @property
    def heads(self):
        return ("classifier",) if self.crf is None else ("classifier", "crf")

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels, in order."""
        return self.config.id2label

    @property
    def types(self) -> tuple[str, ...]:
        """Types of entities, in the order in which labels name them."""
        return self._finder.names.types

    def build_head(self):
        self.classifier.build((None, None, self.config.hidden_size))
        if self.crf is not None:
            self.crf.build()

    def head(self, states, inputs, training=None):
        logits = self.classifier(self.dropout(states, training=training))
        return tf.cast(logits, tf.float32)

    def answers(self, outputs):
        return tf.nn.softmax(outputs)

    # --- Texts in, entities out -------------------------------------------------------

    def find_entities(self, texts, *, batch_size=None):
        """The entities of texts.

        Args:
            texts: One text, or a list of texts.
            batch_size: Texts at a time; None: 32.

        Returns:
            For each text a list, in order, of `{"entity": "PER", "start": 0, "end": 3,
            "text": "Ann", "score": 0.98}`: the first code point and the one behind the
            last, and the mean probability of its words' labels. For a single text that
            list alone.
        """
        single = forms.is_one_text(texts)
        if not single and isinstance(texts, list | tuple) and not texts:
            return []
        sentences = tagged.read_sentences([texts] if single else texts)
        if sentences is None or sentences.words is not None:
            raise InputError("find_entities takes one text or a list of texts.")
        answers = self._answers(sentences, batch_size)
        return answers[0] if single else answers

    def tag(self, sentences, *, batch_size=None):
        """A tag for each word.

        Args:
            sentences: A list of words, or a list of such lists.
            batch_size: Sentences at a time; None: 32.

        Returns:
            Names of labels, a list for each sentence. A word that the tokenizer makes
            nothing of has "O".
        """
        given = list(sentences)
        if not given:
            return []
        single = isinstance(given[0], str | bytes)
        read = tagged.read_sentences([given] if single else given)
        if read is None or read.words is None:
            raise InputError("tag takes a list of words or a list of lists of words.")
        answers = self._answers(read, batch_size)
        return answers[0] if single else answers

    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """Entities for texts, tags for words, probabilities for token ids.

        See the head of this class, `find_entities` and `tag`.
        """
        if isinstance(x, tf.data.Dataset):
            found = forms.read(x)
            if found.textual:
                return self._predict_dataset(found, batch_size, steps)
        sentences = tagged.read_sentences(x)
        if sentences is None:
            return super().predict(x, batch_size, verbose, steps, callbacks)
        if steps is not None:
            count = steps * self._batching(batch_size).batch_size
            sentences = sentences.part(range(min(count, len(sentences.texts))))
        return self._answers(sentences, batch_size)

    def _predict_dataset(self, found, batch_size, steps):
        size = self._batching(batch_size).batch_size
        dataset = found.dataset.map(lambda x, *_: x)
        dataset = dataset.unbatch() if found.batched else dataset
        dataset = dataset.take(steps * size if steps else -1)
        answers = []
        for columns in dataset.batch(size * 8).as_numpy_iterator():
            if set(columns) != {"text"}:
                raise InputError("a TokenClassifier takes single texts and no pairs.")
            sentences = tagged.read_sentences(columns["text"])
            answers += self._answers(sentences, batch_size)
        return answers

    def _answers(self, sentences, batch_size):
        size = self._batching(batch_size).batch_size
        return self._finder.answers(sentences, size)

    def serve(self, columns):
        """The entities of `text`.

        `entity` (string), `start` and `end` (int32, code points) and `score` (float32),
        all `[B, E]`, and `count` (int32 `[B]`): how many of the E are of this text;
        behind them stand "" and 0.
        """
        found = self._finder.find(columns["text"])
        there = tf.sequence_mask(found["count"], tf.shape(found["kind"])[1])
        kind = tf.where(there, found["kind"], len(self.types))
        entity = tf.gather(tf.constant([*self.types, ""]), kind)
        names = ("start", "end", "score", "count")
        return {"entity": entity, **{name: found[name] for name in names}}

    # --- Examples of files, answers in plain Python -----------------------------------

    @classmethod
    def read_file(
        cls, path, columns=None, *, labelled=True, encoding="utf-8", file_format=None
    ):
        """Words and tags of a CoNLL file, or texts and entities of a JSONL file.

        Args:
            path: A .jsonl file has objects such as `{"text": "Ann left", "entities":
                [{"start": 0, "end": 3, "entity": "PER"}]}`; any other, words and tags
                in columns, whose numbers `columns` gives.
            columns, labelled, encoding, file_format: As of `Form.read_file`.
        """
        names = cls.name_columns(columns)
        options = {"encoding": encoding}
        if file_format == "jsonl" or is_json_lines(path):
            return ExampleSet(
                *read_marked_texts(
                    path,
                    text=names["text"],
                    entities=names["entities"] if labelled else None,
                    **options,
                )
            )
        if not labelled and columns is None:
            return read_texts(path, names["text"], file_format="text", **options)
        numbers = {name: _number(name, names[name]) for name in ("word", "tag")}
        found = read_conll(path, **numbers, **options)
        if found.scheme == "IOB1":
            found = found.converted("BIO")
        answers = found.tags if labelled else None
        return ExampleSet(found.words, answers, found.name, found.report())

    @classmethod
    def read_sample(cls):
        """Tweets, their words tagged in BIO; see `tweet_entities`."""
        from zoo.data.samples import tweet_entities

        sentences, answers = tweet_entities()
        report = f"tweets: {len(sentences):,} different ones, tags in BIO"
        return ExampleSet(sentences, answers, "tweets", report)

    @classmethod
    def options_for(cls, examples):
        rows, scheme = examples.answers, "BIO"
        if all(isinstance(tag, str) for row in rows for tag in row):
            kinds = {span.type for row in rows for span in tags.spans(row)}
            scheme = tags.scheme_of(rows)
        else:
            kinds = {each["entity"] for row in rows for each in row}
        if not kinds:
            raise DataError(
                f"{examples.name}: none of {len(examples):,} examples has an entity. "
                "There is nothing to learn."
            )
        return {"labels": tags.labels(sorted(kinds), scheme)}

    def check_answers(self, examples):
        rows, known = examples.answers, {*self.labels}
        if all(isinstance(tag, str) for row in rows for tag in row):
            wrong = Counter(tag for row in rows for tag in row if tag not in known)
        else:
            kinds = (each["entity"] for row in rows for each in row)
            known = {*self.types}
            wrong = Counter(kind for kind in kinds if kind not in known)
        if wrong:
            listed = f"Known are {', '.join(sorted(known)[:12])}."
            raise never_seen(
                examples.name, wrong, "words or entities", lambda label: listed
            )

    def respond(self, inputs, *, batch_size=None):
        """Entities for texts, tags for lists of words."""
        texts = [x["text"] if isinstance(x, Mapping) else x for x in inputs]
        return self.predict(texts, batch_size) if texts else []

    def show(self, given, answer):
        if not answer or isinstance(answer[0], str):
            return " ".join(answer)
        return ", ".join(f"{each['text']} ({each['entity']})" for each in answer)

    def measure(self, examples, *, batch_size=None):
        """Precision, recall and F1 of whole entities, of all and of each type.

        As seqeval computes them by default. Of texts, an entity is right whose
        characters and type are. Beside it loss and accuracy, as of `evaluate`.
        """
        self.check_answers(examples)
        inputs, wanted = examples.inputs, examples.answers
        found = self.evaluate(inputs, wanted, batch_size, verbose=0, return_dict=True)
        given = self.predict(inputs, batch_size)
        if tagged.read_sentences(inputs).words is None:
            given, wanted = (
                [
                    tagged.tags_of_characters(text, row)
                    for text, row in zip(inputs, rows, strict=True)
                ]
                for rows in (given, wanted)
            )
        loss = {name: float(found[name]) for name in ("loss", "accuracy")}
        return {**entities.score(wanted, given), **loss}

    # --- Learning ---------------------------------------------------------------------

    def default_loss(self):
        return CrossEntropy() if self.crf is None else PathLikelihood()

    def default_metrics(self):
        return [TokenAccuracy(), entities.EntityF1(self.labels)]

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        if not isinstance(self.loss, PathLikelihood):
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        if self.crf is None:
            raise InputError(
                "PathLikelihood is the loss of a TokenClassifier with crf=True."
            )
        losses = -self.crf.log_likelihood(y_pred, y, counted(y))
        if sample_weight is not None:
            weights = tf.cast(sample_weight, losses.dtype)
            if weights.shape.rank != 1:
                raise InputError(
                    f"sample_weight has shape {weights.shape}; with crf=True expected "
                    "one number for each example."
                )
            losses *= weights
        total = tf.reduce_sum(losses) / tf.maximum(self.loss.count(y), 1.0)
        return tf.add_n([total, *self.losses])

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        if self.crf is not None:  # what counts is the likeliest path
            path = self.crf.viterbi(y_pred, counted(y))
            y_pred = tf.one_hot(path, len(self.labels))
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def read_class_weight(self, class_weight):
        if class_weight is not None:
            raise InputError(
                "class_weight: a TokenClassifier has labels of words. Pass "
                "sample_weight, one number for each example."
            )
        return None

    def _read(self, x, labels=None, weights=None, *, needs_labels=False):
        if needs_labels and isinstance(x, tf.data.Dataset):
            x, labels, weights = streams.read_sentences(x) or (x, labels, weights)
        x, labels = token_labels.apart(x, labels)
        sentences = tagged.read_sentences(x)
        if sentences is not None:
            if labels is None:
                raise InputError(
                    "y is missing: pass the tags of each sentence, or the entities of "
                    "each text."
                )
            weights = token_labels.read_weights(weights, len(sentences.texts))
            self._batching(None)  # refuses a tokenizer of another model
            return tagged_windows.encode(
                sentences,
                labels,
                weights,
                names=self._finder.names,
                read=self._finder.read,
            )
        if not needs_labels:
            return super()._read(x, labels, weights)
        if isinstance(x, tf.data.Dataset):
            found = super()._read(x, labels, weights, needs_labels=True)
            token_labels.check_dataset(found.dataset)
            return found
        found = super()._read(x)
        shape = found.inputs["input_ids"].shape
        labels = token_labels.read(labels, shape, len(self.labels), what="labels")
        weights = token_labels.read_weights(weights, shape[0])
        return forms.Memory(found.inputs, False, labels, weights)

    def _batching(self, batch_size):
        batching = super()._batching(batch_size)
        return dataclasses.replace(
            batching, encode=dict, fill={**batching.fill, "labels": IGNORED}
        )

    def _training_data(self, found, *args):
        data = super()._training_data(found, *args)
        return tagged_windows.with_labels_apart(data, found)

    def _data(self, found, *args, **options):
        data = super()._data(found, *args, **options)
        return tagged_windows.with_labels_apart(data, found)


def _number(name, value):
    try:
        return int(value)
    except ValueError:
        raise InputError(
            f"the {name} column is {value!r}; a CoNLL file's columns are numbers, 0 "
            "for the first, -1 for the last."
        ) from None
