"""TaskHyperModel: a task's model for each trial, built in `build(hp)`."""

import logging

import keras
import keras_tuner

from zoo.errors import InputError

WIDTH_OF_HEAD = 64


class TaskHyperModel(keras_tuner.HyperModel):
    """Builds, trains and measures the models of a search.

    Every trial begins with the same seed, so that two trials of the same values are the
    same. What a trial is judged by is what `measure` of the task says about held-out
    examples, at the end of each epoch.

    Args:
        kind: Class of the task, such as TextClassifier.
        source: Directory or hub id to begin with.
        space: zoo.tuning.space.Space.
        held_out: ExampleSet that models are judged by.
        options: Of `kind.from_pretrained`, such as `labels`.
        max_length: Tokens of an input at most; None: what the model takes.
        dtype: Keras dtype policy.
        new_weights: Whether models have the configuration and the tokenizer of `source`
            alone, and begin with weights of their own; `width` needs it.
        seed: Of new weights, dropout, and the order of examples.
        callbacks: Function that gives further callbacks of a trial's `fit`.
    """

    def __init__(
        self,
        kind,
        source,
        space,
        held_out,
        *,
        options=None,
        max_length=None,
        dtype=None,
        new_weights=False,
        seed=0,
        callbacks=None,
    ):
        super().__init__(name=kind.__name__)
        if "width" in space.values and not new_weights:
            raise InputError(
                "width: the weights of a checkpoint have one width. Begin with new "
                "weights (--new-weights), or leave width out."
            )
        self.kind, self.source, self.space = kind, source, space
        self.held_out, self.options = held_out, dict(options or {})
        self.max_length, self.dtype = max_length, dtype
        self.new_weights, self.seed, self.callbacks = new_weights, seed, callbacks
        self._tokenizer = self._config = None
        self._said = False

    @property
    def objective(self):
        """What is sought, as KerasTuner names it; the larger the better."""
        return keras_tuner.Objective(f"val_{self.kind.metric}", "max")

    def build(self, hp):
        values = self.space.draw(hp)
        keras.utils.set_random_seed(self.seed)
        model = self._fresh(values) if self.new_weights else self._loaded(values)
        if self.max_length is not None:
            model.limit_length(self.max_length)
        self._freeze(model, values["freeze"])
        decay = values["layer_decay"]
        model.compile(
            learning_rate=values["learning_rate"],
            schedule=values["schedule"],
            warmup=values["warmup"],
            layer_decay=None if decay == 1 else decay,
        )
        # Hyperband loads the weights of an earlier trial next, and with them the state
        # of the optimizer, for which it has to have its variables.
        model.optimizer.build(model.trainable_variables)
        return model

    def fit(self, hp, model, x, y, *, callbacks=(), **options):
        """Trains a model; `batch_size` is a hyperparameter too."""
        values = self.space.draw(hp)
        more = self.callbacks() if self.callbacks is not None else []
        # The measure goes first: what stands behind it finds it in its logs.
        judge = Judge(self.held_out, self.kind.metric)
        return model.fit(
            x,
            y,
            batch_size=values["batch_size"],
            seed=self.seed,
            callbacks=[judge, *callbacks, *more],
            **options,
        )

    def _loaded(self, values):
        model = self._load(_dropouts(values["dropout"]))
        if "layers" in values:
            model = self._lowest(model, values["layers"])
        # Made once: a tokenizer takes longer than a small model.
        if self._tokenizer is None and model.has_tokenizer:
            self._tokenizer = model.tokenizer
        model.tokenizer = self._tokenizer
        return model

    def _load(self, changes):
        logger = logging.getLogger("zoo")
        level = logger.level
        if self._said:  # what the first trial's checkpoint had and had not
            logger.setLevel(logging.ERROR)
        try:
            return self.kind.from_pretrained(
                self.source, self.dtype, changes=changes, **self.options
            )
        finally:
            self._said = True
            logger.setLevel(level)

    def _lowest(self, model, layers):
        """A model of the lowest blocks of one, and of all else that it has."""
        if layers > model.config.num_hidden_layers:
            raise InputError(
                f"layers={layers}: the checkpoint has {model.config.num_hidden_layers}."
            )
        small = self.kind(
            model.config.replace(num_hidden_layers=layers), dtype=self.dtype
        )
        weights = model.weights_by_path()
        for path, weight in small.weights_by_path().items():
            weight.assign(weights[path])
        small.tokenizer = model.tokenizer
        return small

    def _fresh(self, values):
        if self._config is None:
            model = self._load(None)
            self._config, self._tokenizer = model.config, model.tokenizer
        sizes = {}
        if "layers" in values:
            sizes["num_hidden_layers"] = values["layers"]
        if "width" in values:
            width = values["width"]
            heads = max(1, width // WIDTH_OF_HEAD)
            sizes |= {
                "hidden_size": width,
                "num_attention_heads": heads,
                "num_key_value_heads": None,
                "head_dim": None,
                "intermediate_size": 4 * width,
            }
        config = self._config.replace(**sizes, **_dropouts(values["dropout"]))
        return self.kind(config, tokenizer=self._tokenizer, dtype=self.dtype)

    @staticmethod
    def _freeze(model, what):
        if what == "nothing":
            return
        patterns = ["embeddings.*"]
        if what == "half":
            lower = model.config.num_hidden_layers // 2
            patterns += [f"encoder.blocks.{i}.*" for i in range(lower)]
        model.freeze(*patterns)


class Judge(keras.callbacks.Callback):
    """Adds to the logs of an epoch what `measure` says about held-out examples.

    Args:
        examples: ExampleSet.
        metric: Key of what `measure` gives; in the logs it is called "val_" and this.
    """

    def __init__(self, examples, metric):
        super().__init__()
        self.examples = examples
        self.metric = metric

    def on_epoch_end(self, epoch, logs=None):
        found = self.model.measure(self.examples)
        logs[f"val_{self.metric}"] = float(found[self.metric])


def _dropouts(rate):
    if rate is None:
        return {}
    names = ("hidden", "embedding", "attention_probs")
    return {
        **{f"{name}_dropout_prob": rate for name in names},
        "classifier_dropout": None,
    }
