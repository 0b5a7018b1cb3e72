"""A task that is as small as a task can be: each word has a vote for each label."""

import json
import zlib
from pathlib import Path

import keras
import numpy as np

from zoo.tasks import TextClassifier
from zoo.tasks.examples.sets import texts_of
from zoo.tasks.form import Form

WORDS = 32


@keras.saving.register_keras_serializable(package="tests")
class Votes(Form, keras.Model):
    """What the verbs ask of a task, without a Transformer and its seconds of tracing.

    How files become examples, and what is measured, is `TextClassifier`'s.
    """

    columns, parts = TextClassifier.columns, TextClassifier.parts
    answer_column = TextClassifier.answer_column
    options_for = classmethod(TextClassifier.options_for.__func__)
    check_answers, measure = TextClassifier.check_answers, TextClassifier.measure
    show, _hint = TextClassifier.show, TextClassifier._hint
    _numbers_by_name = TextClassifier._numbers_by_name
    _listed = TextClassifier._listed
    has_tokenizer = False
    new_weights: tuple = ()

    def __init__(self, labels, **kwargs):
        super().__init__(**kwargs)
        self.labels = tuple(labels)
        self.dense = keras.layers.Dense(len(labels), name="dense")
        self.build((None, WORDS))

    def build(self, input_shape):
        self.dense.build(input_shape)
        self.built = True

    def call(self, x, training=None):
        return self.dense(x)

    def limit_length(self, length):
        """Words are counted, however many."""

    def get_config(self):
        return {"labels": list(self.labels)}

    def compile(self, optimizer=None, loss=None, *, learning_rate=1e-2, **options):
        options.pop("metrics", None)
        for name in ("schedule", "warmup", "layer_decay"):
            options.pop(name, None)
        super().compile(
            optimizer or keras.optimizers.Adam(learning_rate),
            loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
            **{**options, "run_eagerly": True},
        )

    def get_compile_config(self):
        return {"learning_rate": float(self.optimizer.learning_rate)}

    def compile_from_config(self, config):
        self.compile(learning_rate=config["learning_rate"])
        self.optimizer.build(self.trainable_variables)

    def fit(self, x, y, *, seed, validation_data=None, **options):
        if validation_data is not None:
            validation_data = self._rows(*validation_data)
        return super().fit(
            *self._rows(x, y),
            shuffle=False,
            validation_data=validation_data,
            **options,
        )

    def predict(self, x, batch_size=None, verbose=0):
        return keras.ops.softmax(self(_counts(x))).numpy()

    def respond(self, inputs, *, batch_size=None, top_k=1):
        rows = self.predict(texts_of(inputs))
        answers = [
            sorted(
                (
                    {"label": name, "score": float(share)}
                    for name, share in zip(self.labels, row, strict=True)
                ),
                key=lambda each: -each["score"],
            )[:top_k]
            for row in rows
        ]
        return [answer[0] for answer in answers] if top_k == 1 else answers

    def _rows(self, x, y):
        table = self._numbers_by_name()
        return _counts(x), np.array([table[label] for label in y])

    # -- Files

    @classmethod
    def adapt_config(cls, config, labels=None, loud=False):
        return config

    @classmethod
    def from_pretrained(
        cls, source, dtype=None, *, revision=None, changes=None, labels=None, loud=False
    ):
        saved = json.loads((Path(source) / "votes.json").read_text())
        model = cls(labels or saved["labels"])
        if list(model.labels) == saved["labels"]:
            weights = zip(model.dense.weights, saved["weights"], strict=True)
            for weight, value in weights:
                weight.assign(np.array(value, np.float32))
        else:
            model.new_weights = ("dense.kernel",)
        return model

    def save_pretrained(self, directory):
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        weights = [x.tolist() for x in self.dense.get_weights()]
        text = json.dumps({"labels": list(self.labels), "weights": weights})
        (directory / "votes.json").write_text(text)

    def export_saved_model(self, directory, *, version):
        place = Path(directory) / str(version)
        place.mkdir(parents=True)
        (place / "saved_model.pb").write_bytes(b"")


def _counts(texts):
    found = np.zeros([len(texts), WORDS], np.float32)
    for row, text in zip(found, texts, strict=True):
        text = " ".join(text) if isinstance(text, tuple) else text
        for word in text.split():
            row[zlib.crc32(word.encode()) % WORDS] += 1
    return found
