"""What a benchmark tells: the machine, a table with ratios, JSON, and Markdown."""

import json
import os
import platform
import re
import shlex
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

BASE = "zoo"  # ratios are to this contender
FEWEST_STEPS = 7  # a median of fewer is called provisional
WIDTH = 120  # columns of a table that no terminal limits
QUIET = 0.1  # cores that other processes may keep busy on a quiet machine
PACKAGES = (
    "keras-transformer-zoo",
    "tensorflow",
    "keras",
    "keras-hub",
    "tensorflow-text",
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "numpy",
)


@dataclass
class Report:
    """The outcome of one benchmark.

    Attributes:
        name: Of the sub-command.
        title: What was measured, in one line.
        settings: Numbers that one needs to run it again.
        groups: Label (such as a precision) -> list of `benchmark_turns.Result`.
        notes: What a reader must know to judge the figures.
        memory: Whether the growth of peak memory is one of the columns.
    """

    name: str
    title: str
    settings: dict[str, Any]
    groups: dict[str, list]
    notes: list[str] = field(default_factory=list)
    memory: bool = False
    command: str = ""
    date: str = ""
    machine: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        self.command = self.command or shown_command()
        self.date = self.date or f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        self.machine = self.machine or describe_machine()
        self.notes = [*self.notes, *doubts(self.groups)]

    @property
    def columns(self):
        memory = ["peak memory grows by"] if self.memory else []
        return ["", "contender", "median", "fastest", "time / zoo's", *memory, "how"]

    def rows(self):
        """The table as text, one list of rows for each group."""
        return [
            [self._row(label, result, base_of(results)) for result in results]
            for label, results in self.groups.items()
        ]

    def _row(self, label, result, base):
        if not result.turns:
            missing = "not installed: " + ", ".join(result.missing)
            blank = [""] * (len(self.columns) - 3)
            return [label, result.name, missing, *blank]
        memory = [f"{result.memory / 1e6:,.0f} MB"] if self.memory else []
        return [
            label,
            result.name,
            show_seconds(result.median),
            show_seconds(result.fastest),
            show_ratio(result, base),
            *memory,
            result.about.get("variant", ""),
        ]

    def to_json(self):
        """Everything, each measured step included, as JSON types."""
        return {
            "benchmark": self.name,
            "title": self.title,
            "command": self.command,
            "date": self.date,
            "machine": self.machine,
            "settings": self.settings,
            "groups": {
                label: [self._result(result, base_of(results)) for result in results]
                for label, results in self.groups.items()
            },
            "notes": self.notes,
        }

    def _result(self, result, base):
        if not result.turns:
            return {"contender": result.name, "missing": result.missing}
        told = {
            "contender": result.name,
            "about": result.about,
            "median_s": result.median,
            "fastest_s": result.fastest,
            "memory_bytes": result.memory,
            "other_cores": result.others,
            "rounds_s": [turn.seconds for turn in result.turns],
        }
        if base is not None:
            middle, low, high = result.ratio_to(base)
            told["ratio_to_zoo"] = {"median": middle, "low": low, "high": high}
        return told

    def print(self, console=None):
        """Prints the table, the machine and the notes."""
        console = console or Console()
        if not console.is_terminal:  # a file or a pipe has room for whole rows
            console.width = max(console.width, WIDTH)
        table = Table(title=self.title, title_justify="left")
        for name in self.columns:
            number = name in ("median", "fastest") or name.startswith(("time", "peak"))
            table.add_column(
                name,
                justify="right" if number else "left",
                no_wrap=number,
                overflow="fold",
            )
        for rows in self.rows():
            for row in rows:
                table.add_row(*row)
            table.add_section()
        console.print(table)
        for line in (show_settings(self.settings), *show_machine(self.machine)):
            console.print(line, highlight=False, markup=False)
        for note in self.notes:
            console.print(f"- {note}", highlight=False, markup=False)

    def to_markdown(self):
        """A section with the table, the command that made it, the machine and notes."""
        lines = [f"## {self.name}", "", f"{self.title}.", "", "```sh", self.command]
        lines += ["```", "", *markdown_row(self.columns)]
        marks = [
            "---:" if "/" in c or c in ("median", "fastest") else "---"
            for c in self.columns
        ]
        lines += markdown_row(marks)
        for rows in self.rows():
            for row in rows:
                lines += markdown_row(row)
        about = [show_settings(self.settings), *show_machine(self.machine)]
        lines += ["", f"{self.date}. {' '.join(about)}", ""]
        lines += [f"- {note}" for note in self.notes]
        return "\n".join(lines).rstrip() + "\n"

    def write(self, *, output=None, markdown=None):
        """Writes JSON to `output`, and the section of `markdown` that is ours."""
        if output is not None:
            text = json.dumps(self.to_json(), indent=2, ensure_ascii=False)
            Path(output).write_text(text + "\n", encoding="utf-8")
        if markdown is not None:
            update_section(Path(markdown), self.name, self.to_markdown())


def base_of(results):
    """The result that ratios are to, or None where it was not measured."""
    return next((r for r in results if r.name == BASE and r.turns), None)


def show_seconds(seconds):
    """Seconds with three or four significant digits, below one in milliseconds."""
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.0f} ms" if seconds >= 0.1 else f"{seconds * 1e3:.1f} ms"


def show_ratio(result, base):
    """ "1.42 (1.38-1.47)": the ratio of medians, and its spread over the rounds."""
    if base is None:
        return ""
    if result is base:
        return "1"
    middle, low, high = result.ratio_to(base)
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"


def show_settings(settings):
    return ", ".join(f"{name} {value}" for name, value in settings.items()) + "."


def show_machine(machine):
    """The machine in a few sentences."""
    versions = ", ".join(f"{k} {v}" for k, v in machine["versions"].items())
    gpus = "; ".join(machine["gpus"])
    return [
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB"
        + (f", {gpus}." if gpus else ", no GPU."),
        f"{machine['system']}, Python {machine['python']}, {versions}.",
    ]


def markdown_row(cells):
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"]


def update_section(path, name, text):
    """Puts `text` where the section `name` stands, or at the end of the file.

    Sections are marked by comments, so that what people wrote around them stays.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    section = f"{begin}\n{text.rstrip()}\n{end}"
    page = path.read_text(encoding="utf-8") if path.exists() else "# Benchmarks\n"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if pattern.search(page):
        page = pattern.sub(lambda _: section, page, count=1)
    else:
        page = f"{page.rstrip()}\n\n{section}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")


def doubts(groups):
    """Why not to trust the figures: few steps, a busy machine, unlike contenders."""
    said = []
    results = [r for results in groups.values() for r in results if r.turns]
    if any(len(result.seconds) < FEWEST_STEPS for result in results):
        said.append(f"Provisional: fewer than {FEWEST_STEPS} steps were counted.")
    known = [result.others for result in results if result.others is not None]
    if known and max(known) > QUIET:
        said.append(
            "Provisional: the machine was not quiet. Other processes kept "
            f"{statistics.median(known):.1f} cores busy (at worst {max(known):.1f})."
        )
    for label, members in groups.items():
        for what in ("device", "parameters", "checksum"):
            values = {r.name: r.about[what] for r in members if what in r.about}
            if len(set(values.values())) > 1:
                said.append(f"{label}: contenders differ in {what}: {values}.")
    return said


def describe_machine():
    """Processor, cores, memory, GPUs, system and versions."""
    return {
        "cpu": cpu_model(),
        "cores": usable_cores(),
        "memory_gb": round(
            os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
        ),
        "gpus": gpu_models(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": installed_versions(),
        "load_average": os.getloadavg(),
    }


def cpu_model():
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    for line in lines:
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def usable_cores():
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def gpu_models():
    if shutil.which("nvidia-smi") is None:
        return []
    done = subprocess.run(
        ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout.splitlines() if done.returncode == 0 else []


def installed_versions():
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def shown_command():
    """How this process was called, as a line for the shell."""
    program, *arguments = sys.argv
    if Path(program).suffix == ".py" and Path(program).parent.name == "tools":
        program = f"python -m tools.{Path(program).stem}"
    words = [*program.split(), *arguments]
    return shlex.join(words)
