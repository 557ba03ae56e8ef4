"""How soon a provider answers, warm and cold."""

import pytest

from pilotlight.fleet import events as ev
from pilotlight.fleet.provider import Provider, Remote
from pilotlight.policy import first_token
from unit.policy.test_burst import bursting

REMOTE = Remote(10)


def asked(p, request: str, seconds: float, idle: float = 1.0) -> None:
    """One that answers so late, and after which there is no traffic for some time."""
    p.ask(request, remote=REMOTE)
    p.wait(seconds)
    p.answered(request)
    p.charged(request)
    p.wait(idle)


def known(p) -> tuple[float, float]:
    state = p.fleet.providers["p"]
    return first_token.warm(state), first_token.cold(state)


def test_what_is_declared_counts_until_something_is_seen():
    p = bursting(Provider("p", first_token=0.7, cold_start=20.0))
    assert known(p) == (0.7, 20.0)
    assert first_token.promise(p.fleet.providers["p"], p.now) == 20.7


def test_warm_and_cold_answers_are_learned_apart():
    p = bursting(Provider("p", first_token=0.5, cold_start=10.0))
    asked(p, "r0", 8.5)
    for i in range(1, 30):
        asked(p, f"r{i}", 0.8)
    warm, cold = known(p)
    assert warm == pytest.approx(0.8, abs=0.01)
    assert cold == pytest.approx(8.0)
    f = p.fleet.providers["p"].first_token
    assert (f.colds, f.answers) == (1, 30)


def test_an_undeclared_cold_start_is_detected():
    p = bursting(Provider("p", first_token=0.5))
    asked(p, "r0", 0.5)
    asked(p, "r1", 30.0)
    assert p.fleet.providers["p"].first_token.colds == 1
    assert known(p) == (0.5, pytest.approx(29.5))


def test_after_a_time_without_traffic_a_cold_start_is_expected():
    p = bursting(Provider("p", first_token=0.5, cold_start=10.0, idle_timeout=60.0))
    asked(p, "r0", 10.5)
    state = p.fleet.providers["p"]
    assert first_token.promise(state, p.now) == 0.5
    p.wait(60.0)
    assert first_token.promise(state, p.now) == pytest.approx(10.5)


def test_whoever_comes_while_it_comes_up_waits_for_the_rest():
    p = bursting(Provider("p", first_token=0.5, cold_start=10.0))
    p.ask("r0", remote=REMOTE)
    p.wait(4.0)
    assert first_token.promise(p.fleet.providers["p"], p.now) == pytest.approx(6.5)


def test_an_answer_in_one_piece_says_nothing_of_its_first_token():
    p = bursting(Provider("p", first_token=0.5))
    p.ask("r0", remote=REMOTE)
    p.wait(30.0)
    p.play(ev.Answered(p.now, "r0", "p", whole=True))
    assert known(p) == (0.5, 0.0)
    assert p.fleet.providers["p"].first_token.answers == 0
    assert p.fleet.prices.past.cold == 0.0


def test_one_that_is_never_cold_is_trusted_after_a_pause_too():
    p = bursting(Provider("p", first_token=0.5, cold_start=10.0, idle_timeout=60.0))
    for i in range(30):
        asked(p, f"r{i}", 0.5, idle=100.0)
    assert first_token.promise(p.fleet.providers["p"], p.now) < 1.0
