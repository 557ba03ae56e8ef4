"""`ttl = "auto"`: a replica stays for as long as its traffic and the price of a cold request make worth it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotlight.fleet.deployment import Goal
from pilotlight.fleet.fleet import NEVER
from pilotlight.policy import gaps, keep_alive
from unit.policy.play import Play, model

LOW, HIGH = 0.0, 100.0
"""USD for a cold request."""


def auto(usd: float, **fields: object) -> Play:
    p = Play()
    p.goal = Goal(cold_usd=usd)
    p.configure(model(**{"ttl_is_auto": True, "start_seconds": 10.0, "ttl": 0.0} | fields), memory=64)
    p.fleet.prices.usd = usd
    return p


def asked_every(seconds: float, usd: float, times: int = 40, **fields: object) -> Play:
    """Each request runs for a second; whatever has gone meanwhile comes up again when it is asked for."""
    p = auto(usd, **fields)
    for i in range(times):
        p.ask(f"r{i}")
        for name, state in p.states().items():
            if state == "starting":
                p.wait(10), p.ready(name)
        p.wait(1), p.done(f"r{i}")
        settle(p, seconds - 1 if i < times - 1 else 0)
    return p


def settle(p: Play, seconds: float) -> list[str]:
    """Lets time pass; what is told to stop is gone."""
    words = p.wait(seconds)
    for name, state in p.states().items():
        if state == "stopping":
            p.gone(name)
    return words


def stay(p: Play) -> float:
    return keep_alive.stay(p.fleet, p.fleet.deployments["m"], 0)


@pytest.mark.parametrize("usd", [LOW, HIGH])
def test_a_model_that_is_asked_every_few_seconds_is_kept(usd: float):
    p = asked_every(8, usd)
    assert stay(p) >= 8
    assert settle(p, 7.5) == []


def test_one_that_is_asked_once_an_hour_goes_soon_where_waiting_is_cheap():
    p = asked_every(3600, LOW, times=60)
    assert stay(p) < 60
    settle(p, 60)
    assert p.states() == {}


def test_and_is_kept_for_the_hour_where_waiting_is_dear():
    p = asked_every(3600, HIGH, times=60)
    assert stay(p) > 3600
    assert settle(p, 3600) == []


def test_before_anybody_has_asked_it_stays_for_a_while():
    p = auto(LOW)
    p.up(serve=False)
    assert p.wait(keep_alive.UNTRIED - 1) == []
    assert p.wait(1) == ["stop m-1"]


@given(st.lists(st.floats(0.1, 1e5), max_size=40), st.floats(0, 10), st.floats(0, 10))
@settings(deadline=None)
def test_who_pays_more_for_a_cold_request_waits_no_less_long(lengths: list[float], a: float, b: float):
    p = auto(min(a, b))
    p.up()
    level = p.fleet.deployments["m"].demand.levels[0]
    for seconds in lengths:
        gaps.learn(level.gaps, seconds)
    short = stay(p)
    p.fleet.prices.usd = max(a, b)
    assert 0.0 <= short <= stay(p)


def test_a_request_that_says_for_how_long_is_heard():
    p = asked_every(3600, HIGH, times=30)
    p.ask("soon", keep_alive=5), p.done("soon")
    assert p.wait(4) == []
    assert p.wait(1)[0].startswith("stop m-")

    p = auto(LOW)
    name = p.up(serve=False)
    p.ask("long", keep_alive=NEVER), p.done("long")
    assert p.wait(10**6) == [] and p.states() == {name: "ready"}


@pytest.mark.parametrize("floor", [1, 2])
def test_min_replicas_stay_though_nothing_is_worth_it(floor: int):
    p = auto(LOW, min_replicas=floor, max_replicas=3, target_requests=1)
    for i in range(1, floor + 1):
        p.ready(f"m-{i}")
    p.ask_all("a", "b", "c")
    p.wait(1)
    p.ready("m-3")
    if floor == 1:
        p.ready("m-2")
    p.wait(5), p.done("a"), p.done("b"), p.done("c")
    p.wait(10**6)
    assert sum(state == "ready" for state in p.states().values()) == floor


def test_one_that_comes_up_while_others_do_all_the_work_is_kept_while_there_is_work_for_it():
    """Else it would go at once and be started again, for as long as the work lasts."""
    p = auto(LOW, max_replicas=3, target_requests=1)
    p.ask_all("a", "b", "c"), p.wait(1)
    assert p.ready("m-1") == ["a -> m-1", "b -> m-1", "c -> m-1"]
    assert p.ready("m-2") == p.ready("m-3") == p.wait(3600) == []
    assert p.ask("d") == ["d -> m-2"] and p.done("d") == []
    p.done("a"), p.done("b"), p.done("c")
    p.wait(4000)
    assert set(p.states().values()) == {"stopping"}
