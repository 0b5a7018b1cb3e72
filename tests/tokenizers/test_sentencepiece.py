"""Unigram, BPE on characters and SentencePiece's files equal their references."""

import io
import json

import pytest
import sentencepiece
import tokenizers
from tokenizers import normalizers, pre_tokenizers

from tests.tokenizers.corpus import CORPUS
from zoo.errors import TokenizerError
from zoo.tokenizers import Tokenizer


def test_unigram_with_a_compiled_normaliser(t5, compare, strings):
    compare(t5, [s for s in strings if len(s) < 1000])


@pytest.mark.parametrize("scheme", ["always", "first", "never"])
def test_every_prepend_scheme(t5, compare, scheme):
    t5.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    compare(t5, [*CORPUS, "", " ", "a", "</s>a</s> b", " a</s>", "\u2581a"])


def test_white_space_split_before_metaspace(t5, compare, strings):
    t5.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    compare(t5, [s for s in strings if len(s) < 1000])


def test_bpe_with_byte_fallback(llama, compare, strings):
    compare(llama, strings)


def test_bpe_behind_metaspace(llama, compare, strings):
    llama.normalizer = None
    llama.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    compare(llama, strings)


@pytest.mark.parametrize("fuse", [True, False])
def test_bpe_with_unknown_characters(llama, compare, strings, fuse):
    spec = json.loads(llama.to_str())
    spec["model"] |= {"byte_fallback": False, "fuse_unk": fuse}
    compare(tokenizers.Tokenizer.from_str(json.dumps(spec)), strings)


def test_normalisers_of_albert(t5, compare, strings):
    t5.normalizer = normalizers.Sequence(
        [
            normalizers.Replace("``", '"'),
            normalizers.Nmt(),
            normalizers.NFD(),
            normalizers.StripAccents(),
            normalizers.Lowercase(),
            normalizers.Strip(),
        ]
    )
    compare(t5, [*(s for s in strings if len(s) < 1000), "``a``", "  a  "])


@pytest.fixture(scope="module", params=["unigram", "bpe"])
def native(request):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS * 3),
        model_writer=model,
        vocab_size=400,
        model_type=request.param,
        byte_fallback=request.param == "bpe",
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return model.getvalue()


def test_a_model_file_gives_the_ids_of_sentencepiece(native, strings):
    ours = Tokenizer.from_files({"spiece.model": native})
    reference = sentencepiece.SentencePieceProcessor(model_proto=native)
    texts = [s for s in strings if not any(t in s for t in ("<s>", "</s>", "<unk>"))]
    found = ours(texts, padding=None, truncation=None, add_special_tokens=False)
    expected = [reference.encode(s) for s in texts]
    ids = found["input_ids"].to_list()
    # Spellings of one score differ in order: TF Text has an older SentencePiece.
    assert [sorted(row) for row in ids] == [sorted(row) for row in expected]
    assert sum(a != b for a, b in zip(ids, expected, strict=True)) < len(texts) / 50
    assert ours.decode(ours("Hello  World")["input_ids"][0].numpy()[:-1]) != ""


def test_a_damaged_model_file_is_refused(native):
    for damaged in (native[: len(native) // 2], b"\x0a\xff", b"", b"\xff" * 99):
        with pytest.raises(TokenizerError, match=r"tokenizer\.model"):
            Tokenizer.from_files({"tokenizer.model": damaged})
