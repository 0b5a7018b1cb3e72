"""Tiny tokenizers of each kind, trained by `tokenizers`, and how ours are compared."""

import sys
from pathlib import Path

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

sys.path.insert(0, str(Path(__file__).parent))

from tests.tokenizers.corpus import CORPUS
from zoo.tokenizers import Tokenizer


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
def files_of():
    return lambda reference: {"tokenizer.json": reference.to_str().encode()}


@pytest.fixture(scope="session")
def compare(files_of):
    """Compares ids and decoded text of ours with those of a reference tokenizer."""

    def compared(reference, texts, **others):
        ours = Tokenizer.from_files(files_of(reference) | others)
        found = ours(texts, padding=None, truncation=None)["input_ids"].to_list()
        expected = [e.ids for e in reference.encode_batch(texts)]
        for text, ids, right in zip(texts, found, expected, strict=True):
            assert ids == right, f"{text[:200]!r}: {ids[:50]} and not {right[:50]}"
        for skip in (False, True):
            right = reference.decode_batch(expected, skip_special_tokens=skip)
            assert ours.decode(expected, skip_special_tokens=skip) == right
        return ours

    return compared
