"""The peak is measured once, and is one that a machine can have."""

import time

from zoo.training import peak


def test_a_product_is_measured_once_and_not_faster_than_it_runs(monkeypatch):
    monkeypatch.setattr(peak, "LONG_ENOUGH", 0.002)
    peak.measured_peak.cache_clear()
    try:
        found = peak.measured_peak("float32")
        assert 1e8 < found < 1e16
        began = time.perf_counter()
        assert peak.measured_peak("float32") == found
        assert time.perf_counter() - began < 0.01
    finally:
        peak.measured_peak.cache_clear()


def test_the_fastest_run_counts_and_matrices_grow_until_it_takes_long_enough(
    monkeypatch,
):
    asked = []

    def seconds(rows, dtype):
        asked.append(rows)
        return rows**3 / 1e10 * (1.5 if len(asked) % 2 else 1.0)

    monkeypatch.setattr(peak, "_seconds", seconds)
    assert peak.measured_peak.__wrapped__("bfloat16") == 2e10
    assert asked[:3] == [256, 512, 1024] and set(asked[3:]) == {1024}
