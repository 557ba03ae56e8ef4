import numpy as np
import pytest

from pilotlight.sim.result import WINDOW, waits, windows_of

BAND = (0.02, 0.05)


def cold(*per_window: int, rest: int = 0) -> np.ndarray:
    return np.concatenate([np.arange(WINDOW) < n for n in per_window] + [np.ones(rest, bool)])


def test_windows_in_and_above_the_band_are_shares_with_both_edges_in_it():
    assert windows_of(cold(19, 20, 50, 51), BAND) == (0.5, 0.25, 4)


def test_a_last_window_that_is_not_full_is_dropped():
    assert windows_of(cold(30, rest=999), BAND) == (1.0, 0.0, 1)


def test_without_a_window_there_is_no_share():
    assert windows_of(cold(rest=999), BAND) == (None, None, 0)


def test_percentiles_are_of_the_requests_and_none_lies_between_two():
    ttft = np.array([1.0, 2.0, 3.0, 100.0])
    found = waits(ttft, np.zeros(4, np.int32), ["m"], 2.0, BAND)
    assert (found.p50, found.p95, found.p99) == (2.0, 100.0, 100.0)
    assert found.cold_rate == 0.5, "as long as the limit is not longer"


def test_a_model_without_requests_has_no_rate():
    ttft, model = np.array([1.0, 5.0, 5.0]), np.array([0, 0, 2], np.int32)
    assert waits(ttft, model, ["a", "b", "c"], 2.0, BAND).by_model == {"a": 0.5, "c": 1.0}


def test_nothing_counted_has_no_figures():
    found = waits(np.array([]), np.array([], np.int32), ["a"], 2.0, BAND)
    assert (found.requests, found.cold_rate, found.p99, found.by_model) == (0, None, None, {})


def test_the_cold_rate_is_that_of_all_requests():
    rng = np.random.default_rng(0)
    ttft, model = rng.exponential(1.0, 5000), rng.integers(0, 7, 5000).astype(np.int32)
    found = waits(ttft, model, [str(i) for i in range(7)], 2.0, BAND)
    counts = np.bincount(model, minlength=7)
    assert found.cold_rate == pytest.approx(
        sum(r * c for r, c in zip(found.by_model.values(), counts, strict=True)) / 5000
    )
