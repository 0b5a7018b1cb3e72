"""The table of what the recipes reach: out of metrics.json into docs/applications.

make applications                    # runs all of them, then this
python -m tools.recipe_results       # the table alone, from runs/applications
"""

import json
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from tools.benchmark_report import (
    describe_machine,
    markdown_row,
    show_machine,
    update_section,
)

SECTION = "results"  # of the pages, between two comments


@dataclass(frozen=True)
class Recipe:
    """How a recipe stands in the table.

    Attributes:
        titles: Language -> its name.
        page: About it, seen from docs/applications.
        measures: Names in metrics.json -> format; models are compared by the first.
        less_is_better: Whether a smaller number of that one is the better.
    """

    titles: dict[str, str]
    page: str
    measures: dict[str, str] = field(default_factory=dict)
    less_is_better: bool = False

    def show(self, scores):
        """ "accuracy 0.873, f1 0.871": those that are there."""
        found = {n: scores.get(n) for n in self.measures}
        return ", ".join(
            f"{n.replace('_', ' ')} {value:{self.measures[n]}}"
            for n, value in found.items()
            if value is not None
        )

    def unbeaten(self, metrics):
        """Names of what the model is not better than."""
        measure = next(iter(self.measures))
        sign = -1 if self.less_is_better else 1
        return [
            name
            for name, scores in metrics["compared"].items()
            if measure in scores and sign * (metrics[measure] - scores[measure]) <= 0
        ]


RECIPES = {
    "text_classification": Recipe(
        {"en": "English sentiment", "zh": "英文情感分类"},
        "text_classification.md",
        {"accuracy": ".3f", "f1": ".3f"},
    ),
    "chinese_sentiment": Recipe(
        {"en": "Chinese sentiment", "zh": "中文情感分类"},
        "chinese_sentiment.md",
        {"accuracy": ".3f", "f1": ".3f"},
    ),
    "token_classification": Recipe(
        {"en": "Named entities", "zh": "命名实体"},
        "token_classification.md",
        {"f1": ".3f", "precision": ".3f", "recall": ".3f"},
    ),
    "question_answering": Recipe(
        {"en": "Question answering", "zh": "问答"},
        "question_answering.md",
        {"f1": ".3f", "exact_match": ".3f"},
    ),
    "translation": Recipe(
        {"en": "Translation", "zh": "翻译"},
        "translation.md",
        {"bleu": ".1f", "chrf": ".1f"},
    ),
    "summarization": Recipe(
        {"en": "Summarisation", "zh": "摘要"},
        "summarization.md",
        {"rougeL": ".3f", "rouge1": ".3f", "rouge2": ".3f"},
    ),
    "text_generation": Recipe(
        {"en": "Text generation", "zh": "文本生成"},
        "text_generation.md",
        {"perplexity": ".2f", **{f"distinct_{n}": ".3f" for n in (1, 2, 3)}},
        less_is_better=True,
    ),
    "pretrain": Recipe(
        {"en": "Pretraining", "zh": "预训练"},
        "../pretraining.md",
        {"perplexity": ".2f", "loss": ".3f"},
        less_is_better=True,
    ),
}

WORDS = {
    "en": {
        "columns": [
            "recipe",
            "what answers",
            "scores",
            "trained / held out",
            "seconds",
        ],
        "not run": "not run",
        "commands": "The commands of these runs:",
        "unbeaten": "{title}: **{model}** is not better than {others}.",
        "join": ", ",
    },
    "zh": {
        "columns": ["程序", "谁来回答", "分数", "训练 / 留出", "秒"],
        "not run": "未运行",
        "commands": "这些运行的命令：",
        "unbeaten": "{title}：**{model}** 不比 {others} 好。",
        "join": "、",
    },
}

PAGES = {
    "en": Path("docs/applications/README.md"),
    "zh": Path("docs/zh/applications/README.md"),
}


class ResultsError(Exception):
    """What stops the table from being written."""


def read_results(runs):
    """metrics.json of each recipe that was run: name -> dict, and the date of the last.

    Raises:
        ResultsError: naming a file that is not one of a recipe.
    """
    found, dates = {}, []
    for name in RECIPES:
        path = Path(runs, name, "metrics.json")
        if not path.is_file():
            continue
        try:
            metrics = json.loads(path.read_text(encoding="utf-8"))
            missing = {"recipe", "command", "model", "compared", "examples", "seconds"}
            missing -= metrics.keys()
        except (ValueError, AttributeError) as error:
            raise ResultsError(f"{path}: {error}.") from error
        if missing or metrics["recipe"] != name:
            said = ", ".join(sorted(missing)) or f"{metrics['recipe']!r} as recipe"
            raise ResultsError(
                f"{path}: found or lacking: {said}. Run applications.{name} again."
            )
        found[name] = metrics
        dates.append(path.stat().st_mtime)
    if not found:
        raise ResultsError(f"{runs}: no metrics.json of any recipe. Run them first.")
    return found, datetime.fromtimestamp(max(dates), UTC)


def section(results, date, machine, language):
    """The table, what is not better than what, the commands and the machine."""
    words = WORDS[language]
    lines = [*markdown_row(words["columns"])]
    lines += markdown_row(["---", "---", "---", "---:", "---:"])
    notes, commands = [], []
    for name, recipe in RECIPES.items():
        title = recipe.titles[language]
        link = f"[{title}]({recipe.page})"
        metrics = results.get(name)
        if metrics is None:
            lines += markdown_row([link, words["not run"], "", "", ""])
            continue
        for other, scores in metrics["compared"].items():
            lines += markdown_row([link, other, recipe.show(scores), "", ""])
            link = ""
        model, parts = metrics["model"], metrics["examples"]
        sizes = f"{parts['training']:,} / {parts['held_out']:,}"
        own = [f"**{model}**", f"**{recipe.show(metrics)}**"]
        lines += markdown_row([link, *own, sizes, f"{metrics['seconds']:.0f}"])
        commands.append(metrics["command"])
        if others := recipe.unbeaten(metrics):
            told = {"model": model, "others": words["join"].join(others)}
            notes.append("- " + words["unbeaten"].format(title=title, **told))
    lines += ["", *notes, ""] if notes else [""]
    lines += [words["commands"], "", "```sh", *commands, "```", ""]
    lines += [f"{date:%Y-%m-%d}. {' '.join(show_machine(machine))}"]
    return "\n".join(lines)


def main(
    runs: Annotated[
        Path, typer.Option(help="Where each recipe has a directory of results.")
    ] = Path("runs/applications"),
    docs: Annotated[
        Path, typer.Option(help="The repository, whose pages are written.")
    ] = Path("."),
):
    """Write the table of results into the pages of both languages."""
    try:
        results, date = read_results(runs)
    except ResultsError as error:
        sys.exit(f"error: {error}")
    machine = describe_machine()
    for language, page in PAGES.items():
        text = section(results, date, machine, language)
        update_section(docs / page, SECTION, text)
        typer.echo(f"{docs / page}: {len(results)} of {len(RECIPES)} recipes")


if __name__ == "__main__":
    typer.run(main)
