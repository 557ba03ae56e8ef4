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


def whole(p, request: str, seconds: float, tokens: int | None, idle: float = 1.0) -> None:
    p.ask(request, remote=REMOTE)
    p.wait(seconds)
    p.play(ev.Answered(p.now, request, "p", whole=True, tokens=tokens))
    p.charged(request)
    p.wait(idle)


def test_an_answer_in_one_piece_of_which_nothing_is_known_teaches_nothing():
    p = bursting(Provider("p", first_token=0.5))
    whole(p, "r0", 30.0, None)
    assert known(p) == (0.5, 0.0)
    assert p.fleet.providers["p"].first_token.answers == 0
    assert p.fleet.prices.past.cold == 0.0


@pytest.mark.parametrize("cold", [0, 5])
def test_a_cold_start_shows_in_answers_in_one_piece(cold: int):
    """Tokens of 30 ms; one of them meets it cold, were it the first, whose tokens nothing is known of yet."""
    p = bursting(Provider("p", first_token=0.5))
    for i in range(12):
        whole(p, f"r{i}", 0.5 + 0.03 * 100 + 30.0 * (i == cold), 100)
    f = p.fleet.providers["p"].first_token
    assert f.pace == pytest.approx(0.03)
    if cold:
        assert f.colds == 1
        assert known(p) == (0.5, pytest.approx(30.0))
    else:
        assert f.colds == 0
    whole(p, "again", 0.5 + 0.03 * 200 + 30.0, 200)
    assert f.colds == (2 if cold else 1)
    assert known(p) == (0.5, pytest.approx(30.0))


def test_long_answers_in_one_piece_are_not_taken_for_cold_ones():
    """Between 1 and 1,000 tokens, at a pace that changes by half."""
    p = bursting(Provider("p", first_token=0.5))
    for i in range(200):
        tokens = 1 + (i * 389) % 1000
        whole(p, f"r{i}", 0.5 + (0.03 + 0.015 * (i % 2)) * tokens, tokens)
    f = p.fleet.providers["p"].first_token
    assert f.colds == 0
    assert f.answers > 50
    assert known(p)[0] == pytest.approx(0.5, abs=0.2)


def test_short_answers_in_one_piece_tell_of_the_first_token():
    p = bursting(Provider("p", first_token=2.0))
    for i in range(40):
        whole(p, f"r{i}", 0.4, 0)
    assert known(p)[0] == pytest.approx(0.4, abs=0.01)


def test_one_that_is_never_cold_is_trusted_after_a_pause_too():
    p = bursting(Provider("p", first_token=0.5, cold_start=10.0, idle_timeout=60.0))
    for i in range(30):
        asked(p, f"r{i}", 0.5, idle=100.0)
    assert first_token.promise(p.fleet.providers["p"], p.now) < 1.0
