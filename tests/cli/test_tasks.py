"""`zoo fit`, `zoo evaluate` and `zoo predict`, on a tiny model and small files."""

import csv
import json
import os
import random
import signal

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from tests.cli.votes import Votes
from zoo import cli, tasks


@pytest.fixture(scope="module", autouse=True)
def votes():
    """The classifier of texts is one that takes no time."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tasks, "TextClassifier", Votes)
        patched.setattr("zoo.training.tensorboard.measured_peak", lambda *_: 1e9)
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Directory of a model to begin with."""
    directory = tmp_path_factory.mktemp("model")
    keras.utils.set_random_seed(3)
    Votes(["LABEL_0", "LABEL_1"]).save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def reviews(tmp_path_factory):
    """A CSV file of 120 sentences and whether they praise."""
    draw = random.Random(0)
    path = tmp_path_factory.mktemp("data") / "reviews.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["review", "verdict"])
        for _ in range(120):
            verdict = draw.choice(["up", "down"])
            words = {"up": ["good", "great", "fine"], "down": ["bad", "dull", "poor"]}
            rows.writerow([f"the film was {draw.choice(words[verdict])}", verdict])
        file.write("torn line\n")
    return path


def run(*arguments, **options):
    return CliRunner().invoke(cli.app, [str(a) for a in arguments], **options)


def refusal(result):
    """The last line that a command which is refused leaves."""
    assert result.exit_code == 2, result.output
    assert result.stdout == "" and "Traceback" not in result.stderr
    line = result.stderr.splitlines()[-1]
    assert line.startswith("error: ")
    return line


def columns(path):
    return ["--data", path, "--text-column", "review", "--label-column", "verdict"]


def flags(model, reviews, output, **more):
    """Of a training that takes seconds."""
    named = {"epochs": 2, "batch_size": 24, "learning_rate": 0.3, "seed": 1, **more}
    options = [
        part
        for name, value in named.items()
        for part in (f"--{name.replace('_', '-')}", value)
    ]
    return [
        *("fit", "text-classification", *columns(reviews)),
        *("--model", model, "--output", output, *options),
    ]


@pytest.fixture(scope="module")
def fitted(model, reviews, tmp_path_factory):
    """Directory and printed JSON of a training of 3 epochs."""
    output = tmp_path_factory.mktemp("fitted")
    result = run(*flags(model, reviews, output, epochs=3), "--export", "--json")
    assert result.exit_code == 0, result.output
    return output, json.loads(result.stdout), result.stderr


def test_fit_leaves_model_metrics_pictures_logs_and_an_export(fitted):
    output, printed, said = fitted
    metrics = json.loads((output / "metrics.json").read_text(encoding="utf-8"))
    assert printed["metrics"] == metrics
    assert metrics["accuracy"] > 0.9 and metrics["f1"] > 0.9
    assert metrics["examples"] == {"training": 108, "held_out": 12}
    assert sum(map(sum, metrics["confusion"])) == 12
    for picture in ("curve.png", "confusion.png"):
        assert (output / picture).read_bytes().startswith(b"\x89PNG")
    assert list((output / "logs").rglob("events.out.tfevents.*"))
    assert (output / "export" / "1" / "saved_model.pb").is_file()
    assert not (output / "resume").exists()
    assert "malformed lines left out: 1 (line 122" in said
    assert "epoch 3/3: accuracy" in said and "held out: accuracy" in said


def test_evaluate_gives_what_the_model_gives(fitted, reviews):
    output = fitted[0]
    arguments = ["evaluate", "text-classification", "--model", output / "model"]
    result = run(*arguments, *columns(reviews), "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    classifier = Votes.from_pretrained(output / "model")
    names = {"text": "review", "label": "verdict"}
    examples = Votes.read_file(reviews, names)
    answers = [answer["label"] for answer in classifier.respond(examples.inputs)]
    right = np.mean([a == b for a, b in zip(answers, examples.answers, strict=True)])
    assert found["accuracy"] == pytest.approx(right) and right > 0.9
    assert set(found["labels"]) == {"up", "down"} and found["examples"] == 120
    lines = run(*arguments, *columns(reviews)).stdout
    assert "accuracy" in lines and "precision" in lines and "down " in lines


def test_predict_answers_arguments_files_and_standard_input(fitted, reviews):
    arguments = ["predict", "text-classification", "--model", fitted[0] / "model"]
    texts = ["the film was great", "the film was dull"]
    classifier = Votes.from_pretrained(fitted[0] / "model")
    wanted = [answer["label"] for answer in classifier.respond(texts)]
    shown = run(*arguments, *texts)
    assert shown.exit_code == 0, shown.output
    assert [line.split(" ")[0] for line in shown.stdout.splitlines()] == wanted
    assert shown.stdout.splitlines()[0].endswith(f"\t{texts[0]}")
    given = run(*arguments, "--json", input="\n".join(texts))
    rows = [json.loads(line) for line in given.stdout.splitlines()]
    assert [row["input"] for row in rows] == texts
    assert [row["answer"]["label"] for row in rows] == wanted
    several = run(*arguments, texts[0], "--json", "--option", "top_k=2")
    assert len(json.loads(several.stdout)["answer"]) == 2
    pair = json.dumps({"text": "the film", "pair": "was great"})
    assert run(*arguments, pair, "--json").exit_code == 0
    file = run(*arguments, "--data", reviews, "--text-column", "review", "--json")
    assert len(file.stdout.splitlines()) == 120


def test_ctrl_c_saves_and_resume_ends_where_it_would_have(
    fitted, model, reviews, tmp_path, monkeypatch
):
    from zoo.cli import progress

    class Pressing(progress.StopBetweenSteps):
        """Ctrl-C in the second epoch's second step."""

        def on_train_batch_end(self, batch, logs=None):
            if self.model.optimizer.iterations == 5 + 2:
                os.kill(os.getpid(), signal.SIGINT)
            super().on_train_batch_end(batch, logs)

    arguments = flags(model, reviews, tmp_path, epochs=3)
    with monkeypatch.context() as patched:
        patched.setattr(progress, "StopBetweenSteps", Pressing)
        result = run(*arguments)
    assert result.exit_code == 130 and result.stdout == ""
    assert "interrupted behind step 7" in result.stderr
    assert "goes on behind epoch 1" in result.stderr
    stopped = Votes.from_pretrained(tmp_path / "model")
    message = refusal(run(*flags(model, reviews, tmp_path, epochs=4), "--resume"))
    assert "epochs=3; 4 was given" in message.replace("'", "")
    result = run("fit", "text-classification", "--output", tmp_path, "--resume")
    assert result.exit_code == 0, result.output
    assert "Going on behind epoch 1 of 3" in result.stderr
    found = Votes.from_pretrained(tmp_path / "model").get_weights()
    wanted = Votes.from_pretrained(fitted[0] / "model").get_weights()
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not np.array_equal(stopped.get_weights()[0], wanted[0])
    message = refusal(
        run("fit", "text-classification", "--output", tmp_path, "--resume")
    )
    assert "there is no training to go on with" in message


# -- What is refused


def test_what_cannot_be_read_is_one_line(model, reviews, tmp_path):
    def message(path, *more):
        return refusal(
            run(
                *("fit", "text-classification", "--data", path, "--model", model),
                *("--output", tmp_path / "out", *more),
            )
        )

    assert "lacks ['text', 'label']" in message(reviews)
    empty, latin = tmp_path / "empty.csv", tmp_path / "latin.csv"
    empty.write_text("")
    assert "empty" in message(empty)
    latin.write_bytes("text,label\ncafé,x\n".encode("latin-1") * 20)
    assert "is not UTF-8" in message(latin)
    one = tmp_path / "one.csv"
    one.write_text("text,label\n" + "a film,x\n" * 20)
    assert "all 20 examples have the label 'x'" in message(one)
    few = tmp_path / "few.csv"
    few.write_text("text,label\na,x\nb,y\n")
    assert "too few to hold out" in message(few)
    assert "reads no column 'question'" in message(few, "--column", "question=q")
    assert "expected a name and a value" in message(few, "--column", "question")
    assert "--epochs 0" in message(few, "--epochs", 0)
    assert "cannot be read" in message(tmp_path / "nothing.csv")


def test_a_label_never_seen_in_training_and_a_wrong_option_are_named(
    model, fitted, reviews, tmp_path
):
    other = tmp_path / "other.csv"
    other.write_text("review,verdict\na film,up\nthe film,sideways\n")
    message = refusal(
        run(*flags(model, reviews, tmp_path / "x"), "--validation", other)
    )
    wrong = refusal(run(*flags(model, reviews, tmp_path / "x"), "--option", "crf=true"))
    assert "has no such option. It has loud" in wrong
    assert "the label 'sideways' was never seen in training, but 1 examples" in message
    arguments = ["evaluate", "text-classification", "--model", fitted[0] / "model"]
    assert "never seen in training" in refusal(run(*arguments, *columns(other)))


def test_tasks_that_are_not_there_or_not_learnt_are_refused(model, tmp_path):
    output = ["--output", tmp_path]
    assert "Did you mean 'text-classification'" in refusal(
        run("fit", "text-clasification", *output)
    )
    assert "fill-mask is not learnt from files" in refusal(
        run("fit", "fill-mask", *output)
    )
    assert "fill-mask has no measure" in refusal(
        run("evaluate", "fill-mask", "--model", model)
    )


def test_predict_refuses_options_and_inputs_that_the_task_does_not_take(fitted):
    arguments = ["predict", "text-classification", "--model", fitted[0] / "model"]
    message = refusal(run(*arguments, "a film", "--option", "stride=3"))
    assert "takes no option 'stride'" in message and "It takes top_k" in message
    assert "is not JSON" in refusal(run(*arguments, '{"text": '))
    assert "Leave one of them" in refusal(run(*arguments, "a", "--data", "b.csv"))
