"""`zoo fit`: a model for a task, out of a file of examples."""

import inspect
import json
import time
from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.groups import with_groups
from zoo.cli.options import (
    DEFAULTS,
    LEARNT,
    AsJson,
    BatchSize,
    Beginning,
    Data,
    LabelledColumns,
    LearntTask,
    Validation,
    metric_lines,
    read_examples,
)
from zoo.cli.terminal import (
    INTERRUPTED,
    Interrupt,
    complain,
    given,
    new_console,
    showing_errors,
)
from zoo.errors import InputError
from zoo.tasks.registry import find_task


@with_groups
def fit(
    task: LearntTask,
    *,
    output: Annotated[
        Path, typer.Option(help="Directory for the model and all else; see above.")
    ],
    data: Data = None,
    validation: Validation = None,
    columns: LabelledColumns,
    beginning: Beginning,
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the data. [3]")
    ] = None,
    batch_size: BatchSize = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Its peak, after a tenth of the steps. [1e-4]")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Of the split, the order, new weights and dropout. [7]"),
    ] = None,
    export: Annotated[
        bool,
        typer.Option("--export", help="Also write a SavedModel for TF Serving."),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on behind the last complete epoch of what was interrupted in "
            "--output, with the settings that it had.",
        ),
    ] = False,
    as_json: AsJson = False,
):
    """Train a model for TASK on the examples of a file, and say how good it is.

    --output gets model/ (what transformers loads), metrics.json, curve.png and other
    pictures, logs/ for TensorBoard, and with --export the SavedModel export/1.

    Ctrl-C stops behind the step that is being taken and saves the model as it is; with
    several epochs, --resume goes on from the last complete one, to the same weights as
    without interruption. A second Ctrl-C stops at once.
    """
    with showing_errors():
        settings = given(
            task=find_task(task).name,
            data=data and str(data),
            validation=validation and str(validation),
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            seed=seed,
            **columns.settings(),
            **beginning.settings(),
        )
        console = new_console()
        with console.status("Starting TensorFlow ..."):
            from zoo.tasks.results import runs

            output = runs.make_output(output)
        result = Fit(settings, output, console, resume=resume).run(export=export)
        if as_json:
            typer.echo(json.dumps(result, ensure_ascii=False, default=str))
        else:
            for line in metric_lines(result["metrics"]):
                typer.echo(line)
            typer.echo(f"{output}: {', '.join(result['files'])}")


class Fit:
    """A training, from its settings to what it leaves in a directory.

    Args:
        settings: As of `fit`, without those that were not given.
        output: The directory.
        console: Where progress is shown.
        resume: Whether it goes on with what was interrupted there.
    """

    def __init__(self, settings, output, console, *, resume=False):
        from zoo.tasks.results import runs

        self.output, self.console, self.done = output, console, 0
        self.state = self.file = None
        if resume:
            saved, self.done, self.state, self.file = runs.read_resumption(output)
            for name, value in settings.items():
                if saved.get(name) != value:
                    raise InputError(
                        f"--resume goes on with what was begun, with {name}="
                        f"{saved.get(name)!r}; {value!r} was given. Leave it out, or "
                        "leave --resume out to begin anew."
                    )
            settings = saved
        new = {}
        if settings.get("model") is None:
            new = find_task(settings["task"]).load().new_settings
        self.settings = {**DEFAULTS, **new, **settings}
        for name in ("epochs", "batch_size"):
            if self.settings[name] < 1:
                raise InputError(
                    f"--{name.replace('_', '-')} {self.settings[name]}: expected a "
                    "whole number from 1 on."
                )

    def run(self, *, export):
        """Trains, measures and writes; gives what `--json` prints."""
        from zoo.cli.progress import Bar, StopBetweenSteps
        from zoo.tasks.results import runs
        from zoo.training.curves import Curve
        from zoo.training.tensorboard import TensorBoard

        settings, output = self.settings, self.output
        began = time.perf_counter()
        material = Material.read(settings, self.console)
        model = self._model(material)
        model.check_answers(material.held_out)
        curve = Curve(material.kind.metric)
        if self.state:
            curve.set_state(self.state)
        kept = runs.Resumption(output, settings, settings["epochs"], curve)
        if not self.done:
            kept.begin()
        bar = Bar(self.console)
        try:
            with Interrupt() as interrupt:
                model.fit(
                    material.train.inputs,
                    material.train.answers,
                    batch_size=settings["batch_size"],
                    epochs=settings["epochs"],
                    initial_epoch=self.done,
                    validation_data=(
                        material.held_out.inputs,
                        material.held_out.answers,
                    ),
                    callbacks=[
                        curve,
                        kept,
                        TensorBoard(output / "logs"),
                        bar,
                        StopBetweenSteps(interrupt),
                    ],
                    seed=settings["seed"],
                    verbose=0,
                )
        except KeyboardInterrupt:
            bar.close()
            self._save_interrupted(model, curve, kept)
            raise typer.Exit(INTERRUPTED) from None
        finally:
            bar.close()
        seconds = time.perf_counter() - began
        with self.console.status("Saving and measuring ..."):
            model.save_pretrained(output / "model")
            kept.end()
            found = model.measure(material.held_out, batch_size=settings["batch_size"])
            metrics = {
                **found,
                "examples": {
                    "training": len(material.train),
                    "held_out": len(material.held_out),
                },
                "seconds": round(seconds, 1),
                "settings": settings,
            }
            files = runs.write_results(output, metrics, curve=curve)
            files += ["model/", "logs/"]
            if export:
                model.export_saved_model(output / "export", version=1)
                files.append("export/1/")
        return {
            "task": material.name,
            "output": str(output),
            "files": files,
            "metrics": metrics,
        }

    def _model(self, material):
        import keras

        with self.console.status("Loading the model ..."):
            keras.utils.set_random_seed(self.settings["seed"])
            if self.file is not None:
                model = keras.saving.load_model(self.file)
                self.console.print(
                    f"Going on behind epoch {self.done} of {self.settings['epochs']}.",
                    highlight=False,
                )
                return model
            model = material.load(self.settings)
            model.compile(learning_rate=self.settings["learning_rate"])
            return model

    def _save_interrupted(self, model, curve, kept):
        steps = len(curve.steps)
        if not steps:
            complain("interrupted before the first step; nothing was written.")
            kept.end()
            return
        with self.console.status("Saving ..."):
            model.save_pretrained(self.output / "model")
        again = ""
        if curve.held_out and self.settings["epochs"] > 1:
            again = (
                f" `zoo fit {self.settings['task']} --output {self.output} --resume` "
                f"goes on behind epoch {len(curve.held_out)}."
            )
        else:
            kept.end()
        complain(
            f"interrupted behind step {steps:,}. The model as it was then is in "
            f"{self.output / 'model'}.{again}"
        )


class Material:
    """What a model is trained on: the task's class, examples, and where to begin.

    Attributes:
        name: The task's.
        kind: Its class.
        everything: All examples that labels are taken from.
        train, held_out: ExampleSets.
    """

    def __init__(self, name, kind, everything, train, held_out):
        self.name, self.kind, self.everything = name, kind, everything
        self.train, self.held_out = train, held_out

    @classmethod
    def read(cls, settings, console):
        """Reads the files that settings name, and says on the console what is there."""
        entry = find_task(settings["task"])
        if not entry.learns:
            raise InputError(
                f"{entry.name} is not learnt from files of examples. Tasks that are: "
                f"{LEARNT}."
            )
        with console.status("Reading the examples ..."):
            kind = entry.load()
            if settings.get("data") is None:
                everything = kind.read_sample()
            else:
                everything = read_examples(kind, settings["data"], settings)
            if settings.get("validation") is not None:
                train = everything
                held_out = read_examples(kind, settings["validation"], settings)
            else:
                train, held_out = everything.hold_out(settings["seed"])
        console.print(everything.report, highlight=False, soft_wrap=True)
        if settings.get("validation") is not None:
            console.print(held_out.report, highlight=False, soft_wrap=True)
        console.print(
            f"{len(train):,} examples to train on, {len(held_out):,} held out",
            highlight=False,
        )
        return cls(entry.name, kind, everything, train, held_out)

    def source(self, settings):
        """Directory or hub id of the model to begin with."""
        if settings.get("model") is not None:
            return settings["model"]
        from zoo.data.samples import fetch

        if self.kind.sample_model is None:
            raise InputError(
                f"{self.name} has no model to begin with. Name one with --model."
            )
        return fetch(self.kind.sample_model)

    def options(self, settings):
        """What `from_pretrained` is told for these examples."""
        given = settings.get("options") or {}
        known = _options_of(self.kind.adapt_config)
        if self._begins_anew(settings):
            known += _options_of(self.kind.from_examples)
        for name in given:
            if name not in known:
                raise InputError(
                    f"--option {name}: {self.kind.__name__} has no such option. It has "
                    f"{', '.join(known) or 'none'}."
                )
        return {**self.kind.options_for(self.everything), **given}

    def _begins_anew(self, settings):
        return settings.get("model") is None and self.kind.sample_model is None

    def load(self, settings):
        """The model to begin with, with a head for these examples."""
        dtype, options = settings.get("dtype"), self.options(settings)
        if self._begins_anew(settings):
            model = self.kind.from_examples(self.train, dtype=dtype, **options)
        else:
            model = self.kind.from_pretrained(self.source(settings), dtype, **options)
        if (length := settings.get("max_length")) is not None:
            model.limit_length(length)
        return model


def _options_of(method):
    """What a method of a task's class lets users choose."""
    return [
        name
        for name, each in inspect.signature(method).parameters.items()
        if name not in ("config", "labels", "examples", "dtype")
        and each.kind is not each.VAR_KEYWORD
    ]
