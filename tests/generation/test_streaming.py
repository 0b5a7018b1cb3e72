"""Streaming: pieces are whole characters, and together they are the text."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.generation import tiny
from tests.generation.tables import ends_at
from zoo.errors import InputError
from zoo.generation.results import continuations
from zoo.generation.stopping import StopTable
from zoo.generation.streaming import BROKEN, chunk_size, finished, pieces
from zoo.tokenizers.decoders import Spelling

TEXTS = st.text(st.sampled_from("ab <>猫é\u0301👩\u200d👧🇨🇳\n\ufffd"), max_size=12)
FIRST = 3  # ids below are special, and not shown
BYTES = np.array([b""] * FIRST + [bytes([byte]) for byte in range(256)], object)
SPELLING = Spelling(BYTES, BYTES, np.arange(256 + FIRST) >= FIRST, (b"", 0))


def decode(rows):
    """Each id from FIRST on is a byte, as in a byte-level tokenizer."""
    return [
        bytes(i - FIRST for i in row if i >= FIRST).decode("utf-8", "replace")
        for row in rows
    ]


def encode(text):
    return [byte + FIRST for byte in text.encode()]


def growing(ids, sizes):
    """What is written, a few ids more each time; sizes come round again."""
    end = 0
    while end < len(ids):
        for size in sizes:
            end += size
            yield ids[:end]
    yield ids  # a last look that brings nothing new


SIZES = st.lists(st.integers(0, 5), min_size=1, max_size=6).filter(any)


IDS = st.lists(st.integers(0, 255 + FIRST), max_size=16)
# A stop string of U+FFFD would be found in half a character.
STOPS = TEXTS.map(lambda text: text.replace(BROKEN, "")).filter(bool)


@given(TEXTS, TEXTS, SIZES)
def test_pieces_of_a_text_are_whole_characters(prompt, text, sizes):
    found = list(pieces(growing(encode(text), sizes), encode(prompt), decode))
    assert "".join(found) == text
    assert all(found)
    rest = text
    for piece in found:  # half a character would show as another one
        assert rest.startswith(piece)
        rest = rest[len(piece) :]


@given(IDS, IDS, SIZES)
def test_pieces_of_any_tokens_are_the_text_that_is_generated(ids, prompt, sizes):
    found = "".join(pieces(growing(ids, sizes), prompt, decode))
    assert [found] == continuations([(prompt, ids)], decode)


@given(TEXTS, SIZES, st.lists(STOPS, min_size=1, max_size=3))
def test_nothing_is_said_beyond_a_stop_string(text, sizes, stops):
    """Pieces are held back as long as they may begin a stop string."""
    table = StopTable.of(stops, SPELLING, vocab_size=256 + FIRST)

    def written():
        for ids in growing(encode(text), sizes):
            cut = ends_at(table, ids)
            yield ids if cut is None else ids[:cut]
            if cut is not None:
                return

    said = ""
    ends = [text.find(stop) + len(stop) for stop in stops if stop in text]
    wanted = text[: min(ends)] if ends else text
    for piece in pieces(written(), [], decode, stops=stops):
        said += piece
        assert wanted.startswith(said)
    assert said == wanted


def test_a_character_waits_for_its_last_byte():
    ids = encode("猫👩‍👧")
    found = list(pieces(growing(ids, [1]), [], decode))
    assert found == ["猫", "👩", "\u200d", "👧"]


def test_half_a_character_at_the_end_is_shown_as_broken():
    ids = encode("a猫")[:-1]
    assert list(pieces(growing(ids, [1]), [], decode)) == ["a", BROKEN]


def test_text_that_may_become_a_stop_string_is_held_back():
    assert finished("one END", ["ENDE"]) == "one "
    assert finished("one EN", ["ENDE", "N!"]) == "one "
    assert finished("one E!", ["ENDE"]) == "one E!"
    ids = encode("a END b")
    found = list(pieces(growing(ids, [1]), [], decode, stops=["ENDE"]))
    assert found == ["a", " ", "END ", "b"]


def test_ids_are_handed_on_as_they_come():
    written = [[], [5], [5], [5, 6, 7]]
    assert list(pieces(iter(written), [1], None)) == [[5], [6, 7]]


def test_chunks_grow_with_the_cache():
    sizes = [chunk_size(columns) for columns in (8, 256, 1024, 4096, 1 << 20)]
    assert sizes == [4, 4, 16, 64, 64]


# -- With a model


def test_what_is_streamed_is_what_is_generated(caplog):
    caplog.set_level("INFO", "zoo.generation")
    model = tiny.with_texts("grouped", seed=3)
    prompt, options = "猫が好き 👩‍👩‍👧", {"max_new_tokens": 24}
    text = model.generate(prompt, **options)
    found = list(model.generate(prompt, stream=True, **options))
    assert "".join(found) == text and len(found) > 2
    said = [record.getMessage().split(" for ")[0] for record in caplog.records]
    assert said == ["compiling begin", "compiling go"]
    ids = model.tokenizer([prompt])["input_ids"].numpy()[0]
    rows = list(model.generate(ids, stream=True, **options))
    assert [i for row in rows for i in row] == model.generate(ids, **options)
    stop = re.findall("[!-~]{2}", text)[0]  # no half characters
    stopped = list(model.generate(prompt, stream=True, stop_strings=[stop], **options))
    assert "".join(stopped) == model.generate(prompt, stop_strings=[stop], **options)
    assert "".join(stopped).count(stop) == 1
    with pytest.raises(InputError, match="one prompt"):
        model.generate([prompt, prompt], stream=True)
