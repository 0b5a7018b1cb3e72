"""`zoo tune`: a search for the hyperparameters of a task."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.fitting import Material
from zoo.cli.groups import with_groups
from zoo.cli.options import (
    DEFAULTS,
    AsJson,
    Beginning,
    Data,
    LabelledColumns,
    LearntTask,
    Validation,
    metric_lines,
)
from zoo.cli.terminal import (
    INTERRUPTED,
    Interrupt,
    complain,
    given,
    new_console,
    showing_errors,
)


@with_groups
def tune(
    task: LearntTask,
    *,
    output: Annotated[
        Path, typer.Option(help="Directory for the best model and all trials.")
    ],
    tuner: Annotated[
        str, typer.Option(help="random, bayesian, hyperband or grid.")
    ] = "random",
    trials: Annotated[
        int, typer.Option(help="How many at most, those of an earlier call included.")
    ] = 10,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=VALUES]",
            help="What is varied, and nothing else; may be given again: "
            "learning_rate=1e-5:3e-4 (a range) or batch_size=16,32 (values).",
        ),
    ] = None,
    data: Data = None,
    validation: Validation = None,
    columns: LabelledColumns,
    beginning: Beginning,
    new_weights: Annotated[
        bool,
        typer.Option(
            "--new-weights",
            help="Take the configuration and the tokenizer of --model alone.",
        ),
    ] = False,
    epochs: Annotated[
        int, typer.Option(help="Of a trial; hyperband: of those that come that far.")
    ] = 1,
    examples: Annotated[
        int | None,
        typer.Option(help="Train on so many examples, drawn by --seed. [all]"),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Of the split, the proposals, and each trial.")
    ] = DEFAULTS["seed"],
    as_json: AsJson = False,
):
    """Try hyperparameters for TASK, and save the best model.

    The first trial has the values that `zoo fit` has; each later one is proposed by the
    tuner and judged by the task's metric on held-out examples. A trial that fails, or
    whose numbers are no longer finite, is noted and left behind.

    What is varied without --vary: learning_rate, schedule (of the rate), warmup (share
    of the steps), batch_size, layer_decay, dropout, and freeze (nothing, embeddings, or
    half: the lower half too). With --vary also layers (the lowest ones of a model), and
    with --new-weights width.

    --output gets model/ (the best, as transformers loads it), metrics.json, trials.png,
    trials.json, and logs/ with TensorBoard's HParams. After Ctrl-C, or to add trials,
    the same command goes on where it stopped.
    """
    with showing_errors():
        settings = {
            **DEFAULTS,
            **given(
                task=task,
                data=data and str(data),
                validation=validation and str(validation),
                **columns.settings(),
                **beginning.settings(),
            ),
            "seed": seed,
        }
        console = new_console()
        with console.status("Starting TensorFlow ..."):
            from zoo.tasks.results import runs
            from zoo.tuning.space import Space

            space = Space.parse(vary or [])
            output = runs.make_output(output)
        result = Tune(settings, space, output, console).run(
            tuner=tuner,
            trials=trials,
            epochs=epochs,
            examples=examples,
            new_weights=new_weights,
        )
        if as_json:
            typer.echo(json.dumps(result, ensure_ascii=False, default=str))
        else:
            for line in table_lines(result):
                typer.echo(line)
            typer.echo("")
            for line in metric_lines(result["metrics"]):
                typer.echo(line)
            typer.echo(f"{output}: {', '.join(result['files'])}")


class Tune:
    """A search, from its settings to what it leaves in a directory.

    Args:
        settings: As of `zoo fit`.
        space: zoo.tuning.space.Space.
        output: The directory.
        console: Where progress is shown.
    """

    def __init__(self, settings, space, output, console):
        self.settings, self.space = settings, space
        self.output, self.console = output, console
        self.best = self.began = None

    def run(self, *, tuner, trials, epochs, examples, new_weights):
        """Searches, and gives what `--json` prints."""
        from zoo.cli.progress import Bar, StopBetweenSteps
        from zoo.tuning.hypermodel import TaskHyperModel
        from zoo.tuning.search import search_space

        settings, output = self.settings, self.output
        material = Material.read(settings, self.console)
        train = material.train
        if examples is not None and examples < len(train):
            train = train.draw(examples, settings["seed"])
            self.console.print(f"{len(train):,} of them are taken", highlight=False)
        self.trials, self.metric = trials, material.kind.metric
        bars = []

        def callbacks():
            bars[:] = [Bar(self.console, self.label, lines=False)]
            return [*bars, StopBetweenSteps(interrupt)]

        with Interrupt() as interrupt:
            hypermodel = TaskHyperModel(
                material.kind,
                material.source(settings),
                self.space,
                material.held_out,
                options=material.options(settings),
                max_length=settings["max_length"],
                dtype=settings.get("dtype"),
                new_weights=new_weights,
                seed=settings["seed"],
                callbacks=callbacks,
            )
            try:
                found = search_space(
                    hypermodel,
                    train,
                    output,
                    tuner=tuner,
                    trials=trials,
                    epochs=epochs,
                    seed=settings["seed"],
                    logs=output / "logs",
                    settings={
                        **{
                            name: settings.get(name)
                            for name in (
                                *("task", "data", "validation", "columns"),
                                *("model", "max_length", "options", "dtype"),
                            )
                        },
                        "examples": examples,
                        "new_weights": new_weights,
                    },
                    on_begin=self.begin,
                    on_end=self.end,
                )
            except KeyboardInterrupt:
                for bar in bars:
                    bar.close()
                complain("interrupted. The same command goes on where it stopped.")
                raise typer.Exit(INTERRUPTED) from None
        return self.write(material, found, settings)

    def begin(self, number, values):
        """A trial begins."""
        self.began = time.perf_counter()
        self.label = f"trial {number}/{self.trials}, "
        said = ", ".join(f"{name} {short(value)}" for name, value in values.items())
        self.console.print(
            f"trial {number}/{self.trials}: {said}", highlight=False, soft_wrap=True
        )

    def end(self, result):
        """A trial has ended."""
        seconds = time.perf_counter() - self.began
        if result.score is None:
            said = f"failed: {result.failure}"
        else:
            if self.best is None or result.score > self.best:
                self.best = result.score
            said = f"{self.metric} {result.score:.4f}, best {self.best:.4f}"
        self.console.print(
            f"  {said}, {seconds:.0f} s", highlight=False, soft_wrap=True
        )

    def write(self, material, found, settings):
        """Saves the best model, the trials and their picture."""
        from zoo.files import staged_directory
        from zoo.tasks.results import runs
        from zoo.tuning.pictures import draw_trials

        results, best = found.results, found.best
        with self.console.status("Saving and measuring the best ..."):
            model = found.best_model()
            model.save_pretrained(self.output / "model")
            metrics = {
                **model.measure(material.held_out),
                "trial": best.number,
                "values": best.values,
                "examples": {
                    "training": len(material.train),
                    "held_out": len(material.held_out),
                },
                "settings": settings,
            }
            files = runs.write_results(self.output, metrics)
            rows = [vars(result) for result in results]
            with staged_directory(self.output) as stage:
                text = json.dumps(rows, indent=2, ensure_ascii=False)
                (stage / "trials.json").write_text(text + "\n", encoding="utf-8")
                draw_trials(stage / "trials.png", results, material.kind.metric)
        return {
            "task": material.name,
            "output": str(self.output),
            "metric": material.kind.metric,
            "best": vars(best),
            "trials": rows,
            "metrics": metrics,
            "files": [*files, "trials.json", "trials.png", "model/", "logs/"],
        }


def table_lines(result):
    """The trials of a search as lines, the best first."""
    rows = sorted(
        result["trials"],
        key=lambda row: (row["score"] is None, -(row["score"] or 0), row["number"]),
    )
    names = list(dict.fromkeys(name for row in rows for name in row["values"]))
    width = {name: max(len(name), 9) + 2 for name in names}
    heads = "".join(f"{name:>{width[name]}}" for name in names)
    yield f"{'trial':>5}{result['metric']:>10}{heads}"
    for row in rows:
        score = "failed" if row["score"] is None else f"{row['score']:.4f}"
        values = "".join(
            f"{short(row['values'].get(name, '')):>{width[name]}}" for name in names
        )
        yield f"{row['number']:>5}{score:>10}{values}"
    for row in rows:
        if row["score"] is None:
            yield f"trial {row['number']}: {row['failure']}"


def short(value):
    """A value in few characters."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
