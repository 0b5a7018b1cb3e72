"""Hyper-models: what is drawn reaches the model of a task; `zoo tune` as a whole."""

import json

import keras
import keras_tuner
import numpy as np
import pytest
from typer.testing import CliRunner

from tests.tasks.conftest import tokenizer_files
from zoo import cli
from zoo.config import TransformerConfig
from zoo.errors import InputError
from zoo.tasks import TextClassifier
from zoo.tasks.form import ExampleSet
from zoo.tokenizers import Tokenizer
from zoo.tuning.hypermodel import TaskHyperModel
from zoo.tuning.space import Space

TEXTS = ["a good film", "a dull film", "very great", "very bad"] * 4
LABELS = ["good", "bad", "good", "bad"] * 4
EXAMPLES = ExampleSet(TEXTS, LABELS)


@pytest.fixture(scope="module", autouse=True)
def eagerly():
    """Steps are not compiled, which takes longer than all that are taken here."""
    with pytest.MonkeyPatch.context() as patched:
        compiled = TextClassifier.compile

        def compile(self, *arguments, **options):
            return compiled(self, *arguments, **{"run_eagerly": True, **options})

        patched.setattr(TextClassifier, "compile", compile)
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Directory of a tiny classifier."""
    tokenizer = Tokenizer.from_files(tokenizer_files())
    config = TransformerConfig(
        model_type="bert",
        vocab_size=tokenizer.vocab_size,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=16,
        type_vocab_size=2,
        norm_place="post",
        embedding_norm=True,
        pooler=True,
        layer_norm_eps=1e-12,
        initializer_range=0.3,
        pad_token_id=0,
        id2label=("bad", "good"),
    )
    directory = tmp_path_factory.mktemp("model")
    keras.utils.set_random_seed(3)
    TextClassifier(config, tokenizer=tokenizer).save_pretrained(directory)
    return directory


def build(model, *words, **options):
    """The model that a space of single values describes."""
    options = {"options": {"labels": ["bad", "good"]}, **options}
    made = TaskHyperModel(
        TextClassifier, model, Space.parse(words), EXAMPLES, **options
    )
    return made.build(keras_tuner.HyperParameters())


def test_sizes_of_the_model_are_varied_on_request(model):
    lowest, whole = build(model, "layers=1"), TextClassifier.from_pretrained(model)
    assert lowest.config.num_hidden_layers == 1
    for path, weight in lowest.weights_by_path().items():
        np.testing.assert_array_equal(weight, whole.weights_by_path()[path], path)
    fresh = build(model, "layers=3", "width=128", new_weights=True)
    assert fresh.config.num_hidden_layers == 3 and fresh.config.hidden_size == 128
    assert fresh.config.num_attention_heads == 2 and fresh.labels == ("bad", "good")
    assert fresh.tokenizer.vocab_size == whole.tokenizer.vocab_size
    with pytest.raises(InputError, match="Begin with new weights"):
        build(model, "width=128")
    with pytest.raises(InputError, match="the checkpoint has 2"):
        build(model, "layers=3")


def test_dropout_freezing_and_rates_reach_the_model(model):
    made = build(model, "dropout=0.3", "freeze=half", "layer_decay=0.5", "warmup=0.2")
    config = made.config
    assert {config.hidden_dropout_prob, config.attention_probs_dropout_prob} == {0.3}
    assert made.dropout.rate == 0.3
    frozen = made.frozen()
    assert any(name.startswith("embeddings.") for name in frozen)
    assert any(name.startswith("encoder.blocks.0.") for name in frozen)
    assert not any(name.startswith("encoder.blocks.1.") for name in frozen)
    assert dict(made.optimizer.rates)["*[/.]encoder[/.]blocks_1[/.]*"] == 0.5
    made.fit(TEXTS[:4], LABELS[:4], batch_size=4, epochs=5, verbose=0)
    assert made.optimizer._learning_rate.warmup_steps == 1


def test_tune_prints_a_table_and_saves_the_best_model(model, tmp_path):
    data = tmp_path / "data.csv"
    rows = zip(TEXTS, LABELS, strict=True)
    data.write_text("text,label\n" + "".join(f"{x},{y}\n" for x, y in rows))
    arguments = [
        *("tune", "text-classification", "--data", data, "--validation", data),
        *("--model", model, "--output", tmp_path / "tuned", "--tuner", "grid"),
        *("--vary", "learning_rate=1e-3,1e30", "--epochs", 1, "--examples", 8),
        *("--vary", "batch_size=4", "--trials", 2),
    ]
    result = CliRunner().invoke(cli.app, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["trial", "accuracy", "learning_rate"]
    assert lines[1].split()[0] == "1" and lines[2].split()[:2] == ["2", "failed"]
    assert "trial 2: zoo.errors.TrainingError" in result.stdout
    assert "trial 2/2: learning_rate 1e+30" in result.stderr
    metrics = json.loads((tmp_path / "tuned" / "metrics.json").read_text())
    best = TextClassifier.from_pretrained(tmp_path / "tuned" / "model")
    names = {"text": "text", "label": "label"}
    found = best.measure(TextClassifier.read_file(data, names))
    assert found["accuracy"] == pytest.approx(metrics["accuracy"])
    trials = json.loads((tmp_path / "tuned" / "trials.json").read_text())
    assert trials[0]["score"] == pytest.approx(metrics["accuracy"])
    picture = (tmp_path / "tuned" / "trials.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    again = CliRunner().invoke(cli.app, [*map(str, arguments), "--json"])
    printed = json.loads(again.stdout)
    assert printed["trials"] == trials and printed["best"]["number"] == 1
