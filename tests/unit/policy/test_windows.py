"""What more a cold request counts for while windows are above the band."""

from collections.abc import Callable
from math import exp, inf
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotlight.fleet.demand import Windows
from pilotlight.fleet.deployment import Goal
from pilotlight.policy import windows

GOAL = Goal(low=0.02, high=0.05)
PRICE = 0.01


def window(w: Windows, cold: int, times: float = 2.0) -> None:
    """One whole window, in which so many would have been warm at `times` the price."""
    for _ in range(cold):
        windows.was_cold(w, times * PRICE, PRICE)
    for _ in range(windows.WINDOW // 200):
        windows.came(w, GOAL, 200)


def inside_until(w: Windows, done: Callable[[], bool]) -> int:
    """Windows without a cold one until then; 1,000 at most."""
    for n in range(1000):
        if done():
            return n
        window(w, 0)
    return 1000


def grown() -> Windows:
    return Windows(seen=windows.YOUNG)


def test_traffic_that_has_just_begun_is_not_judged():
    w = Windows()
    for i in range(10):
        window(w, 900, inf if i % 2 else 2.0)
    assert (windows.stretch(w), w.in_vain, w.seen) == (1.0, False, 10)
    assert (w.judged, w.lost) == (0.0, 0.0)
    window(w, 900)
    assert windows.stretch(w) > 60.0, "the eleventh is"


@pytest.mark.parametrize(("cold", "above"), [(0, False), (50, False), (51, True), (1000, True)])
def test_a_window_is_above_with_more_cold_ones_than_the_band_allows(cold: int, above: bool):
    w = grown()
    window(w, cold)
    assert windows.stretch(w) == (pytest.approx(exp(4.2 * 0.99)) if above else 1.0)


def test_a_flood_is_one_window_and_may_have_its_share_of_all_that_it_brought():
    for cold, above in [(100, False), (101, True)]:
        w = grown()
        for _ in range(cold):
            windows.was_cold(w, 2.0 * PRICE, PRICE)
        assert windows.came(w, GOAL, 2000)
        assert (windows.stretch(w) > 1.0) is above


def test_each_window_begins_anew():
    w = grown()
    for _ in range(10):
        window(w, 49)
    assert windows.stretch(w) == 1.0
    assert (w.requests, w.dear, w.hopeless) == (0, 0, 0)


def test_99_windows_inside_take_back_what_one_above_has_given():
    w = grown()
    window(w, 60)
    assert windows.stretch(w) > 60.0
    for _ in range(98):
        window(w, 0)
        assert windows.stretch(w) > 1.0
    window(w, 0)
    assert windows.stretch(w) == pytest.approx(1.0)


def test_it_has_an_upper_bound_and_what_it_owes_has_one():
    w = grown()
    for _ in range(5):
        window(w, 1000)
    assert windows.stretch(w) == windows.UTMOST
    assert inside_until(w, lambda: windows.stretch(w) == 1.0) == 165, (
        "however many were above: a thousandfold, by 4.2 % each"
    )


def test_it_goes_no_further_than_is_affordable_and_says_so():
    w = grown()
    window(w, 1000)
    assert windows.because(w).endswith("it counts 63.9 times as much")
    w.affordable = 5.0
    assert windows.stretch(w) == 5.0
    assert windows.because(w).endswith(f"it counts 5 times as much, and {NO_MORE}")
    w.affordable = 1.0
    assert windows.stretch(w) == 1.0
    assert windows.because(w).endswith(f"of late: it counts {NO_MORE}")
    window(w, 1000)
    w.affordable = windows.UTMOST
    assert windows.because(w).endswith("it counts 64 times as much"), "the utmost is not for the money"
    w.grown, w.affordable = 30.0, 60.0
    assert windows.because(w).endswith("it counts 30 times as much")
    w.grown = 1.0
    assert windows.because(w) == ""


NO_MORE = "no more, for that would add too much to what the replicas cost"


def test_it_says_when_a_window_is_over():
    w = Windows()
    assert [windows.came(w, GOAL, 400) for _ in range(6)] == [False, False, True, False, False, True]


@pytest.mark.parametrize("spread", [0.3, 0.7, 1.0])
def test_in_the_long_run_the_share_above_is_what_is_aimed_at(spread: float):
    """Each window would be inside from some stretch on, that it draws."""
    dice, w, above = Random(1), grown(), 0
    for _ in range(5000):
        is_above = windows.stretch(w) < dice.lognormvariate(0.5, spread)
        above += is_above
        window(w, 60 if is_above else 5)
    assert above / 5000 == pytest.approx(windows.AIM, abs=0.01)


LOST = windows.HELPS * 1.01
"""Times the price, at which a request counts for one that nothing would have spared."""


@pytest.mark.parametrize(("times", "lost"), [(15.9, False), (16.0, False), (16.1, True)])
def test_up_to_sixteen_times_the_price_is_taken_to_help(times: float, lost: bool):
    w = grown()
    window(w, 51, times)
    assert (w.lost == 1.0) is lost
    assert (windows.stretch(w) > 1.0) is not lost


def test_where_no_price_helps_nothing_is_paid():
    w = grown()
    for i in range(200):
        window(w, 60, LOST if i % 20 == 0 else 2.0)
        assert i < 40 or windows.stretch(w) == 1.0, "one in twenty is lost"
    assert "no price would have kept 1,000 requests in a row inside it" in windows.because(w)


def test_one_lost_window_among_many_is_no_reason_to_give_up():
    w = grown()
    window(w, 60, LOST)
    for _ in range(40):
        assert not w.in_vain
        window(w, 60)
    window(w, 60, LOST)
    assert not w.in_vain and windows.stretch(w) > 60.0
    window(w, 60, LOST)
    assert w.in_vain and windows.stretch(w) == 1.0, "three of 43 are"


def test_once_few_enough_are_lost_it_goes_on_from_where_it_was():
    w = grown()
    window(w, 60)
    before = windows.stretch(w)
    window(w, 60, LOST), window(w, 60, LOST)
    assert (w.in_vain, windows.stretch(w)) == (True, 1.0)
    n = inside_until(w, lambda: not w.in_vain)
    assert n == 28, "1.9 of 31, where 1 and 3 % are none too many"
    assert windows.stretch(w) == pytest.approx(before * exp(-4.2 * windows.AIM * n))


def test_lost_windows_of_long_ago_are_forgotten():
    w = grown()
    for _ in range(100):
        window(w, 60, LOST)
    for _ in range(2000):
        window(w, 0)
    window(w, 60)
    assert not w.in_vain and windows.stretch(w) > 60.0 and w.lost < 2.0


def test_a_few_that_no_price_spares_are_not_a_lost_window():
    w = grown()
    for _ in range(50):
        windows.was_cold(w, inf, PRICE)
    window(w, 1)
    assert windows.stretch(w) > 60.0 and not w.in_vain


@given(st.lists(st.tuples(st.integers(0, 400), st.floats(0, 1e9) | st.just(inf)), max_size=60))
def test_it_stays_between_one_and_its_utmost(of: list[tuple[int, float]]):
    w = Windows()
    for cold, times in of:
        window(w, cold, times)
        assert 1.0 <= windows.stretch(w) <= windows.UTMOST
        assert 0.0 <= w.lost <= w.judged <= windows.MEMORY
        assert not w.in_vain or windows.stretch(w) == 1.0


def test_with_a_price_of_nothing_nothing_is_stretched():
    w = grown()
    for _ in range(200):
        windows.was_cold(w, 1e-9, 0.0)
        windows.came(w, GOAL, windows.WINDOW // 100)
    assert (windows.stretch(w), w.in_vain) == (1.0, True)
