"""`TensorBoard`: what a training run did, for TensorBoard to show."""

import json
import numbers
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from zoo.errors import CheckpointError, ConfigError
from zoo.training.meter import Interval
from zoo.training.peak import measured_peak

# Events reach the disk that often, so that a run that is killed loses little.
FLUSH_MILLISECONDS = 10_000
# What makes a text's answer of a model or task, by the method that it has.
ANSWERS = {
    "generate": lambda text: text if isinstance(text, str) else str(text),
    "classify": lambda found: f"{found['label']} ({found['score']:.3f})",
    "fill_mask": lambda found: ", ".join(_filled(found)),
}


class TensorBoard(keras.callbacks.Callback):
    """Writes what a `fit` does, under `log_dir/train` and `log_dir/validation`.

    At the end of each epoch, as `epoch_...` over epochs: loss and metrics, those of the
    validation data beside them; `learning_rate`, that of the last step;
    `gradient_norm`, the mean over the steps, before clipping; `tokens_per_second`,
    without padding and without validation; and `model_flops_utilisation`, the share of
    the machine's peak that the operations make which the model cannot do without
    (see `zoo.training.model_flops`). The first step of an epoch is left out of speeds.

    Args:
        log_dir: Where to write. A run that goes on with `initial_epoch` goes on in the
            same directory.
        update_freq: "epoch", or a number of steps: the same is then written as
            `batch_...` over steps of the optimizer as well, about that often; losses
            and metrics are means since the epoch began, norms and speeds since the last
            ones.
        gradient_norm: Whether the norm is written. It is computed in the step, from
            sums that the step has anyway.
        peak_flops: Operations per second that utilisation is a share of; None: those
            that this machine reaches in a product of matrices in the model's compute
            dtype, measured once in a process (under a second). 0: no utilisation.
        samples: Texts whose answers are written each epoch: prompts for a model that
            writes, texts for a task. Or ids, as `generate` takes them.
        sample_options: Options of `generate`, `classify` or `fill_mask` for these.
        histogram_freq: Epochs from one histogram of each weight to the next; 0: none.
        embeddings: Tokens whose vectors the projector shows: a list of tokens, or how
            many of the vocabulary from its beginning on, special ones left out.
        write_graph: Whether the graph of the model is written.
        profile_batch: Steps of this `fit`, counted from 1, that are profiled: a number
            or `(first, last)`.

    Raises:
        ConfigError: if an option has another form, or asks for what the model of `fit`
            cannot give.
    """

    def __init__(
        self,
        log_dir="logs",
        *,
        update_freq="epoch",
        gradient_norm=True,
        peak_flops=None,
        samples=None,
        sample_options=None,
        histogram_freq=0,
        embeddings=None,
        write_graph=False,
        profile_batch=None,
    ):
        super().__init__()
        self.log_dir = str(log_dir)  # KerasTuner sets another one for each trial
        self.update_freq = update_freq
        self.wants_gradient_norm = bool(gradient_norm)
        self.peak_flops = peak_flops
        self.samples = [samples] if isinstance(samples, str) else samples
        self.sample_options = dict(sample_options or {})
        self.histogram_freq = histogram_freq
        self.embeddings = embeddings
        self.write_graph = write_graph
        self.profile_batch = _first_and_last(profile_batch)
        self._check_options()
        self._writers = {}
        self._fitting = self._profiling = False

    def _check_options(self):
        freq = self.update_freq
        if freq != "epoch" and not (_is_count(freq) and freq):
            raise ConfigError(
                f"update_freq={freq!r}: expected 'epoch' or a number of steps."
            )
        if not _is_count(self.histogram_freq):
            raise ConfigError(
                f"histogram_freq={self.histogram_freq!r}: expected a number of epochs."
            )
        peak = self.peak_flops
        if peak is not None and not (isinstance(peak, int | float) and peak >= 0):
            raise ConfigError(
                f"peak_flops={peak!r}: expected operations per second, such as 312e12."
            )
        known = self.embeddings
        tokens = isinstance(known, Sequence) and not isinstance(known, str)
        if known is not None and not tokens and not _is_count(known):
            raise ConfigError(
                f"embeddings={known!r}: expected a list of tokens, or how many."
            )

    # --- The model ----------------------------------------------------------------

    def set_model(self, model):
        super().set_model(model)
        self._close()  # a run before may have been interrupted
        self._meter = getattr(model, "meter", None)
        if self.samples is not None and self._answering() is None:
            raise ConfigError(
                f"samples: a {type(model).__name__} has no answers in words; expected "
                f"a model with one of {', '.join(ANSWERS)}."
            )
        if (self.write_graph or self.embeddings) and self._meter is None:
            raise ConfigError(
                "write_graph and embeddings are for models of zoo, this one is a "
                f"{type(model).__name__}."
            )
        if self.embeddings:
            self._tokens_shown()  # says now what it would say at the end of an epoch

    def _answering(self):
        return next((name for name in ANSWERS if hasattr(self.model, name)), None)

    # --- Keras calls these --------------------------------------------------------

    def on_train_begin(self, logs=None):
        self._fitting = True
        self._steps = 0
        self._peak = self._find_peak()
        self._epoch = self._since = self._interval()
        self._written = self._step()
        if self.write_graph:
            self._write_graph()

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = self._since = self._interval()

    def on_train_batch_begin(self, batch, logs=None):
        self._batch = batch
        if self.profile_batch is not None and not self._profiling:
            first, last = self.profile_batch
            if first <= self._steps + self._steps_at_once and last > self._steps:
                self._start_profile()

    def on_train_batch_end(self, batch, logs=None):
        self._steps += batch - self._batch + 1
        if self._epoch is not None:
            self._epoch.note()
            self._since.note()
        if self._profiling and self._steps >= self.profile_batch[1]:
            self._stop_profile()
        if self.update_freq == "epoch":
            return
        step = self._step()
        if step // self.update_freq > self._written // self.update_freq:
            self._written = step
            self._write("batch", step, logs, self._since)
            self._since = self._interval()

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        held_out = {n: v for n, v in logs.items() if n.startswith("val_")}
        trained = {n: v for n, v in logs.items() if n not in held_out}
        self._write("epoch", epoch, trained, self._epoch)
        if held_out:
            with self._writer("validation").as_default(epoch):
                for name, value in held_out.items():
                    tf.summary.scalar(f"epoch_{name.removeprefix('val_')}", value)
        if self.samples is not None:
            self._write_samples(epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            self._write_histograms(epoch)
        if self.embeddings:
            self._write_embeddings()
        for writer in self._writers.values():
            writer.flush()

    def on_test_end(self, logs=None):
        if self._fitting or not logs:  # `on_epoch_end` has them
            return
        with self._writer("validation").as_default(self._step()):
            for name, value in logs.items():
                tf.summary.scalar(f"evaluation_{name}", value)
        self._close()

    def on_train_end(self, logs=None):
        self._fitting = False
        self._close()

    # --- Numbers ------------------------------------------------------------------

    def _step(self):
        optimizer = self.model.optimizer
        return 0 if optimizer is None else int(optimizer.iterations.numpy())

    @property
    def _steps_at_once(self):
        return self.model.steps_per_execution

    def _interval(self):
        return None if self._meter is None else Interval(self._meter)

    def _find_peak(self):
        """Operations per second of all devices that take part, or 0."""
        if self._meter is None or self.peak_flops is not None:
            return self.peak_flops or 0
        devices = 1
        if tf.config.list_logical_devices("GPU"):
            # Replicas on the cores of one CPU share its peak.
            devices = self.model.distribute_strategy.num_replicas_in_sync
        return devices * measured_peak(self.model.compute_dtype)

    def _write(self, prefix, step, logs, interval):
        found = {**(logs or {}), **self._learning_rates()}
        if interval is not None:
            norm = interval.gradient_norm()
            if norm is not None:
                found["gradient_norm"] = norm
            rates = interval.rates()
            if rates is not None:
                found["tokens_per_second"] = rates[0]
                if self._peak:
                    found["model_flops_utilisation"] = rates[1] / self._peak
        with self._writer("train").as_default(step):
            for name, value in found.items():
                tf.summary.scalar(f"{prefix}_{name}", value)

    def _learning_rates(self):
        """That of the last step."""
        optimizer = self.model.optimizer
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        if optimizer is None:
            return {}
        rate = optimizer._learning_rate
        if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
            rate = rate(max(0, self._step() - 1))
        return {"learning_rate": float(keras.ops.convert_to_numpy(rate))}

    # --- Texts, weights, graph ----------------------------------------------------

    def _write_samples(self, epoch):
        name = self._answering()
        options = dict(self.sample_options)
        found = getattr(self.model, name)(list(self.samples), **options)
        rows = ["| sample | answer |", "|---|---|"]
        for sample, answer in zip(self.samples, found, strict=True):
            several = isinstance(answer, list) and name == "classify"
            answers = answer if several else [answer]
            said = ", ".join(ANSWERS[name](each) for each in answers)
            rows.append(f"| {_in_cell(sample)} | {_in_cell(said)} |")
        with self._writer("train").as_default(epoch):
            tf.summary.text("samples", "\n".join(rows))

    def _write_histograms(self, epoch):
        if self._meter is None:
            weights = {weight.path: weight for weight in self.model.weights}
        else:
            weights = self.model.weights_by_path()
        with self._writer("train").as_default(epoch):
            for path, weight in weights.items():
                tf.summary.histogram(path, tf.cast(weight.value, tf.float32))

    def _write_graph(self):
        model = self.model
        optional = [n for n in ("attention_mask",) if n in model.input_names]
        inputs = {
            name: tf.TensorSpec([None, None], tf.int32, name=name)
            for name in (*model.required_inputs, *optional)
        }
        call = tf.function(lambda inputs: model(inputs, training=False))
        with self._writer("train").as_default(0):
            tf.summary.graph(call.get_concrete_function(inputs).graph)

    def _write_embeddings(self):
        """Vectors and names of tokens, and the file that tells TensorBoard of them."""
        names, ids = self._tokens_shown()
        directory = Path(self._directory("train"))
        directory.mkdir(parents=True, exist_ok=True)
        table = self._token_table()
        vectors = tf.gather(table.weight.value, ids).numpy().astype(np.float32)
        np.savetxt(directory / "tokens.tsv", vectors, fmt="%.5g", delimiter="\t")
        names = "".join(f"{_in_line(name)}\n" for name in names)
        (directory / "token_names.tsv").write_text(names, encoding="utf-8")
        shape = "".join(f"  tensor_shape: {size}\n" for size in vectors.shape)
        (directory / "projector_config.pbtxt").write_text(
            'embeddings {\n  tensor_name: "tokens"\n  tensor_path: "tokens.tsv"\n'
            f'  metadata_path: "token_names.tsv"\n{shape}}}\n',
            encoding="utf-8",
        )

    def _token_table(self):
        body = getattr(self.model, getattr(self.model, "body", None) or "", self.model)
        return body.embeddings.tokens

    def _tokens_shown(self):
        """Their names and ids."""
        rows = self._token_table().rows
        try:
            tokenizer = self.model.tokenizer
        except CheckpointError:
            tokenizer = None
        if _is_count(self.embeddings):
            special = set()
            if tokenizer is not None:
                special = set(map(tokenizer.token_to_id, tokenizer.special_tokens))
            ids = [i for i in range(rows) if i not in special][: self.embeddings]
            if tokenizer is None:
                return [str(i) for i in ids], ids
            return [str(tokenizer.id_to_token(i)) for i in ids], ids
        if tokenizer is None:
            raise ConfigError("embeddings: this model has no tokenizer; say how many.")
        ids = [tokenizer.token_to_id(token) for token in self.embeddings]
        unknown = [
            token
            for token, i in zip(self.embeddings, ids, strict=True)
            if i is None or i >= rows
        ]
        if unknown:
            raise ConfigError(
                f"embeddings: {unknown[0]!r} is no token of this model's tokenizer. A "
                "word may be several of them."
            )
        return list(self.embeddings), ids

    # --- The profiler -------------------------------------------------------------

    def _start_profile(self):
        try:
            tf.profiler.experimental.start(self._directory("train"))
        except tf.errors.AlreadyExistsError as error:
            raise ConfigError(
                "profile_batch: another profiler is running in this process. Stop it, "
                "or leave profile_batch out."
            ) from error
        self._profiling = True

    def _stop_profile(self):
        tf.profiler.experimental.stop()
        self._profiling = False

    # --- Files --------------------------------------------------------------------

    def _directory(self, run):
        return str(Path(self.log_dir, run))

    def _writer(self, run):
        if run not in self._writers:
            extended = self.model.distribute_strategy.extended
            if not extended.should_save_summary:  # another worker writes
                self._writers[run] = tf.summary.create_noop_writer()
            else:
                self._writers[run] = tf.summary.create_file_writer(
                    self._directory(run), flush_millis=FLUSH_MILLISECONDS
                )
        return self._writers[run]

    def _close(self):
        if self._profiling:
            self._stop_profile()
        for writer in self._writers.values():
            writer.close()
        self._writers = {}


def _filled(found):
    """The likeliest tokens of each mask of a text."""
    several = found and isinstance(found[0], list)
    for mask in found if several else [found]:
        yield "/".join(each["token_str"] for each in mask)


def _in_cell(text):
    """A text as a cell of a Markdown table."""
    text = text if isinstance(text, str) else json.dumps(text, default=str)
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", "<br>")


def _in_line(name):
    return name.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n") or "\\0"


def _is_count(value):
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return whole and int(value) >= 0


def _first_and_last(batches):
    if batches is None:
        return None
    pair = (batches, batches) if _is_count(batches) else batches
    good = (
        isinstance(pair, Sequence)
        and len(pair) == 2
        and all(_is_count(each) for each in pair)
        and 0 < pair[0] <= pair[1]
    )
    if not good:
        raise ConfigError(
            f"profile_batch={batches!r}: expected the number of a step, from 1 on, or "
            "(first, last)."
        )
    return tuple(pair)
