"""How much of the time there is work for a level."""

from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotlight.fleet.demand import Level, empty_gaps
from pilotlight.policy.working import pass_time


def level(**fields: float) -> Level:
    return Level(empty_gaps(), 0.0, horizon=100.0, **fields)


def seen(of: Level) -> tuple[float, float, float]:
    return of.over, of.busy_seconds, of.spells


def test_by_hand_what_was_seen_before_fades_and_what_is_new_counts():
    """In one horizon: what was before counts for e times less, and 30 s busy and 4 spells of 100 s for the rest."""
    of = level(over=80.0, busy_seconds=40.0, spells=8.0, as_of=1000.0, new_busy=30.0, new_spells=4)
    pass_time(of, 1100.0)
    old, new = exp(-1.0), 100.0 * (1.0 - exp(-1.0))
    assert seen(of) == pytest.approx((80.0 * old + new, 40.0 * old + 0.3 * new, 8.0 * old + 0.04 * new))
    assert (of.new_busy, of.new_spells, of.as_of) == (0.0, 0, 1100.0)


@pytest.mark.parametrize(("guessed", "share"), [(False, 0.7), (True, 0.1)])
def test_a_spell_that_goes_on_counts_so_far_unless_it_was_guessed(guessed: bool, share: float):
    of = level(as_of=1000.0, new_busy=10.0, busy_since=1040.0)
    of.busy, of.guessed = True, guessed
    pass_time(of, 1100.0)
    assert of.busy_seconds == pytest.approx(share * of.over)


def test_where_no_time_has_passed_or_the_clock_is_behind_nothing_is_lost():
    for now in (1000.0, 900.0):
        of = level(over=80.0, busy_seconds=40.0, spells=8.0, as_of=1000.0, new_busy=3.0, new_spells=4)
        pass_time(of, now)
        assert seen(of) == (80.0, 40.0, 8.0)
        assert (of.new_busy, of.new_spells, of.as_of) == (3.0, 4, 1000.0)


@given(st.lists(st.floats(0.0, 500.0), max_size=20), st.booleans())
def test_however_often_it_is_looked_at_the_same_comes_out(steps: list[float], busy: bool):
    often, once = (level(over=80.0, busy_seconds=40.0, spells=8.0) for _ in range(2))
    often.busy = once.busy = busy
    now = 0.0
    for step in steps:
        now += step
        pass_time(often, now)
        assert 0.0 <= often.busy_seconds <= often.over <= often.horizon
    pass_time(once, now)
    assert seen(often) == pytest.approx(seen(once), rel=1e-6, abs=1e-6)
