"""Taking turns: who runs when, what is counted, and what happens when one fails."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools.benchmark_turns import (
    BenchmarkError,
    Contender,
    Result,
    Session,
    Turn,
    best_of,
    measure,
    peak_memory,
)


def start_sleeper(seconds, log):
    """A contender that notes when its steps begin and end."""

    def run(count):
        times = []
        for _ in range(count):
            begin = time.time()
            time.sleep(seconds)
            end = time.time()
            with open(log, "a", encoding="ascii") as file:
                file.write(f"{os.getpid()} {begin} {end}\n")
            times.append(seconds)
        return times

    return Session(run, {"variant": f"sleeps {seconds}"}, lambda: {"checked": True})


def start_eater(size):
    held = [len(bytearray(os.urandom(1)) * 2 * size)]  # a peak that is over

    def run(count):
        held.append(bytearray(os.urandom(1)) * size)
        return [0.01] * count

    return Session(run)


def start_failing(when):
    if when == "start":
        raise ValueError("no such model")

    def run(count):
        if when == "die":
            os.write(2, b"out of everything\n")
            os._exit(7)
        raise ValueError("step failed")

    return Session(run)


def sleepers(log):
    return [
        Contender(name, start_sleeper, {"seconds": seconds, "log": str(log)})
        for name, seconds in (("slow", 0.02), ("fast", 0.01))
    ]


def steps_in(log):
    for line in log.read_text().splitlines():
        process, begin, end = line.split()
        yield int(process), float(begin), float(end)


def test_contenders_alternate_in_processes_of_their_own(tmp_path):
    log = tmp_path / "log"
    slow, fast = measure(sleepers(log), rounds=2, steps=2, warmup=1)
    steps = list(steps_in(log))
    first, second = dict.fromkeys(process for process, *_ in steps)
    assert os.getpid() not in (first, second)
    turns = [first] * 3 + [second] * 3
    assert [process for process, *_ in steps] == turns * 2
    ends = [0.0] + [end for *_, end in steps]
    assert all(begin >= end for (_, begin, _), end in zip(steps, ends, strict=False))
    assert slow.seconds == [0.02] * 4  # the warm-up is not counted
    assert slow.about == {"variant": "sleeps 0.02", "checked": True}
    assert slow.ratio_to(fast) == (2, 2, 2)


def test_fresh_contenders_have_a_process_per_turn_and_a_round_for_the_page_cache(
    tmp_path,
):
    log = tmp_path / "log"
    results = measure(sleepers(log)[:1], rounds=2, steps=1, warmup=0, fresh=True)
    assert len(results[0].turns) == 2
    processes = [process for process, *_ in steps_in(log)]
    assert len(processes) == len(set(processes)) == 3


def test_growth_of_peak_memory_is_told_without_what_was_there_before():
    size = 50_000_000
    eater = Contender("eater", start_eater, {"size": size})
    (result,) = measure([eater], rounds=1, steps=1, warmup=0, fresh=True)
    assert size <= result.memory < 1.2 * size
    assert peak_memory() > 1_000_000


def test_a_contender_whose_package_is_missing_is_left_out(tmp_path):
    there, _ = sleepers(tmp_path / "log")
    absent = Contender("absent", start_failing, {"when": "start"}, ("no_such_package",))
    ran, left_out = measure([there, absent], rounds=1, steps=1, warmup=0)
    assert len(ran.turns) == 1
    assert left_out.turns == []
    assert left_out.missing == ["no_such_package"]


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ("start", "broken failed:\n(.|\n)*ValueError: no such model"),
        ("step", "broken failed:\n(.|\n)*ValueError: step failed"),
        ("die", "broken: its process ended with exit code 7 (.|\n)*out of everything"),
    ],
)
def test_a_failure_is_told_with_its_cause(when, message):
    broken = Contender("broken", start_failing, {"when": when})
    with pytest.raises(BenchmarkError, match=message):
        measure([broken], rounds=1, steps=1, warmup=0)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="reads /proc")
def test_workers_end_with_the_process_that_started_them(tmp_path):
    log = tmp_path / "log"
    code = (
        "from tests.tools.test_benchmark_turns import sleepers\n"
        "from tools.benchmark_turns import measure\n"
        f"measure(sleepers({str(log)!r})[:1], rounds=1, steps=9000, warmup=0)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    try:
        wait_until(lambda: log.exists() and log.read_text())
    finally:
        parent.kill()
        parent.wait()
    worker = next(steps_in(log))[0]
    wait_until(lambda: not Path(f"/proc/{worker}").exists())


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_ratios_are_of_neighbouring_turns():
    # The machine became twice as slow after the first round; the ratio did not.
    base = Result("zoo", [Turn([1.0, 1.0, 9.0], 0), Turn([2.0], 0), Turn([2.0], 0)])
    other = Result("other", [Turn([1.5], 0), Turn([3.0], 0), Turn([3.2], 0)])
    assert other.ratio_to(base) == (1.5, 1.5, 1.6)
    assert base.median == 2.0
    assert base.fastest == 1.0


def test_the_best_variant_is_kept_and_the_others_are_told():
    def variant(seconds):
        return lambda: Session(lambda count: [seconds] * count)

    session = best_of({"slow": variant(3.0), "fast": variant(1.0), "mid": variant(2.0)})
    assert session.run(1) == [1.0]
    assert session.about == {
        "variant": "fast",
        "probed_seconds": {"slow": 3.0, "fast": 1.0, "mid": 2.0},
    }


def test_a_single_variant_is_not_probed():
    def fail(count):
        raise AssertionError("was run")

    assert best_of({"only": lambda: Session(fail)}).about == {"variant": "only"}
