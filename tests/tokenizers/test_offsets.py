"""Offsets are characters of the text as given, as `tokenizers` counts them."""

import pytest
import tokenizers
from tokenizers import AddedToken, pre_tokenizers, processors

from tests.tokenizers.corpus import CORPUS, random_strings
from zoo.errors import TokenizerError
from zoo.tokenizers import Tokenizer

STRINGS = random_strings(400, seed=5, longest=200) + CORPUS


@pytest.fixture
def compare_offsets(files_of):
    def compared(reference, texts):
        ours = Tokenizer.from_files(files_of(reference))
        found = ours(texts, padding=None, truncation=None, return_offsets=True)
        expected = reference.encode_batch(texts)
        assert found["input_ids"].to_list() == [e.ids for e in expected]
        for text, row, right in zip(
            texts, found["offsets"].to_list(), expected, strict=True
        ):
            assert [tuple(pair) for pair in row] == right.offsets, repr(text[:200])

    return compared


def test_wordpiece(wordpiece, compare_offsets):
    compare_offsets(wordpiece, STRINGS)


def test_wordpiece_with_added_tokens(wordpiece, compare_offsets):
    wordpiece.add_tokens(
        [
            AddedToken("foo", lstrip=True, rstrip=True, normalized=False),
            AddedToken("World", normalized=True, single_word=True),
        ]
    )
    compare_offsets(wordpiece, STRINGS)


@pytest.mark.parametrize("space", [True, False])
@pytest.mark.parametrize("kind", ["none", "byte_level", "roberta"])
def test_byte_level(byte_level, compare_offsets, space, kind):
    byte_level.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=space)
    if kind == "byte_level":
        byte_level.post_processor = processors.ByteLevel(trim_offsets=True)
    elif kind == "roberta":
        ends = ("<|endoftext|>", 0)
        byte_level.post_processor = processors.RobertaProcessing(
            ends, ends, True, space
        )
    compare_offsets(byte_level, STRINGS[:200])


def test_bpe_with_byte_fallback(llama, compare_offsets):
    compare_offsets(llama, STRINGS)


def test_unigram(t5, compare_offsets):
    # Where a rule takes a whole grapheme, or takes characters away, `tokenizers` lets
    # the offsets behind it slip; ours do not.
    slips = ("\u0301", "\x01", "\r\n", "\u0308", "\u3099", "\u0302")
    compare_offsets(t5, [s for s in STRINGS if not any(c in s for c in slips)][:150])


def test_padding_and_special_tokens_have_no_offsets(wordpiece, files_of):
    ours = Tokenizer.from_files(files_of(wordpiece))
    found = ours(["Hello", "Hello World"], return_offsets=True)
    assert found["offsets"].shape == (*found["input_ids"].shape, 2)
    assert found["offsets"][0, -1].numpy().tolist() == [0, 0]


def test_a_form_that_keeps_no_offsets_is_refused_by_name(byte_level, files_of):
    byte_level.normalizer = tokenizers.normalizers.NFC()
    ours = Tokenizer.from_files(files_of(byte_level))
    with pytest.raises(TokenizerError, match="NFC"):
        ours(["a"], return_offsets=True)
