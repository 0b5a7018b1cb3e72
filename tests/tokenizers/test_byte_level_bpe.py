"""Byte-level BPE equals `tokenizers`, with every split pattern that is honoured."""

import json

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, pre_tokenizers

from tests.tokenizers.corpus import CORPUS, random_strings
from zoo.errors import TokenizerError
from zoo.tokenizers import Tokenizer, merges, patterns

ByteLevel, Split = pre_tokenizers.ByteLevel, pre_tokenizers.Split
SPLITS = {
    "gpt2": ByteLevel(add_prefix_space=False),
    "roberta": ByteLevel(add_prefix_space=True),
    "smollm": pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(True), ByteLevel(add_prefix_space=False)]
    ),
} | {
    name: pre_tokenizers.Sequence(
        [
            Split(Regex(pattern), "isolated"),
            ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    for name, pattern in (("llama3", patterns.LLAMA3), ("qwen2", patterns.QWEN2))
}


@pytest.mark.parametrize("name", SPLITS)
def test_ids_are_those_of_the_reference(byte_level, compare, strings, name):
    byte_level.pre_tokenizer = SPLITS[name]
    compare(byte_level, strings)


def test_the_pattern_of_gpt_4o(byte_level, compare):
    # RE2 runs it at a tenth of the speed of the others: few strings.
    byte_level.pre_tokenizer = pre_tokenizers.Sequence(
        [
            Split(Regex(patterns.O200K), "isolated"),
            ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    compare(byte_level, random_strings(100, seed=1, longest=30) + CORPUS)


def test_vocab_json_with_merges_txt(byte_level, strings):
    model = json.loads(byte_level.to_str())["model"]
    lines = ["#version: 0.2", *(" ".join(pair) for pair in model["merges"]), ""]
    old = Tokenizer.from_files(
        {
            "vocab.json": json.dumps(model["vocab"]).encode(),
            "merges.txt": "\n".join(lines).encode(),
        }
    )
    found = old(strings, padding=None, truncation=None)["input_ids"].to_list()
    assert found == [e.ids for e in byte_level.encode_batch(strings)]
    assert old.eos_token == "<|endoftext|>" and old.eos_token_id == 0


ALPHABET = sorted(ByteLevel.alphabet())


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_any_set_of_merges_gives_the_ids_of_the_reference(compare, data):
    """Also merges that no training makes: unreachable pieces, two ways to one piece."""
    pieces, rules = list("abc"), []
    for _ in range(data.draw(st.integers(1, 14))):
        pair = (data.draw(st.sampled_from(pieces)), data.draw(st.sampled_from(pieces)))
        if pair not in rules and len("".join(pair)) < 9:
            rules.append(pair)
            pieces.append("".join(pair))
    vocabulary = {p: i for i, p in enumerate(dict.fromkeys(ALPHABET + pieces))}
    whole = data.draw(st.booleans())
    model = tokenizers.models.BPE(vocabulary, rules, ignore_merges=whole)
    reference = tokenizers.Tokenizer(model)
    reference.pre_tokenizer = ByteLevel(add_prefix_space=False)
    reference.decoder = tokenizers.decoders.ByteLevel()
    chance = np.random.default_rng(data.draw(st.integers(0, 9)))
    words = ["".join(chance.choice(list("abc"), n)) for n in chance.integers(1, 12, 60)]
    compare(reference, words)


def test_a_piece_is_reached_only_by_the_merges_of_its_own_text():
    vocabulary = {"a": 0, "b": 1, "c": 2, "bc": 3, "ab": 4, "abc": 5}
    found = merges.read(["b c", "a b", "ab c"], vocabulary)
    spellings = {3: (1, 2), 4: (0, 1), 5: (0, 1, 2)}
    assert merges.ranks(spellings, found) == {3: 0, 4: 1}  # "abc" ends as a, bc


@pytest.mark.parametrize(
    "rules, match",
    [
        (["a  b"], "not a pair"),
        (["a"], "not a pair"),
        ([["a", 1]], "not a pair"),
        (["a z"], "'z' is not in the vocabulary"),
        (["b a"], "'ba' is not in the vocabulary"),
        ("a b", "expected a list"),
    ],
)
def test_a_bad_merge_is_named(rules, match):
    with pytest.raises(TokenizerError, match=match):
        merges.read(rules, {"a": 0, "b": 1, "ab": 2})
