"""How far the price of a cold request may be stretched, by what that costs."""

from math import inf

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotlight.fleet.demand import Demand, Frontier, Level, empty_gaps
from pilotlight.fleet.deployment import Goal
from pilotlight.policy import demand as traffic
from pilotlight.policy import surcharge, windows
from unit.policy.play import Play, model

FRONTIER = Frontier(
    stays=(0.0, 10.0, 100.0), worth=(20.0, 200.0), idle=(0.0, 8.0, 40.0), missed=(1.0, 0.5, 0.1)
)
"""With starts of 10 s a gap costs 10, 13 and 41 s, from 0, 20 and 200 s on that a cold spell is worth."""


def level(busy: float, spells: float = 10.0, over: float = 1000.0, frontier: Frontier = FRONTIER) -> Level:
    of = Level(empty_gaps(), 0.0, busy_seconds=busy, spells=spells, over=over, as_of=100.0)
    of.frontier, of.redraw_at = frontier, inf
    return of


def played(*levels: Level, **fields: object) -> Play:
    """A cold request counts for one start, 10 s, before any stretch: a cold spell is worth 10 s and 10 s times that."""
    fields = {"ttl_is_auto": True, "start_seconds": 10.0, "max_replicas": 8} | fields
    p = Play()
    p.goal = Goal(low=0.02, high=0.05, dedicated=0.001, on_demand=0.0025)
    p.configure(model(**fields), memory=64, gpus=(80,) * 8)
    p.fleet.prices.usd = 0.0
    d = p.fleet.deployments["m"]
    d.demand = Demand(list(levels))
    return p


def beside(p: Play, *levels: Level) -> None:
    """Another model."""
    p.configure(p.fleet.deployments["m"].spec, model("n", ttl_is_auto=True, start_seconds=10.0))
    p.fleet.deployments["n"].demand = Demand(list(levels))


def affordable(p: Play) -> float:
    return surcharge.affordable(p.fleet, p.now)


def test_by_hand_it_stops_where_a_long_keep_alive_would_add_too_much():
    """Busy 0.1 s a second, and 13 s for a gap every 100: 0.23. At a stretch of 64 a gap costs
    41 s: 0.51, which is more than 0.4 more; 16 adds nothing."""
    between = (1.4 * 0.23 - 0.23) / (0.51 - 0.23)
    assert affordable(played(level(100.0))) == pytest.approx(16.0 * 4**between)


def test_by_hand_where_it_adds_something_at_every_step():
    """Of the second one the long keep-alive pays from 40 s on: 0.33 and, at 4, 0.38. Together 0.56, 0.61 and 0.89."""
    soon = msgspec.structs.replace(FRONTIER, worth=(20.0, 40.0))
    between = (1.4 * 0.556 - 0.612) / (0.892 - 0.612)
    both = played(level(100.0), level(300.0, spells=2.0, frontier=soon))
    assert affordable(both) == pytest.approx(16.0 * 4**between)


@pytest.mark.parametrize(("busy", "most"), [(900.0, windows.UTMOST), (500.0, 55.8), (0.0, 20.7)])
def test_the_more_there_is_to_pay_anyway_the_further_it_may_go(busy: float, most: float):
    assert affordable(played(level(busy))) == pytest.approx(most, abs=0.2)


def test_all_levels_of_all_deployments_count_together():
    assert affordable(played(level(100.0), level(100.0))) == pytest.approx(affordable(played(level(100.0))))
    assert affordable(played(level(0.0), level(1000.0, spells=0.0))) == windows.UTMOST


def test_what_a_stretch_has_rented_for_long_costs_its_rent():
    """At 4 a spell met cold is worth 50 s: with 0.1 s busy and 0.33 s idle, or waited for, a second it is rented, which
    costs as much as 0.4."""
    between = (1.4 * 0.23 - 0.23) / (0.4 - 0.23)
    assert affordable(played(level(100.0), base=None)) == pytest.approx(4**between)
    assert affordable(played(level(100.0), base=None, gpus=2)) == pytest.approx(4**between), (
        "all twice as dear"
    )
    assert affordable(played(level(200.0), base=None)) == windows.UTMOST, "0.33, and 0.4 at most"


def test_a_model_that_has_too_many_cold_ones_pays_more_for_each_before_any_stretch():
    """Ten times as much: a spell met cold is worth 110 s, and at 4 already 410."""
    p = played(level(100.0))
    p.fleet.deployments["m"].demand.boost = 10.0
    assert affordable(p) == pytest.approx(4 ** ((1.4 * 0.23 - 0.23) / (0.51 - 0.23)))


def test_what_is_affordable_does_not_hang_on_how_far_it_is_stretched_now():
    p = played(level(100.0))
    before = affordable(p)
    p.fleet.prices.windows.grown = 30.0
    assert affordable(p) == before


def test_what_nobody_asks_for_any_more_counts_for_less():
    """0.3 all the time, and 0.23 or 0.51; a day later nothing but the 0.3."""
    steady = level(300.0, spells=0.0)
    steady.busy, steady.busy_since = True, 100.0
    p = played(level(100.0), steady)
    assert affordable(p) == pytest.approx(16.0 * 4 ** (0.4 * 0.53 / 0.28))
    p.wait(86400.0)
    assert affordable(p) == windows.UTMOST


@pytest.mark.parametrize("fields", [{"min_replicas": 1}, {"base": 1}])
def test_what_is_up_in_any_case_costs_its_rent(fields: dict[str, int]):
    """0.4 for the first, and 0.13 for the gaps of the second, or 0.41."""
    between = (1.4 * 0.53 - 0.53) / (0.81 - 0.53)
    assert affordable(played(level(900.0), level(0.0), **fields)) == pytest.approx(16.0 * 4**between)
    silent = played(**fields)
    beside(silent, level(0.0))
    assert affordable(silent) == pytest.approx(16.0 * 4**between), "though nobody asks for it"


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize(("ttl", "gap"), [(0.0, 10.0), (9.0, 10.0), (10.0, 13.0), (100.0, 41.0), (inf, 41.0)])
def test_a_declared_keep_alive_is_not_lengthened_but_what_is_rented_beside_it_counts(
    levels: int, ttl: float, gap: float
):
    """At 4 it would save, were it rented for 0.4, whatever it costs now: 0.1, and a gap every 100 seconds."""
    now = 0.1 + 0.01 * gap
    between = (1.4 * now - now) / (0.4 - now)
    most = windows.UTMOST if 1.4 * now > 0.4 else 4**between
    fields = {"ttl_is_auto": False, "base": None, "ttl": 5.0, "ttl_to_zero": 5.0}
    fields["ttl_to_zero" if levels == 1 else "ttl"] = ttl
    first = [] if levels == 1 else [level(0.0, spells=0.0)]
    assert affordable(played(*first, level(100.0), **fields)) == pytest.approx(most)


def test_where_keep_alive_and_base_are_declared_a_stretch_costs_nothing():
    assert affordable(played(level(100.0), ttl_is_auto=False, predictive=True)) == windows.UTMOST
    pays = played(level(100.0), ttl_is_auto=False, predictive=True)
    beside(pays, level(0.0))
    between = (1.4 * 0.23 - 0.23) / (0.51 - 0.23)
    assert affordable(pays) == pytest.approx(16.0 * 4**between), "0.1 and 0.13 for both of them"


def test_work_for_more_replicas_than_there_may_be_costs_nothing():
    one = affordable(played(level(100.0)))
    assert affordable(played(level(100.0), level(1000.0), max_replicas=1)) == pytest.approx(one)
    assert affordable(played(level(100.0), level(1000.0), max_replicas=2)) > one


def test_a_model_that_is_removed_costs_nothing_more():
    p = played(level(100.0))
    p.ask("r"), p.wait(10), p.ready("m-1")
    assert affordable(p) < windows.UTMOST
    p.configure()
    assert p.state("m-1") == "draining"
    assert affordable(p) == windows.UTMOST


def test_of_many_deployments_some_are_reckoned_at_once_and_all_in_turn():
    p = Play()
    p.goal = Goal(low=0.02, high=0.05, dedicated=0.001, on_demand=0.0025)
    names = [f"m{i}" for i in range(2 * surcharge.AT_ONCE + 1)]
    p.configure(*(model(n, ttl_is_auto=True, start_seconds=10.0) for n in names), memory=1024)
    p.fleet.prices.usd = 0.0
    for n in names:
        p.fleet.deployments[n].demand = Demand([level(100.0)])
    seen = []
    for _ in range(4):
        assert affordable(p) == pytest.approx(affordable(played(level(100.0)))), "they are all alike"
        seen.append(sum(bool(p.fleet.deployments[n].demand.paid) for n in names))  # type: ignore[union-attr]
    assert seen == [surcharge.AT_ONCE, 2 * surcharge.AT_ONCE, len(names), len(names)]
    p.configure(model("m0", ttl_is_auto=True, start_seconds=10.0))
    assert affordable(p) > 1.0, "though most of them are gone"


def test_without_traffic_there_is_nothing_to_pay():
    assert affordable(Play()) == windows.UTMOST
    assert affordable(played()) == windows.UTMOST
    assert affordable(played(level(0.0, spells=0.0, over=0.0))) == windows.UTMOST


def test_it_is_reckoned_after_each_window_and_only_while_there_is_a_stretch_to_limit():
    p = played(level(100.0))
    d, w = p.fleet.deployments["m"], p.fleet.prices.windows
    assert d.demand is not None
    for grown, in_vain, limited in [
        (1.0, False, False),
        (30.0, True, False),
        (1.2, False, True),
        (30.0, False, True),
    ]:
        w.grown, w.in_vain, w.affordable, w.lost = grown, in_vain, 1.5, 100.0 if in_vain else 0.0
        d.demand.requests = windows.WINDOW - 1
        traffic.count(p.fleet, d.demand, p.now)
        assert w.affordable == 1.5, "the window is not over"
        d.demand.requests = 1
        traffic.count(p.fleet, d.demand, p.now)
        assert (w.affordable < inf) == limited
    assert 1.0 < windows.stretch(w) < 30.0


costs = st.floats(0.0, 1000.0)
some_levels = st.lists(st.tuples(costs, st.floats(0.0, 100.0)), max_size=4)


@given(some_levels, st.floats(0.0, 1.0))
def test_it_stays_within_its_bounds_and_what_is_paid_within_the_share(
    of: list[tuple[float, float]], usd: float
):
    p = played(*(level(busy, spells) for busy, spells in of))
    p.fleet.prices.usd = usd
    most = affordable(p)
    assert 1.0 <= most <= windows.UTMOST
    if most < windows.UTMOST:
        below = max(s for s in surcharge.STRETCHES if s <= most)
        assert _paid(of, below, usd) <= (1.0 + surcharge.SHARE) * _paid(of, 1.0, usd) * (1 + 1e-9)


def _paid(of: list[tuple[float, float]], stretch: float, usd: float) -> float:
    """Seconds on demand in 1,000 seconds."""
    worth = 10.0 + stretch * max(10.0, usd / 0.0025)
    gap = 10.0 if worth < 20.0 else 13.0 if worth < 200.0 else 41.0
    return sum(busy + spells * gap for busy, spells in of)
