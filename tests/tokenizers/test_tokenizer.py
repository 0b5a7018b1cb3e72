"""`Tokenizer`: batches, truncation, padding, graphs, files."""

import json
import pickle

import numpy as np
import pytest
import tensorflow as tf
import tokenizers

from tests.tokenizers.corpus import CORPUS
from zoo.errors import TokenizerError
from zoo.export import run_in_clean_process
from zoo.tokenizers import Tokenizer

TEXTS = ["It was the best of times", "", "Hello [MASK], World! " * 6, "中文 <s> 12345"]
PAIRS = ["the worst", "of times " * 9, "a", ""]


@pytest.fixture(scope="module")
def ours(wordpiece_json):
    """A WordPiece tokenizer; tests must not change it."""
    return Tokenizer.from_files({"tokenizer.json": wordpiece_json.encode()})


def test_truncation_and_padding_of_pairs_equal_the_reference(wordpiece, files_of):
    ours = Tokenizer.from_files(files_of(wordpiece))
    for length, direction in ((4, "right"), (7, "left"), (30, "right")):
        ours.padding_side = ours.truncation_side = direction
        wordpiece.enable_truncation(length, direction=direction)
        wordpiece.enable_padding(direction=direction, length=40)
        for pair in (None, PAIRS):
            texts = TEXTS if pair is None else list(zip(TEXTS, pair, strict=True))
            expected = wordpiece.encode_batch(texts)
            found = Tokenizer.__call__(ours, TEXTS, pair=pair, max_length=length)
            width = found["input_ids"].shape[1]
            cut = slice(0, width) if direction == "right" else slice(40 - width, 40)
            for name, attribute in (
                ("input_ids", "ids"),
                ("token_type_ids", "type_ids"),
                ("attention_mask", "attention_mask"),
            ):
                right = np.array([getattr(e, attribute) for e in expected])
                np.testing.assert_array_equal(found[name], right[:, cut])
                assert right.sum() == right[:, cut].sum()
        ours._functions.value.clear()  # the side is fixed when a function is made


@pytest.mark.parametrize("strategy", ["only_first", "only_second"])
def test_truncation_of_one_side(wordpiece, ours, strategy):
    first, second = ["Hello World"], ["times"]
    (first if strategy == "only_first" else second)[0] *= 20
    wordpiece.enable_truncation(22, strategy=strategy)
    found = ours(first, pair=second, max_length=22, truncation=strategy)
    right = wordpiece.encode(first[0], second[0])
    assert found["input_ids"][0].numpy().tolist() == right.ids
    with pytest.raises(tf.errors.InvalidArgumentError, match="too short"):
        ours(["a"], pair=["b"], max_length=3, truncation=strategy)


def test_what_is_longer_than_the_model_takes_is_truncated(wordpiece, files_of):
    config = {"tokenizer_config.json": b'{"model_max_length": 9}'}
    ours = Tokenizer.from_files(files_of(wordpiece) | config)
    assert ours.model_max_length == 9
    assert ours(TEXTS)["input_ids"].shape[1] == 9
    assert ours(TEXTS, padding="max_length")["input_ids"].shape == (4, 9)
    assert ours(TEXTS, truncation=None)["input_ids"].shape[1] > 9


def test_an_empty_string_is_its_special_tokens(ours):
    assert ours("")["input_ids"].numpy().tolist() == [[2, 3]]
    assert ours(["", ""])["input_ids"].numpy().tolist() == [[2, 3]] * 2
    bare = ours([""], add_special_tokens=False)
    assert bare["input_ids"].shape == (1, 0)


def test_an_empty_batch(ours):
    assert ours(tf.constant([], tf.string))["input_ids"].shape == (0, 0)


def test_what_is_not_utf_8_becomes_the_replacement_character(byte_level, files_of):
    ours = Tokenizer.from_files(files_of(byte_level))
    for data in (b"a\x80b", b"\xf0\x9f\x98", b"\xc0\xaf", b"\xed\xa0\x80", b"\xff\xfe"):
        right = byte_level.encode(data.decode("utf-8", "replace")).ids
        assert ours(tf.constant([data]))["input_ids"][0].numpy().tolist() == right


def test_eager_graph_and_dataset_are_the_same(ours):
    eager = ours(TEXTS, pair=PAIRS)
    graph = tf.function(lambda a, b: ours(a, pair=b))(TEXTS, PAIRS)
    data = tf.data.Dataset.from_tensors((TEXTS, PAIRS))
    data = next(iter(data.map(lambda a, b: ours(a, pair=b))))
    for name, tensor in eager.items():
        np.testing.assert_array_equal(tensor, graph[name])
        np.testing.assert_array_equal(tensor, data[name])


def test_a_tokenizer_outlives_a_seed(byte_level, files_of):
    ours = Tokenizer(files_of(byte_level))
    before = ours(["the cat"])["input_ids"].numpy()
    tf.random.set_seed(1)  # empties TensorFlow's cache of kernels
    np.testing.assert_array_equal(ours(["the cat"])["input_ids"], before)
    again = Tokenizer(files_of(byte_level))
    del ours
    tf.random.set_seed(2)
    np.testing.assert_array_equal(again(["the cat"])["input_ids"], before)


def test_a_scalar_is_a_batch_of_one(ours):
    assert ours(tf.constant("Hello"))["input_ids"].shape[0] == 1
    assert ours("Hello")["input_ids"].shape[0] == 1


def test_decoding_follows_the_form_of_what_comes_in(ours):
    ids = ours(["Hello World", "times"])["input_ids"]
    texts = ours.decode(ids, skip_special_tokens=True)
    assert texts.numpy().tolist() == [b"hello world", b"times"]
    assert ours.decode(ids[0], skip_special_tokens=True).numpy() == b"hello world"
    assert ours.decode(ids.numpy(), skip_special_tokens=True) == [
        "hello world",
        "times",
    ]
    assert ours.decode([2, 10**6, -5, 3]) == "[CLS] [SEP]"
    assert ours.decode([]) == ""


def test_a_saved_model_encodes_in_a_process_without_zoo(
    wordpiece_json, byte_level_json, t5_json, llama_json, tmp_path, forked_processes
):
    kinds = (wordpiece_json, byte_level_json, t5_json, llama_json)
    module = tf.Module()
    module.all = [Tokenizer.from_files({"tokenizer.json": k.encode()}) for k in kinds]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def serve(text):
        found = {}
        for n, one in enumerate(module.all):
            ids = one(text)["input_ids"]
            found |= {f"ids{n}": ids, f"text{n}": one.decode(ids)}
        return found

    texts = [*CORPUS, "naïve [MASK] </s> \U0001f44d"]
    tf.saved_model.save(module, str(tmp_path), signatures=serve)
    found = run_in_clean_process(tmp_path, {"text": texts})
    for name, tensor in serve(tf.constant(texts)).items():
        expected = tensor.numpy().tolist()
        if tensor.dtype == tf.string:
            expected = [text.decode() for text in expected]
        assert found[name] == expected


def test_files_are_kept_byte_for_byte(wordpiece, files_of, tmp_path):
    files = files_of(wordpiece) | {"tokenizer_config.json": b'{ "padding_side":"left"}'}
    ours = Tokenizer.from_files(files)
    ours.save_pretrained(tmp_path / "a")
    again = Tokenizer.from_pretrained(tmp_path / "a")
    assert again.get_files() == files and again.padding_side == "left"
    copy = pickle.loads(pickle.dumps(again))
    np.testing.assert_array_equal(copy(TEXTS)["input_ids"], ours(TEXTS)["input_ids"])


def test_special_tokens_and_vocabulary(wordpiece, ours, files_of):
    assert ours.vocab_size == wordpiece.get_vocab_size() == len(ours.get_vocab())
    assert ours.get_vocab() == wordpiece.get_vocab()
    names = (ours.pad_token, ours.unk_token, ours.cls_token, ours.sep_token)
    assert (*names, ours.mask_token) == ours.special_tokens
    assert (ours.pad_token_id, ours.mask_token_id, ours.bos_token_id) == (0, 4, None)
    assert ours.id_to_token(4) == "[MASK]" and ours.token_to_id("[MASK]") == 4
    assert ours.id_to_token(10**6) is None and ours.token_to_id("no such") is None


def test_chat_template_is_handed_on(wordpiece, files_of):
    config = json.dumps({"chat_template": "{{ messages }}"}).encode()
    files = files_of(wordpiece)
    ours = Tokenizer.from_files(files | {"tokenizer_config.json": config})
    assert ours.chat_template == "{{ messages }}"
    ours = Tokenizer.from_files(files | {"chat_template.jinja": b"{{ x }}"})
    assert ours.chat_template == "{{ x }}"


@pytest.mark.parametrize(
    "options, match",
    [
        ({"padding": True}, "padding=True"),
        ({"truncation": "longest"}, "truncation='longest'"),
        ({"padding": "max_length"}, "needs a max_length"),
        ({"max_length": 1}, "no room"),
        ({"max_length": 2.5}, "whole number"),
    ],
)
def test_options_that_make_no_sense_are_refused(ours, options, match):
    with pytest.raises(TokenizerError, match=match):
        ours(TEXTS, **options)


def test_texts_of_another_type_are_refused(ours):
    for texts in ([1, 2], [None], tf.constant([1]), tf.constant([["a"]])):
        with pytest.raises(TokenizerError, match="texts"):
            ours(texts)


def test_added_tokens_are_never_split(wordpiece, compare):
    wordpiece.add_tokens(
        [
            tokenizers.AddedToken("Hell", single_word=True, normalized=False),
            tokenizers.AddedToken("foo", lstrip=True, rstrip=True, normalized=False),
            tokenizers.AddedToken("foobar", normalized=False),
            tokenizers.AddedToken("WORLD", normalized=True),
            tokenizers.AddedToken("été", normalized=True, single_word=True),
        ]
    )
    texts = ["Hell Hello xHell Hell.Hell", " foo  bar foobar", "world WORLDWORLD ete"]
    texts += ["éte été xété", "foofoo foo", "[MASK]Hell[MASK]", "Hell", "[CLS]  foo  "]
    compare(wordpiece, texts)
