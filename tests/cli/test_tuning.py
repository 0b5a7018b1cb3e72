"""`zoo tune` as a whole, on a task that takes no time."""

import json

import pytest
from typer.testing import CliRunner

from tests.cli.votes import Votes
from zoo import cli, tasks
from zoo.errors import TrainingError

pytestmark = pytest.mark.usefixtures("little_to_collect")

TEXTS = ["a good film", "a dull film", "very great", "very bad"] * 5
LABELS = ["good", "bad", "good", "bad"] * 5


class Fragile(Votes):
    """Fails where its numbers are too large, as a Transformer does."""

    def fit(self, x, y, **options):
        if self.optimizer.learning_rate > 1e6:
            raise TrainingError("step 2: the loss is not finite.")
        return super().fit(x, y, **options)


@pytest.fixture(autouse=True)
def votes(monkeypatch):
    monkeypatch.setattr(tasks, "TextClassifier", Fragile)


def test_tune_prints_a_table_and_saves_the_best_model(tmp_path):
    data, model, output = (tmp_path / name for name in ("data.csv", "model", "tuned"))
    rows = zip(TEXTS, LABELS, strict=True)
    data.write_text("text,label\n" + "".join(f"{x},{y}\n" for x, y in rows))
    Votes(["bad", "good"]).save_pretrained(model)
    arguments = [
        *("tune", "text-classification", "--data", data, "--validation", data),
        *("--model", model, "--output", output, "--tuner", "grid", "--trials", 2),
        *("--vary", "learning_rate=0.1,1e30", "--vary", "batch_size=4"),
        *("--epochs", 3, "--examples", 12),
    ]
    result = CliRunner().invoke(cli.app, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["trial", "accuracy", "learning_rate"]
    assert lines[1].split()[0] == "1" and lines[2].split()[:2] == ["2", "failed"]
    assert "trial 2: zoo.errors.TrainingError: step 2: the loss" in result.stdout
    assert "12 of them are taken" in result.stderr
    assert "trial 2/2: learning_rate 1e+30" in result.stderr
    metrics = json.loads((output / "metrics.json").read_text())
    best = Votes.from_pretrained(output / "model")
    found = best.measure(Votes.read_file(data))
    assert found["accuracy"] == pytest.approx(metrics["accuracy"])
    trials = json.loads((output / "trials.json").read_text())
    assert trials[0]["score"] == pytest.approx(metrics["accuracy"])
    assert (output / "trials.png").read_bytes().startswith(b"\x89PNG")
    again = CliRunner().invoke(cli.app, [*map(str, arguments), "--json"])
    printed = json.loads(again.stdout)
    assert printed["trials"] == trials and printed["best"]["number"] == 1
