"""Task: a body of any assembly with a head, which takes strings."""

from typing import ClassVar

import tensorflow as tf

from zoo.errors import InputError
from zoo.export import export_saved_model
from zoo.models.base import TransformerModel
from zoo.models.encoder import BertModel
from zoo.tasks.bodies import EncoderBody, body_of
from zoo.tasks.text_task import TextTask


class Task(TextTask):
    """An encoder, or what else the task allows, with a head; it takes strings.

    Subclasses make their head after `super().__init__`, build it in `build_head`,
    apply it in `head`, and say in `answers` what `predict` makes of its outputs, and in
    `serve` what a SavedModel does.

    Args:
        config, tokenizer, max_length, dtype: As of `TextTask`.
    """

    assembly = "encoder"
    input_names = BertModel.input_names
    body = "backbone"
    served: ClassVar[tuple[str, ...]] = ("text",)  # inputs of a SavedModel
    bodies: ClassVar[tuple[type[TransformerModel], ...]] = (
        EncoderBody,
    )  # what it stands on
    reads_first: int | None = None  # tokens whose states the head reads; None: all

    def __init__(self, config, *, dtype=None, **kwargs):
        super().__init__(config, dtype=dtype, **kwargs)
        body = body_of(self.config, self.bodies)
        self.assembly = body.assembly
        self.backbone = body(self.config, dtype=self.dtype_policy, name="backbone")

    @property
    def reads(self):
        """Those of its body."""
        return self.backbone.reads

    @classmethod
    def _check_assembly(cls, family, opened):
        if all(body.assembly != family.assembly for body in cls.bodies):
            super()._check_assembly(family, opened)

    def build_layers(self):
        self.backbone.build()
        self.build_head()

    def build_head(self):
        raise NotImplementedError

    def head(self, states, inputs, training=None):
        """Outputs from the last hidden state `[B, T, D]`."""
        raise NotImplementedError

    def run(self, inputs, *, training=None, every_state=False):
        if every_state:
            return self.backbone.run(inputs, training=training, every_state=True)
        states = self.backbone.run(inputs, first=self.reads_first, training=training)
        return self.head(states, inputs, training)

    # --- Serving ----------------------------------------------------------------------

    def serve(self, columns):
        """What a SavedModel of this task gives, as graph ops.

        Args:
            columns: String tensors `[B]`, by the names of `served`.

        Returns:
            dict of tensors.
        """
        raise InputError(f"a {type(self).__name__} has no answers for a SavedModel.")

    def export_saved_model(self, directory, *, version=None):
        """Writes a SavedModel that maps strings to answers, for TF Serving.

        Its signature `serving_default` takes what `served` names, strings `[B]`, and
        gives what `serve` says. It needs TensorFlow and TF Text to run, neither zoo nor
        Keras.

        Args:
            directory: Where to write.
            version: None writes into `directory` itself; a number into a directory of
                that name below, as TF Serving wants it.

        Returns:
            Path of the directory with `saved_model.pb`.
        """
        columns = {
            name: tf.TensorSpec([None], tf.string, name=name) for name in self.served
        }

        def answers(*strings):
            return self.serve(dict(zip(columns, strings, strict=True)))

        return export_saved_model(
            directory,
            {"serving_default": (answers, columns)},
            resources=[self.tokenizer],
            version=version,
        )
