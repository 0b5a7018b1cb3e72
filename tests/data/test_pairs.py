"""Translations are one of each source; descriptions one of each first paragraph."""

import pytest

from zoo.data.pairs import interface_texts, one_of_each, read_descriptions
from zoo.errors import InputError


def test_each_source_comes_once_with_its_most_frequent_translation():
    pairs = [
        ("Turn on", "Ein"),
        ("turn  on.", "Einschalten"),
        ("Turn on", "Einschalten"),
        ("Turn on", "Einschalten"),
        ("Turn off", "Ausschalten"),
        ("IP", "IP"),  # left in English
        ("12:30", "12.30"),
        ("Long", "x" * 300),
    ]
    assert one_of_each(pairs) == (
        ["Turn on", "Turn off"],
        ["Einschalten", "Ausschalten"],
    )


def test_of_packages_of_one_program_the_first_description_is_kept():
    first = "A game about ships that sail the seas, and of their crews."
    text = (
        f"Package: a\nDescription-md5: 1\nDescription-en: game of ships\n {first}\n\n"
        f"Package: a-data\nDescription-md5: 2\nDescription-en: game of ships (data)\n"
        f" {first}\n .\n These are its data.\n\n"
        "Package: b\nDescription-md5: 3\nDescription-en: a tool\n Short.\n\n"
        "Package: c\nDescription-md5: 4\nDescription-en: library for maps\n"
        " Maps of all kinds are drawn by\n this library.\n .\n  * fast\n  * small\n"
    )
    long, short = read_descriptions(text)
    assert short == ["game of ships", "library for maps"]
    assert long[1] == "Maps of all kinds are drawn by this library. * fast * small"


def test_a_language_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="expected one of de, zh"):
        interface_texts("fr")


@pytest.mark.download
@pytest.mark.parametrize("language", ["de", "zh"])
def test_the_real_pairs_are_many(language):
    sources, targets = interface_texts(language)
    assert len(sources) == len(targets) == len(set(sources)) > 25_000
