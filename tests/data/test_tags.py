"""Tags and spans: read as seqeval reads them, and the same after a change of scheme."""

import random
import warnings

import pytest
from seqeval.metrics.sequence_labeling import get_entities

from zoo.data import tags
from zoo.errors import DataError

SENTENCES = {
    "BIO": "B-PER I-PER O B-LOC B-LOC I-LOC".split(),
    "BIOES": "B-PER E-PER O S-LOC B-LOC E-LOC".split(),
    "IOB1": "I-PER I-PER O I-LOC B-LOC I-LOC".split(),
}
SPANS = [("PER", 0, 2), ("LOC", 3, 4), ("LOC", 4, 6)]


@pytest.mark.parametrize("scheme", SENTENCES)
def test_each_scheme_spells_the_same_spans(scheme):
    given = SENTENCES[scheme]
    assert tags.spans(given) == SPANS
    assert tags.scheme_of([given]) == scheme
    for other, wanted in SENTENCES.items():
        assert tags.convert(given, other) == wanted
    assert tags.convert(given, "IO") == "I-PER I-PER O I-LOC I-LOC I-LOC".split()


def test_any_sequence_is_read_as_seqeval_reads_it():
    draw = random.Random(0)
    known = ["O", *(f"{a}-{b}" for a in "BIES" for b in ("X", "Y", "geo-loc"))]
    for _ in range(3000):
        given = draw.choices(known, k=draw.randrange(9))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            wanted = [(kind, a, b + 1) for kind, a, b in get_entities(given)]
        assert tags.spans(given) == wanted, given
        for scheme in ("BIO", "BIOES", "IOB1"):
            assert tags.spans(tags.convert(given, scheme)) == wanted


def test_other_letters_and_bare_types_are_understood():
    assert tags.spans("B-X M-X L-X U-X".split()) == [("X", 0, 3), ("X", 3, 4)]
    assert tags.spans("O PER PER LOC O-".split()) == [
        ("PER", 1, 3),
        ("LOC", 3, 4),
        ("O-", 4, 5),
    ]
    assert tags.scheme_of([["PER", "O"]]) == "IO"
    assert tags.scheme_of([["O"]]) == "BIO"


def test_labels_of_types():
    assert tags.labels(["A", "B"]) == ["O", "B-A", "I-A", "B-B", "I-B"]
    assert tags.labels(["A"], "BIOES") == ["O", "B-A", "I-A", "E-A", "S-A"]
    with pytest.raises(DataError, match="scheme='BILUO': expected one of BIO"):
        tags.labels(["A"], "BILUO")
