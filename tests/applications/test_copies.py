"""Copies among texts are left out, and counted."""

from applications.copies import without_copies
from zoo.tasks.examples.sets import ExampleSet


def test_copies_and_contradictions_are_left_out_and_counted(capsys):
    texts = ["很好！", "很好。", "一 般", "一般", "太差", "还行", "！", "？"]
    labels = ["+", "+", "+", "-", "-", "+", "+", "-"]
    kept = without_copies(ExampleSet(texts, labels))
    assert kept.inputs == ["很好！", "太差", "还行", "！", "？"]
    assert kept.answers == ["+", "-", "+", "+", "-"]
    assert "3 left out" in capsys.readouterr().out
    held_out = ExampleSet(["太，差"], ["-"])
    kept = without_copies(kept, held_out)
    assert "太差" not in kept.inputs and len(kept) == 4
