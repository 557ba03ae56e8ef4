"""Which turns of sessions find the replica of the one before: a start takes ten seconds, a token one."""

from pilotlight.sim.simulate import simulate
from pilotlight.sim.starts import constant
from pilotlight.sim.trace import Trace
from pilotlight.spec.load import parse


def kept(rows: list[tuple[float, int]], defaults: str) -> tuple[int, int]:
    """Of (second, session; -1 for none), each a request of one second: turns, and those that found their replica."""
    given = "first_token: 0s, per_token: 1s, warm_up: 0%, wake_time: 1s"
    config = parse(f"defaults: {{{defaults}}}\nsimulation: {{{given}}}", "c", {}, simulated=True)
    trace = Trace.from_rows("x", [(t, "m", 1, 1) for t, _ in rows], sessions=[s for _, s in rows])
    found = simulate(trace, config, constant(10.0))
    assert found.session_turns is not None and found.session_turns_kept is not None
    assert found.bill is None
    return found.session_turns, found.session_turns_kept


ONE = [(0.0, 1), (100.0, 1), (200.0, 1)]


def test_a_replica_that_stays_keeps_every_turn_and_one_that_goes_between_keeps_none():
    assert kept(ONE, "ttl: 10m") == (2, 2)
    assert kept(ONE, "ttl: 30s") == (2, 0)


def test_requests_of_no_session_are_no_turns_and_each_session_is_its_own():
    assert kept([(0, -1), (50, -1), (60, 1), (70, 2), (80, 2)], "ttl: 10m") == (1, 1)


def test_a_turn_that_another_replica_takes_is_not_kept():
    # Two at once, and one slot each: session 2 is on the second replica, and comes back when the first one is free.
    rows = [(0.0, 1), (0.0, 2), (100.0, 2)]
    assert kept(rows, "ttl: 10m, target_requests: 1, max_requests: 1, max_replicas: 2") == (1, 0)


def test_a_replica_that_slept_in_between_has_forgotten():
    rows = [(0.0, 1), (15.0, 1), (300.0, 1)]
    assert kept(rows, "ttl: 10m") == (2, 2)
    assert kept(rows, "ttl: 10m, sleep_after: 20s") == (2, 1)


def test_a_trace_without_sessions_says_nothing_of_them():
    trace = Trace.from_rows("x", [(0.0, "m", 1, 1), (9.0, "m", 1, 1)])
    found = simulate(trace, parse("{}", "c", {}, simulated=True), constant(1.0))
    assert (found.session_turns, found.session_turns_kept) == (None, None)


def test_the_warm_up_does_not_count():
    rows = [(float(t), 1) for t in range(0, 1000, 100)]
    trace = Trace.from_rows("x", [(t, "m", 1, 1) for t, _ in rows], sessions=[s for _, s in rows])
    config = parse("defaults: {ttl: 10m}\nsimulation: {warm_up: 50%}", "c", {}, simulated=True)
    assert simulate(trace, config, constant(10.0)).session_turns == 5
