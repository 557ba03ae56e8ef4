"""The forecaster on what it may meet: nothing, the same, bursts, gaps, days, and clocks that err."""

import math
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotlight.policy.forecast import BIN, DAY, Forecast, bin_rate, chance, expected, prewarm_at, saw

HOUR, DAYS = 3600.0, 86400.0


def taught(*bins: float, start: float = 0.0, phase: float = 0.0) -> Forecast:
    """That many arrivals in each bin from `start` on; the clock stands at the end of the last."""
    f = Forecast(phase=phase)
    for i, count in enumerate(bins):
        saw(f, start + i * BIN, count)
    saw(f, start + len(bins) * BIN, 0.0)
    return f


def office(days: int, per_bin: float = 30.0, shift: float = 0.0) -> Forecast:
    """Traffic from 8:00 to 10:00 every day, and none else; the clock stands at midnight."""
    day = [per_bin if 96 <= i < 120 else 0.0 for i in range(DAY)]
    return taught(*day * days, start=shift, phase=shift)


# -- what it forecasts -----------------------------------------------------------------------------------------------


def test_who_saw_nothing_expects_nothing():
    for f in (Forecast(), taught(*[0.0] * 400)):
        assert expected(f, 1e5, HOUR) == 0.0 == bin_rate(f, 1e5) == chance(f, 1e5, HOUR)
        assert not prewarm_at(f, 2e5, 40.0, 0.0, 1.0)


def test_steady_traffic_is_expected_to_go_on():
    f = taught(*[12.0] * 300)
    assert expected(f, f.now, BIN) == pytest.approx(12.0, rel=0.02)
    assert expected(f, f.now, HOUR) == pytest.approx(144.0, rel=0.02)
    assert expected(f, f.now + 100.0, 60.0) == pytest.approx(2.4, rel=0.02)
    assert bin_rate(f, f.now) == pytest.approx(12.0 / BIN, rel=0.02)


def test_a_day_of_steady_traffic_is_expected_for_longer_than_a_day():
    f = taught(*[12.0] * 300)
    assert expected(f, f.now, 30 * DAYS) == pytest.approx(12.0 * DAY * 30, rel=0.05)


def test_a_change_is_followed_within_minutes():
    f = taught(*[10.0] * 600, *[100.0] * 4)
    assert 80 < expected(f, f.now, BIN) <= 100
    f = taught(*[10.0] * 600, *[0.0] * 4)
    assert expected(f, f.now, BIN) < 3


def test_the_bin_under_way_counts():
    f = taught(*[1.0] * 100)
    before = expected(f, f.now, BIN)
    saw(f, f.now + 60.0, 50.0)
    assert expected(f, f.now, BIN) > 10 * before


def test_a_quiet_bin_under_way_counts_too():
    f = taught(*[20.0] * 100)
    before = expected(f, f.now, BIN)
    saw(f, f.now + 200.0, 0.0)
    assert expected(f, f.now, BIN) < before


def test_a_single_spike_is_forgotten_in_hours():
    f = taught(*[0.0] * 100, 1000.0, *[0.0] * 144)
    assert expected(f, f.now, BIN) < 5.0


def test_a_spike_does_not_make_its_time_of_day_busy():
    f = taught(*[1.0] * 300, 1000.0, *[1.0] * (4 * DAY))
    spike = 300 * BIN + math.ceil((f.now - 300 * BIN) / DAYS) * DAYS
    assert expected(f, spike, BIN) < 50.0


def test_after_three_days_it_sees_the_morning():
    f = office(3)
    midnight = f.now
    assert expected(f, midnight + 8 * HOUR, BIN) > 10.0
    assert expected(f, midnight + 8 * HOUR, 2 * HOUR) > 10 * expected(f, midnight + 4 * HOUR, 2 * HOUR)
    saw(f, midnight + 8 * HOUR, 0.0)
    assert expected(f, f.now, BIN) > 10.0
    assert chance(f, f.now, BIN) > 0.25


def test_the_more_days_the_surer():
    mornings = [expected(f, f.now + 8 * HOUR, BIN) for f in (office(1), office(3), office(8))]
    assert mornings[0] < mornings[1] < mornings[2] <= 31.0


def test_it_sees_the_evening_end():
    f = office(10)
    for i in range(96, 120):
        saw(f, 10 * DAYS + i * BIN, 30.0)
    saw(f, 10 * DAYS + 10 * HOUR, 0.0)
    assert expected(f, f.now, BIN) < 15.0  # two moving averages alone would say 25 and more


def test_the_day_begins_where_the_phase_says():
    one, other = office(4), office(4, shift=12_345.0)
    assert expected(one, one.now + 8 * HOUR, HOUR) == pytest.approx(
        expected(other, other.now + 8 * HOUR, HOUR)
    )


def test_a_free_weekend_is_seen_after_some_weeks():
    week = [30.0 if day < 5 and 96 <= i < 120 else 0.0 for day in range(7) for i in range(DAY)]
    f = taught(*week * 6)
    monday, saturday = f.now + 8 * HOUR, f.now + 5 * DAYS + 8 * HOUR
    assert expected(f, saturday, 2 * HOUR) < 0.6 * expected(f, monday, 2 * HOUR)


def test_noise_is_not_taken_for_a_rhythm():
    noise = [float((i * 7919) % 13) for i in range(8 * DAY)]  # no period of a day
    f = taught(*noise)
    for i in range(0, DAY, 12):
        assert expected(f, f.now + i * BIN, BIN) == pytest.approx(6.0, abs=3.0)


# -- gaps and clocks -------------------------------------------------------------------------------------------------


def test_after_a_week_of_silence_little_is_expected_and_traffic_is_learned_anew():
    f = taught(*[20.0] * 600)
    saw(f, f.now + 7 * DAYS, 0.0)
    assert 0.0 <= expected(f, f.now, BIN) < 1.0
    for _ in range(12):
        saw(f, f.now + BIN, 20.0)
    assert expected(f, f.now, BIN) == pytest.approx(20.0, rel=0.3)


def test_a_week_of_silence_leaves_about_what_its_bins_one_by_one_leave():
    f, g = office(5), office(5)
    end = f.now + 7 * DAYS
    saw(f, end, 0.0)
    while g.now < end:
        saw(g, g.now + BIN, 0.0)
    assert f.began == g.began
    assert f.seen.fast == pytest.approx(g.seen.fast, abs=0.01)
    morning = [expected(x, end + 8 * HOUR, BIN) for x in (f, g)]
    assert abs(morning[0] - morning[1]) < 3.0


def test_however_long_the_gap_it_is_caught_up_in_the_steps_of_a_day(monkeypatch: pytest.MonkeyPatch):
    from pilotlight.policy import forecast

    learned: list[float] = []
    real = forecast._learn
    monkeypatch.setattr(forecast, "_learn", lambda f, number, n: (learned.append(n), real(f, number, n)))
    f = taught(5.0, 5.0)
    learned.clear()
    saw(f, 1e15)
    assert len(learned) == DAY + 1


def test_a_clock_that_goes_back_is_no_error_and_teaches_nothing():
    f = taught(*[10.0] * 100)
    before = expected(f, f.now, BIN)
    saw(f, 50 * BIN, 1.0)
    assert expected(f, f.now, BIN) == pytest.approx(before, rel=1.0)
    assert f.bins == 100
    for i in range(51, 60):
        saw(f, i * BIN, 10.0)
    assert f.bins == 109 and expected(f, f.now, BIN) == pytest.approx(10.0, rel=0.2)


def test_a_time_just_before_the_bin_counts_in_it():
    f = taught(*[10.0] * 10)
    saw(f, f.now - 1.0, 3.0)
    assert (f.count, f.bins, f.now) == (3.0, 10, 10 * BIN)


@pytest.mark.parametrize("at", [math.inf, -math.inf, math.nan])
def test_a_moment_that_is_none_is_ignored(at: float):
    f = taught(*[10.0] * 10)
    saw(f, at)
    assert (f.count, f.bins) == (0.0, 10)
    assert expected(f, at, BIN) == 0.0 and not prewarm_at(f, at, 40.0, 0.001, 1.0)
    fresh = Forecast()
    saw(fresh, at)
    assert fresh.began is None


@pytest.mark.parametrize("horizon", [0.0, -5.0, math.nan])
def test_no_time_has_no_arrivals(horizon: float):
    f = taught(*[10.0] * 10)
    assert expected(f, f.now, horizon) == 0.0 == chance(f, f.now, horizon)


times = st.floats(allow_nan=True, allow_infinity=True) | st.floats(0, 1e6) | st.floats(1.7e9, 1.8e9)


@settings(deadline=None)
@given(st.lists(st.tuples(times, st.floats(0, 1e9)), max_size=20), times, times)
def test_it_never_fails_and_never_expects_less_than_nothing(
    calls: list[tuple[float, float]], at: float, horizon: float
):
    f = Forecast()
    for moment, n in calls:
        saw(f, moment, n)
    for moment in (at, f.now):
        assert 0.0 <= expected(f, moment, horizon) < math.inf
        assert 0.0 <= bin_rate(f, moment) < math.inf
        assert 0.0 <= chance(f, moment, horizon) <= 1.0
        prewarm_at(f, moment, horizon, 1.0, 1.0)


def test_asking_changes_nothing():
    f = office(3)
    first = expected(f, f.now, HOUR)
    expected(f, f.now + 5 * DAYS, DAYS)
    assert expected(f, f.now, HOUR) == first


def test_it_is_small():
    new, old = Forecast(), taught(*[5.0] * 3000)
    assert new.day is None and new.week is None
    parts = (old, old.seen, old.held, old.follow, old.rhythm, old.day, old.week)
    assert sum(sys.getsizeof(part) for part in parts) < 10_000


# -- whether it pays -------------------------------------------------------------------------------------------------


def test_a_replica_is_begun_ahead_when_its_idling_is_cheaper_than_the_cold_start_it_saves():
    f = taught(*[2.0] * 300)
    any_ = 1 - math.exp(-expected(f, f.now + 40.0, BIN))
    break_even = any_ / (40.0 + BIN)  # for a cold request at 1
    assert prewarm_at(f, f.now, 40.0, 0.99 * break_even, 1.0)
    assert not prewarm_at(f, f.now, 40.0, 1.01 * break_even, 1.0)


def test_it_pays_less_the_longer_the_start_and_never_when_a_cold_request_costs_nothing():
    f = taught(*[2.0] * 300)
    assert prewarm_at(f, f.now, 5.0, 0.002, 1.0)
    assert not prewarm_at(f, f.now, 400.0, 0.002, 1.0)
    assert not prewarm_at(f, f.now, 5.0, 0.0, 0.0)
    assert not prewarm_at(f, f.now, math.inf, 0.002, 1.0)


def test_the_morning_is_begun_before_it_comes():
    f = office(6)
    eight = f.now + 8 * HOUR
    assert not prewarm_at(f, eight - 4 * HOUR, 40.0, 0.0007, 1.0)
    assert prewarm_at(f, eight - 40.0, 40.0, 0.0007, 1.0)


def test_rare_large_bursts_are_no_steady_trickle():
    """Two hundred requests every hundred bins are as many as two a bin, and yet hardly any bin has one."""
    bursts = taught(*([200.0] + [0.0] * 99) * 14, *[0.0] * 40)
    trickle = taught(*[2.0] * 1440)
    assert chance(trickle, trickle.now, BIN) > 0.8
    late = bursts.now
    assert expected(bursts, late, BIN) > 0 and chance(bursts, late, BIN) < 0.1


def test_time_that_passed_unseen_is_taken_for_silence():
    f = taught(*[10.0] * 100)
    assert prewarm_at(f, f.now, 5.0, 0.001, 1.0)
    assert not prewarm_at(f, f.now + 20 * HOUR, 5.0, 0.001, 1.0)
    assert f.bins > 300


# -- whatever the traffic --------------------------------------------------------------------------------------------

BINS = st.lists(st.sampled_from([0.0, 0.0, 1.0, 7.0, 300.0]), min_size=1, max_size=40)
"""Arrivals per bin; repeated for days, they have a rhythm or none."""


def lived(bins: list[float], repeated: int, times: float = 1.0) -> Forecast:
    return taught(*[times * n for n in bins] * repeated)


@settings(deadline=None, max_examples=200)
@given(BINS, st.integers(1, 60), st.floats(0.0, 299.0), st.integers(0, 50), st.integers(1, 500))
def test_more_of_them_in_the_minutes_under_way_never_lowers_what_is_expected(
    bins: list[float], repeated: int, later: float, some: int, more: int
):
    f, g = lived(bins, repeated), lived(bins, repeated)
    saw(f, f.now + later, some)
    saw(g, g.now + later, some + more)
    for ahead in (0.0, 40.0, HOUR, DAYS):
        assert expected(g, g.now + ahead, BIN) >= expected(f, f.now + ahead, BIN) - 1e-9
        assert chance(g, g.now + ahead, BIN) >= chance(f, f.now + ahead, BIN) - 1e-9


@settings(deadline=None, max_examples=200)
@given(BINS, st.integers(1, 60), st.floats(1.0, 20.0))
def test_so_many_times_the_traffic_is_expected_as_many_times(bins: list[float], repeated: int, times: float):
    f, g = lived(bins, repeated), lived(bins, repeated, times)
    for ahead in (0.0, HOUR, DAYS):
        before = expected(f, f.now + ahead, BIN)
        assert expected(g, g.now + ahead, BIN) == pytest.approx(times * before, rel=1e-4, abs=1e-4)
        assert chance(g, g.now + ahead, BIN) >= chance(f, f.now + ahead, BIN) - 1e-4


@settings(deadline=None, max_examples=100)
@given(BINS, st.integers(1, 60), st.floats(7 * DAYS, 60 * DAYS))
def test_a_week_of_silence_never_has_more_expected_than_ever_came(
    bins: list[float], repeated: int, silent: float
):
    f = lived(bins, repeated)
    before = max(expected(f, f.now + i * BIN, BIN) for i in range(DAY))
    saw(f, f.now + silent, 0.0)
    for i in range(DAY):
        assert 0.0 <= expected(f, f.now + i * BIN, BIN) <= max(bins) + 1e-9
    assert expected(f, f.now, DAYS) <= DAY * before + 1e-9


PRICES = st.floats(0.0, 10.0)


@settings(deadline=None, max_examples=100)
@given(BINS, st.integers(1, 5), st.floats(0.0, 600.0), PRICES, PRICES, PRICES, PRICES)
def test_the_dearer_a_cold_request_and_the_cheaper_idling_the_sooner_it_pays(
    bins: list[float], repeated: int, start: float, idle: float, less: float, cold: float, more: float
):
    f = lived(bins, repeated)
    if prewarm_at(f, f.now, start, idle + less, cold):
        assert prewarm_at(f, f.now, start, idle, cold + more)
    assert not prewarm_at(f, f.now, start, idle, 0.0)
