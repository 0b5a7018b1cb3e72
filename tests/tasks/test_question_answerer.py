"""QuestionAnswerer: spans of windows are those of the whole context."""

import logging
import random

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.errors import CheckpointError, DataError, InputError
from zoo.export import run_in_clean_process
from zoo.tasks.answers.candidates import bare_span
from zoo.tasks.answers.spans import bare_spans
from zoo.tasks.examples.sets import ExampleSet
from zoo.tasks.question_answerer import QuestionAnswerer
from zoo.tasks.task import Task

pytestmark = pytest.mark.usefixtures("forked_processes")

WORDS = "a bad dull film is it no not poor the very was 😀 .".split()
GOOD = ["good", "great", "fine"]


def example(draw, words, *, answered=True):
    """A context in which one word or two praise; these are the answer."""
    context = draw.choices(WORDS, k=words)
    found = {"text": [], "answer_start": []}
    if answered:
        place = draw.randrange(words)
        context[place] = " ".join(draw.choices(GOOD, k=draw.choice([1, 2])))
        found["text"] = [context[place]]
        found["answer_start"] = [len(" ".join([*context[:place], ""]))]
    question = draw.choice(["is it good", "was it fine"])
    return {"question": question, "context": " ".join(context), "answers": found}


def examples(count, *, seed=0, share=1.0):
    draw = random.Random(seed)
    return [
        example(draw, draw.choice([3, 6, 9, 20]), answered=draw.random() < share)
        for _ in range(count)
    ]


SETTINGS = {"max_length": 16, "doc_stride": 3, "max_answer_length": 4}
QUESTIONS = ["is it good", "", "film", "😀 is it great? " * 9, "no", "a"]
CONTEXTS = [
    "the  film was\tGOOD. it was not bad, no! 😀 very very great film is fine.",
    "a film",
    "",
    " ".join(random.Random(1).choices([*WORDS, *GOOD], k=25)),
    "\u200d \n",
    " ".join(random.Random(2).choices([*WORDS, *GOOD], k=60)),
]


def made(config, tokenizer, **settings):
    keras.utils.set_random_seed(3)
    config = config.replace(pooler=False, id2label=None)
    return QuestionAnswerer(config, tokenizer=tokenizer, **{**SETTINGS, **settings})


@pytest.fixture(scope="module")
def answerer(config, tokenizer):
    """Not to be trained: the tests share it."""
    return made(config, tokenizer)


# --- Answers ------------------------------------------------------------------------


def every_span(model, question, context):
    """`{(start, end): logit}` of a context, span by span, and the score of none.

    Of the windows that have a span, it is read where the scantier side is longest, and
    in the first one of several.
    """
    windows = model.tokenizer.windows(
        [question], [context], max_length=16, step=3, longest_text=64, padding=None
    )
    found, nulls = {}, []
    for i in range(len(windows.pair)):
        ids = windows.inputs["input_ids"][i].numpy()[None]
        types = windows.inputs["token_type_ids"][i].numpy()[None]
        start, end = model({"input_ids": ids, "token_type_ids": types}).numpy()[0]
        offsets = windows.inputs["offsets"][i].numpy()
        nulls.append(start[0] + end[0])
        place, length = int(windows.place[i]), int(windows.length[i])
        for a in range(place, place + length):
            for z in range(a, min(a + 4, place + length)):
                side = min(a - place, place + length - 1 - z)
                first = int(windows.begin[i]) + a - place
                key = (first, first + z - a)
                value = (start[a] + end[z], int(offsets[a, 0]), int(offsets[z, 1]))
                if key not in found or side > found[key][0]:
                    found[key] = (side, value)
    return [value for _, value in found.values()], min(nulls)


def test_the_best_span_is_that_of_the_whole_context(answerer):
    answers = answerer.ask(QUESTIONS, CONTEXTS)
    for question, context, answer in zip(QUESTIONS, CONTEXTS, answers, strict=True):
        spans, _ = every_span(answerer, question, context)
        if not spans:
            assert answer == {"answer": "", "start": 0, "end": 0, "score": 0.0}
            continue
        score, start, end = max(spans)
        assert (answer["start"], answer["end"]) == (start, end)
        assert answer["answer"] == context[start:end]
        total = np.logaddexp.reduce([score for score, *_ in spans])
        assert answer["score"] == pytest.approx(np.exp(score - total), rel=1e-4)


def test_several_answers_are_the_best_ones(answerer):
    spans, _ = every_span(answerer, QUESTIONS[0], CONTEXTS[0])
    best = sorted(spans, reverse=True)[:3]
    found = answerer.ask(QUESTIONS[0], CONTEXTS[0], top_k=3)
    assert [(x["start"], x["end"]) for x in found] == [tuple(x[1:]) for x in best]
    assert answerer.ask(QUESTIONS[0], CONTEXTS[0])["answer"] == found[0]["answer"]
    assert answerer.ask([], []) == []


def test_a_threshold_decides_whether_there_is_an_answer(answerer):
    data = {"question": QUESTIONS[:2], "context": CONTEXTS[:2]}
    scores = answerer.null_scores(data)
    for row in range(2):
        spans, null = every_span(answerer, QUESTIONS[row], CONTEXTS[row])
        assert scores[row] == pytest.approx(null - max(spans)[0], abs=1e-5)
    try:
        answerer.null_threshold = float(scores[0]) - 1e-3
        first = answerer.ask(QUESTIONS[0], CONTEXTS[0], top_k=4)
        assert first[0]["answer"] == "" and first[1]["answer"]
        answerer.null_threshold = float(scores[0]) + 1e-3
        again = answerer.ask(QUESTIONS[0], CONTEXTS[0], top_k=4)
        assert again[0] == first[1]
        assert again[0]["score"] < 1 and sum(x["score"] for x in again) <= 1
    finally:
        answerer.null_threshold = None


def test_white_space_at_the_ends_of_a_span_is_no_part_of_the_answer():
    blanks = [chr(i) for i in range(0x3001) if chr(i).isspace()]
    texts = [f"{blank}a{blank}b{blank}" for blank in [*blanks, "\u200b", "\x1b", "x"]]
    texts += ["", " ", "a ", "\t \u3000"]
    ends = [len(text) for text in texts]
    found = bare_spans(tf.constant(texts), tf.zeros(len(texts), tf.int32), ends)
    for text, start, end in zip(texts, *found, strict=True):
        wanted = bare_span(text, 0, len(text))
        assert (int(start), int(end), text[int(start) : int(end)]) == wanted
        assert wanted[2] == (text.strip() or text)


def test_many_windows_and_few_give_equal_answers_in_order(answerer):
    data = examples(40)
    found = answerer.predict(data, batch_size=4, verbose=0)
    wanted = answerer.predict(data, batch_size=400, verbose=0)
    for one, other, row in zip(found, wanted, data, strict=True):
        assert one["score"] == pytest.approx(other["score"], rel=1e-4)
        assert row["context"][one["start"] : one["end"]] == one["answer"]
    pairs = [(row["question"], row["context"]) for row in data]
    assert answerer.respond(pairs, batch_size=400) == wanted
    assert answerer.is_one(pairs[0]) and answerer.is_one(data[0])
    assert answerer.show(pairs[0], wanted[0]).endswith(f"\t{pairs[0][0]}")


def test_an_export_answers_as_ask_does(answerer, tmp_path):
    answerer.null_threshold = -0.5
    try:
        where = answerer.export_saved_model(tmp_path, version=1)
        wanted = answerer.ask(QUESTIONS, CONTEXTS)
    finally:
        answerer.null_threshold = None
    found = run_in_clean_process(where, {"question": QUESTIONS, "context": CONTEXTS})
    assert found["answer"] == [x["answer"] for x in wanted]
    assert (
        len(set(found["answer"])) > 2
        and "" in found["answer"][:2] + found["answer"][3:]
    )
    for name in ("start", "end", "score"):
        right = [x[name] for x in wanted]
        np.testing.assert_allclose(found[name], right, rtol=1e-4, err_msg=name)


# --- Labels and training ------------------------------------------------------------


def test_labels_are_the_tokens_of_the_answer_in_every_window(answerer):
    data = examples(30, share=0.8, seed=1)
    read = answerer._read(data, needs_labels=True)
    seen = set()
    for row, (first, last) in enumerate(read.labels):
        text = answerer.tokenizer.decode(
            read.inputs["input_ids"][row, first : last + 1]
        )
        text = text.numpy().decode()
        answer = data[read.example[row]]["answers"]["text"]
        if first == last == 0:
            assert text == "[CLS]"
        else:
            assert [text] == answer
            seen.add(read.example[row])
    assert seen == {i for i, row in enumerate(data) if row["answers"]["text"]}


def test_what_cannot_be_learnt_is_left_out_with_a_warning(answerer, caplog):
    data = examples(5, seed=2)
    bad = [
        {**data[0], "answers": {"text": ["nope"], "answer_start": [2]}},
        {**data[0], "answers": {"text": ["a"], "answer_start": [5000]}},
        {
            "question": "a",
            "context": "a \u200d a",
            "answers": [{"text": " \u200d", "answer_start": 1}],
        },
        {
            "question": "a",
            "context": "a " * 30,
            "answers": [{"text": ("a " * 30).strip(), "answer_start": 0}],
        },
        # The second answer stands there.
        {
            "question": "a",
            "context": "a film",
            "answers": {"text": ["film", "film"], "answer_start": [0, 2]},
        },
    ]
    with caplog.at_level(logging.WARNING, "zoo"):
        read = answerer._read([*bad, *data], needs_labels=True)
    assert set(read.example) == {4, 5, 6, 7, 8, 9}
    for said in (
        "4 of 10 examples are left out",
        "2: the text does not stand at answer_start (example 0: 'nope' at 2, where",
        "1: no token stands for the text (example 2",
        "1: the text is longer than a window (example 3",
    ):
        assert said in caplog.text
    with pytest.raises(DataError, match="no example to learn from: 4 of 4"):
        answerer.evaluate(bad[:4], verbose=0)


def test_the_loss_is_the_mean_of_both_ends_and_padding_has_no_say(answerer):
    data = examples(6, seed=3)
    read = answerer._read(data, needs_labels=True)
    losses, hits = [], []
    for row, label in enumerate(read.labels):
        ids = {name: x[row].numpy()[None] for name, x in read.inputs.items()}
        logits = answerer(ids)[0]
        losses.append(-tf.gather(tf.nn.log_softmax(logits), label, batch_dims=1))
        hits.append(bool((logits.numpy().argmax(-1) == label).all()))
    found = answerer.evaluate(data, batch_size=5, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert found["exact_match"] == pytest.approx(np.mean(hits))
    ids = {name: x.to_tensor().numpy() for name, x in read.inputs.items()}
    ids["attention_mask"] = (
        read.inputs["input_ids"]
        .with_values(tf.ones_like(read.inputs["input_ids"].values))
        .to_tensor()
        .numpy()
    )
    again = answerer.evaluate(ids, read.labels, verbose=0, return_dict=True)
    assert again["loss"] == pytest.approx(found["loss"], rel=1e-5)
    logits = answerer.predict(ids, verbose=0)
    assert logits.shape == (*read.labels.shape, ids["input_ids"].shape[1])
    assert (logits.min(-1) == np.finfo(np.float32).min).any()


def test_a_dataset_of_examples_is_read_whole(answerer):
    given = examples(5, seed=4, share=0.6)
    rows = [each["answers"] for each in given]
    x = {name: [each[name] for each in given] for name in ("question", "context")}
    y = {
        "text": tf.ragged.constant([row["text"] for row in rows], tf.string),
        "answer_start": tf.ragged.constant(
            [row["answer_start"] for row in rows], tf.int32
        ),
    }
    inside = tf.data.Dataset.from_tensor_slices({**x, "answers": y})
    beside = tf.data.Dataset.from_tensor_slices((x, y)).ragged_batch(2)
    wanted = answerer.evaluate(given, verbose=0)
    for dataset in (inside, beside):
        assert answerer.evaluate(dataset, verbose=0) == pytest.approx(wanted)
    assert answerer.predict(inside, verbose=0) == answerer.predict(given, verbose=0)
    with pytest.raises(InputError, match=r"no end.*take\(n\)"):
        answerer.evaluate(inside.repeat(), verbose=0)
    with pytest.raises(InputError, match="expected dictionaries"):
        answerer.evaluate(tf.data.Dataset.from_tensor_slices(["a"]), verbose=0)


def test_a_tuned_threshold_gives_the_f1_that_it_promises(answerer):
    data = examples(40, share=0.5, seed=5)
    answers = [row.pop("answers") for row in data]
    always = answerer.measure(ExampleSet(data, answers))
    try:
        threshold, f1 = answerer.tune_null_threshold(data, answers)
        assert threshold == answerer.null_threshold
        tuned = answerer.measure(ExampleSet(data, answers))
    finally:
        answerer.null_threshold = None
    assert tuned["f1"] == pytest.approx(f1) and f1 >= max(always["f1"], 0.5)
    assert tuned["total"] == tuned["answerable_total"] + tuned["unanswerable_total"]


def test_a_validation_split_holds_out_examples_and_not_windows(answerer, monkeypatch):
    seen = {}
    monkeypatch.setattr(
        Task, "fit", lambda self, x, *_, **options: seen.update(options)
    )
    data = examples(8, seed=6)
    answerer.fit(data, validation_split=0.25)
    assert len(seen["validation_data"][0]) == 2
    answerer.fit(data, validation_data=data)
    assert seen["validation_data"] == (data,)


def test_everything_saved_comes_back_bit_exact(answerer, config, tokenizer, tmp_path):
    ids = tokenizer(QUESTIONS, pair=CONTEXTS[::-1], max_length=40)

    def assert_same(model):
        np.testing.assert_array_equal(model(ids), wanted)
        assert (model.max_length, model.settings) == (16, answerer.settings)
        assert model.tokenizer_files() == tokenizer.get_files()

    wanted = answerer(ids)
    answerer.save(tmp_path / "x.keras")
    assert_same(keras.saving.load_model(tmp_path / "x.keras"))
    answerer.save_pretrained(tmp_path / "x")
    assert_same(QuestionAnswerer.from_pretrained(tmp_path / "x"))
    answerer.save_weights(tmp_path / "x.weights.h5")
    other = made(config, tokenizer)
    other.qa_outputs.weight.assign(tf.zeros_like(other.qa_outputs.weight))
    other.load_weights(tmp_path / "x.weights.h5")
    assert_same(other)
    path = tmp_path / "x" / "config.json"
    path.write_text(path.read_text().replace('"zoo_n_best": 20', '"zoo_n_best": 0'))
    with pytest.raises(CheckpointError, match=r"config\.json: n_best=0"):
        QuestionAnswerer.from_pretrained(tmp_path / "x")


# --- Errors -------------------------------------------------------------------------

ONE = {"question": "a", "context": "a film"}


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        ([ONE], None, "example 0 has no 'answers'"),
        ([ONE], [], "x has 1 examples, but y has 0 answers"),
        ([{"question": "a"}], None, r"example 0 has \['question'\], no 'context'"),
        ([{**ONE, "context": 3}], None, r"'context' of example 0 is 3 \(int\)"),
        ([{**ONE, "answers": {"text": ["a"]}}], None, "'answers' of example 0 are"),
        ([{**ONE, "answers": {"text": "a", "answer_start": [0]}}], None, "'answers'"),
        ([{**ONE, "answers": ["a"]}], None, "'answers' of example 0 are"),
        ([ONE], [{"text": ["a"], "answer_start": ["0"]}], "'answers' of example 0"),
        ([ONE], [{"text": ["a"], "answer_start": [0, 1]}], "'answers' of example 0"),
        (["a text"], None, "example 0 is 'a text'"),
        ("a text", None, "x is one string"),
        (ONE, None, "x is one example; expected a list"),
        ({"question": ["a"], "context": ["a", "b"]}, None, "columns of x differ"),
        (None, None, "x is None"),
        ({"input_ids": [[2, 3]]}, None, "y is missing"),
        ({"input_ids": [[2, 3]]}, [[0, 2]], "y has the place 2; expected .* 0 to 1"),
        ({"input_ids": [[2, 3]]}, [0], r"y has shape \(1,\)"),
        (tf.data.Dataset.from_tensors(("a", 0)), None, "expected dictionaries"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(answerer, x, y, said):
    with pytest.raises(InputError, match=said):
        answerer.evaluate(x, y, verbose=0)


def test_settings_and_options_that_make_no_sense_are_refused(answerer, config):
    for name, value in (
        ("doc_stride", 0),
        ("n_best", None),
        ("max_answer_length", 2.5),
        ("null_threshold", float("nan")),
    ):
        with pytest.raises(InputError, match=f"{name}={value}"):
            setattr(answerer, name, value)
    with pytest.raises(InputError, match=r"top_k=21: expected at most 20"):
        answerer.ask("a", "b", top_k=21)
    with pytest.raises(InputError, match="one string each"):
        answerer.ask("a", ["b"])
    with pytest.raises(InputError, match="class_weight"):
        answerer.fit(examples(2), class_weight={0: 1.0}, verbose=0)
    with pytest.raises(DataError, match="x is empty"):
        answerer.predict([], verbose=0)
    with pytest.raises(InputError, match="no tokenizer"):
        QuestionAnswerer(config).predict([ONE], verbose=0)
