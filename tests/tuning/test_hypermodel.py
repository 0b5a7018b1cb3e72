"""Hyper-models: what is drawn reaches the model of a task."""

import keras
import keras_tuner
import numpy as np
import pytest

from tests import tiny_configs
from tests.tasks.conftest import tokenizer_files
from zoo.errors import InputError
from zoo.tasks import TextClassifier
from zoo.tasks.examples.sets import ExampleSet
from zoo.tokenizers import Tokenizer
from zoo.tuning.hypermodel import TaskHyperModel
from zoo.tuning.space import Space

pytestmark = pytest.mark.usefixtures("little_to_collect")

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
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2}
    config = tiny_configs.bert(
        tokenizer.vocab_size,
        **sizes,
        max_position_embeddings=16,
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
    fresh = build(model, "layers=1", "width=128", new_weights=True)
    assert fresh.config.num_hidden_layers == 1 and fresh.config.hidden_size == 128
    assert fresh.config.num_attention_heads == 2 and fresh.labels == ("bad", "good")
    assert fresh.tokenizer.vocab_size == whole.tokenizer.vocab_size
    with pytest.raises(InputError, match="Begin with new weights"):
        build(model, "width=128")


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
    made._schedule(4, 5, 0)  # as `fit` does, of 5 epochs of 4 steps
    assert made.optimizer._learning_rate.warmup_steps == 4
