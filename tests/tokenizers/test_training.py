"""New vocabularies: read back, they give the ids of the encoder that learnt them."""

import json

import pytest
import tokenizers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.tokenizers.corpus import CORPUS, WORDS, random_strings
from zoo import cli
from zoo.errors import TokenizerError
from zoo.tokenizers import Tokenizer
from zoo.tokenizers.training import KINDS, train_files

TEXTS = [*CORPUS, *(" ".join(WORDS[i : i + 4]) for i in range(len(WORDS)))] * 3
SIZE = 600
HELD_OUT = [
    "A film that nobody has seen yet, at 9:45!",
    "今天我们去看一部没有人看过的电影，人工智能很好。",
    "Ελληνικά и русский; 日本語の文章です。 naïve ﬁancé ½ ① ＡＢＣ",
    "  two  spaces\tand\nlines \u3000 \u200b\ufeff e\u0301 👩‍👩‍👧 \x00 ",
    "[MASK] <extra_id_0> <|endoftext|> </s>",
    "",
]


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def files(kind):
    return train_files(TEXTS, kind=kind, vocab_size=SIZE)


@pytest.fixture(scope="module")
def pair(files, tmp_path_factory):
    """Ours, saved and loaded, and the encoder that learnt the vocabulary."""
    directory = tmp_path_factory.mktemp("trained") / "tokenizer"
    Tokenizer.from_files(files).save_pretrained(directory)
    reference = tokenizers.Tokenizer.from_str(files["tokenizer.json"].decode())
    return Tokenizer.from_pretrained(directory), reference


def ids(tokenizer, texts, **options):
    return tokenizer(texts, padding=None, **options)["input_ids"].to_list()


def test_held_out_text_gets_the_ids_of_the_trainer(pair):
    ours, reference = pair
    texts = [*HELD_OUT, *CORPUS, *random_strings(60, seed=3, longest=50)]
    assert ids(ours, texts) == [reference.encode(text).ids for text in texts]


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_whatever_the_text_the_ids_are_equal(pair, text):
    ours, reference = pair
    assert ids(ours, text) == [reference.encode(text).ids]


def test_the_same_texts_give_the_same_files(kind, files):
    again = train_files(iter(TEXTS), kind=kind, vocab_size=SIZE)
    assert again == files


def test_special_tokens_are_those_of_the_kind(pair, kind):
    ours, _ = pair
    assert ours.vocab_size <= SIZE
    if kind == "wordpiece":
        assert ours.special_tokens == ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
        assert (ours.pad_token_id, ours.mask_token) == (0, "[MASK]")
        found = ours("时间 word", pair="b")
        row = [ours.id_to_token(i) for i in found["input_ids"][0].numpy()]
        assert row[:2] == ["[CLS]", "时"] or row[1] == "[UNK]"
        assert row[0] == "[CLS]" and row.count("[SEP]") == 2
        assert found["token_type_ids"].numpy()[0, -2:].tolist() == [1, 1]
    elif kind == "bpe":
        assert ours.special_tokens == ("<|endoftext|>",) and ours.pad_token is None
        assert ours.eos_token_id == ours.bos_token_id == 0
        for text in HELD_OUT:
            assert ours.decode(ids(ours, text)[0]) == text
    else:
        assert (ours.pad_token_id, ours.eos_token_id, ours.unk_token_id) == (0, 1, 2)
        assert ours.token_to_id("<extra_id_0>") == ours.vocab_size - 1
        assert ours.token_to_id("<extra_id_59>") == ours.vocab_size - 60
        assert ours.token_to_id("<extra_id_60>") is None
        assert ids(ours, "the <extra_id_0> times")[0][-1] == 1
        assert (
            ours.decode(ids(ours, CORPUS[0])[0], skip_special_tokens=True) == CORPUS[0]
        )


def learnt(texts=TEXTS, **options):
    """The encoder of `tokenizers`, which takes less time to make than ours."""
    files = train_files(texts, **options)
    return tokenizers.Tokenizer.from_str(files["tokenizer.json"].decode())


def test_frequent_words_are_one_piece_in_english_and_chinese():
    texts = ["the film was good", "电影 很 好看"] * 50
    for kind, expected in (("wordpiece", [2, 2]), ("bpe", [2, 1])):
        encoder = learnt(texts, kind=kind, vocab_size=400)
        found = [
            encoder.encode(text, add_special_tokens=False).tokens
            for text in ("the film", "电影")
        ]
        assert [len(tokens) for tokens in found] == expected
        assert "[UNK]" not in found[0] + found[1]


def test_bytes_without_a_merge_are_a_vocabulary():
    tokenizer = Tokenizer.train(["ab"], kind="bpe", vocab_size=257, special_tokens=[])
    texts = ["ab", "", "猫 x"]
    found = tokenizer(texts, padding=None)["input_ids"]
    assert tokenizer.decode(found.to_list()) == texts
    assert [len(row) for row in found.to_list()] == [2, 0, 5]


def test_unigram_gives_the_ids_of_sentencepiece(monkeypatch):
    import sentencepiece

    models = []
    from_string = sentencepiece.sentencepiece_model_pb2.ModelProto.FromString
    monkeypatch.setattr(
        "sentencepiece.sentencepiece_model_pb2.ModelProto",
        type(
            "",
            (),
            {"FromString": lambda data: models.append(data) or from_string(data)},
        ),
    )
    ours = Tokenizer.train(TEXTS, kind="unigram", vocab_size=400, extra_ids=0)
    reference = sentencepiece.SentencePieceProcessor(model_proto=models[0])
    texts = [*CORPUS, *HELD_OUT[:3]]
    options = {"padding": None, "add_special_tokens": False}
    assert ours(texts, **options)["input_ids"].to_list() == reference.encode(texts)


def test_options_reach_the_vocabulary():
    ours = Tokenizer.train(
        TEXTS,
        kind="wordpiece",
        vocab_size=300,
        lowercase=True,
        special_tokens=["<user>", "<bot>"],
        max_length=77,
    )
    assert ids(ours, "THE Café") == ids(ours, "the cafe")
    assert ours.model_max_length == 77
    assert ours.token_to_id("<bot>") == 6 and "<bot>" in ours.special_tokens
    assert len(ids(ours, "a<user>b", add_special_tokens=False)[0]) == 3
    for kind in ("bpe", "unigram"):
        options = {"lowercase": True, "special_tokens": ["<user>"], "extra_ids": None}
        lower = learnt(kind=kind, vocab_size=400, **options)
        assert lower.encode("THE").ids == lower.encode("the").ids
        assert len(lower.encode("<user>", add_special_tokens=False).ids) == 1
    few = learnt(kind="unigram", vocab_size=300, extra_ids=2)
    assert few.token_to_id("<extra_id_1>") == few.get_vocab_size() - 2
    assert few.token_to_id("<extra_id_2>") is None


def test_what_cannot_be_learnt_is_refused(kind):
    def refused(error, texts=("a b",), **options):
        with pytest.raises(TokenizerError, match=error):
            train_files(texts, **{"kind": kind, "vocab_size": 400, **options})

    refused("no text", texts=[])
    refused("no text", texts=["", " \n"])
    refused("expected str, got int", texts=["a", 3])
    refused("kind='char'", kind="char")
    refused("vocab_size=10: expected a whole number", vocab_size=10)
    refused("min_frequency=0", min_frequency=0)
    if kind == "unigram":
        refused("extra_ids=300", extra_ids=300)
        many = ["".join(map(chr, range(0x4E00, 0x4F00)))]
        refused("vocab_size=40", texts=many, vocab_size=40)
    else:
        refused("only kind 'unigram' has sentinels", extra_ids=5)


def test_an_interrupt_comes_through():
    def texts():
        yield "a"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_files(texts(), kind="bpe", vocab_size=300)


def test_the_command_learns_from_files(tmp_path):
    (tmp_path / "a.txt").write_text("\n".join(TEXTS))
    (tmp_path / "b.jsonl").write_text('{"text": "电影很好看"}\n{oops\n' * 9)
    command = f"tokenizer train {tmp_path}/a.txt {tmp_path}/b.jsonl --kind wordpiece"
    output = tmp_path / "out"
    options = f"--vocab-size 500 --output {output} --special <user>"
    result = CliRunner().invoke(cli.app, [*command.split(), *options.split()])
    assert result.exit_code == 0, result.output
    assert "wordpiece, 500 ids" in result.stdout
    assert "9 malformed left out" in result.stderr
    ours = Tokenizer.from_pretrained(output)
    assert ours.vocab_size == 500 and ours.token_to_id("<user>") == 5
    config = json.loads((output / "tokenizer_config.json").read_text())
    assert config["additional_special_tokens"] == ["<user>"]
    result = CliRunner().invoke(cli.app, [*command.split()[:-1], "x", *options.split()])
    assert result.exit_code == 2 and "kind='x'" in result.stderr


@pytest.mark.parity
def test_transformers_reads_it_and_gives_the_same_ids(pair, tmp_path):
    from transformers import AutoTokenizer

    ours, _ = pair
    ours.save_pretrained(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert ids(ours, HELD_OUT) == [theirs(text)["input_ids"] for text in HELD_OUT]
    for name in ("pad_token", "unk_token", "eos_token", "mask_token"):
        assert getattr(theirs, name, None) == getattr(ours, name)
