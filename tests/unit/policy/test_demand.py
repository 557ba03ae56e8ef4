"""How many replicas there is work for, and what is remembered of it."""

from math import ceil, isfinite

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotlight.fleet.demand import Demand
from pilotlight.fleet.fleet import DeploymentState
from pilotlight.policy import cold_price
from pilotlight.policy import demand as traffic
from pilotlight.policy.working import pass_time
from unit.policy.play import Play, model

LASTS = 0.3
"""Seconds; what `lasting` gives for a wait of 2 s."""


def learning(**fields: object) -> Play:
    fields = {"target_requests": 1, "max_replicas": 4} | fields
    return Play(model(**{"ttl_is_auto": True, "base": None, "start_seconds": 10.0} | fields))


def of(p: Play) -> DeploymentState:
    return p.fleet.deployments["m"]


def demand(p: Play) -> Demand:
    found = of(p).demand
    assert found is not None
    return found


def warm(**fields: object) -> Play:
    """One replica is up, and requests are known to run for a second."""
    p = learning(**fields)
    p.up(serve=False), p.ask("first"), p.wait(1), p.done("first")
    assert demand(p).service == 1.0
    return p


# -- levels ----------------------------------------------------------------------------------------------------------


def test_levels_rise_and_fall_as_requests_do():
    p, seen = warm(target_requests=2), []
    for i in range(5):
        p.ask(f"r{i}")
        seen.append(demand(p).busy)
    for i in range(5):
        p.done(f"r{i}")
        seen.append(demand(p).busy)
    assert seen == [1, 1, 2, 2, 3, 2, 2, 1, 1, 0]


def test_a_blip_starts_no_second_replica_and_what_lasts_does():
    p = warm()
    p.ask_all("r1", "r2")
    assert p.wait(0.9 * LASTS) == []
    p.done("r2")
    assert p.wait(10) == []
    p.ask("r3")
    assert p.wait(0.9 * LASTS) == []
    assert p.wait(0.2 * LASTS) == ["start m-2"]


def test_the_first_replica_is_started_at_once():
    assert learning().ask("r1") == ["hold r1", "start m-1"]


@pytest.mark.parametrize("fields", [{"target_requests": 1}, {"target_requests": 3}])
def test_a_reload_that_learns_from_now_on_counts_those_who_wait(fields: dict[str, int]):
    """They have not been followed so far, and nobody else may ever come."""
    p = Play(model(fingerprint="x", **fields))
    p.ask("r1")
    learns = model(fingerprint="y", ttl_is_auto=True, scale_up_delay=8.0, **fields)
    assert p.configure(learns) == ["stop m-1", "start m-2"]
    p.gone("m-1")
    assert p.ready("m-2") == ["r1 -> m-2"]


def test_one_that_waits_again_after_its_replica_has_died_is_counted_again():
    """Its death is heard of first, and no other replica is started at once after several deaths."""
    p = learning(max_replicas=1)
    for n in (1, 2, 3):
        p.warm(), p.ready(f"m-{n}"), p.crash(f"m-{n}"), p.die(f"m-{n}")
    p.warm(), p.ready("m-4"), p.ask("r1")
    assert p.crash("m-4") == [] and p.die("m-4") == []
    assert demand(p).busy == 0
    assert p.bounce("r1") == ["hold r1"]
    assert "start m-5" in p.wait(600)


def test_a_reload_may_let_a_replica_take_fewer_requests():
    p = warm(target_requests=4)
    p.ask_all("a", "b", "c")
    assert demand(p).busy == 1
    p.configure(model(ttl_is_auto=True, target_requests=1, max_replicas=4))
    assert (demand(p).busy, demand(p).until, demand(p).above) == (3, 2, 3)
    assert p.wait(1) == ["start m-2", "start m-3"]


def test_a_reload_may_let_a_replica_take_more_requests():
    p = warm(max_replicas=1)
    p.ask_all("a", "b", "c")
    assert demand(p).busy == 3
    p.configure(model(ttl_is_auto=True, target_requests=4, max_replicas=4))
    assert (demand(p).busy, demand(p).until, demand(p).above) == (1, 0, 4)
    assert p.wait(1) == []


# -- a backlog -------------------------------------------------------------------------------------------------------


def test_a_backlog_counts_as_what_would_run_had_it_not_had_to_wait():
    """Ten requests in 20 s that run for 1 s each: 0.5 at a time; and 2 more to have them done in 5 s."""
    p = learning()
    demand_ = demand(p)
    p.ask_all(*(f"r{i}" for i in range(10)))
    demand_.service = 1.0
    assert traffic.load(of(p), p.now) == 10, "they came at once, so they are to run at once"
    assert traffic.load(of(p), p.now + 0.9) == 10
    assert traffic.load(of(p), p.now + 20) == pytest.approx(10 / 20 + 10 / 5)


def test_a_request_that_waits_is_some_load_though_those_before_it_took_no_time():
    p = Play(model(ttl_is_auto=True))
    p.up()
    assert demand(p).service == 0.0
    p.ask("r1"), p.die("m-1")
    assert p.bounce("r1") == ["hold r1", "start m-2"]
    p.ready("m-2"), p.die("m-2")
    assert p.bounce("r1") == ["hold r1"]
    p.wait(1.0)
    assert traffic.load(of(p), p.now) > 0
    assert p.wait(10.0) == ["start m-3"], "it is not forgotten"


def test_a_backlog_counts_for_no_more_than_its_requests():
    p = learning()
    p.ask_all(*(f"r{i}" for i in range(10)))
    demand(p).service = 1000.0
    assert traffic.load(of(p), p.now + 2000) == pytest.approx(10.0, rel=1)
    assert traffic.load(of(p), p.now + 2000) <= 10.0


def test_how_fast_they_come_is_told_by_a_second_of_them():
    """Nine more than in the time so far are to come before the first would have ended."""
    p = learning()
    p.ask_all("a", "b", "c")
    demand(p).service = 10.0
    assert traffic.load(of(p), p.now + 1) == 3
    assert traffic.load(of(p), p.now + 2) == pytest.approx(3 / 2 * 10)


def test_a_burst_of_requests_that_nobody_has_timed_teaches_no_higher_level():
    p = learning()
    p.ask_all("a", "b", "c")
    p.wait(10), p.ready("m-1"), p.ask("d"), p.wait(2)
    assert [level.guessed for level in demand(p).levels] == [False, True, True, True]
    p.done("d")
    assert demand(p).service == 2.0
    assert not any(level.guessed for level in demand(p).levels if level.busy)
    assert all(level.new_busy == 0.0 for level in demand(p).levels[1:])


def test_such_a_burst_counts_as_one_spell_that_made_its_requests_wait():
    p = learning(slots=1)
    p.ask_all("a", "b", "c", "d")
    for i in range(1, 5):
        p.wait(10), p.ready(f"m-{i}")
    levels = demand(p).levels[:4]
    assert [level.cold for level in levels] == [1.0] * 4
    assert [level.missed for level in levels] == [1.0, 0.0, 0.0, 0.0]
    p.done("a"), p.ask("e"), p.wait(2), p.done("e")
    assert demand(p).service == 2.0, "from now on it is known how long they run"
    assert [level.missed for level in levels] == [1.0] * 4
    p.wait(10), p.done("b"), p.done("c"), p.done("d")
    assert [level.missed for level in levels] == [1.0] * 4, "the same spell"


def test_such_a_burst_counts_also_when_it_is_over_before_anybody_was_timed():
    p = learning(slots=1)
    p.ask_all("a", "b", "c", "d")
    for i in range(1, 5):
        p.wait(10), p.ready(f"m-{i}")
    for request in "abcd":
        p.done(request)
    assert demand(p).service is None
    assert [level.missed for level in demand(p).levels[:4]] == [1.0] * 4


# -- what is remembered ----------------------------------------------------------------------------------------------


def test_spells_gaps_and_busy_seconds_are_counted():
    p = warm(base=0)
    level = demand(p).levels[0]
    for i, (idle, runs) in enumerate([(10, 2), (20, 3), (40, 4)]):
        p.wait(idle), p.ask(f"r{i}"), p.wait(runs), p.done(f"r{i}")
    assert level.new_spells == 4
    assert level.new_busy == pytest.approx(1 + 2 + 3 + 4)
    assert level.gaps.total == 3
    assert sum(level.gaps.seconds) == pytest.approx(10 + 20 + 40)


def test_a_higher_level_counts_only_what_lasts():
    p = warm(max_replicas=1, base=0)
    p.ask("a")
    for i, runs in enumerate([0.1, 5.0, 0.2, 5.0]):
        p.wait(10), p.ask(f"b{i}"), p.wait(runs), p.done(f"b{i}")
    level = demand(p).levels[1]
    assert level.new_spells == 2
    assert sum(level.gaps.seconds) == pytest.approx(10 + 0.2 + 10)
    assert level.new_busy == pytest.approx(0.1 + 5 + 0.2 + 5), "work is work, also where it is short"


def test_a_cold_request_counts_together_with_all_that_came_before():
    """Ten models are each asked for four times, and the last time in vain for a while: a quarter is cold, though hardly
    any of the requests has been worked up."""
    p = Play()
    names = [f"m{i}" for i in range(10)]
    p.configure(*(model(n, ttl_is_auto=True, base=None, start_seconds=10.0) for n in names), memory=64)
    for n in names:
        p.fleet.deployments[n].demand.work_up = 1000  # type: ignore[union-attr]
        p.ask(f"{n}-1", n), p.ready(f"{n}-1")
        p.ask(f"{n}-2", n), p.ask(f"{n}-3", n), p.done(f"{n}-1"), p.done(f"{n}-2"), p.done(f"{n}-3")
        p.crash(f"{n}-1"), p.die(f"{n}-1")
        p.ask(f"{n}-4", n), p.wait(10), p.ready(f"{n}-2")
    prices = p.fleet.prices
    assert prices.past.cold == pytest.approx(10.0, rel=1e-3)
    assert prices.past.requests + prices.since == pytest.approx(40.0, rel=1e-3)


def test_of_the_first_ten_that_are_timed_all_count_alike_and_then_the_latest_for_a_tenth():
    p = learning(target_requests=100, max_replicas=1)
    p.up(serve=False)
    service, took = 0.0, [0.1, *range(1, 10), 30.0]
    for i, seconds in enumerate(took):
        demand(p).work_up = 1
        p.ask(f"r{i}"), p.wait(seconds), p.done(f"r{i}")
        service = sum(took[: i + 1]) / (i + 1) if i < 10 else service + 0.1 * (seconds - service)
        assert demand(p).service == pytest.approx(service)


def test_what_was_busy_long_ago_counts_for_less():
    p = warm()
    level, now = demand(p).levels[0], p.now
    pass_time(level, now)
    begin = level.busy_seconds
    assert 0.0 < begin <= 1.0
    pass_time(level, now + level.horizon)
    assert level.busy_seconds == pytest.approx(begin / 2.718281828)
    assert level.over <= level.horizon


TRAFFIC = st.lists(
    st.tuples(st.sampled_from(["ask", "done", "done", "leave"]), st.floats(0.0, 100.0)), max_size=60
)


@given(TRAFFIC, st.integers(1, 3))
@settings(deadline=None)
def test_on_any_traffic_levels_are_what_requests_ask_for_and_figures_finite(
    moves: list[tuple[str, float]], target: int
):
    p = learning(target_requests=target, max_replicas=2)
    running: list[str] = []
    for i, (move, seconds) in enumerate(moves):
        p.wait(seconds)
        for name, state in p.states().items():
            if state in ("starting", "stopping"):
                p.ready(name) if state == "starting" else p.gone(name)
        if move == "ask":
            running.append(f"r{i}")
            p.ask(f"r{i}")
        elif running:
            p.done(running.pop(0), ok=move == "done")
        check(p, target)


def check(p: Play, target: int) -> None:
    d, found = of(p), demand(p)
    if not d.held:
        assert found.busy == ceil(d.in_flight / target)
        assert found.until < d.in_flight <= found.above
    assert [level.busy for level in found.levels] == [k < found.busy for k in range(len(found.levels))]
    assert 0 <= traffic.wanted(p.fleet, d, p.now) <= found.busy
    for k, level in enumerate(found.levels):
        pass_time(level, p.now)
        figures = [level.busy_seconds, level.spells, level.over, level.new_busy, level.missed, level.cold]
        figures += [cold_price.worth(p.fleet, d, level), cold_price.colds(d, level), *level.gaps.counts]
        assert all(isfinite(x) and x >= 0.0 for x in figures)
        assert level.busy_seconds <= level.over + 1e-6
        assert cold_price.frontier(p.fleet, d, k).stays[0] == 0.0
