"""Health learned from traffic."""

from math import inf, nan
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotlight.fleet.remotes import Breaker
from pilotlight.policy import breaker


def tripped(now: float = 0.0, kind: str = "error") -> Breaker:
    b = Breaker()
    for i in range(breaker.IN_A_ROW):
        if breaker.may(b, now):
            breaker.sent(b, f"r{i}")
            breaker.failed(b, f"r{i}", kind, now)
    return b


def test_failures_in_a_row_open_it():
    b = Breaker()
    for i in range(breaker.IN_A_ROW):
        assert breaker.may(b, 0.0)
        breaker.failed(b, f"r{i}", "timeout", 0.0)
    assert not breaker.may(b, 0.0)
    assert breaker.state(b, 0.0) == "open"


def test_a_request_done_well_begins_the_row_anew():
    b = Breaker()
    for i in range(3 * breaker.IN_A_ROW):
        if i % (breaker.IN_A_ROW - 1) == 0:
            breaker.well(b)
        breaker.failed(b, f"r{i}", "error", 0.0)
        if b.opened:
            break
    assert i > breaker.IN_A_ROW, "only the share opened it, if anything did"


def test_a_share_of_failures_opens_it():
    b, n = Breaker(), 0
    while breaker.may(b, 0.0) and n < 400:
        n += 1
        breaker.failed(b, f"r{n}", "error", 0.0)
        if n % 4 == 0:
            breaker.well(b)
    assert 10 < n < 60


def test_one_request_at_a_time_tries_a_half_open_one():
    b = tripped()
    assert not breaker.may(b, breaker.FIRST - 0.1)
    assert breaker.state(b, breaker.FIRST) == "half-open"
    assert breaker.may(b, breaker.FIRST)
    breaker.sent(b, "probe")
    assert not breaker.may(b, breaker.FIRST)
    breaker.answered(b, "probe")
    assert breaker.may(b, breaker.FIRST)


def test_a_probe_that_is_called_off_lets_another_one_try():
    b = tripped()
    breaker.sent(b, "probe")
    breaker.neither(b, "probe")
    assert breaker.may(b, breaker.FIRST)


def test_each_failed_probe_doubles_the_pause_up_to_a_bound():
    b, now, pauses = tripped(), breaker.FIRST, list[float]()
    for i in range(12):
        breaker.sent(b, f"p{i}")
        breaker.failed(b, f"p{i}", "unreachable", now)
        pauses.append(b.until - now)
        now = b.until
    assert pauses[:3] == [2 * breaker.FIRST, 4 * breaker.FIRST, 8 * breaker.FIRST]
    assert pauses[-1] == breaker.LONGEST


def test_old_requests_say_nothing_of_an_open_one():
    b = tripped()
    until = b.until
    breaker.failed(b, "old", "error", 1.0)
    breaker.well(b)
    assert b.opened
    assert b.until == until


def test_one_that_answers_and_then_cuts_is_on_probation():
    b = tripped()
    breaker.sent(b, "probe")
    breaker.answered(b, "probe")
    breaker.failed(b, "probe", "error", breaker.FIRST)
    assert b.until - breaker.FIRST == 2 * breaker.FIRST


def test_one_done_well_to_its_end_forgets_what_was():
    b = tripped()
    breaker.sent(b, "probe")
    breaker.answered(b, "probe")
    breaker.well(b)
    assert (b.failures, b.trips) == (0, 0)


def test_a_key_that_is_no_good_keeps_it_open_for_longer():
    b = Breaker()
    breaker.failed(b, "r", "denied", 10.0)
    assert b.until == 10.0 + breaker.DENIED
    breaker.declared(b, 20.0, changed=False)
    assert breaker.may(b, 20.0), "whoever declares it anew may have mended it"


@pytest.mark.parametrize(
    ("asked", "paused"),
    [(7.0, 7.0), (0.0, 0.0), (1e12, breaker.MOST_ASKED), (inf, 1.0), (nan, 1.0), (-3.0, 1.0), (None, 1.0)],
)
def test_one_that_asks_to_be_left_alone_is_not_ill(asked: float | None, paused: float):
    b = Breaker()
    breaker.failed(b, "r", "busy", 100.0, asked)
    assert b.paused_until == 100.0 + paused
    assert breaker.may(b, 100.0 + paused)
    assert b.failures == 0


@pytest.mark.parametrize(("changed", "left"), [(False, 1680.0), (True, 0.0)])
def test_what_it_asked_for_outlasts_a_reload_that_says_nothing_of_it(changed: bool, left: float):
    b = Breaker()
    breaker.failed(b, "r", "busy", 0.0, 1800.0)
    breaker.declared(b, 120.0, changed=changed)
    assert breaker.again(b, 120.0) - 120.0 == left


def test_pauses_that_are_not_said_grow_up_to_a_bound():
    b = Breaker()
    for _ in range(40):
        breaker.failed(b, "r", "busy", 0.0)
    assert b.paused_until == breaker.PAUSE_LONGEST


@given(st.integers(0, 2**32))
def test_however_it_flaps_it_is_tried_again_within_a_bound_and_never_by_two(seed: int):
    rng, b, now, flying = Random(seed), Breaker(), 0.0, list[str]()
    for i in range(200):
        now += rng.choice([0.0, 0.1, 3.0, 100.0])
        assert breaker.again(b, now) - now <= breaker.DENIED_LONGEST + 1e-6
        if breaker.may(b, now):
            assert not b.opened or b.probe is None
            breaker.sent(b, f"r{i}")
            flying.append(f"r{i}")
        if flying and rng.random() < 0.6:
            request = flying.pop(rng.randrange(len(flying)))
            kind = rng.choice(["error", "busy", "denied", "timeout", "well", "well", "neither"])
            if kind == "well":
                breaker.answered(b, request)
                breaker.well(b)
            elif kind == "neither":
                breaker.neither(b, request)
            else:
                breaker.failed(b, request, kind, now, rng.choice([None, 2.0]))
        assert b.probe is None or b.probe in flying
    while flying:
        breaker.neither(b, flying.pop())
    assert breaker.may(b, breaker.again(b, now))
