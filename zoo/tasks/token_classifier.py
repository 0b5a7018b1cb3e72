"""TokenClassifier: a label for each word, and the entities that labels spell out."""

import dataclasses
import logging
from collections import Counter
from collections.abc import Mapping
from typing import ClassVar

import keras
import numpy as np
import tensorflow as tf

from zoo.config import TransformerConfig
from zoo.data import batches, tags
from zoo.data.conll import is_json_lines, read_conll, read_marked_texts
from zoo.errors import DataError, InputError
from zoo.export import export_saved_model
from zoo.layers.crf import Crf
from zoo.layers.linear import Linear
from zoo.tasks import entities, tagged, token_labels, words
from zoo.tasks import examples as forms
from zoo.tasks.form import ExampleSet, read_texts
from zoo.tasks.labels import fits, label_names
from zoo.tasks.task import BATCH_SIZE, Task
from zoo.training.labels import IGNORED, counted
from zoo.training.losses import CrossEntropy
from zoo.training.metrics import TokenAccuracy

logger = logging.getLogger("zoo")

CHUNK = 1024  # texts that are encoded at a time


@keras.saving.register_keras_serializable(package="zoo")
class PathLikelihood(CrossEntropy):
    """`-log p(labels)` of whole rows under a `Crf`, a mean over all labels that count.

    It is the model that computes it, for it has the transitions.
    """

    def __init__(self, *, name="path_likelihood", **kwargs):
        kwargs.pop("label_smoothing", None)
        super().__init__(name=name, **kwargs)


@dataclasses.dataclass(frozen=True)
class EncodedWords(forms.Memory):
    """Windows of ids in memory, ragged, their labels among the inputs."""

    @property
    def rest(self):
        return () if self.weights is None else (self.weights,)


@keras.saving.register_keras_serializable(package="zoo")
class TokenClassifier(Task):
    """An encoder with a label for each word, at the first of its pieces (BERT's NER).

    Calling it with token ids gives logits `[B, T, C]`.

    `fit` and `evaluate` take words and tags, `[["Ann", "left"]]` and `[["B-PER",
    "O"]]`; or texts and their entities, `["Ann left"]` and `[[{"start": 0, "end": 3,
    "entity": "PER"}]]`, in code points; or token ids and a label for each, -100 where
    it does not count. `predict` gives tags for words, entities for texts, and for ids
    probabilities `[N, T, C]` (of a `Crf`'s emissions, where there is one).

    What words a text has without being told, `zoo.tasks.words.words_of` says. A text
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

    architecture = "token_classification"
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
        self._names = tagged.Names(self.labels)
        self._decode = entities.Decoder(self.labels)
        self._functions = {}
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
        return self._names.types

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
        """Entities of each text, or tags where words were given."""
        size = self._batching(batch_size).batch_size
        order = sorted(
            range(len(sentences.texts)), key=lambda i: len(sentences.texts[i])
        )
        answers = [None] * len(order)
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            part = sentences.part(rows)
            found = _as_numpy(self._call(self._find, part))
            say = self._entities if part.words is None else self._tags
            for row, answer in zip(rows, say(part, found), strict=True):
                answers[row] = answer
        return answers

    def _entities(self, sentences, found):
        for i, text in enumerate(sentences.texts):
            columns = (found[name][i] for name in ("kind", "start", "end", "score"))
            yield [
                {
                    "entity": self.types[kind],
                    "start": int(start),
                    "end": int(end),
                    "text": text[start:end],
                    "score": float(score),
                }
                for _, kind, start, end, score in zip(
                    range(found["count"][i]), *columns, strict=False
                )
            ]

    def _tags(self, sentences, found):
        outside = self._names.outside or 0
        units, at = found["unit"], 0
        first = 0  # unit of the text
        for i, row in enumerate(sentences.words):
            numbers, before = [], None
            for unit in units[at : at + len(row)]:
                number = outside
                if unit >= 0:
                    number = int(found["labels"][i, unit - first])
                    if unit == before:
                        number = self._names.continued(number)
                    before = unit
                numbers.append(number)
            at += len(row)
            first = first if before is None else before + 1
            yield [self.labels[number] for number in numbers]

    def _call(self, method, sentences):
        """What a graph method gives for texts, or for words, traced once for each."""
        state = (self.tokenizer, self.max_length, tuple(map(id, self.variables)))
        if self._functions.get("state") != state:
            self._functions = {"state": state}
        given = _tensors(sentences)
        key = (method.__name__, len(given))
        if key not in self._functions:
            signature = tf.nest.map_structure(
                lambda x: tf.TensorSpec([None], x.dtype), given
            )
            self._functions[key] = tf.function(
                method, input_signature=signature, autograph=False
            )
        return self._functions[key](*given)

    def _read_words(self, texts, given=None):
        return words.read(self.tokenizer, texts, given, max_length=self.max_length)

    def _find(self, texts, given=None):
        """Labels and entities of strings `[B]`, and maybe their words, as graph ops."""
        reading = self._read_words(texts, given)
        size = tf.shape(texts)[0]
        ones = tf.ones_like(reading.row)
        counts = tf.math.unsorted_segment_sum(ones, reading.row, size)
        splits = tf.concat([[0], tf.cumsum(counts)], 0)
        most = tf.maximum(tf.reduce_max(tf.concat([[1], counts], 0)), 1)
        valid = tf.sequence_mask(counts, most)

        def dense(x):
            ragged = tf.RaggedTensor.from_row_splits(x, splits, validate=False)
            return ragged.to_tensor(shape=tf.stack([-1, most, *x.shape[1:]]))

        logits = dense(self._unit_logits(reading))
        if self.crf is None:
            labels = tf.argmax(logits, -1, output_type=tf.int32)
            shares = tf.nn.softmax(logits)
        else:
            labels = self.crf.viterbi(logits, valid)
            shares = self.crf.marginals(logits, valid)
        scores = tf.gather(shares, labels, batch_dims=2)
        found = entities.gather(self._decode(labels, valid), scores)
        there = tf.sequence_mask(found.count, tf.shape(found.first)[1])
        start = tf.gather(dense(reading.start), found.first, batch_dims=1)
        end = tf.gather(dense(reading.end), found.last, batch_dims=1)
        return {
            "count": found.count,
            "kind": found.kind,
            "start": tf.where(there, start, 0),
            "end": tf.where(there, end, 0),
            "score": found.score,
            "labels": labels,
            "unit": reading.unit,
        }

    def _unit_logits(self, reading):
        """Logits `[U, C]`, of so many windows at a time that memory is bounded."""
        inputs = batches.pad(reading.inputs, self._padding())
        rows = tf.shape(inputs["input_ids"])[0]
        steps = tf.maximum((rows + BATCH_SIZE - 1) // BATCH_SIZE, 1)
        shape = [None, None, len(self.labels)]
        found = tf.TensorArray(
            tf.float32, steps, infer_shape=False, element_shape=shape
        )

        def step(i, found):
            part = slice(i * BATCH_SIZE, (i + 1) * BATCH_SIZE)
            few = {name: x[part] for name, x in inputs.items()}
            return i + 1, found.write(i, self(few, training=False))

        _, found = tf.while_loop(
            lambda i, _: i < steps, step, (0, found), parallel_iterations=1
        )
        places = tf.stack([reading.window, reading.column], 1)
        logits = tf.gather_nd(tf.ensure_shape(found.concat(), shape), places)
        return tf.ensure_shape(logits, [None, len(self.labels)])

    def export_saved_model(self, directory, *, version=None):
        """Writes a SavedModel that maps strings to their entities, for TF Serving.

        Its signature `serving_default` takes `text` (string `[B]`) and gives `entity`
        (string), `start` and `end` (int32, code points) and `score` (float32), all
        `[B, E]`, and `count` (int32 `[B]`): how many of the E are of this text; behind
        them stand "" and 0. It needs TensorFlow and TF Text to run, neither zoo nor
        Keras.

        Args:
            directory: Where to write.
            version: None writes into `directory` itself; a number into a directory of
                that name below, as TF Serving wants it.

        Returns:
            Path of the directory with `saved_model.pb`.
        """
        types = tf.constant([*self.types, ""])

        def serve(text):
            found = self._find(text)
            there = tf.sequence_mask(found["count"], tf.shape(found["kind"])[1])
            kind = tf.where(there, found["kind"], len(self.types))
            names = ("start", "end", "score", "count")
            return {
                "entity": tf.gather(types, kind),
                **{name: found[name] for name in names},
            }

        return export_saved_model(
            directory,
            {
                "serving_default": (
                    serve,
                    {"text": tf.TensorSpec([None], tf.string, name="text")},
                )
            },
            resources=[self.tokenizer],
            version=version,
        )

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
            name, times = wrong.most_common(1)[0]
            others = f", and {len(wrong) - 1} other such labels" * (len(wrong) > 1)
            raise DataError(
                f"{examples.name}: the label {name!r} was never seen in training, but "
                f"{times:,} words or entities have it{others}. Known are "
                f"{', '.join(sorted(known)[:12])}. Correct or leave out these "
                "examples, or train with some of them."
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
        x, labels = token_labels.apart(x, labels)
        sentences = tagged.read_sentences(x)
        if sentences is not None:
            if labels is None:
                raise InputError(
                    "y is missing: pass the tags of each sentence, or the entities of "
                    "each text."
                )
            return self._encode_tagged(sentences, labels, weights)
        if not needs_labels:
            return super()._read(x, labels, weights)
        if isinstance(x, tf.data.Dataset):
            found = super()._read(x, labels, weights, needs_labels=True)
            if found.textual:
                raise InputError(
                    "a TokenClassifier learns from words and tags, or texts and "
                    "entities, in lists, not from a dataset of strings. Of a dataset "
                    "it takes token ids and their labels, [B, T]."
                )
            token_labels.check_dataset(found.dataset)
            return found
        found = super()._read(x)
        shape = found.inputs["input_ids"].shape
        labels = token_labels.read(labels, shape, len(self.labels), what="labels")
        weights = token_labels.read_weights(weights, shape[0])
        return forms.Memory(found.inputs, False, labels, weights)

    def _encode_tagged(self, sentences, answers, weights):
        """Windows of ids, and in them the labels of words at their first pieces."""
        count = len(sentences.texts)
        weights = token_labels.read_weights(weights, count)
        if sentences.words is None:
            given = tagged.read_entities(answers, sentences.texts, self._names)
        else:
            given = tagged.read_tags(answers, sentences.words, self._names)
        self._batching(None)  # refuses a tokenizer of another model
        problems = _Problems()
        parts, texts = [], []
        for start in range(0, count, CHUNK):
            rows = range(start, min(start + CHUNK, count))
            part = sentences.part(rows)
            reading = self._call(self._read_words, part)
            inputs, reading = reading.inputs, _as_numpy(reading._replace(inputs={}))
            say = (
                self._labels_of_entities
                if part.words is None
                else self._labels_of_words
            )
            labels = say(part, reading, given[start : rows.stop], problems, start)
            ids = inputs["input_ids"]
            splits = ids.row_splits.numpy()
            flat = np.full(splits[-1], IGNORED, np.int32)
            flat[splits[reading.window] + reading.column] = labels
            parts.append({**inputs, "labels": ids.with_values(flat)})
            texts.append(reading.text + start)
        problems.warn()
        columns = {
            name: tf.concat([part[name] for part in parts], 0) for name in parts[0]
        }
        if weights is not None:
            weights = weights[np.concatenate(texts)]
        return EncodedWords(columns, True, weights=weights)

    def _labels_of_entities(self, sentences, reading, given, problems, first):
        """Labels `[U]` of the units of some texts, the first of which is x[first]."""
        bounds = np.searchsorted(reading.row, range(len(given) + 1))
        found = [np.zeros(0, np.int32)]
        for i, each in enumerate(given):
            part = slice(bounds[i], bounds[i + 1])
            if not each and self._names.outside is None:
                raise InputError(
                    f"y[{first + i}] is empty, but the labels {self._names.labels} "
                    "have no 'O' for words outside of entities."
                )
            marked = tagged.mark(
                each, reading.start[part], reading.end[part], self._names
            )
            found.append(marked.labels)
            for problem in ("missed", "widened", "overlapping"):
                for entity in getattr(marked, problem):
                    text = sentences.texts[i][entity.start : entity.end]
                    problems.add(
                        problem,
                        f"x[{first + i}], {entity.start} to {entity.end}: {text!r}",
                    )
        return np.concatenate(found)

    def _labels_of_words(self, sentences, reading, given, problems, first):
        """The same where each word has a label."""
        flat = np.concatenate([*given, np.zeros(0, np.int32)])
        has = reading.unit >= 0
        _, begins = np.unique(reading.unit[has], return_index=True)
        quiet = (self._names.outside, IGNORED)
        for place in np.flatnonzero(
            ~has & ~np.isin(flat, [q for q in quiet if q is not None])
        ):
            row = int(np.searchsorted(reading.words.splits, place, side="right")) - 1
            column = place - reading.words.splits[row]
            word = sentences.words[row][column]
            problems.add("lost", f"x[{first + row}][{column}]: {word!r}")
        return flat[has][begins]

    def _batching(self, batch_size):
        batching = super()._batching(batch_size)
        return dataclasses.replace(
            batching, encode=dict, fill={**batching.fill, "labels": IGNORED}
        )

    def _training_data(self, found, *args):
        return _with_labels_apart(super()._training_data(found, *args), found)

    def _data(self, found, *args, **options):
        return _with_labels_apart(super()._data(found, *args, **options), found)


class _Problems:
    """What could not be learnt from, counted, with the first of each kind."""

    SAID: ClassVar = {
        "missed": "entities left out that match no word",
        "widened": "entities widened to whole words",
        "overlapping": "entities left out that overlap an earlier one",
        "lost": "tags left out of words that the tokenizer makes nothing of",
    }

    def __init__(self):
        self.found = {}

    def add(self, kind, where):
        self.found.setdefault(kind, []).append(where)

    def warn(self):
        for kind, places in self.found.items():
            logger.warning(
                "TokenClassifier: %s: %d (first: %s)",
                self.SAID[kind],
                len(places),
                places[0],
            )


def _number(name, value):
    try:
        return int(value)
    except ValueError:
        raise InputError(
            f"the {name} column is {value!r}; a CoNLL file's columns are numbers, 0 "
            "for the first, -1 for the last."
        ) from None


def _tensors(sentences):
    """Texts, and their words where these were given, as `words.read` takes them."""
    texts = [text.encode() for text in sentences.texts]
    texts = tf.constant(texts, tf.string, shape=[len(texts)])
    spans = sentences.spans()
    if spans is None:
        return (texts,)
    dtypes = (tf.int64, tf.int32, tf.int32)
    return texts, words.Spans(*map(tf.constant, spans, dtypes))


def _as_numpy(structure):
    return tf.nest.map_structure(lambda x: x.numpy(), structure)


def _with_labels_apart(data, found):
    """Keras's arguments, in which labels stand among the inputs, with them as y."""
    if isinstance(found, EncodedWords):
        data["x"] = data["x"].map(batches.plain(_apart))
    return data


def _apart(inputs, *weights):
    return (
        {name: x for name, x in inputs.items() if name != "labels"},
        inputs["labels"],
        *weights,
    )
