"""Stop strings: rows end with the token that completes one, whatever finds tokens."""

import json
import re

import numpy as np
import pytest
import tensorflow as tf
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.generation import tiny
from tests.generation.tables import TableModel, ends_at
from zoo.errors import InputError
from zoo.generation.config import GenerationConfig
from zoo.generation.stopping import FIRST, NOTHING, StopTable
from zoo.tokenizers import Tokenizer
from zoo.tokenizers.decoders import Spelling

LETTERS = ["a", "b", "ab", "ba", "c"]


def with_decoder(pieces, decoder):
    """A tokenizer of these pieces and this decoder; the first piece is special."""
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, pieces[1]))
    made.add_special_tokens(pieces[:1])
    files = json.loads(made.to_str())
    files["model"] = {
        "type": "WordPiece",
        "unk_token": pieces[1],
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "vocab": vocabulary,
    }
    files["pre_tokenizer"] = {"type": "BertPreTokenizer"}
    files["decoder"] = decoder
    return Tokenizer({"tokenizer.json": json.dumps(files).encode()})


WORDS = ["<s>", "[UNK]", *LETTERS, *(f"##{piece}" for piece in LETTERS), ",", "."]
MARKED = ["<s>", "<unk>", *LETTERS, *(f"▁{piece}" for piece in LETTERS), "▁", "▁▁"]
BYTES = [f"<0x{byte:02X}>" for byte in "é ".encode()]
LLAMA = [
    {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
    {"type": "ByteFallback"},
    {"type": "Fuse"},
    {"type": "Strip", "content": " ", "start": 1, "stop": 0},
]
TOKENIZERS = {
    "byte-level": tiny.byte_level(),
    "metaspace": tiny.unigram(),
    "wordpiece": with_decoder(WORDS, {"type": "WordPiece", "prefix": "##"}),
    "llama": with_decoder([*MARKED, *BYTES], {"type": "Sequence", "decoders": LLAMA}),
}


@pytest.mark.parametrize("kind", TOKENIZERS)
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_row_ends_where_its_text_has_a_stop_string(kind, data):
    """Special tokens, first tokens and lost spaces count as they are shown."""
    tokenizer = TOKENIZERS[kind]
    ids = st.lists(st.integers(0, tokenizer.vocab_size - 1), max_size=8)
    tokens = data.draw(ids)
    cuts = st.tuples(st.integers(0, 12), st.integers(1, 4))
    text = tokenizer.decode(tokens, skip_special_tokens=True)
    pieces = [text[i : i + n] for i, n in data.draw(st.lists(cuts, max_size=3))]
    stops = [piece for piece in pieces if piece and "\ufffd" not in piece] + ["no"]
    table = StopTable.of(stops, tokenizer.spelling, vocab_size=tokenizer.vocab_size)
    prefixes = [tokens[:i] for i in range(1, len(tokens) + 1)]
    texts = tokenizer.decode(prefixes, skip_special_tokens=True) if prefixes else []
    if kind == "llama" and any("\ufffd" in each for each in texts):
        return  # a run of bytes is shown otherwise once it is no UTF-8
    found = [i + 1 for i, each in enumerate(texts) if any(s in each for s in stops)]
    assert ends_at(table, tokens) == (found[0] if found else None)


def test_the_prompt_is_no_part_of_a_stop_string_but_goes_before_the_text():
    tokenizer = TOKENIZERS["metaspace"]
    ids = tokenizer(["the cat"], add_special_tokens=False)["input_ids"].numpy()[0]
    table = StopTable.of([" cat"], tokenizer.spelling, vocab_size=tokenizer.vocab_size)
    prompts = tf.constant([[0, ids[0]], [0, 0]])
    mask = tf.constant([[False, True], [True, True]])
    assert table.begin(prompts, mask).numpy().tolist() == [NOTHING, FIRST]
    assert ends_at(table, ids[1:], NOTHING) == 1
    assert ends_at(table, ids[1:], FIRST) is None  # it would be shown as "cat"


def test_tokens_that_the_tokenizer_does_not_have_write_nothing():
    spelling = Spelling(
        *(np.array([b"a", b"b"], object),) * 2, np.ones(2, bool), (b"", 0)
    )
    table = StopTable.of(["ab"], spelling, vocab_size=4)
    assert ends_at(table, [0, 3, 2, 1]) == 4
    assert ends_at(table, [0, 0, 1]) == 3
    assert ends_at(table, [1, 0]) is None


def test_stop_strings_may_be_long_but_not_endless():
    tokenizer = TOKENIZERS["byte-level"]
    options = {"spelling": tokenizer.spelling, "vocab_size": tokenizer.vocab_size}
    word = "stop " * 20
    table = StopTable.of([word], **options)
    ids = tokenizer([f"a {word}b"])["input_ids"].numpy()[0]
    assert ends_at(table, ids) == len(ids) - 1
    with pytest.raises(InputError, match=r"stop_strings have 1,000,001 bytes .*most"):
        StopTable.of(["a" * 1_000_000, "b"], **options)


def test_half_a_surrogate_is_nowhere_in_a_text():
    tokenizer = TOKENIZERS["byte-level"]
    options = {"spelling": tokenizer.spelling, "vocab_size": tokenizer.vocab_size}
    ids = tokenizer(["\ud800\ufffd"])["input_ids"].numpy()[0]
    assert ends_at(StopTable.of(["\ud800"], **options), ids) is None


# --- With models ------------------------------------------------------------------


@pytest.fixture(scope="module")
def writer():
    """A model with a byte-level tokenizer, run as graphs."""
    model = tiny.with_texts("grouped", seed=3)
    model._generator.jit_compile = False
    return model


def test_beams_end_with_a_stop_string_as_with_an_end_token():
    """What takes the place of an end token gives the hypotheses that this one gives."""
    model = TableModel(7, seed=2, favoured={2: 1.5})
    letters = np.array([b"a", b"b", b"c", b"d", b"e", b"f", b"g"], object)
    model.spelling = Spelling(letters, letters, np.ones(7, bool), (b"", 0))
    prompts = [[3], [1, 2], [5, 0, 4]]

    def found(**options):
        options = {"num_beams": 3, "pad_token_id": 2, **options}
        config = GenerationConfig(max_new_tokens=6, **options)
        groups = model.generator()(prompts, config)
        return [[(each.ids, each.score) for each in group] for group in groups]

    for options in (
        {"num_return_sequences": 3},
        {"num_beam_groups": 3, "diversity_penalty": 1.0},
    ):
        stopped = found(stop_strings=["c"], **options)
        assert stopped == found(eos_token_id=2, **options)
        assert any(2 in ids for group in stopped for ids, _ in group)


@pytest.mark.parity  # takes the time of others; beams are served with them anyway
def test_beams_end_with_a_stop_string_that_spans_tokens(writer):
    options = {"max_new_tokens": 12, "num_beams": 2, "return_dict_in_generate": True}
    free = writer.generate("the cat", **options)
    stop = free.text[3:5]
    found = writer.generate(
        "the cat", stop_strings=[stop], early_stopping=True, **options
    )
    assert found.finish_reason == "stop_string"
    assert found.text.endswith(stop) and found.text.count(stop) == 1


@pytest.mark.parity
def test_they_are_served_with_beams(writer, tmp_path):
    options = {"max_new_tokens": 10, "num_beams": 2}
    whole = writer.generate(tiny.TEXTS, **options)
    options["stop_strings"] = re.findall("[!-~]{2}", " ".join(whole))[:2]
    where = writer.export_saved_model(tmp_path / "x", **options)
    serve = tf.saved_model.load(where).signatures["serving_default"]
    found = serve(text=tf.constant(tiny.TEXTS))["text"].numpy()
    expected = writer.generate(tiny.TEXTS, **options)
    assert [text.decode() for text in found] == expected != whole


def test_other_stop_strings_of_the_same_sizes_compile_nothing(writer):
    def traces():
        return sum(p.traces for p in writer._generator.programs.values())

    options = {"max_new_tokens": 4}
    writer.generate("a", stop_strings=["xy"], **options)
    before = traces()
    writer.generate("a", stop_strings=["yz"], **options)
    assert traces() == before


def test_they_need_a_tokenizer():
    with pytest.raises(InputError, match=r"stop_strings=.* need a tokenizer"):
        TableModel(5).generator()([[3]], GenerationConfig(stop_strings="x"))
