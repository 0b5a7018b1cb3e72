"""Training on a terminal: how far it is, and an end between two steps."""

import keras
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Bar(keras.callbacks.Callback):
    """A bar for the steps of each epoch, and a line behind it with what came of it.

    Args:
        console: rich's, on standard error.
        label: Stands before the epoch.
        lines: Whether a line is left behind each epoch.
    """

    def __init__(self, console, label="", *, lines=True):
        super().__init__()
        self.console = console
        self.label = label
        self.lines = lines
        self.bar = None

    def on_epoch_begin(self, epoch, logs=None):
        self.name = f"{self.label}epoch {epoch + 1}/{self.params['epochs']}"
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[said]}"),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self.task = self.bar.add_task(
            self.name, total=self.params.get("steps"), said="", start=True
        )
        self.bar.start()

    def on_train_batch_end(self, batch, logs=None):
        if not self.bar.disable:
            said = numbers_said(logs, held_out=False)
            self.bar.update(self.task, completed=batch + 1, said=said)

    def on_test_begin(self, logs=None):
        if self.bar is not None:
            self.bar.update(self.task, description=f"{self.name}, held-out examples")

    def on_epoch_end(self, epoch, logs=None):
        self.close()
        if not self.lines:
            return
        line = f"{self.name}: {numbers_said(logs, held_out=False)}"
        if held_out := numbers_said(logs, held_out=True):
            line += f"; held out: {held_out}"
        self.console.print(line, highlight=False, soft_wrap=True)

    def on_train_end(self, logs=None):
        self.close()

    def close(self):
        """Takes the bar away; `fit` may have ended in its midst."""
        if self.bar is not None:
            self.bar.stop()


class StopBetweenSteps(keras.callbacks.Callback):
    """Ends `fit` behind the step in which Ctrl-C was pressed.

    Args:
        interrupt: zoo.cli.terminal.Interrupt.
    """

    def __init__(self, interrupt):
        super().__init__()
        self.interrupt = interrupt

    def on_train_batch_end(self, batch, logs=None):
        if self.interrupt.asked:
            raise KeyboardInterrupt

    def on_test_batch_end(self, batch, logs=None):
        if self.interrupt.asked:
            raise KeyboardInterrupt


def numbers_said(logs, *, held_out):
    """Loss and metrics of a step or an epoch, in words."""
    found = {
        name.removeprefix("val_"): value
        for name, value in (logs or {}).items()
        if name.startswith("val_") == held_out and name != "learning_rate"
    }
    return ", ".join(f"{name} {float(value):.4g}" for name, value in found.items())
