import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotlight.cost.levels import Levels, Spells, scale_to_zero


def played(slots: int, requests: list[tuple[float, float]], until: float) -> Spells:
    levels = Levels(slots)
    events = sorted([(b, 1) for b, e in requests if e > b] + [(e, -1) for b, e in requests if e > b])
    for at, change in events:
        levels.began(at) if change > 0 else levels.ended(at)
    return levels.take(until)


def test_a_second_replica_is_needed_while_the_first_is_full():
    found = played(2, [(0, 10), (1, 10), (4, 6)], 20)
    assert (found.busy, found.spells, found.peak) == (10 + 2, 2, 2)


def test_each_gap_begins_another_spell():
    found = played(1, [(0, 1), (5, 6), (6, 7)], 20)
    assert (found.busy, found.spells, found.peak) == (3, 3, 1)


def test_what_is_busy_is_counted_up_to_now_and_is_no_new_spell_later():
    levels = Levels(1)
    levels.began(0.0)
    first = levels.take(4.0)
    levels.ended(10.0)
    second = levels.take(10.0)
    assert (first.busy, first.spells, first.peak) == (4, 1, 1)
    assert (second.busy, second.spells, second.peak) == (6, 0, 1)
    assert levels.take(11.0) == Spells()


def test_other_slots_hold_from_then_on():
    levels = Levels(1)
    for _ in range(4):
        levels.began(0.0)
    levels.resize(4, 5.0)
    for _ in range(4):
        levels.ended(7.0)
    found = levels.take(9.0)
    assert (found.busy, found.peak) == (4 * 5 + 2, 4)


@given(
    slots=st.integers(1, 4),
    spans=st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), max_size=30),
)
def test_busy_seconds_are_those_of_the_replicas_that_the_traffic_needs(
    slots: int, spans: list[tuple[int, int]]
) -> None:
    requests = [(float(b), float(b + d)) for b, d in spans]
    found = played(slots, requests, 100.0)
    needed = [-(-sum(b <= t < e for b, e in requests) // slots) for t in range(100)]
    assert found.busy == pytest.approx(sum(needed))
    assert found.peak == max(needed)


def test_what_it_would_have_cost_by_hand():
    spells = Spells(busy=100.0, spells=3, peak=2)
    assert scale_to_zero(spells, 40.0, 0.01, 2) == pytest.approx((100 + 3 * 40) * 0.02)
