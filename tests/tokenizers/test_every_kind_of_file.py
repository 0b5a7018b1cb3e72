"""10,000 random strings, and every character, through each of the seven kinds of file.

Small vocabularies that are trained here; real ones are in test_real_files.py.
"""

import io
import json

import pytest
import sentencepiece
import tokenizers
from tokenizers import Regex, pre_tokenizers

from tests.tokenizers.corpus import CHINESE, CODE, CORPUS, ENGLISH, random_strings
from zoo.tokenizers import Tokenizer, patterns


@pytest.fixture(scope="module")
def many():
    """With words of 100,000 characters."""
    return random_strings(10_000, seed=0) + CORPUS + [(ENGLISH + CHINESE + CODE) * 20]


KINDS = {
    "tokenizer.json, WordPiece": "wordpiece_json",
    "tokenizer.json, byte-level BPE": "byte_level_json",
    "tokenizer.json, Unigram": "t5_json",
    "tokenizer.json, SentencePiece-style BPE": "llama_json",
    "vocab.txt": "wordpiece_json",
    "vocab.json and merges.txt": "byte_level_json",
}


def files_of(kind, text):
    """The files of one kind that say what a tokenizer.json says."""
    model = json.loads(text)["model"]
    if kind == "vocab.txt":
        pieces = sorted(model["vocab"], key=model["vocab"].get)
        return {"vocab.txt": "\n".join(pieces).encode()}
    if kind.startswith("vocab.json"):
        lines = ["#version: 0.2", *(" ".join(pair) for pair in model["merges"])]
        return {
            "vocab.json": json.dumps(model["vocab"]).encode(),
            "merges.txt": "\n".join(lines).encode(),
        }
    return {"tokenizer.json": text.encode()}


def different(ours, texts, expected):
    """The texts whose ids are not those expected."""
    found = ours(texts, padding=None, truncation=None)["input_ids"]
    ids, splits = found.values.numpy().tolist(), found.row_splits.numpy()
    return [
        text
        for i, text in enumerate(texts)
        if ids[splits[i] : splits[i + 1]] != expected[i]
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_ten_thousand_strings_have_the_ids_of_the_reference(kind, many, request):
    text = request.getfixturevalue(KINDS[kind])
    reference = tokenizers.Tokenizer.from_str(text)
    ours = Tokenizer.from_files(files_of(kind, text))
    expected = [e.ids for e in reference.encode_batch(many)]
    assert different(ours, many, expected) == []


@pytest.mark.parametrize("name", ["spiece.model", "tokenizer.model"])
def test_ten_thousand_strings_have_the_ids_of_sentencepiece(name, many):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS * 3),
        model_writer=model,
        vocab_size=400,
        model_type="unigram" if name == "spiece.model" else "bpe",
        byte_fallback=name == "tokenizer.model",
        hard_vocab_limit=False,
        minloglevel=2,
    )
    reference = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    # Unlike `tokenizers`, it knows no control piece in a text.
    texts = [s for s in many if not any(t in s for t in ("<s>", "</s>", "<unk>"))]
    ours = Tokenizer.from_files({name: model.getvalue()})
    expected = [reference.encode(s) for s in texts]
    options = {"padding": None, "truncation": None, "add_special_tokens": False}
    ids = ours(texts, **options)["input_ids"].to_list()
    # Spellings of one score differ in order: TF Text has an older SentencePiece.
    assert [sorted(row) for row in ids] == [sorted(row) for row in expected]
    unlike = sum(a != b for a, b in zip(ids, expected, strict=True))
    assert unlike == 0 if name == "tokenizer.model" else unlike < len(texts) / 150


SPLITS = {
    "gpt2": pre_tokenizers.ByteLevel(add_prefix_space=False),
    **{
        name: pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(pattern), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        for name, pattern in (("llama3", patterns.LLAMA3), ("qwen2", patterns.QWEN2))
    },
}
# Code points that are split otherwise, because RE2's tables of Unicode are older. There
# are none: the patterns spell out their classes of letters, numbers and spaces.
OTHERWISE_IN_RE2: list[int] = []


@pytest.mark.parametrize("name", SPLITS)
def test_every_character_is_split_as_in_the_reference(byte_level, name):
    byte_level.pre_tokenizer = SPLITS[name]
    ours = Tokenizer.from_files({"tokenizer.json": byte_level.to_str().encode()})
    points = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    # Of the planes without characters, and of the large scripts, a part.
    points = [c for c in points if c < 0x3400 or 0xA000 <= c < 0xAC00 or c > 0xD7A0]
    points = [c for c in points if c < 0x20000 or c >> 8 == 0xE01 or c % 97 == 0]
    texts = [f"a{chr(c)}b 1{chr(c)}2 .{chr(c)}! {chr(c)}\n" for c in points]
    expected = [e.ids for e in byte_level.encode_batch(texts)]
    found = different(ours, texts, expected)
    assert [ord(text[1]) for text in found] == OTHERWISE_IN_RE2
