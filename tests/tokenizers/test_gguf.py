"""Tokenizers of GGUF files: the same ids as the tokenizer that they were made from."""

import io
import json

import pytest
import sentencepiece
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from zoo.errors import TokenizerError
from zoo.tokenizers import Tokenizer, gguf, patterns

TEXTS = [
    "The capital of France is Paris, isn't it? IT'S 1889 or 12345.",
    "def rotate(x, n=2):\n\treturn x[n:] + x[:n]  # as far\r\n\r\n    pass",
    "法国的首都是巴黎。它位于塞纳河畔，人口约二百万。",
    "🚀 family 👩‍👩‍👧 naïve e\u0301 ½ ٣٤ Ⅷ",
    "   three   spaces\n\n\nlines <|end|>inside<mark> <|end|>",
    "",
    " ",
]
SPECIAL = ["<|start|>", "<|end|>"]
DIGITS = pre_tokenizers.Digits(individual_digits=True)


def split(regex):
    return pre_tokenizers.Split(tokenizers.Regex(regex), "isolated")


# As the tokenizer.json of a model of this kind has it.
REFERENCES = {
    "gpt-2": [],
    "smollm": [DIGITS],
    "llama-bpe": [split(patterns.LLAMA3)],
    "qwen2": [split(patterns.QWEN2)],
    "gpt-4o": [split(patterns.O200K)],
}


def trained(pre):
    """A byte-level tokenizer of `tokenizers`, trained on the texts."""
    reference = tokenizers.Tokenizer(models.BPE(ignore_merges=pre == "llama-bpe"))
    steps = REFERENCES[pre]
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pre in CLASSIC)
    reference.pre_tokenizer = pre_tokenizers.Sequence([*steps, level])
    reference.decoder = decoders.ByteLevel()
    if pre == "qwen2":
        reference.normalizer = normalizers.NFC()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    reference.train_from_iterator(TEXTS * 2, trainer)
    reference.add_tokens([tokenizers.AddedToken("<mark>", normalized=False)])
    return reference


CLASSIC = ("gpt-2", "smollm")


def settings_of(reference, pre, /, **changes):
    """What llama.cpp's converter makes of a tokenizer."""
    model = json.loads(reference.to_str())["model"]
    tokens = [reference.id_to_token(i) for i in range(reference.get_vocab_size())]
    types = [gguf.CONTROL if t in SPECIAL else gguf.NORMAL for t in tokens]
    types[tokens.index("<mark>")] = gguf.USER_DEFINED
    return with_changes(
        {
            "general.architecture": "llama",
            "llama.context_length": 64,
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": pre,
            "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.token_type": types,
            "tokenizer.ggml.merges": [" ".join(pair) for pair in model["merges"]],
            "tokenizer.ggml.bos_token_id": 0,
            "tokenizer.ggml.eos_token_id": 1,
            "tokenizer.ggml.padding_token_id": 1,
        },
        changes,
    )


def with_changes(settings, changes):
    """Other settings; None takes one away."""
    named = {
        key if "." in key else f"tokenizer.ggml.{key}": value
        for key, value in changes.items()
    }
    return {k: v for k, v in {**settings, **named}.items() if v is not None}


def read(settings):
    return Tokenizer.from_files(gguf.files(settings))


def ids_of(tokenizer, text):
    return tokenizer([text], padding=None)["input_ids"].to_list()[0]


@pytest.fixture(scope="module")
def gpt2():
    return trained("gpt-2")


@pytest.mark.parametrize("pre", REFERENCES)
def test_bytes_are_split_and_merged_as_in_the_original(pre):
    reference = trained(pre)
    tokenizer = read(settings_of(reference, pre, add_bos_token=False))
    for text in TEXTS:
        ids = ids_of(tokenizer, text)
        assert ids == reference.encode(text).ids
        assert tokenizer.decode(ids) == reference.decode(ids, skip_special_tokens=False)
        plain = tokenizer.decode(ids, skip_special_tokens=True)
        assert plain == reference.decode(ids, skip_special_tokens=True)


def test_special_tokens_length_and_template_are_read(gpt2):
    given = {"tokenizer.chat_template": "{{ messages }}", "add_bos_token": True}
    tokenizer = read(settings_of(gpt2, "gpt-2", **given))
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<|start|>", "<|end|>")
    assert (tokenizer.pad_token_id, tokenizer.unk_token) == (1, None)
    assert tokenizer.special_tokens == ("<|start|>", "<|end|>")
    assert tokenizer.model_max_length == 64
    assert tokenizer.chat_template == "{{ messages }}"
    assert ids_of(tokenizer, "the")[0] == 0
    both = read(settings_of(gpt2, "gpt-2", add_bos_token=True, add_eos_token=True))
    ids = ids_of(both, "the")
    assert (ids[0], ids[-1]) == (0, 1)


def test_llama_3_begins_with_bos_where_nothing_else_is_said(gpt2):
    for pre, begins in (("llama-bpe", True), ("gpt-2", False), (None, False)):
        tokenizer = read(settings_of(gpt2, pre))
        assert (ids_of(tokenizer, "the")[0] == 0) is begins


def test_named_templates_are_kept_by_their_names(gpt2):
    given = {"tokenizer.chat_template": "plain", "tokenizer.chat_template.tool": "t"}
    files = gguf.files(settings_of(gpt2, "gpt-2", **given))
    config = json.loads(files["tokenizer_config.json"])
    assert config["chat_template"] == [
        {"name": "default", "template": "plain"},
        {"name": "tool", "template": "t"},
    ]
    named = {"default": "plain", "tool": "t"}
    assert Tokenizer.from_files(files).chat_template == named
    assert read(settings_of(gpt2, "gpt-2")).chat_template is None


def test_without_types_only_what_has_a_role_is_special(gpt2):
    tokenizer = read(settings_of(gpt2, "gpt-2", token_type=None))
    assert tokenizer.special_tokens == ("<|start|>", "<|end|>")
    assert ids_of(tokenizer, "<|end|>") == [1]


def test_a_space_may_be_put_before(gpt2):
    tokenizer = read(settings_of(gpt2, "gpt-2", add_space_prefix=True))
    plain = read(settings_of(gpt2, "gpt-2"))
    assert ids_of(tokenizer, "the capital") == ids_of(plain, " the capital")


# -- SentencePiece


@pytest.fixture(scope="module")
def pieces():
    """A BPE model of SentencePiece, as Llama 2 has one."""
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([t for t in TEXTS if t.strip()] * 4),
        model_writer=out,
        model_type="bpe",
        vocab_size=480,
        character_coverage=0.98,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        user_defined_symbols=["<mark>"],
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=out.getvalue())


def settings_of_pieces(pieces, **changes):
    every = range(pieces.vocab_size())
    kinds = {
        gguf.UNKNOWN: pieces.is_unknown,
        gguf.CONTROL: pieces.is_control,
        gguf.BYTE: pieces.is_byte,
        gguf.USER_DEFINED: lambda i: pieces.id_to_piece(i) == "<mark>",
    }
    types = [
        next((kind for kind, is_it in kinds.items() if is_it(i)), gguf.NORMAL)
        for i in every
    ]
    return with_changes(
        {
            "general.architecture": "llama",
            "tokenizer.ggml.model": "llama",
            "tokenizer.ggml.pre": "default",
            "tokenizer.ggml.tokens": [pieces.id_to_piece(i) for i in every],
            "tokenizer.ggml.scores": [pieces.get_score(i) for i in every],
            "tokenizer.ggml.token_type": types,
            "tokenizer.ggml.bos_token_id": 1,
            "tokenizer.ggml.eos_token_id": 2,
            "tokenizer.ggml.unknown_token_id": 0,
        },
        changes,
    )


def test_pieces_are_merged_by_their_scores(pieces):
    tokenizer = read(settings_of_pieces(pieces))
    for text in TEXTS[:4]:
        ids = ids_of(tokenizer, text)
        assert ids == [1, *pieces.encode(text)]
        assert tokenizer.decode(ids, skip_special_tokens=True) == text
    assert (tokenizer.bos_token, tokenizer.unk_token) == ("<s>", "<unk>")


def test_pieces_without_a_space_before(pieces):
    tokenizer = read(
        settings_of_pieces(pieces, add_space_prefix=False, add_bos_token=False)
    )
    for text in TEXTS[:4]:
        # SentencePiece always puts one before; where there is one already, it is it.
        assert ids_of(tokenizer, f" {text}") == pieces.encode(text)
        assert tokenizer.decode(ids_of(tokenizer, text)) == text


def test_user_defined_pieces_are_found_in_text(pieces):
    ids = ids_of(read(settings_of_pieces(pieces)), "of<mark>it")
    assert pieces.piece_to_id("<mark>") in ids


# -- What cannot be honoured


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "t5"}, "'t5'"),
        ({"model": None}, "'model' is missing"),
        ({"pre": "tekken"}, "'tekken'"),
        ({"pre": 3}, "'pre'"),
        ({"tokens": []}, "ggml.tokens"),
        ({"tokens": ["a", ""]}, "ggml.tokens"),
        ({"tokens": ["a", "a"]}, "'a' stands there twice"),
        ({"tokens": "abc"}, "'tokens'"),
        ({"token_type": [1, 2, 3]}, "token_type has 3 entries"),
        ({"merges": None}, "'merges' is missing"),
        ({"merges": ["not there"]}, "'not'"),
        ({"merges": ["no-pair"]}, "pair of pieces"),
        ({"merges": [3]}, "ggml.merges"),
        ({"bos_token_id": 1 << 30}, "bos_token_id is"),
        ({"eos_token_id": -1}, "eos_token_id is -1"),
        ({"add_bos_token": 1}, "'add_bos_token'"),
        ({"normalizer": "upside down"}, "tokenizer.ggml.normalizer"),
        ({"pre": "smollm", "add_space_prefix": True}, "add_space_prefix"),
    ],
)
def test_what_cannot_be_honoured_is_named(gpt2, changes, said):
    with pytest.raises(TokenizerError) as caught:
        read(settings_of(gpt2, "gpt-2", **changes))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scores": None}, "'scores' is missing"),
        ({"scores": [0.0]}, "scores"),
        ({"remove_extra_whitespaces": True}, "remove_extra_whitespaces"),
        ({"precompiled_charsmap": [1, 2]}, "precompiled_charsmap"),
    ],
)
def test_what_sentencepiece_cannot_honour_is_named(pieces, changes, said):
    with pytest.raises(TokenizerError) as caught:
        read(settings_of_pieces(pieces, **changes))
    assert said in str(caught.value)


def test_scores_that_are_no_numbers_and_endless_pieces_are_refused(pieces):
    settings = settings_of_pieces(pieces)
    scores = [*settings["tokenizer.ggml.scores"][:-1], float("nan")]
    with pytest.raises(TokenizerError, match="finite"):
        read({**settings, "tokenizer.ggml.scores": scores})
    tokens = [*settings["tokenizer.ggml.tokens"][:-1], "a" * 100_000]
    with pytest.raises(TokenizerError, match="100,000 characters"):
        read({**settings, "tokenizer.ggml.tokens": tokens})
