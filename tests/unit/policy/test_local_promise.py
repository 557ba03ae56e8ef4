"""How many requests a deployment's own replicas take up within some time."""

import pytest

from pilotlight.fleet.provider import Burst
from pilotlight.policy.local_promise import OVERDUE, UNTIMED, served_within, service
from unit.policy.play import Play, model


def deployment(**fields):
    fields = {"slots": 4, "target_requests": 4, "max_replicas": 2, "start_seconds": 40.0, **fields}
    p = Play(model(burst=Burst(("nobody",)), **fields))
    return p, p.fleet.deployments["m"]


def test_none_before_a_start_would_be_over_and_its_slots_after():
    p, d = deployment()
    assert served_within(d, 39.9, p.now) == 0.0
    assert served_within(d, 40.0, p.now) == 4.0
    assert served_within(d, 40.0 + UNTIMED, p.now) == 8.0


def test_what_is_left_of_a_start_that_goes_on():
    p, d = deployment(max_replicas=1)
    p.ask("r1")
    p.wait(30.0)
    assert served_within(d, 9.9, p.now) == 0.0
    assert served_within(d, 10.0, p.now) == 4.0


def test_a_start_that_is_overdue_is_never_taken_to_be_over_at_once():
    p, d = deployment(max_replicas=1)
    p.ask("r1")
    p.wait(100.0)
    assert served_within(d, OVERDUE * 100.0 - 0.1, p.now) == 0.0
    assert served_within(d, OVERDUE * 100.0, p.now) > 0.0


def test_slots_that_are_taken_come_free_evenly():
    p, d = deployment(max_replicas=1)
    p.up()
    p.ask_all("a", "b", "c", "d")
    assert served_within(d, 0.5 * UNTIMED, p.now) == pytest.approx(2.0)


def test_after_a_failed_start_the_next_one_has_to_wait():
    p, d = deployment()
    p.ask("r1")
    p.fail("m-1")
    assert served_within(d, 40.0, p.now) == 0.0
    assert served_within(d, d.retry_at - p.now + 40.0, p.now) == 4.0


def test_what_waits_for_room_promises_nothing():
    p = Play(model("other", memory=60), model(memory=60, burst=Burst(("nobody",)), start_seconds=1.0))
    p.up("other")
    p.ask("busy", "other")
    assert p.ask("r1") == ["hold r1"]
    d = p.fleet.deployments["m"]
    assert served_within(d, 1e6, p.now) == 0.0


def test_one_of_those_that_were_held_is_timed_at_a_time():
    p, d = deployment(slots=1, target_requests=1, max_replicas=1)
    p.ask_all("r1", "r2", "r3")
    p.ready("m-1")
    p.wait(8.0)
    p.done("r1")
    assert service(d) == 8.0
    p.wait(4.0)
    p.done("r2")
    assert 4.0 < service(d) < 8.0
    p.bounce("r3")
    assert d.bursting is not None
    assert not d.bursting.timed


def test_what_providers_take_is_learned_from_too():
    _, d = deployment()
    assert service(d) == UNTIMED
    assert d.bursting is not None
    d.bursting.service = 2.0
    assert service(d) == 2.0
