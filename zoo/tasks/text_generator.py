"""TextGenerator: texts that go on where a prompt ends."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import keras
import tensorflow as tf

from zoo.data.encoded import encode_texts
from zoo.data.packing import pack, packed_batches
from zoo.errors import DataError, InputError
from zoo.models.compiled import BATCH_SIZE
from zoo.models.decoder import GPTModel
from zoo.tasks.examples.sets import ExampleSet
from zoo.tasks.form import Form
from zoo.tasks.kept_settings import KeptSettings
from zoo.tasks.keras_files import KeptWriter

LONGEST_ROW = 512  # tokens, where nobody says more


class Prompts(Form):
    """How a pipeline asks what can `generate`."""

    generate: Callable[..., Any]
    columns: ClassVar[Mapping[str, str]] = {"text": "text"}

    def respond(self, inputs, *, batch_size=None, **options):
        """What is written behind each prompt.

        Args:
            inputs: Strings.
            batch_size: Prompts at a time.
            options: As of `generate`, such as `max_new_tokens=64`, `do_sample=True`.

        Returns:
            List of str.
        """
        texts = [
            given["text"]
            if isinstance(given, Mapping) and set(given) == {"text"}
            else given
            for given in inputs
        ]
        for number, text in enumerate(texts):
            if not isinstance(text, str):
                raise InputError(
                    f"input {number} is {type(text).__name__}; expected a prompt, a "
                    "string."
                )
        size = BATCH_SIZE if batch_size is None else batch_size
        answers = []
        for start in range(0, len(texts), size):
            answers += self.generate(texts[start : start + size], **options)
        return answers

    def show(self, given, answer):
        return f"{given}{answer}"


class Continuation(Prompts):
    """A GPTModel that is there already, as a pipeline asks a task.

    Args:
        model: The GPTModel.
    """

    def __init__(self, model):
        self.model = model

    def generate(self, prompts, **options):
        return self.model.generate(prompts, **options)


@keras.saving.register_keras_serializable(package="zoo")
class TextGenerator(Prompts, KeptSettings, KeptWriter, GPTModel):
    """A decoder that learns from texts, and continues prompts (Radford et al. 2018).

    It is a GPTModel, of which `fit` and `evaluate` take texts as well: a list of str.
    They are packed into rows of `max_length` tokens, an end-of-sequence token behind
    each, none of which sees another; longer ones are cut.

    Args:
        config: TransformerConfig.
        tokenizer: zoo.Tokenizer; without one it takes token ids only.
        max_length: Tokens of a row; None: as many as the model has positions for, 512
            at most.
        dtype: Keras dtype policy.
    """

    task_name = "text-generation"
    metric = "accuracy"
    sample_model = "smollm2-gguf"

    def __init__(self, config, *, tokenizer=None, max_length=None, **kwargs):
        super().__init__(config, **kwargs)
        self._tokenizer = tokenizer
        self._max_length = None
        self.max_length = max_length

    @property
    def max_length(self):
        """Tokens of a row that texts are packed into."""
        if self._max_length is not None:
            return self._max_length
        return min(self.config.max_position_embeddings, LONGEST_ROW)

    @max_length.setter
    def max_length(self, value):
        limit = self.config.max_position_embeddings
        if value is not None and not (isinstance(value, int) and 2 <= value <= limit):
            raise InputError(
                f"max_length={value!r}: expected a number of tokens from 2 to {limit} "
                "(max_position_embeddings of this model)."
            )
        self._max_length = value

    # --- Training -------------------------------------------------------------------

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        *,
        validation_data=None,
        initial_epoch=0,
        steps_per_epoch=None,
        seed=None,
        **options,
    ):
        """As Keras's `fit`, for texts as well.

        Args:
            x: List of str; or what GPTModel takes.
            validation_data: A list of str, or `(texts, None)`; or what GPTModel takes.
            seed: Of the order of rows; None: 0.
            options: As of Keras.

        Raises:
            InputError: if texts and labels are given, or there are none.
        """
        if not self.compiled:
            self.compile()
        if validation_data is not None:
            given = validation_data
            given = given[0] if isinstance(given, tuple) else given
            if _are_texts(given):
                held_out, steps = self._rows(given, batch_size, shuffle=False)
                validation_data = held_out.take(steps)
        if _are_texts(x) or isinstance(x, tf.data.Dataset):
            options = {"shuffle": False, **options}  # they are shuffled already
        if not _are_texts(x):
            return super().fit(
                x,
                y,
                batch_size,
                epochs,
                validation_data=validation_data,
                initial_epoch=initial_epoch,
                steps_per_epoch=steps_per_epoch,
                **options,
            )
        _check_unlabelled(y)
        batches, steps = self._rows(
            x,
            batch_size,
            seed=seed or 0,
            first_epoch=initial_epoch,
            steps=steps_per_epoch,
        )
        return super().fit(
            batches,
            epochs=epochs,
            validation_data=validation_data,
            initial_epoch=initial_epoch,
            steps_per_epoch=steps,
            **options,
        )

    def evaluate(self, x=None, y=None, batch_size=None, **options):
        """As Keras's `evaluate`, for texts as well; see `fit`."""
        if not self.compiled:
            self.compile()
        if not _are_texts(x):
            return super().evaluate(x, y, batch_size, **options)
        _check_unlabelled(y)
        batches, steps = self._rows(x, batch_size, shuffle=False)
        return super().evaluate(batches.take(steps), **options)

    def _rows(self, texts, batch_size, *, first_epoch=0, steps=None, **options):
        """Endless batches of packed rows, and how many make an epoch; None: a pass."""
        if not len(texts):
            raise DataError("x is an empty list: there is no text.")
        tokenizer = self.tokenizer
        end = tokenizer.eos_token_id
        encoded = encode_texts(texts, tokenizer, end=end)
        packing = pack(encoded.lengths, self.max_length)
        size = BATCH_SIZE if batch_size is None else batch_size
        steps = steps or packing.steps(size)
        pad = self.config.pad_token_id or 0
        first = first_epoch * steps
        batches = packed_batches(
            encoded, packing, batch_size=size, pad=pad, first_step=first, **options
        )
        return batches, steps

    # --- Examples of files, answers in plain Python ---------------------------------

    @classmethod
    def read_file(cls, path, columns=None, *, labelled=True, **options):
        return super().read_file(path, columns, labelled=False, **options)

    @classmethod
    def read_sample(cls):
        """Paragraphs of public speeches of this century; see `addresses`."""
        from zoo.data.samples import addresses

        texts = [
            line.strip()
            for text in addresses(since=2000)
            for line in text.split("\n")
            if line.strip()
        ]
        report = f"State of the Union addresses: {len(texts):,} paragraphs"
        return ExampleSet(texts, None, "addresses", report)

    @classmethod
    def adapt_model(cls, model):
        return Continuation(model) if isinstance(model, GPTModel) else None

    def measure(self, examples, *, batch_size=None):
        """Perplexity, loss in nats a token, and how often the likeliest token is right.

        Of each text all tokens but the first count, its end among them; of one that is
        longer than a row, the first of each piece does not either.
        """
        if not self.compiled:
            self.compile()
        found = self.evaluate(
            examples.inputs, None, batch_size, verbose=0, return_dict=True
        )
        return {name: float(found[name]) for name in ("perplexity", "loss", "accuracy")}


def _are_texts(x):
    return isinstance(x, list | tuple) and (not len(x) or isinstance(x[0], str))


def _check_unlabelled(y):
    if y is not None:
        raise InputError("y was given: texts are learnt as they are. Leave it out.")
