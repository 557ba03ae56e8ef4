"""Delays around what is asked for: hand-computed cases, and what holds for any load."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from pilotlight.fleet.ahead import NEVER, Delays
from pilotlight.policy import bounds
from unit.policy.play import Play, model

UP, DOWN = 10.0, 30.0


def run(*steps: tuple[float, int], up: float = UP, down: float = DOWN) -> list[int]:
    """What is granted after each (moment, wish); looked at between them whenever it says so."""
    s, found = Delays(), []
    last = 0
    for now, wish in steps:
        while (when := bounds.next_look(s, up, down)) < now:
            bounds.follow(s, last, up, down, when)
        bounds.follow(s, wish, up, down, now)
        last = wish
        found.append(s.granted)
    return found


def test_the_first_is_granted_at_once_and_more_after_the_delay():
    assert run((0, 3), (9.9, 3), (10, 3)) == [1, 1, 3]


def test_a_wish_that_does_not_last_is_not_granted():
    assert run((0, 1), (5, 4), (14, 1), (16, 4), (25, 4), (26, 4)) == [1, 1, 1, 1, 1, 4]


def test_each_replica_waits_for_itself():
    assert run((0, 1), (5, 2), (14, 9), (15, 9), (23, 3), (24, 9), (25, 9), (34, 9)) == [
        1,
        1,
        1,
        2,
        2,
        3,
        3,
        9,
    ]


def test_fewer_are_granted_after_the_other_delay():
    assert run((0, 5), (10, 5), (20, 1), (40, 3), (49, 0), (50, 0), (79, 0), (80, 0)) == [
        1,
        5,
        5,
        5,
        5,
        3,
        0,
        0,
    ]


def test_without_delays_what_is_asked_for_is_granted():
    assert run((0, 3), (1, 7), (1, 2), (2, 0), up=0.0, down=0.0) == [3, 7, 2, 0]


def test_who_asks_for_what_is_granted_need_not_be_looked_at():
    s = Delays()
    bounds.follow(s, 1, UP, DOWN, 5.0)
    assert bounds.next_look(s, UP, DOWN) == NEVER
    bounds.follow(s, 2, UP, DOWN, 6.0)
    assert bounds.next_look(s, UP, DOWN) == 16.0


LOADS = st.lists(st.tuples(st.floats(0.0, 60.0), st.integers(0, 6)), max_size=60)


@given(LOADS, st.sampled_from([0.0, 5.0, 20.0]), st.sampled_from([0.0, 5.0, 40.0]))
@settings(max_examples=200, deadline=None)
def test_it_changes_only_so_often_and_never_leaves_what_was_asked_for(loads, up, down):
    s, now, wish, changes = Delays(), 0.0, 0, []
    highest = 0

    def follow(at: float) -> None:
        before = s.granted
        bounds.follow(s, wish, up, down, at)
        if s.granted != before:
            changes.append((at, before, s.granted))

    for gap, asked in loads:
        now += gap
        while (when := bounds.next_look(s, up, down)) < now:
            follow(when)
        wish = asked
        highest = max(highest, wish)
        follow(now)
        assert 0 <= s.granted <= highest
        assert s.granted >= min(wish, 1), "somebody waits"
    for k in range(1, 7):
        crossed = [(at, b >= k) for at, a, b in changes if (a >= k) != (b >= k)]
        assert all(was != will for (_, was), (_, will) in pairwise(crossed))
        for (early, _), (late, rises) in pairwise(crossed):
            assert late - early >= (0.0 if rises and k == 1 else up if rises else down) - 1e-6


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.floats(0.0, 50.0))
def test_who_asks_for_more_is_never_granted_less(granted, a, b, later):
    found = []
    for wish in sorted((a, b)):
        s = Delays(granted)
        bounds.follow(s, wish, UP, DOWN, 0.0)
        bounds.follow(s, wish, UP, DOWN, later)
        found.append(s.granted)
    assert found[0] <= found[1]


# -- in the kernel ---------------------------------------------------------------------------------------------------


def test_another_is_started_only_when_it_was_asked_for_long_enough():
    p = Play(model(target_requests=1, slots=4, max_replicas=3, scale_up_delay=10.0))
    assert p.ask_all("r1", "r2", "r3") == ["hold r1", "start m-1", "hold r2", "hold r3"]
    assert p.ready("m-1") == ["r1 -> m-1", "r2 -> m-1", "r3 -> m-1"]
    assert p.wait(9.9) == []
    assert p.wait(0.1) == ["start m-2", "start m-3"]


def test_a_short_burst_starts_nothing():
    p = Play(model(target_requests=1, slots=4, max_replicas=3, scale_up_delay=10.0))
    p.up()
    for i in range(5):
        p.ask_all(f"a{i}", f"b{i}")
        assert p.wait(9) == []
        p.done(f"a{i}")
        assert p.wait(2) == []
        p.done(f"b{i}")


def test_what_is_kept_up_in_any_case_does_not_wait():
    p = Play(model(min_replicas=2, max_replicas=3, scale_up_delay=60.0, scale_down_delay=60.0))
    assert p.first == ["start m-1", "start m-2"]
    p.ready("m-1")
    assert p.crash("m-1") == ["start m-3"] or p.wait(10) == ["start m-3"]


def test_one_that_crashed_is_made_good_at_once():
    p = Play(model(target_requests=1, slots=1, max_replicas=2, scale_up_delay=10.0, scale_down_delay=30.0))
    p.ask_all("r1", "r2"), p.ready("m-1"), p.wait(10), p.ready("m-2")
    p.crash("m-1")
    assert p.bounce("r1") == ["hold r1"]
    assert p.wait(5) == ["start m-3"], "it was granted two; only the back-off is waited for"


def test_a_replica_is_let_go_only_when_it_was_not_wanted_for_long_enough():
    p = Play(model(target_requests=1, max_replicas=2, ttl=5.0, scale_down_delay=60.0))
    p.ask_all("r1", "r2"), p.ready("m-1"), p.ready("m-2")
    p.done("r1"), p.done("r2")
    assert p.wait(59.9) == []
    assert sorted(p.wait(0.2)) == ["stop m-1", "stop m-2"]


def test_a_request_in_between_begins_the_delay_anew():
    p = Play(model(target_requests=1, max_replicas=2, ttl=5.0, scale_down_delay=60.0))
    p.ask_all("r1", "r2"), p.ready("m-1"), p.ready("m-2")
    p.done("r1"), p.done("r2"), p.wait(50)
    p.ask_all("r3", "r4"), p.done("r3"), p.done("r4")
    assert p.wait(59) == []
    assert len(p.wait(2)) == 2


def test_an_operator_who_stops_it_is_obeyed():
    p = Play(model(ttl=5.0, scale_down_delay=60.0))
    p.ask("r1"), p.ready("m-1"), p.done("r1")
    assert p.stop() == ["stop m-1"]
    p.gone("m-1")
    assert p.wait(100) == []


def test_delays_that_are_taken_away_hold_nothing():
    p = Play(model(ttl=5.0, scale_down_delay=600.0))
    p.ask("r1"), p.ready("m-1"), p.done("r1"), p.wait(10)
    assert p.configure(model(ttl=5.0)) == ["stop m-1"]
