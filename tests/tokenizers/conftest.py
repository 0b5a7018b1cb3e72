"""Tiny tokenizers of each kind, trained by `tokenizers`, and how ours are compared."""

import json

import pytest
import tokenizers
from tokenizers import (
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from tests.tokenizers.corpus import CORPUS, random_strings
from zoo.tokenizers import Tokenizer
from zoo.tokenizers.precompiled import compiled


def _trained(reference, trainer):
    reference.train_from_iterator(CORPUS * 3, trainer)
    return reference.to_str()


@pytest.fixture(scope="session")
def wordpiece_json():
    reference = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    reference.normalizer = normalizers.BertNormalizer()
    reference.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    reference.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(
        vocab_size=600, special_tokens=special, show_progress=False
    )
    _trained(reference, trainer)
    reference.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return reference.to_str()


@pytest.fixture
def wordpiece(wordpiece_json):
    return tokenizers.Tokenizer.from_str(wordpiece_json)


@pytest.fixture(scope="session")
def byte_level_json():
    reference = tokenizers.Tokenizer(models.BPE())
    reference.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    reference.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=["<|endoftext|>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    return _trained(reference, trainer)


@pytest.fixture
def byte_level(byte_level_json):
    return tokenizers.Tokenizer.from_str(byte_level_json)


@pytest.fixture(scope="session")
def llama_json():
    """BPE on characters with byte pieces, as Llama 2 has it."""
    trained = tokenizers.Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256))]
    trainer = trainers.BpeTrainer(
        vocab_size=800, special_tokens=special, show_progress=False
    )
    spec = json.loads(_trained(trained, trainer))
    spec["added_tokens"] = spec["added_tokens"][:3]
    spec["model"] |= {"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True}
    spec["pre_tokenizer"] = None
    reference = tokenizers.Tokenizer.from_str(json.dumps(spec))
    reference.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    reference.decoder = decoders.Sequence(
        [
            decoders.Replace("\u2581", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    reference.post_processor = processors.TemplateProcessing(
        "<s> $A", "<s> $A <s> $B:1", [("<s>", 1)]
    )
    return reference.to_str()


@pytest.fixture
def llama(llama_json):
    return tokenizers.Tokenizer.from_str(llama_json)


# Rules of each kind that Precompiled knows: to several, none, and pairs.
RULES = {
    "\u00bd": "1\u20442",
    "\ufb01": "fi",
    "\u3000": " ",
    "\t": " ",
    "\n": " ",
    "\r": " ",
    "\x01": "",
    "e\u0301": "\u00e9",
    "o\u0308": "\u00f6",
    "\u304b\u3099": "\u304c",
    "\u2082": "2",
}


@pytest.fixture(scope="session")
def t5_json():
    """Unigram with a compiled normaliser, as T5 has it."""
    reference = tokenizers.Tokenizer(models.Unigram())
    reference.normalizer = normalizers.Sequence(
        [
            normalizers.Precompiled(compiled(RULES)),
            normalizers.Replace(tokenizers.Regex(" {2,}"), " "),
        ]
    )
    reference.pre_tokenizer = pre_tokenizers.Metaspace()
    reference.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=300,
        special_tokens=["<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        show_progress=False,
    )
    _trained(reference, trainer)
    reference.post_processor = processors.TemplateProcessing(
        "$A </s>", "$A </s> $B </s>", [("</s>", 1)]
    )
    return reference.to_str()


@pytest.fixture
def t5(t5_json):
    return tokenizers.Tokenizer.from_str(t5_json)


@pytest.fixture(scope="session")
def files_of():
    return lambda reference: {"tokenizer.json": reference.to_str().encode()}


@pytest.fixture(scope="session")
def compare(files_of):
    """Compares ids and decoded text of ours with those of a reference tokenizer."""

    def compared(reference, texts, **others):
        ours = Tokenizer.from_files(files_of(reference) | others)
        found = ours(texts, padding=None, truncation=None)["input_ids"]
        expected = [e.ids for e in reference.encode_batch(texts)]
        ids, splits = found.values.numpy().tolist(), found.row_splits.numpy()
        for i, (text, right) in enumerate(zip(texts, expected, strict=True)):
            row = ids[splits[i] : splits[i + 1]]
            assert row == right, f"{text[:200]!r}: {row[:50]} and not {right[:50]}"
        decoded = [text.decode() for text in ours.decode(found).numpy()]
        assert decoded == reference.decode_batch(expected, skip_special_tokens=False)
        return ours

    return compared


@pytest.fixture(scope="session")
def strings():
    """Random strings with words of 2,000 characters."""
    return random_strings(700, seed=3, longest=2000) + CORPUS
