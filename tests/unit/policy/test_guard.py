"""`objective.per_model_max`: no model is colder, however seldom it is asked for."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotlight.fleet.demand import Demand, Frontier, Level, empty_gaps
from pilotlight.fleet.deployment import Goal
from pilotlight.policy import gaps, guard, keep_alive
from pilotlight.policy.explain import explain
from unit.policy.play import Play, model

HOUR = 3600.0
LIMIT = Goal(per_model_max=0.2)


def known(owed: float, total: float = 4.0) -> Demand:
    """Half of the gaps are over within a minute, three quarters within ten, and all within an hour."""
    level = Level(empty_gaps(), 0.0)
    level.gaps.total = total
    level.frontier = Frontier(
        (0.0, 60.0, 600.0, 3600.0), (5.0, 90.0, 800.0), (0, 40, 120, 900), (1, 0.5, 0.25, 0)
    )
    return Demand([level], owed=owed)


def asked_after(seconds: list[float], goal: Goal) -> tuple[Play, int]:
    """Requests of a second each with these gaps between them, and how many of them waited for a start of ten."""
    p, cold = Play(), 0
    p.goal = goal
    p.configure(model(ttl_is_auto=True, ttl=0.0, base=0, start_seconds=10.0), memory=64)
    for i, gap in enumerate([0.0, *seconds]):
        p.wait(gap)
        for name, state in p.states().items():
            if state == "stopping":
                p.gone(name)
        p.ask(f"r{i}")
        assert len(p.states()) == 1, "never more than one replica is paid for"
        for name, state in p.states().items():
            if state == "starting":
                cold += 1
                p.wait(10), p.ready(name)
        p.wait(1), p.done(f"r{i}")
    return p, cold


# -- the debt --------------------------------------------------------------------------------------------------------


def test_a_cold_request_is_owed_and_each_request_pays_some_of_it_back():
    d = Demand()
    guard.was_cold(LIMIT, d, alone=True)
    guard.was_cold(LIMIT, d, alone=False)
    assert (d.owed, d.cold) == (1.0, 2), "who waits for one replica more is not spared by a first one"
    guard.came(LIMIT, d, 5)
    assert d.owed == pytest.approx(1.0 - 5 * 0.6 * 0.2)
    guard.came(LIMIT, d, 1000)
    assert d.owed == -guard.CREDIT
    for _ in range(100):
        guard.was_cold(LIMIT, d, alone=True)
    assert d.owed == guard.MOST + 1.0


def test_without_a_limit_nothing_is_owed():
    d = known(0.0)
    guard.was_cold(Goal(), d, alone=True)
    guard.came(Goal(), d, 5)
    assert (d.owed, guard.worth(Goal(), d, d.levels[0]), guard.because(Goal(), d, 0.001)) == (0.0, 0.0, "")


def owed(p: Play) -> float:
    demand = p.fleet.deployments["m"].demand
    assert demand is not None
    return demand.owed


def test_who_waits_though_a_replica_was_kept_is_not_spared_by_keeping_it():
    p = Play()
    p.goal = LIMIT
    spec = {"ttl_is_auto": True, "base": 0, "start_seconds": 10.0, "techniques": ("sleep",)}
    p.configure(model(**spec, slots=1, target_requests=2, max_replicas=1), memory=64)
    back = guard.AIM * 0.2
    p.ask("r1"), p.wait(10), p.ready("m-1")
    assert owed(p) == pytest.approx(1.0 - back)
    p.ask("r2", keep_alive=1000.0), p.wait(20), p.done("r1")
    assert owed(p) == pytest.approx(1.0 - 2 * back), "its slot was taken"
    p.done("r2"), p.sleep(), p.slept("m-1", 0.1)
    assert p.states() == {"m-1": "asleep"}
    p.ask("r3"), p.wait(10), p.ready("m-1")
    assert owed(p) == pytest.approx(1.0 - 3 * back), "it was asleep"


# -- how long a first replica stays for it ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "owed", "stay"),
    [
        (0.8, 0.0, 0.0),  # nothing is owed
        (0.8, 0.5, 60.0),  # 0.8 x (1 - 0.5 / 4) = 70 % of the gaps may outlast it
        (0.8, 2.0, 600.0),  # 40 %
        (0.8, 3.0, 3600.0),  # 20 %
        (0.2, 1.0, 3600.0),  # 15 %
        (0.2, 4.0, 3600.0),  # none
        (0.2, 5.0, 3600.0),
        (0.0, 1.0, 3600.0),
    ],
)
def test_the_more_is_owed_the_more_gaps_are_outlasted(limit: float, owed: float, stay: float):
    d = known(owed)
    f = d.levels[0].frontier
    assert f is not None
    least = guard.worth(Goal(per_model_max=limit), d, d.levels[0])
    assert f.stays[gaps.best(f, least)] == stay


def test_requests_that_are_not_worked_up_yet_have_paid_as_well():
    d = known(1.0)
    d.requests = 10  # x 0.6 x 0.2
    assert guard.worth(LIMIT, d, d.levels[0]) == 0.0


def test_a_model_is_kept_for_its_own_gaps_and_for_its_first_replica_alone():
    d = known(4.0, total=guard.KNOWN - 1)
    assert guard.worth(LIMIT, d, d.levels[0]) == 0.0
    d = known(4.0)
    d.levels.append(known(4.0).levels[0])
    assert guard.worth(LIMIT, d, d.levels[0]) > 0.0 == guard.worth(LIMIT, d, d.levels[1])


# -- what comes of it ------------------------------------------------------------------------------------------------


def test_one_that_is_asked_once_an_hour_is_cold_until_its_gaps_are_known_and_then_seldom():
    _, cold = asked_after([HOUR] * 59, LIMIT)
    assert 4 <= cold <= 0.6 * 0.2 * 60 + 2
    assert asked_after([HOUR] * 59, Goal())[1] > 30, "without a limit"


def test_what_is_owed_keeps_it_though_the_price_does_not_and_it_says_so():
    p, _ = asked_after([HOUR] * 59, LIMIT)
    d = p.fleet.deployments["m"]
    assert d.demand is not None
    p.fleet.prices.usd, d.demand.owed = 0.0, 3.0
    told = explain(p.fleet, d, p.now).keep_alive[0].because
    assert keep_alive.stay(p.fleet, d, 0) > HOUR
    assert "objective.per_model_max (20 %)" in told
    assert "$8.56 an hour on demand" in told


def test_where_renting_is_cheaper_the_base_does_so_and_says_why():
    p = Play()
    p.goal = LIMIT
    p.configure(model(ttl_is_auto=True, ttl=0.0, base=None, start_seconds=10.0), memory=64)
    for i in range(8):
        p.ask(f"r{i}")
        for name, state in p.states().items():
            if state == "starting":
                p.wait(10), p.ready(name)
        p.wait(1), p.done(f"r{i}"), p.wait(HOUR)
        for name, state in p.states().items():
            if state == "stopping":
                p.gone(name)
    d = p.fleet.deployments["m"]
    assert d.demand is not None and d.demand.base == 1
    (asked,) = explain(p.fleet, d, p.now).asks
    assert asked.policy == "base" and "one stays for objective.per_model_max (20 %)" in asked.because


def test_a_model_that_is_asked_no_more_is_not_kept_for_ever():
    p, _ = asked_after([HOUR] * 10, LIMIT)
    p.wait(48 * HOUR)
    assert set(p.states().values()) <= {"stopping"}


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.one_of(st.floats(1.0, 28 * HOUR), st.sampled_from([HOUR, 3 * HOUR])), min_size=30, max_size=90
    ),
    st.sampled_from([0.0, 0.05, 0.2, 0.5]),
)
def test_whatever_the_gaps_no_more_are_cold_than_the_limit_allows_and_a_few(
    seconds: list[float], limit: float
):
    _, cold = asked_after(seconds, Goal(per_model_max=limit))
    assert cold <= guard.AIM * limit * (len(seconds) + 1) + guard.MOST + 1.0


# -- what a cold request counts for ----------------------------------------------------------------------------------


def test_who_has_too_many_counts_for_more_and_then_for_less_again():
    of, bad, good = Goal(per_model_max=0.1), Demand(), Demand()
    for _ in range(50):
        bad.cold = 10
        guard.came(of, bad, guard.LOOK)
        guard.came(of, good, guard.LOOK)
        assert 1.0 <= bad.boost <= guard.UTMOST
    assert (bad.boost, good.boost) == (guard.UTMOST, 1.0)
    for _ in range(100):
        guard.came(of, bad, guard.LOOK)
    assert bad.boost == 1.0


@pytest.mark.parametrize(
    ("limit", "cold", "boost"), [(0.2, 5, 1.5), (0.2, 8, 2.0), (0.2, 20, 4.0), (0.0, 1, 4.0)]
)
def test_the_further_above_its_limit_the_more_it_counts_for(limit: float, cold: int, boost: float):
    d = Demand(cold=cold)
    guard.came(Goal(per_model_max=limit), d, guard.LOOK)
    assert d.boost == pytest.approx(boost)


def test_without_a_limit_nobody_counts_for_more():
    bad = Demand(cold=20)
    guard.came(Goal(), bad, guard.LOOK)
    assert bad.boost == 1.0
