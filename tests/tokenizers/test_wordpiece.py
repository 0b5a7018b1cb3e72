"""WordPiece equals `tokenizers`, whatever BertNormalizer is asked to do."""

import pytest
import tokenizers
from tokenizers import normalizers, pre_tokenizers

from zoo.errors import TokenizerError
from zoo.tokenizers import Tokenizer

FLAGS = [
    (True, True, None),
    (True, False, False),
    (False, True, True),
    (False, False, False),
]


@pytest.mark.parametrize("clean, chinese, accents", FLAGS)
def test_every_bert_normalizer_gives_the_ids_of_the_reference(
    wordpiece, compare, strings, clean, chinese, accents
):
    lower = accents is not False
    wordpiece.normalizer = normalizers.BertNormalizer(clean, chinese, accents, lower)
    compare(wordpiece, strings)


def test_a_word_of_more_characters_than_allowed_is_unknown(wordpiece, compare):
    compare(wordpiece, ["a" * 100, "a" * 101, "é" * 100, "é" * 101, "👍" * 100])


def test_every_character_between_letters(wordpiece, compare):
    points = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    used = [c for c in points if c < 0x3400 or 0xA000 < c < 0xAC00 or c > 0xD7A0]
    used = [c for c in used if c < 0x20000 or c % 97 == 0]
    words = [f"a{chr(c)}b" for c in used]
    compare(
        wordpiece, [" ".join(words[i : i + 500]) for i in range(0, len(words), 500)]
    )


def test_vocab_txt_gives_what_its_tokenizer_json_gives(wordpiece, files_of, strings):
    both = files_of(wordpiece)
    pieces = sorted(wordpiece.get_vocab(), key=wordpiece.get_vocab().get)
    old = Tokenizer.from_files({"vocab.txt": "\n".join(pieces).encode()})
    new = Tokenizer.from_files(both)
    for name, tensor in new(strings).items():
        assert (old(strings)[name].numpy() == tensor.numpy()).all()


@pytest.mark.parametrize(
    "pre_tokenizer",
    [
        pre_tokenizers.Whitespace(),
        pre_tokenizers.Sequence(
            [
                pre_tokenizers.WhitespaceSplit(),
                pre_tokenizers.Punctuation(),
                pre_tokenizers.Digits(individual_digits=True),
            ]
        ),
        pre_tokenizers.Split(" ", "merged_with_previous"),
    ],
)
def test_other_pre_tokenizers_and_normalizers(
    wordpiece, compare, strings, pre_tokenizer
):
    wordpiece.normalizer = normalizers.Sequence(
        [normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()]
    )
    wordpiece.pre_tokenizer = pre_tokenizer
    compare(wordpiece, strings)


def test_a_vocabulary_without_its_unknown_token_is_refused():
    model = tokenizers.models.WordPiece({"a": 0}, unk_token="[UNK]")
    reference = tokenizers.Tokenizer(model)
    reference.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    with pytest.raises(TokenizerError, match="unknown token"):
        Tokenizer.from_files({"tokenizer.json": reference.to_str().encode()})
