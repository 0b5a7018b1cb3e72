"""Strangers' tokenizer files: refused with our error, before native code sees them."""

import contextlib
import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zoo.errors import TokenizerError
from zoo.tokenizers import Tokenizer, formats, precompiled


def _open(spec):
    return Tokenizer.from_files({"tokenizer.json": json.dumps(spec).encode()})


def _set(spec, path, value):
    spec = copy.deepcopy(spec)
    at = spec
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return spec


BAD_WORDPIECE = [
    (("normalizer",), {"type": "Surprise"}, "Surprise"),
    (("normalizer",), {"type": "ByteLevel"}, "ByteLevel"),
    (("normalizer",), [], "normalizer"),
    (("normalizer", "lowercase"), "yes", "lowercase"),
    (("normalizer", "new_option"), 1, "new_option"),
    (("pre_tokenizer",), {"type": "UnicodeScripts"}, "UnicodeScripts"),
    (("decoder",), {"type": "CTC"}, "CTC"),
    (("post_processor",), {"type": "Other"}, "Other"),
    (("post_processor", "sep"), ["[SEP]", 10**6], "1000000"),
    (("post_processor", "sep"), ["[SEP]"], "sep"),
    (("model", "type"), "WordLevel", "WordLevel"),
    (("model", "vocab", "x"), 0, "same id 0"),
    (("model", "vocab", "x"), -1, "-1"),
    (("model", "vocab", "x"), 1 << 40, "id of"),
    (("model", "vocab", "x"), "7", "id of"),
    (("model", "vocab", "\ud800"), 9999, "surrogate"),
    (("model", "vocab"), {}, "empty"),
    (("model", "max_input_chars_per_word"), None, "max_input_chars_per_word"),
    (("model", "extra"), 1, "extra"),
    (("added_tokens",), [{"id": 1, "content": ""}], "no text"),
    (("added_tokens",), [{"id": 1}], "content"),
    (("added_tokens",), [{"id": 1, "content": "a"}] * 2, "same id"),
    (("version",), "2.0", "2.0"),
    (("surprise",), {}, "surprise"),
]


@pytest.mark.parametrize("path, value, match", BAD_WORDPIECE)
def test_what_cannot_be_honoured_is_named(wordpiece_json, path, value, match):
    with pytest.raises(TokenizerError, match=match):
        _open(_set(json.loads(wordpiece_json), path, value))


BAD_BPE = [
    (("model", "dropout"), 0.1, "dropout"),
    (("model", "end_of_word_suffix"), "</w>", "end_of_word_suffix"),
    (("model", "continuing_subword_prefix"), "##", "continuing_subword_prefix"),
    (("model", "merges"), [["a", "\u0000"]], "not in the vocabulary"),
    (("model", "merges"), ["a b c"], "not a pair"),
    (
        ("pre_tokenizer",),
        {
            "type": "Split",
            "pattern": {"Regex": "(a+)+$"},
            "behavior": "Isolated",
            "invert": False,
        },
        "cannot be honoured exactly",
    ),
]


@pytest.mark.parametrize("path, value, match", BAD_BPE)
def test_what_cannot_be_honoured_in_bpe_is_named(byte_level_json, path, value, match):
    with pytest.raises(TokenizerError, match=match):
        _open(_set(json.loads(byte_level_json), path, value))


BAD_UNIGRAM = [
    (("model", "unk_id"), 10**6, "unk_id"),
    (("model", "unk_id"), None, "unk_id"),
    (("model", "vocab", 3), ["a"], "text, score"),
    (("model", "vocab", 3), ["a", "b"], "score"),
    (("model", "vocab", 3), ["a", float("nan")], "score"),
    (("model", "vocab", 3), ["<pad>", 0.0], "id 0 already"),
    (("normalizer", "normalizers", 0, "precompiled_charsmap"), "!!", "base64"),
    (("normalizer", "normalizers", 0, "precompiled_charsmap"), "AAAA", "charsmap"),
]


@pytest.mark.parametrize("path, value, match", BAD_UNIGRAM)
def test_what_cannot_be_honoured_in_unigram_is_named(t5_json, path, value, match):
    with pytest.raises(TokenizerError, match=match):
        _open(_set(json.loads(t5_json), path, value))


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"a":1,"a":2}', b"null"]
)
def test_a_file_that_is_no_json_object_is_refused(data):
    with pytest.raises(TokenizerError, match=r"tokenizer\.json"):
        Tokenizer.from_files({"tokenizer.json": data})


def test_a_file_that_is_too_large_is_refused_unread(monkeypatch):
    monkeypatch.setitem(formats.FILES, "tokenizer.json", 10)
    with pytest.raises(TokenizerError, match="at most 10 bytes"):
        Tokenizer.from_files({"tokenizer.json": b" " * 11})


def test_names_that_are_no_tokenizer_files_are_refused():
    with pytest.raises(TokenizerError, match="not a tokenizer file"):
        Tokenizer.from_files({"../x": b""})
    with pytest.raises(TokenizerError, match="no tokenizer file"):
        Tokenizer.from_files({})


def test_a_piece_twice_in_vocab_txt_is_refused_with_its_lines():
    with pytest.raises(TokenizerError, match="line 2 and again in line 3"):
        Tokenizer.from_files({"vocab.txt": b"[UNK]\n[CLS]\n[CLS]\n[SEP]\n"})


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 10**7),
    st.floats(),
    st.text(max_size=5),
    st.just([]),
    st.just({}),
)


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_any_change_to_a_file_is_honoured_or_refused(t5_json, monkeypatch, data):
    monkeypatch.setattr("zoo.tokenizers.tokenizer.build", _dry_build)
    spec = json.loads(t5_json)
    spec["model"]["vocab"] = spec["model"]["vocab"][:9]
    at, path = spec, []
    while isinstance(at, dict | list) and at and (not path or data.draw(st.booleans())):
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        path.append(data.draw(st.sampled_from(keys)))
        at = at[path[-1]]
    with contextlib.suppress(TokenizerError):
        _open(_set(spec, path, data.draw(values)))


def _dry_build(spec):
    """The reading of all sections, without the compiling, which takes its time."""
    from zoo.tokenizers import building, sentencepiece_model, unigram

    original = sentencepiece_model.processor, unigram.Unigram._alone
    sentencepiece_model.processor = lambda model: None
    unigram.Unigram._alone = lambda self, texts: {"a": 0}
    try:
        return building.build(spec)
    finally:
        sentencepiece_model.processor, unigram.Unigram._alone = original


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_as_charsmap_are_read_or_refused(data):
    with contextlib.suppress(TokenizerError):
        precompiled.Precompiled(precompiled.rules(data))


def test_rules_survive_the_way_through_a_charsmap():
    rules = {"a": "b", "e\u0301": "\u00e9", "\u00bd": "1/2", "\x01": ""}
    assert precompiled.rules(precompiled.compiled(rules)) == rules
