"""Real tokenizer files equal `tokenizers` on 10,000 random strings and on corpora."""

import pytest
import sentencepiece
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, processors

from tests.tokenizers.corpus import CORPUS, random_strings
from zoo.tokenizers import Tokenizer

pytestmark = pytest.mark.download


@pytest.fixture(scope="module")
def many():
    return random_strings(10_000, seed=0) + CORPUS


def _differ(ours, reference, texts):
    """The texts whose ids, or whose text decoded again, are not the reference's."""
    expected = reference.encode_batch(texts)
    found = ours(texts, padding=None, truncation=None)["input_ids"]
    ids, splits = found.values.numpy().tolist(), found.row_splits.numpy()
    decoded = ours.decode(found).numpy()
    right = reference.decode_batch([e.ids for e in expected], skip_special_tokens=False)
    return [
        text
        for i, text in enumerate(texts)
        if ids[splits[i] : splits[i + 1]] != expected[i].ids
        or decoded[i].decode() != right[i]
    ]


def test_bert_base_uncased(sample, many):
    path = sample("minilm")
    reference = tokenizers.Tokenizer.from_file(str(path / "tokenizer.json"))
    reference.no_padding(), reference.no_truncation()
    assert _differ(Tokenizer.from_pretrained(path), reference, many) == []
    vocab = Tokenizer.from_files({"vocab.txt": (path / "vocab.txt").read_bytes()})
    assert _differ(vocab, reference, many[:2000]) == []


def test_bert_base_chinese(sample, many):
    path = sample("chinese-vocab")
    vocabulary = (path / "vocab.txt").read_text("utf-8").split("\n")[:-1]
    table = {piece: i for i, piece in enumerate(vocabulary)}
    reference = tokenizers.Tokenizer(models.WordPiece(table, unk_token="[UNK]"))
    reference.normalizer = tokenizers.normalizers.BertNormalizer()
    reference.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    reference.decoder = decoders.WordPiece()
    special = ["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"]
    reference.add_special_tokens(special)
    ends = [(t, table[t]) for t in ("[SEP]", "[CLS]")]
    reference.post_processor = processors.BertProcessing(*ends)
    assert _differ(Tokenizer.from_pretrained(path), reference, many) == []


def test_gpt2(sample, many):
    path = sample("gpt2-tokenizer")
    files = [str(path / name) for name in ("vocab.json", "merges.txt")]
    reference = tokenizers.Tokenizer(models.BPE.from_file(*files))
    reference.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    reference.decoder = decoders.ByteLevel()
    reference.add_special_tokens(["<|endoftext|>"])
    assert _differ(Tokenizer.from_pretrained(path), reference, many) == []


def test_t5(sample, many):
    path = sample("t5-tokenizer")
    reference = tokenizers.Tokenizer.from_file(str(path / "tokenizer.json"))
    reference.no_padding(), reference.no_truncation()
    different = _differ(Tokenizer.from_pretrained(path), reference, many)
    assert different == []


@pytest.mark.parametrize("name", ["test_model.model", "test_ja_model.model"])
def test_models_of_sentencepiece(sample, many, name):
    path = sample("sentencepiece-models") / name
    reference = sentencepiece.SentencePieceProcessor(str(path))
    ours = Tokenizer.from_files({"spiece.model": path.read_bytes()})
    texts = [s for s in many if not any(t in s for t in ("<s>", "</s>", "<unk>"))]
    found = ours(texts, padding=None, truncation=None, add_special_tokens=False)
    ids, expected = found["input_ids"].to_list(), [reference.encode(s) for s in texts]
    # Spellings of one score differ in order: TF Text has an older SentencePiece.
    assert [sorted(row) for row in ids] == [sorted(row) for row in expected]
    assert sum(a != b for a, b in zip(ids, expected, strict=True)) <= 10
