"""From strings to labels and entities, as graph ops: what a tagger answers with."""

import tensorflow as tf

from zoo.data import batches
from zoo.models.compiled import BATCH_SIZE
from zoo.tasks.answers import entities
from zoo.tasks.examples import tagged, words
from zoo.tasks.examples.tagged_windows import as_numpy


class EntityFinder:
    """What a TokenClassifier makes of strings.

    Args:
        model: The TokenClassifier.

    Attributes:
        names: `tagged.Names` of its labels.
    """

    def __init__(self, model):
        self.model = model
        self.names = tagged.Names(model.labels)
        self._decode = entities.Decoder(model.labels)
        self._functions = {}

    def answers(self, sentences, size):
        """Entities of each text, or tags where words were given.

        Args:
            sentences: `tagged.Sentences`.
            size: Texts at a time.
        """
        order = sorted(
            range(len(sentences.texts)), key=lambda i: len(sentences.texts[i])
        )
        answers = [None] * len(order)
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            part = sentences.part(rows)
            found = as_numpy(self._call(self.find, part))
            say = self._entities if part.words is None else self._tags
            for row, answer in zip(rows, say(part, found), strict=True):
                answers[row] = answer
        return answers

    def read(self, sentences):
        """`words.Reading` of some sentences."""
        return self._call(self._read, sentences)

    def find(self, texts, given=None):
        """Labels and entities of strings `[B]`, and maybe their words, as graph ops.

        Returns:
            dict: `count` int32 `[B]`; of entities `[B, E]`, `kind`, `start`, `end`
            (int32) and `score` (float32), 0 behind the last; of units `[B, U]`,
            `labels` (int32); and of words `[W]` their `unit`.
        """
        model, reading = self.model, self._read(texts, given)
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
        if model.crf is None:
            labels = tf.argmax(logits, -1, output_type=tf.int32)
            shares = tf.nn.softmax(logits)
        else:
            labels = model.crf.viterbi(logits, valid)
            shares = model.crf.marginals(logits, valid)
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

    def _read(self, texts, given=None):
        model = self.model
        return words.read(model.tokenizer, texts, given, max_length=model.max_length)

    def _unit_logits(self, reading):
        """Logits `[U, C]`, of so many windows at a time that memory is bounded."""
        model = self.model
        inputs = batches.pad(reading.inputs, model.padding())
        rows = tf.shape(inputs["input_ids"])[0]
        steps = tf.maximum((rows + BATCH_SIZE - 1) // BATCH_SIZE, 1)
        shape = [None, None, len(model.labels)]
        found = tf.TensorArray(
            tf.float32, steps, infer_shape=False, element_shape=shape
        )

        def step(i, found):
            part = slice(i * BATCH_SIZE, (i + 1) * BATCH_SIZE)
            few = {name: x[part] for name, x in inputs.items()}
            return i + 1, found.write(i, model(few, training=False))

        _, found = tf.while_loop(
            lambda i, _: i < steps, step, (0, found), parallel_iterations=1
        )
        places = tf.stack([reading.window, reading.column], 1)
        logits = tf.gather_nd(tf.ensure_shape(found.concat(), shape), places)
        return tf.ensure_shape(logits, [None, len(model.labels)])

    def _call(self, method, sentences):
        """What a graph method gives for texts, or for words, traced once for each."""
        model = self.model
        state = (model.tokenizer, model.max_length, tuple(map(id, model.variables)))
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

    def _entities(self, sentences, found):
        for i, text in enumerate(sentences.texts):
            columns = (found[name][i] for name in ("kind", "start", "end", "score"))
            yield [
                {
                    "entity": self.names.types[kind],
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
        outside = self.names.outside or 0
        units, at = found["unit"], 0
        first = 0  # unit of the text
        for i, row in enumerate(sentences.words):
            numbers, before = [], None
            for unit in units[at : at + len(row)]:
                number = outside
                if unit >= 0:
                    number = int(found["labels"][i, unit - first])
                    if unit == before:
                        number = self.names.continued(number)
                    before = unit
                numbers.append(number)
            at += len(row)
            first = first if before is None else before + 1
            yield [self.names.labels[number] for number in numbers]


def _tensors(sentences):
    """Texts, and their words where these were given, as `words.read` takes them."""
    texts = [text.encode() for text in sentences.texts]
    texts = tf.constant(texts, tf.string, shape=[len(texts)])
    spans = sentences.spans()
    if spans is None:
        return (texts,)
    dtypes = (tf.int64, tf.int32, tf.int32)
    return texts, words.Spans(*map(tf.constant, spans, dtypes))
