"""Contenders measured side by side: worker processes that take turns.

Each contender lives in a process of its own, so that frameworks share neither threads
nor memory, and only one computes at a time: A B C, A B C, ... A slow spell of the
machine then falls on all of them, and the ratio of two neighbours outlives it.
"""

import contextlib
import importlib.util
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

# What workers find in their environment before a framework is imported.
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # Contenders share one GPU: each takes what it needs and not all of it.
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
}
CLOSE_TIMEOUT = 20  # seconds
LOG_SHOWN = 4_000  # last bytes of a worker's output that an error shows


class BenchmarkError(Exception):
    """A contender could not be measured; the message holds its traceback."""


@dataclass
class Session:
    """A contender that is ready to be measured, inside its worker.

    Attributes:
        run: Does the work `count` times and gives the seconds of each.
        about: What the report tells of it: variant, threads, device, parameters.
        check: Called once after a turn, outside the clock; what it gives is added to
            `about`. None: nothing is checked.
    """

    run: Callable[[int], list[float]]
    about: dict[str, Any] = field(default_factory=dict)
    check: Callable[[], Mapping[str, Any]] | None = None


@dataclass(frozen=True)
class Contender:
    """One column of a benchmark.

    Attributes:
        name: As the report calls it.
        start: Importable function that makes the `Session`, in a fresh process.
        options: Its arguments; they are sent to the worker, so they must pickle.
        requires: Packages without which the contender is reported as not installed.
    """

    name: str
    start: Callable[..., Session]
    options: Mapping[str, Any] = field(default_factory=dict)
    requires: tuple[str, ...] = ()

    @property
    def missing(self):
        """Required packages that are not installed."""
        return [
            name for name in self.requires if importlib.util.find_spec(name) is None
        ]


@dataclass(frozen=True)
class Turn:
    """What one contender did while it was its turn.

    Attributes:
        seconds: Of each counted step.
        memory: Growth of the peak resident set since the session was ready, in bytes.
        others: Cores that all other processes kept busy meanwhile, or None where the
            system does not tell.
    """

    seconds: list[float]
    memory: int
    others: float | None = None


@dataclass
class Result:
    """All turns of a contender; none if it was not there.

    Attributes:
        missing: Packages for lack of which it was not there.
    """

    name: str
    turns: list[Turn] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    @property
    def seconds(self):
        """Every counted step of every turn."""
        return [second for turn in self.turns for second in turn.seconds]

    @property
    def median(self):
        return statistics.median(self.seconds)

    @property
    def fastest(self):
        return min(self.seconds)

    @property
    def memory(self):
        """Median over turns of the growth of peak memory, in bytes."""
        return statistics.median(turn.memory for turn in self.turns)

    @property
    def others(self):
        """Median over turns of the cores that other processes kept busy, or None."""
        known = [turn.others for turn in self.turns if turn.others is not None]
        return statistics.median(known) if known else None

    def ratio_to(self, base):
        """Times that it takes as long as `base`: `(median, lowest, highest)`.

        Each round gives one ratio, of the medians of two turns that were neighbours.
        """
        ratios = [
            statistics.median(mine.seconds) / statistics.median(theirs.seconds)
            for mine, theirs in zip(self.turns, base.turns, strict=True)
        ]
        return statistics.median(ratios), min(ratios), max(ratios)


def measure(
    contenders, *, rounds, steps, warmup, fresh=False, environment=None, tell=None
):
    """Has contenders take turns: a `Result` for each, in their order.

    Args:
        contenders: Those whose packages are missing stay without turns.
        rounds: Turns of each contender.
        steps: Counted steps in a turn.
        warmup: Steps before them that are not counted, in each turn.
        fresh: Whether each turn has a process of its own. One round is then run and
            thrown away first, so that files are in the page cache for all.
        environment: Variables of the workers, beside `ENVIRONMENT`.
        tell: Called with a line of text when something begins.

    Raises:
        BenchmarkError: if a contender fails.
    """
    tell = tell or (lambda line: None)
    results = [Result(item.name, missing=item.missing) for item in contenders]
    present = [
        (contender, result)
        for contender, result in zip(contenders, results, strict=True)
        if not result.missing
    ]
    workers = {}
    try:
        for index in range(-1 if fresh else 0, rounds):
            for contender, result in present:
                if contender.name not in workers:
                    tell(f"{contender.name}: starts")
                    workers[contender.name] = Worker(contender, environment)
                worker = workers[contender.name]
                tell(f"{contender.name}: round {index + 1} of {rounds}")
                turn = worker.turn(steps, warmup)
                result.about = worker.about
                if index >= 0:
                    result.turns.append(turn)
                if fresh:
                    workers.pop(contender.name).close()
    finally:
        for worker in workers.values():
            worker.close()
    return results


class Worker:
    """A process with one contender in it.

    Raises:
        BenchmarkError: if the contender does not start.
    """

    def __init__(self, contender, environment=None):
        self.name = contender.name
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        # What frameworks say is of interest only when one fails.
        self._log = tempfile.NamedTemporaryFile(prefix="benchmark-")  # noqa: SIM115
        environment = {**ENVIRONMENT, **(environment or {})}
        self._process = context.Process(
            target=serve,
            args=(theirs, contender, environment, self._log.name),
            daemon=True,
        )
        self._process.start()
        theirs.close()  # so that the end of the worker ends our waiting
        try:
            self.about = self._receive()
        except BaseException:
            self.close()
            raise

    def turn(self, steps, warmup):
        """Runs `warmup` and then `steps` steps: a `Turn`."""
        before, started = busy_seconds(), time.perf_counter()
        self._connection.send((steps, warmup))
        seconds, memory, own, self.about = self._receive()
        wall, after = time.perf_counter() - started, busy_seconds()
        others = None
        if before is not None and after is not None:
            others = max(after - before - own, 0.0) / wall
        return Turn(seconds, memory, others)

    def close(self):
        """Ends the process."""
        self._connection.close()  # the worker then leaves by itself
        self._process.join(CLOSE_TIMEOUT)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._log.close()

    def _receive(self):
        try:
            kind, value = self._connection.recv()
        except (EOFError, ConnectionResetError):
            self._process.join(CLOSE_TIMEOUT)
            said = self._log.read()[-LOG_SHOWN:].decode("utf-8", "replace")
            raise BenchmarkError(
                f"{self.name}: its process ended with exit code "
                f"{self._process.exitcode} (-9: the system killed it, often for lack "
                f"of memory).\n{said}"
            ) from None
        if kind == "failed":
            raise BenchmarkError(f"{self.name} failed:\n{value}")
        return value


def serve(connection, contender, environment, log):
    """The worker's side: starts the contender and takes turns until the pipe closes.

    Args:
        log: File for what is written to standard output and error, by C++ too.
    """
    threading.Thread(target=leave_with_parent, daemon=True).start()
    os.environ.update(environment)
    with open(log, "ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        session = contender.start(**contender.options)
        connection.send(("ready", dict(session.about)))
        while True:
            steps, warmup = connection.recv()
            forget_peak()
            memory, processor = peak_memory(), time.process_time()
            seconds = session.run(warmup + steps)[warmup:]
            memory = peak_memory() - memory
            processor = time.process_time() - processor
            if session.check is not None:
                session.about.update(session.check())
                session.check = None
            connection.send(("turn", (seconds, memory, processor, session.about)))
    except (EOFError, ConnectionResetError, BrokenPipeError, KeyboardInterrupt):
        pass
    except BaseException:
        connection.send(("failed", traceback.format_exc()))


def leave_with_parent():
    """Ends this process when the one that started it has ended, in whatever way.

    A worker that is in the midst of a turn would go on computing for nobody.
    """
    multiprocessing.parent_process().join()
    os._exit(1)


def best_of(variants, *, probe=5, warmup=2):
    """Starts each variant of a contender and keeps the fastest.

    A library that can run a step in several ways is measured in its best one.

    Args:
        variants: Name -> function that makes its `Session`.
        probe: Steps by which they are compared, after `warmup` others.

    Returns:
        The fastest `Session`; its `about` names the variant and the medians of all.
    """
    best, medians = None, {}
    for name, start in variants.items():
        session = start()
        session.about["variant"] = name
        if len(variants) == 1:
            return session
        medians[name] = statistics.median(session.run(warmup + probe)[warmup:])
        if medians[name] == min(medians.values()):
            best = session
    best.about["probed_seconds"] = medians
    return best


def peak_memory():
    """The largest resident set that this process has had, in bytes."""
    try:
        # getrusage would count the parent's peak too, which survives fork and exec.
        with open("/proc/self/status", encoding="ascii") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except FileNotFoundError:
        pass
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def forget_peak():
    """Has Linux count the peak anew, from what is resident now.

    What was needed to make weights, and is gone, would hide as much of a step.
    """
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def busy_seconds():
    """Processor seconds of the whole machine, or None where it does not tell."""
    try:
        with open("/proc/stat", encoding="ascii") as stat:
            fields = [int(field) for field in stat.readline().split()[1:9]]
    except (FileNotFoundError, ValueError):
        return None
    user, nice, system, _idle, _wait, irq, softirq, steal = fields
    busy = user + nice + system + irq + softirq + steal
    return busy / os.sysconf("SC_CLK_TCK")
