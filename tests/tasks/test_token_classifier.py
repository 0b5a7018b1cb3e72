"""TokenClassifier: words, texts and ids mean the same, and what is saved comes back."""

import json
import logging

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.checkpoints import Checkpoint
from zoo.data import tags
from zoo.errors import CheckpointError, DataError, InputError
from zoo.export import run_in_clean_process
from zoo.models import BertModel
from zoo.tasks import TextClassifier, TokenClassifier
from zoo.tasks.token_classifier import PathLikelihood

pytestmark = pytest.mark.usefixtures("forked_processes")

LABELS = tags.labels(["PER", "LOC"])
TEXTS = [
    "a greatly good film! 😀 is it",
    "",
    "\r\n  \u3000",
    "the film was 很好 not very poor\r\nis e\u0301 good?",
    "very bad " * 40 + "film",
]
WORDS = [["a", "good", "film"], ["is", "\x01", "it", "dull", "."], ["great"] * 50]
TAGS = [["O", "B-PER", "I-PER"], ["O", "O", "B-LOC", "O", "O"], ["B-PER"] * 50]


def made(config, tokenizer, *, crf=False, **options):
    keras.utils.set_random_seed(7)
    model = TokenClassifier(
        config.replace(id2label=None, pooler=False),
        labels=LABELS,
        crf=crf,
        tokenizer=tokenizer,
        **options,
    )
    if crf:  # so that the chain matters
        for weight in model.crf.weights:
            weight.assign(keras.random.normal(weight.shape, stddev=2.0))
    return model


@pytest.fixture(scope="module", params=[False, True], ids=["softmax", "crf"])
def tagger(request, config, tokenizer):
    """Not to be trained: the tests share it."""
    return made(config, tokenizer, crf=request.param)


@pytest.fixture(scope="module")
def found(tagger):
    return tagger.find_entities(TEXTS)


def test_entities_are_parts_of_their_texts_in_order(found):
    assert found[1] == found[2] == []
    assert len(found[0]) > 1 and len(found[4]) > 10
    for text, answer in zip(TEXTS, found, strict=True):
        ends = [0]
        for each in answer:
            assert text[each["start"] : each["end"]] == each["text"]
            assert each["text"].strip() == each["text"] != ""
            assert each["entity"] in ("PER", "LOC") and 0 < each["score"] <= 1
            assert each["start"] >= ends[-1]
            ends.append(each["end"])


def test_entities_follow_from_the_logits_at_first_pieces(tagger, found):
    """By the way that a user would go: ids, logits, tags, offsets."""
    text = TEXTS[0]
    encoded = tagger.tokenizer([text], return_offsets=True)
    offsets = encoded.pop("offsets")[0].numpy()
    firsts = [1, 2, 4, 5, 6, 7, 8, 9]  # great ##ly
    logits = tagger(encoded).numpy()[0][firsts][None]
    if tagger.crf is None:
        labels = logits[0].argmax(-1)
        shares = tf.nn.softmax(logits)[0].numpy()
    else:
        labels = tagger.crf.viterbi(logits)[0].numpy()
        shares = tagger.crf.marginals(logits)[0].numpy()
    starts = [offsets[i][0] for i in firsts]
    ends = [*(offsets[i - 1][1] for i in firsts[1:]), len(text)]
    spans = tags.spans([LABELS[i] for i in labels])
    assert [(e["entity"], e["start"], e["end"]) for e in found[0]] == [
        (kind, starts[a], ends[b - 1]) for kind, a, b in spans
    ]
    for each, (_, a, b) in zip(found[0], spans, strict=True):
        mean = np.mean([shares[i, labels[i]] for i in range(a, b)])
        assert each["score"] == pytest.approx(mean, abs=2e-6)


def test_a_text_has_the_same_entities_alone_in_any_batch_and_any_form(tagger, found):
    same = [
        tagger.find_entities(TEXTS, batch_size=2),
        [tagger.find_entities(text) for text in TEXTS],
        tagger.predict([text.encode() for text in TEXTS]),
        tagger.predict({"text": np.array(TEXTS)}),
        tagger.predict(tf.data.Dataset.from_tensor_slices(TEXTS), batch_size=2),
    ]
    for other in same:
        assert places(other) == places(found)
        np.testing.assert_allclose(scores(other), scores(found), rtol=0, atol=2e-6)
    first = tagger.predict(TEXTS, batch_size=1, steps=1)
    assert places(first) == places(found[:1])
    assert tagger.find_entities([]) == [] == tagger.tag([])


def places(answers):
    return [[(e["entity"], e["start"], e["end"]) for e in row] for row in answers]


def scores(answers):
    return [each["score"] for row in answers for each in row]


def test_words_have_tags_that_spell_the_entities_of_their_text(tagger):
    words = [["the", "film", "was", "greatly", "good"], [], ["", "bad"], ["\x01"]]
    given = tagger.tag(words)
    assert [len(row) for row in given] == [5, 0, 2, 1]
    assert given[2][0] == given[3][0] == "O"
    text = " ".join(words[0])
    starts = [text.index(word) for word in words[0]]
    assert places([tagger.find_entities(text)])[0] == [
        (kind, starts[a], starts[b - 1] + len(words[0][b - 1]))
        for kind, a, b in tags.spans(given[0])
    ]
    assert tagger.predict(words) == given
    assert tagger.tag(words[0]) == given[0]


def test_half_a_surrogate_and_bytes_that_are_not_utf8_keep_places(tagger):
    answer = tagger.find_entities(["\ud800 good film", b"\xff good film"])
    assert places(answer)[0] == places(answer)[1]
    for each in answer[0]:
        assert "\ufffd good film"[each["start"] : each["end"]] == each["text"]


def test_a_long_text_is_read_to_its_end_by_windows(config, tokenizer):
    model = made(config, tokenizer, max_length=12)
    words = "it was a very good film and is great".split() * 6
    given, whole = model.tag(words), model.tag(words[:9])
    assert len(given) == len(words)
    assert given[:6] == whole[:6]  # what the first window has around it is the same
    assert given[9 * 3 : 9 * 4] == given[9 * 2 : 9 * 3] or len({*given}) > 1


# --- Learning -----------------------------------------------------------------------


def spans_of(words, row):
    starts = [len(" ".join(words[:i])) + (i > 0) for i in range(len(words))]
    return [
        {"start": starts[a], "end": starts[b - 1] + len(words[b - 1]), "entity": kind}
        for kind, a, b in tags.spans(row)
    ]


def test_words_texts_and_ids_are_evaluated_alike(tagger):
    few, row = WORDS[:2], TAGS[:2]
    names = tagger.evaluate(few, row, verbose=0, return_dict=True)
    numbers = [[LABELS.index(tag) for tag in each] for each in row]
    ids = tagger.tokenizer([" ".join(each) for each in few])
    labels = np.full(ids["input_ids"].shape, -100)
    labels[0, 1:4] = numbers[0]
    labels[1, 1:5] = np.array(numbers[1])[[0, 2, 3, 4]]  # not of what is no piece
    dataset = tf.data.Dataset.from_tensors(({**ids}, labels))
    texts = [" ".join(each) for each in few]
    entities = [spans_of(*pair) for pair in zip(few, row, strict=True)]
    words = (tf.ragged.constant(few), tf.ragged.constant(row))
    forms = [
        (texts, entities),
        (few, numbers),
        ({"words": few}, tf.ragged.constant(numbers)),
        ({**{k: v.numpy() for k, v in ids.items()}, "labels": labels},),
        (dataset,),
        (tf.data.Dataset.from_tensor_slices(words),),
    ]
    # They are read before there is a loss, so that the chain need not see each of them.
    for given in forms if tagger.crf is None else forms[:1]:
        other = tagger.evaluate(*given, verbose=0, return_dict=True)
        assert other == pytest.approx(names, rel=1e-5)
    logits = tagger({k: tf.constant(v) for k, v in ids.items()})
    if tagger.crf is None:
        shares = tf.nn.log_softmax(logits).numpy()
        loss = -np.mean(
            [shares[i, j, labels[i, j]] for i, j in np.argwhere(labels >= 0)]
        )
    else:
        likelihood = tagger.crf.log_likelihood(logits, labels, labels != -100)
        loss = -np.sum(likelihood) / (labels >= 0).sum()
    assert names["loss"] == pytest.approx(loss, rel=1e-5)


def test_measures_are_those_of_tags_and_of_characters(tagger):
    from zoo.tasks.answers import entities
    from zoo.tasks.examples.sets import ExampleSet

    few, row = WORDS[:2], TAGS[:2]
    of_words = tagger.measure(ExampleSet(few, row))
    assert of_words["f1"] == pytest.approx(entities.score(row, tagger.tag(few))["f1"])
    texts = [" ".join(each) for each in few]
    answers = [spans_of(*pair) for pair in zip(few, row, strict=True)]
    of_texts = tagger.measure(ExampleSet(texts, answers))
    assert of_texts["types"].keys() == of_words["types"].keys()
    assert of_texts["f1"] == pytest.approx(of_words["f1"])
    json.dumps(of_texts)


@pytest.mark.parametrize("crf", [False, True])
def test_it_learns_the_tags_of_words(config, tokenizer, crf):
    none = {name: 0.0 for name in config.to_dict() if name.endswith("dropout_prob")}
    model = made(config.replace(**none), tokenizer, crf=crf)
    words = [
        ["the", "film"],
        ["a", "film"],
        ["the", "it", "is"],
        ["a", "it", "is"],
    ] * 40
    row = [["O", "B-PER"]] * 2 + [["O", "B-LOC", "I-LOC"]] * 2
    row *= 40
    model.compile(learning_rate=2e-2)
    history = model.fit(
        words, row, epochs=4, batch_size=8, verbose=0, validation_split=0.25, seed=1
    ).history
    assert history["loss"][-1] < 0.2 * history["loss"][0]
    assert history["val_f1"][-1] == history["val_accuracy"][-1] == 1.0
    assert model.tag(words[:4]) == row[:4]


def test_weights_weigh_sentences(tagger):
    few, row = WORDS[:2], TAGS[:2]
    losses = [
        tagger.evaluate([x], [y], verbose=0, return_dict=True)["loss"] * n
        for x, y, n in zip(few, row, (3, 4), strict=True)
    ]
    weights = np.array([2.0, 0.5])
    both = tagger.evaluate(few, row, sample_weight=weights, verbose=0, return_dict=True)
    assert both["loss"] == pytest.approx((losses * weights).sum() / 7, rel=1e-4)


def test_what_is_lost_is_counted_and_shown(tagger, caplog):
    texts = ["a good film", "it is great"]
    entities = [
        [(2, 6, "PER"), {"start": 3, "end": 11, "label": "LOC"}, (40, 44, "PER")],
        [{"start": 2, "end": 3, "type": "PER"}, (6, 9, "LOC")],
    ]
    with caplog.at_level(logging.WARNING, "zoo"):
        tagger.evaluate(texts, entities, verbose=0)
        tagger.evaluate([["good", "\x01"]], [["O", "B-PER"]], verbose=0)
    for said in (
        "entities left out that match no word: 2 (first: x[0], 40 to 44: '')",
        "entities widened to whole words: 1 (first: x[1], 6 to 9: 'gre')",
        "entities left out that overlap an earlier one: 1 (first: x[0], 3 to 11",
        "that the tokenizer makes nothing of: 1 (first: x[0][1]: '\\x01')",
    ):
        assert said in caplog.text


# --- Saving -------------------------------------------------------------------------


def test_every_way_of_saving_brings_back_every_bit(tagger, tmp_path):
    ids = np.array([[2, 6, 8, 3]])
    expected, answer = tagger(ids).numpy(), tagger.find_entities(TEXTS)
    tagger.save_pretrained(tmp_path / "hf")
    tagger.save(tmp_path / "model.keras")
    tagger.save_weights(tmp_path / "model.weights.h5")
    twin = TokenClassifier.from_config(tagger.get_config())
    twin.load_weights(tmp_path / "model.weights.h5")
    assert twin.config == tagger.config
    np.testing.assert_array_equal(twin(ids), expected)
    for again in (
        TokenClassifier.from_pretrained(tmp_path / "hf"),
        keras.saving.load_model(tmp_path / "model.keras"),
    ):
        np.testing.assert_array_equal(again(ids), expected)
        for one, two in zip(again.weights, tagger.weights, strict=True):
            if "seed" not in one.name:
                np.testing.assert_array_equal(one, two)
        assert again.config == tagger.config and again.max_length == tagger.max_length
        assert again.tokenizer_files() == tagger.tokenizer_files()
    assert again.find_entities(TEXTS) == answer


def test_the_chain_is_said_in_config_json_under_a_name_of_its_own(
    tagger, tmp_path, caplog
):
    tagger.save_pretrained(tmp_path)
    said = json.loads((tmp_path / "config.json").read_text())
    assert said["architectures"] == ["BertForTokenClassification"]
    assert said["id2label"]["1"] == "B-PER"
    with Checkpoint(tmp_path) as checkpoint:
        names = {name for name in checkpoint.tensors if name.startswith("crf.")}
    if tagger.crf is None:
        assert not names and "zoo_sequence_head" not in said
        return
    assert said["zoo_sequence_head"] == "crf"
    assert names == {
        "crf.transitions", "crf.start_transitions", "crf.end_transitions"
    }  # fmt: skip
    plain = TokenClassifier.from_pretrained(tmp_path, crf=False)
    assert plain.crf is None and "not used by this class: crf" in caplog.text
    BertModel.from_pretrained(tmp_path)
    said["zoo_sequence_head"] = "semi-markov"
    (tmp_path / "config.json").write_text(json.dumps(said))
    with pytest.raises(CheckpointError, match=r"sequence_head='semi-markov'.*'crf'"):
        TokenClassifier.from_pretrained(tmp_path)


def test_other_labels_start_the_head_anew(tagger, tmp_path, caplog):
    tagger.save_pretrained(tmp_path)
    again = TokenClassifier.from_pretrained(tmp_path, labels=["O", "B-X", "I-X"])
    assert again.types == ("X",) and (again.crf is None) == (tagger.crf is None)
    assert "newly initialised: classifier" in caplog.text
    with pytest.raises(CheckpointError, match=r"classifier\.weight"):
        TokenClassifier(tagger.config, labels=["a", "b"]).load_checkpoint(tmp_path)


def test_an_export_answers_as_find_entities_does(tagger, found, tmp_path):
    where = tagger.export_saved_model(tmp_path, version=1)
    serve = tf.saved_model.load(where).signatures["serving_default"]
    if tagger.crf is None:
        assert serve(text=tf.constant([], tf.string))["start"].shape[0] == 0
        found_by = {
            name: x.numpy() for name, x in serve(text=tf.constant(TEXTS)).items()
        }
        found_by["entity"] = found_by["entity"].astype(str)
        served = {name: x.tolist() for name, x in found_by.items()}
    else:
        served = run_in_clean_process(where, {"text": TEXTS})
    assert served["count"] == [len(row) for row in found]
    for i, row in enumerate(found):
        columns = zip(
            *(served[name][i] for name in ("entity", "start", "end", "score")),
            strict=True,
        )
        columns = list(columns)
        assert [each[:3] for each in columns[: len(row)]] == places([row])[0]
        for each, (*_, score) in zip(row, columns, strict=False):
            assert each["score"] == pytest.approx(score, abs=2e-6)
        assert all(each == ("", 0, 0, 0.0) for each in columns[len(row) :])


# --- What is refused ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (WORDS, TAGS[:2], "x has 3 examples, but y has 2"),
        (WORDS[:1], [["O", "O"]], r"x\[0\] has 3 words, but y\[0\] has 2 tags"),
        (WORDS[:1], [["O", "B-ORG", "O"]], r"y\[0\]\[1\] is 'B-ORG'.*labels are O"),
        (WORDS[:1], [["O", "B-PERS", "O"]], "Did you mean 'B-PER'"),
        (WORDS[:1], [[0, 5, 0]], r"y\[0\]\[1\] is 5"),
        (WORDS[:1], [[0, True, 0]], r"y\[0\]\[1\] is True"),
        (WORDS[:1], [[{"start": 0}] * 3], "holds entities, but"),
        (WORDS[:1], ["OOO"], "expected one tag for each word"),
        (["a film"], [["O", "O"]], "If x are words, pass them as lists"),
        (["a film"], [[(0, 1, "ORG")]], r"is a 'ORG'\. The types .* PER, LOC"),
        (["a film"], [[(1, 1, "PER")]], "the first character"),
        (["a film"], [[{"start": "0", "end": 1, "entity": "PER"}]], "first character"),
        (["a film"], ["PER"], r"y\[0\] is 'PER'; expected a list of entities"),
        (["a film"], None, "y is missing"),
        ("a film", [[]], "x is one string"),
        ([["a"], "b"], [["O"], ["O"]], r"x\[1\] is 'b'; the first example is a list"),
        ([["a", None]], [["O", "O"]], r"x\[0\]\[1\] is None"),
        ({"text": ["a"], "pair": ["b"]}, [[]], "'text' alone"),
        ({"input_ids": [[2, 3]], "labels": [[0, 9]]}, None, "labels from 0 to 4"),
        ({"input_ids": [[2, 3]]}, [[0]], r"labels have shape \(1, 1\)"),
        (tf.data.Dataset.from_tensors((["a"], [0])).repeat(), None, "has no end"),
        (tf.data.Dataset.from_tensors(["a"]), None, "y is missing: pass the tags"),
        (tf.data.Dataset.from_tensors(({"a": "b"}, [0])), None, "'words' or 'text'"),
    ],
)  # fmt: skip
def test_what_cannot_be_learnt_from_is_refused_with_the_reason(tagger, x, y, said):
    with pytest.raises(InputError, match=said):
        tagger.evaluate(x, y, verbose=0)


def test_no_examples_labels_or_meaning_are_refused(tagger, config, tokenizer):
    for x in ([], {"words": []}, np.array([])):
        with pytest.raises(DataError, match="empty"):
            tagger.predict(x)
    with pytest.raises(InputError, match=r"labels=\[\.\.\.\]"):
        TokenClassifier(config.replace(id2label=None))
    with pytest.raises(InputError, match="class_weight"):
        tagger.fit(WORDS, TAGS, class_weight={0: 1.0}, verbose=0)
    with pytest.raises(CheckpointError, match="has no tokenizer"):
        TokenClassifier(config, labels=LABELS).predict(TEXTS)
    small = TokenClassifier(config.replace(vocab_size=10), tokenizer=tokenizer)
    with pytest.raises(InputError, match="do not belong together"):
        small.find_entities("a film")
    with pytest.raises(InputError, match="takes one text"):
        tagger.find_entities(WORDS)
    with pytest.raises(InputError, match="list of words"):
        tagger.tag([[1, 2]])


def test_the_loss_of_paths_needs_a_chain(config, tokenizer):
    model = made(config, tokenizer)
    model.compile("adam", PathLikelihood(), run_eagerly=True)
    with pytest.raises(InputError, match="crf=True"):
        model.evaluate(WORDS, TAGS, verbose=0)


def test_a_classifier_of_texts_is_another_class(classifier, tmp_path, caplog):
    classifier.save_pretrained(tmp_path)
    TokenClassifier.from_pretrained(tmp_path, labels=LABELS)
    assert "newly initialised: classifier" in caplog.text
    assert TextClassifier.architecture != TokenClassifier.architecture
