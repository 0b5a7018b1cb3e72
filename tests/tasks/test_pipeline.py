"""Pipelines: one input, several or a stream in; the same answers in plain Python."""

import json

import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo.errors import CheckpointError, InputError
from zoo.tasks import TextClassifier, registry
from zoo.tasks.pipeline import WINDOW

TEXTS = ["a good film", "very dull", "it is not a bad film!", "great", "the film was"]


@pytest.fixture(scope="module")
def saved(classifier, tmp_path_factory):
    path = tmp_path_factory.mktemp("pipeline") / "classifier"
    classifier.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def classify(saved):
    return zoo.pipeline("text-classification", saved, batch_size=2)


def test_one_text_several_and_a_stream_get_the_same_answers(classify, classifier):
    wanted = classifier.classify(TEXTS)
    found = {
        "one by one": [classify(text) for text in TEXTS],
        "list": classify(TEXTS),
        "tuple": classify(tuple(TEXTS)),
        "array": classify(np.array(TEXTS)),
        "tensor": classify(tf.constant(TEXTS)),
        "one tensor": [classify(tf.constant(text)) for text in TEXTS],
        "generator": list(classify(text for text in TEXTS)),
        "dataset": list(classify(tf.data.Dataset.from_tensor_slices(TEXTS))),
        "bytes": classify([text.encode() for text in TEXTS]),
        "dictionaries": classify([{"text": text} for text in TEXTS]),
        "by name": [classify(text=text) for text in TEXTS],
    }
    for kind, answers in found.items():
        for answer, want in zip(answers, wanted, strict=True):
            assert answer["label"] == want["label"], kind
            # The batch's padding moves the last bits.
            assert answer["score"] == pytest.approx(want["score"], abs=1e-6), kind
    assert classify([]) == [] and list(classify(iter([]))) == []


def test_a_stream_is_read_a_few_batches_ahead_and_no_further(classify):
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield "a good film"

    answers = classify(endless())
    assert taken == 0
    for _ in range(3):
        next(answers)
    assert taken == WINDOW * 2
    for _ in range(WINDOW * 2):
        next(answers)
    assert taken == WINDOW * 4


def test_pairs_are_dictionaries_or_names(classify, classifier):
    wanted = classifier.classify([("a film", "it is good")])[0]
    pair = {"text": "a film", "pair": "it is good"}
    assert classify(pair) == classify(**pair) == classify([pair])[0] == wanted
    with pytest.raises(InputError, match="some inputs have a second text"):
        classify([pair, "a film"])
    with pytest.raises(InputError, match=r"input 0 has \['question'\]"):
        classify({"question": "a film"})
    with pytest.raises(InputError, match="Pass one dictionary, or the names alone"):
        classify("a film", pair="it is good")


def test_options_belong_to_the_pipeline_or_to_the_call(saved, classify):
    both = zoo.pipeline("sentiment-analysis", saved, top_k=2)("great")
    assert [len(both), len(classify("great", top_k=None))] == [2, 2]
    short = zoo.pipeline("text-classification", saved, max_length=3)
    assert short(TEXTS[2]) == short("it")  # [CLS] it [SEP]


@pytest.mark.parametrize(
    ("name", "fixture", "text"),
    [
        ("text-classification", "classifier", TEXTS[0]),
        ("fill-mask", "masked_lm", "a [MASK] film"),
        ("feature-extraction", "embedder", TEXTS[0]),
    ],
)
def test_a_model_that_is_there_gives_plain_python(name, fixture, text, request):
    model = request.getfixturevalue(fixture)
    answers = zoo.pipeline(name, model)([text, text])
    assert json.loads(json.dumps(answers)) == answers
    assert len(answers) == 2


def test_every_task_of_the_registry_has_its_class():
    for entry in registry.TASKS.values():
        assert entry.load().__name__ == entry.kind
        assert entry.load().respond is not zoo.tasks.form.Form.respond
    assert set(registry.ALIASES.values()) <= set(registry.TASKS)


def test_an_unknown_task_is_refused_with_the_nearest(classifier):
    with pytest.raises(InputError, match="Did you mean 'text-classification'"):
        zoo.pipeline("text-clasification", classifier)
    with pytest.raises(InputError, match=r"no task 'xyzzy'\. The tasks are text-"):
        zoo.pipeline("xyzzy", classifier)
    with pytest.raises(InputError, match="a TextClassifier does not do 'fill-mask'"):
        zoo.pipeline("fill-mask", classifier)


def test_a_checkpoint_that_has_not_learnt_the_task_is_refused(embedder, tmp_path):
    embedder.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="has not learnt 'fill-mask'"):
        zoo.pipeline("fill-mask", tmp_path)
    assert TextClassifier.from_pretrained(tmp_path, labels=["x", "y"]).new_weights


def test_what_is_no_input_is_refused(classify):
    for wrong in (None, 3):
        with pytest.raises(InputError, match="expected a string, a list"):
            classify(wrong)
    with pytest.raises(InputError, match=r"x\[1\] is 3"):
        classify(["a film", 3])
    with pytest.raises(InputError, match="batch_size=0"):
        zoo.pipeline("text-classification", classify.model, batch_size=0)
