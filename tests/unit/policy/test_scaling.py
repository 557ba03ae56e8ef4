"""How many replicas a deployment gets: its load, at target_requests each, within min and max."""

import pytest

from unit.policy.play import Play, model


def test_nothing_is_started_for_nobody():
    p = Play(model())
    assert p.first == []
    assert p.wait(10_000) == []


def test_one_start_serves_all_who_come_meanwhile():
    p = Play(model(target_requests=4))
    assert p.ask("r1") == ["hold r1", "start m-1"]
    assert p.ask_all("r2", "r3", "r4", "r5", "r6") == ["hold r2", "hold r3", "hold r4", "hold r5", "hold r6"]
    assert p.ready("m-1") == [f"r{i} -> m-1" for i in range(1, 7)], "in order of arrival"


@pytest.mark.parametrize(("requests", "replicas"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (6, 3), (20, 3)])
def test_as_many_starts_as_target_requests_asks_for_up_to_max(requests: int, replicas: int):
    p = Play(model(target_requests=2, max_replicas=3))
    p.ask_all(*(f"r{i}" for i in range(requests)))
    assert len(p.states()) == replicas


def test_running_requests_count_like_held_ones():
    p = Play(model(target_requests=2, max_replicas=2))
    p.up()
    assert p.ask_all("r1", "r2") == ["r1 -> m-1", "r2 -> m-1"]
    assert p.ask("r3") == ["r3 -> m-1", "start m-2"], "it does not wait for the second replica"
    assert p.ask("r4") == ["r4 -> m-1"], "one start is enough for both"


def test_requests_of_a_replica_that_is_to_go_ask_for_no_other():
    p = Play(model(target_requests=1, max_replicas=3))
    p.up()
    p.ask("r1")
    p.stop()
    assert p.state("m-1") == "draining"
    assert p.wait(5) == []
    assert p.ask("r2") == ["hold r2", "start m-2"]
    assert p.ready("m-2") == ["r2 -> m-2"], "for two requests, one of them elsewhere, one is enough"
    assert p.states() == {"m-1": "draining", "m-2": "ready"}


def test_replicas_that_are_leaving_do_not_count_as_capacity():
    p = Play(model(target_requests=1, max_replicas=2))
    p.up()
    p.stop()
    p.ask("r1")
    p.ready("m-2")
    assert p.states() == {"m-1": "stopping", "m-2": "ready"}
    assert p.ask("r2") == ["r2 -> m-2", "start m-3"]


def test_min_replicas_are_started_at_once_and_kept():
    p = Play(model(min_replicas=2, max_replicas=3, ttl=5))
    assert p.first == ["start m-1", "start m-2"]
    p.ready("m-1"), p.ready("m-2")
    assert p.wait(10_000) == []


def test_a_lower_max_replicas_lets_the_surplus_go_starting_and_idle_ones_first():
    p = Play(model(max_replicas=3, target_requests=1))
    p.ask_all("r1", "r2", "r3")
    p.ready("m-1"), p.ready("m-2")
    assert p.configure(model(max_replicas=2, target_requests=1)) == ["stop m-3"]
    p.done("r3"), p.done("r2")
    assert p.states() == {"m-1": "ready", "m-2": "ready", "m-3": "stopping"}
    assert p.configure(model(max_replicas=1, target_requests=1)) == ["stop m-2"], "the busy one stays"
