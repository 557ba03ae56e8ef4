import pytest

from pilotlight.telemetry.cold_rate import ColdRate


def test_nothing_is_known_at_first():
    rate = ColdRate(2.0, 3600.0)
    assert rate.rate(0.0) is None
    assert rate.rate(0.0, "m") is None


def test_only_a_wait_beyond_the_objective_is_cold():
    rate = ColdRate(2.0, 3600.0)
    for wait in (0.0, 0.5, 2.0, 2.001):
        rate.add("m", 1.0, wait)
    assert rate.counts(1.0, "m") == (4, 1)
    assert rate.rate(1.0, "m") == 0.25


def test_by_model_and_overall():
    rate = ColdRate(1.0, 60.0)
    rate.add("a", 0.0, 5.0)
    rate.add("b", 0.0, 0.0)
    assert (rate.rate(0.0, "a"), rate.rate(0.0, "b"), rate.rate(0.0), rate.rate(0.0, "c")) == (
        1.0,
        0.0,
        0.5,
        None,
    )


def test_the_window_slides():
    rate = ColdRate(1.0, 60.0)
    rate.add("m", 0.5, 5.0)
    rate.add("m", 30.5, 0.0)
    assert rate.rate(59.9, "m") == 0.5
    assert rate.rate(60.0, "m") == 0.0
    assert rate.rate(90.0, "m") is None
    assert rate.counts(1000.0) == (0, 0)


def test_memory_does_not_grow_with_traffic():
    rate = ColdRate(1.0, 60.0)
    for i in range(10_000):
        rate.add("m", i * 0.1, 0.0)
    assert len(rate._slots["m"]) <= ColdRate.SLOTS
    assert rate.counts(999.9, "m")[0] == pytest.approx(600, abs=10)
