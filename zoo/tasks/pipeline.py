"""`zoo.pipeline`: a task as a callable. Strings in, plain Python out."""

import inspect
import itertools
from collections.abc import Iterable, Mapping

import numpy as np
import tensorflow as tf

from zoo.errors import CheckpointError, InputError
from zoo.tasks.registry import find_task

# Of a stream so many batches are read ahead: texts are batched by length among them.
WINDOW = 8


def pipeline(
    task,
    source,
    *,
    revision=None,
    dtype=None,
    batch_size=32,
    max_length=None,
    **options,
):
    """A callable that does a task.

    Args:
        task: Name of a task: "text-classification", "fill-mask",
            "feature-extraction" and the like; `zoo.tasks.registry.TASKS` has all.
        source: A directory or hub id, as of `from_pretrained`; or a model that is
            there already, of the task's class or, for "text-generation", a GPTModel.
        revision: Branch, tag or commit on the hub.
        dtype: Keras dtype policy, such as "mixed_bfloat16".
        batch_size: Inputs at a time.
        max_length: Longer inputs are cut to so many tokens, or read in windows of so
            many, as the task does it.
        options: Of every call, such as `top_k=3`.

    Returns:
        A `Pipeline`.

    Raises:
        InputError: naming the nearest, if there is no such task.
        CheckpointError: if the checkpoint is damaged, or has not learnt this task.
    """
    model = load_learnt(
        find_task(task), source, revision=revision, dtype=dtype, max_length=max_length
    )
    return Pipeline(model, batch_size=batch_size, **options)


def load_learnt(entry, source, *, revision=None, dtype=None, max_length=None):
    """The model of a task that has learnt it; as `pipeline`, by a TaskEntry."""
    kind = entry.load()
    if isinstance(source, tf.keras.Model):
        model = source if isinstance(source, kind) else kind.adapt_model(source)
        if model is None:
            raise InputError(
                f"a {type(source).__name__} does not do {entry.name!r}; expected a "
                f"{kind.__name__}, or a directory or hub id to load one from."
            )
    else:
        model = kind.from_pretrained(source, dtype, revision=revision)
        if model.new_weights:
            raise CheckpointError(
                f"{source} has not learnt {entry.name!r}: it has no weights for "
                f"{', '.join(model.new_weights[:3])}. Train it with `zoo fit "
                f"{entry.name}` or {kind.__name__}.fit, or pass a checkpoint that has "
                "them."
            )
    if max_length is not None:
        model.max_length = max_length
    return model


class Pipeline:
    """Answers to inputs, one, several, or a stream of them.

    An input is a string, or a dictionary of strings where a task reads several. What
    a call gives follows what it gets:

    - one input: its answer;
    - a list, a tuple or an array: the list of answers, batched by length;
    - another iterable, such as a generator, an open file or a `tf.data.Dataset`: a
      generator, which reads no more than 8 batches ahead of what it has given.

    Args:
        model: A task.
        batch_size: Inputs at a time.
        options: Of every call; those of a call itself go before them.
    """

    def __init__(self, model, *, batch_size=32, **options):
        if not isinstance(batch_size, int) or batch_size < 1:
            raise InputError(f"batch_size={batch_size!r}: expected a positive integer.")
        self.model = model
        self.batch_size = batch_size
        self.options = {}
        self.options = self._merged(options)

    def __call__(self, inputs=None, **options):
        names = [name for name in self.model.parts if name in options]
        parts = {name: options.pop(name) for name in names}
        if parts:
            if inputs is not None:
                raise InputError(
                    f"{', '.join(parts)} and a first argument were given. Pass one "
                    "dictionary, or the names alone."
                )
            inputs = parts
        options = self._merged(options)
        if hasattr(inputs, "__array__"):
            inputs = np.asarray(inputs).tolist()
        if self.model.is_one(inputs):
            return self._answers([inputs], options)[0]
        if isinstance(inputs, list | tuple):
            return self._answers(list(inputs), options) if inputs else []
        if isinstance(inputs, Iterable):
            return self._stream(inputs, options)
        raise InputError(
            f"a pipeline was given {inputs!r}; expected a string, a list, or an "
            "iterable of strings."
        )

    def _merged(self, options):
        known = inspect.signature(self.model.respond).parameters
        if any(each.kind is each.VAR_KEYWORD for each in known.values()):
            return {**self.options, **options}  # the task checks them itself
        known = [name for name in known if name not in ("inputs", "batch_size")]
        unknown = [name for name in options if name not in known]
        if unknown:
            raise InputError(
                f"{type(self.model).__name__} takes no option '{unknown[0]}' for its "
                f"answers. It takes {', '.join(known) or 'none'}."
            )
        return {**self.options, **options}

    def _answers(self, inputs, options):
        return self.model.respond(
            [_as_text(given) for given in inputs], batch_size=self.batch_size, **options
        )

    def with_inputs(self, inputs, **options):
        """Yields `(input, answer)` for each input of any iterable, as a stream."""
        options = self._merged(options)
        inputs = iter(inputs)
        while window := list(itertools.islice(inputs, WINDOW * self.batch_size)):
            yield from zip(window, self._answers(window, options), strict=True)

    def _stream(self, inputs, options):
        if isinstance(inputs, tf.data.Dataset):
            inputs = inputs.as_numpy_iterator()
        for _, answer in self.with_inputs(inputs, **options):
            yield answer


def _as_text(given):
    """An input with str in place of bytes; what has another form stays."""
    if isinstance(given, bytes):
        return given.decode("utf-8", "replace")
    if isinstance(given, tuple):
        return tuple(map(_as_text, given))
    if isinstance(given, Mapping):
        return {name: _as_text(value) for name, value in given.items()}
    return given
