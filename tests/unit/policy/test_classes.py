"""Critical requests go first; batch requests take what is idle, and start nothing before their deadline."""

import pytest

from pilotlight.fleet import actions as ac
from pilotlight.fleet import events as ev
from pilotlight.fleet.classes import BATCH, CRITICAL
from pilotlight.policy import demand
from pilotlight.policy.step import step
from unit.policy.play import Play, asleep, model, sleepy
from unit.policy.test_warmer import resting


def critical(p: Play, *requests: str) -> list[str]:
    return [word for r in requests for word in p.ask(r, rank=CRITICAL)]


def batch(p: Play, *requests: str) -> list[str]:
    return [word for r in requests for word in p.ask(r, rank=BATCH)]


def waiting(p: Play) -> list[str]:
    """Those that wait for idle capacity."""
    return list(p.fleet.deployments["m"].patient)


# -- critical --------------------------------------------------------------------------------------------------------


def test_critical_requests_leave_the_queue_first_in_their_own_order():
    p = Play(model(slots=1, target_requests=1))
    p.up()
    p.ask("running")
    p.ask_all("s1", "s2"), critical(p, "c1", "c2")
    order: list[str] = []
    for request in ("running", "c1", "c2", "s1"):
        order += p.done(request)
    assert order == ["c1 -> m-1", "c2 -> m-1", "s1 -> m-1", "s2 -> m-1"]


def test_a_critical_request_that_leaves_the_queue_is_forgotten():
    p = Play(model(slots=1, target_requests=1))
    p.up()
    p.ask("running"), critical(p, "c1"), p.ask("s1")
    p.leave("c1")
    assert p.done("running") == ["s1 -> m-1"]


def test_a_refused_queue_leaves_no_critical_request_behind():
    p = Play(model())
    critical(p, "c1")
    assert p.fail("m-1") == ["refuse c1 503 start_failed"]
    p.ask("s1"), p.wait(1)
    assert p.ready("m-2") == ["s1 -> m-2"]


@pytest.mark.parametrize("rank", [CRITICAL, BATCH])
def test_one_that_its_replica_failed_keeps_its_class(rank: int):
    p = Play(model(slots=1, target_requests=1, max_replicas=1))
    p.up()
    p.ask("r", rank=rank)
    p.ask("s1"), critical(p, "c1")
    p.die("m-1")
    p.bounce("r")
    first = "r" if rank == CRITICAL else "c1"
    assert p.ready("m-2") == [f"{first} -> m-2"]
    assert waiting(p) == ([] if rank == CRITICAL else ["r"])


@pytest.mark.parametrize(
    "fields",
    [{"target_requests": 4}, {"ttl_is_auto": True}, {"scale_up_delay": 60.0}],
    ids=["whose target is not reached", "that learns", "that is slow to start more"],
)
def test_one_that_would_wait_behind_a_batch_request_has_another_replica_started_at_once(fields: dict):
    p = Play(model(**{"slots": 1, "target_requests": 1, "max_replicas": 3, **fields}))
    p.up(serve=False)
    batch(p, "b1")
    assert critical(p, "c1") == ["hold c1", "start m-2"]
    assert p.ready("m-2") == ["c1 -> m-2"]


def test_one_that_waits_behind_its_like_has_none_started_before_it_is_time():
    p = Play(model(slots=1, target_requests=4, max_replicas=3))
    p.up()
    assert critical(p, "c1", "c2") == ["c1 -> m-1", "hold c2"]


def test_no_more_are_started_than_batch_requests_stand_in_the_way():
    p = Play(model(slots=1, target_requests=9, max_replicas=5))
    p.up()
    batch(p, "b1")
    assert critical(p, "c1", "c2", "c3") == ["hold c1", "start m-2", "hold c2", "hold c3"]


def test_nor_more_than_critical_requests_wait():
    p = Play(model(slots=1, target_requests=1, max_replicas=5, batch_deadline=0))
    batch(p, "b1", "b2"), p.ready("m-1"), p.ready("m-2")
    assert critical(p, "c1") == ["hold c1", "start m-3"]


def test_a_batch_request_that_runs_is_not_broken_off_where_no_more_may_be_started():
    p = Play(model(slots=1, target_requests=1, max_replicas=1))
    p.up()
    batch(p, "b1"), p.ask("s1")
    assert critical(p, "c1") == ["hold c1"]
    assert p.done("b1") == ["c1 -> m-1"]


def test_why_another_is_started_for_a_critical_request_is_said():
    p = Play(model(slots=1, target_requests=4, max_replicas=2))
    p.up()
    batch(p, "b1")
    p.fleet, actions = step(p.fleet, ev.Arrived(p.now, "c1", "m", rank=CRITICAL))
    (start,) = [a for a in actions if isinstance(a, ac.Start)]
    assert start.because == "1 critical wait, and batch requests run"


def test_nothing_is_remembered_of_a_request_that_is_over():
    p = Play(model(slots=4))
    p.up()
    critical(p, "c"), batch(p, "b")
    assert set(p.fleet.asides) == {"c", "b"}
    p.done("c"), p.done("b")
    assert not p.fleet.asides
    p.ask("s")
    assert not p.fleet.asides, "a plain request costs nothing"


# -- batch -----------------------------------------------------------------------------------------------------------


def test_a_batch_request_starts_nothing_before_its_deadline_and_one_replica_then():
    p = Play(model(batch_deadline=60))
    assert batch(p, "b1") == ["hold b1"]
    assert p.wait(59.9) == []
    assert p.wait(0.1) == ["start m-1"]
    assert p.ready("m-1") == ["b1 -> m-1"]


def test_each_has_a_deadline_of_its_own():
    p = Play(model(batch_deadline=60, target_requests=1, slots=1, max_replicas=4))
    batch(p, "b1"), p.wait(30), batch(p, "b2")
    assert p.wait(30) == ["start m-1"]
    assert waiting(p) == ["b2"]
    assert p.wait(30) == ["start m-2"]


def test_a_batch_request_wakes_nothing_before_its_deadline():
    p = Play(sleepy(batch_deadline=60))
    asleep(p)
    assert batch(p, "b1") == ["hold b1"]
    assert p.wait(60) == ["wake m-1"]


def test_it_is_served_by_a_replica_that_comes_up_for_others():
    p = Play(model(slots=4))
    batch(p, "b1", "b2")
    assert p.ask("s1") == ["hold s1", "start m-1"]
    assert p.ready("m-1") == ["s1 -> m-1", "b1 -> m-1", "b2 -> m-1"]


def test_without_a_deadline_to_wait_for_it_counts_as_standard_at_once():
    p = Play(model(batch_deadline=0))
    assert batch(p, "b1") == ["hold b1", "start m-1"]


def test_with_none_ever_it_waits_for_others_for_ever():
    p = Play(model(batch_deadline=float("inf")))
    batch(p, "b1")
    assert p.wait(1e6) == []
    p.ask("s1")
    assert p.ready("m-1") == ["s1 -> m-1", "b1 -> m-1"]


def test_a_reload_moves_the_deadline_of_those_who_wait():
    p = Play(model(batch_deadline=600))
    batch(p, "b1"), p.wait(30)
    assert p.configure(model(batch_deadline=60)) == []
    assert p.wait(30) == ["start m-1"]


def test_it_leaves_one_slot_free():
    p = Play(model(slots=3, target_requests=3))
    p.up()
    assert batch(p, "b1", "b2", "b3") == ["b1 -> m-1", "b2 -> m-1", "hold b3"]
    assert critical(p, "c1") == ["c1 -> m-1"]
    assert p.done("c1") == [], "the free slot stays free"
    assert p.done("b1") == ["b3 -> m-1"]


def test_it_takes_the_only_slot_there_is():
    p = Play(model(slots=1, target_requests=1))
    p.up()
    assert batch(p, "b1", "b2") == ["b1 -> m-1", "hold b2"]


def test_it_goes_up_to_target_requests_where_there_are_more_slots():
    p = Play(model(slots=None, target_requests=2))
    p.up()
    assert batch(p, "b1", "b2", "b3") == ["b1 -> m-1", "b2 -> m-1", "hold b3"]
    assert p.done("b1") == ["b3 -> m-1"]


def test_it_waits_while_anybody_else_does():
    p = Play(model(slots=1, target_requests=1))
    p.up()
    p.ask("running"), batch(p, "b1"), p.ask("s1")
    assert p.done("running") == ["s1 -> m-1"]
    assert p.done("s1") == ["b1 -> m-1"]


def test_past_its_deadline_it_waits_its_turn_among_the_standard_ones():
    p = Play(model(slots=1, target_requests=1, batch_deadline=10))
    p.up()
    p.ask("running"), batch(p, "b1"), p.wait(5), p.ask("s1"), p.wait(5), p.ask("s2")
    order = [*p.done("running"), *p.done("s1"), *p.done("b1")]
    assert order == ["s1 -> m-1", "b1 -> m-1", "s2 -> m-1"]


def test_one_that_bounces_has_no_new_deadline():
    p = Play(model(slots=2, target_requests=2, batch_deadline=10))
    p.up()
    batch(p, "b1"), p.wait(8)
    p.die("m-1")
    assert p.bounce("b1") == ["hold b1"], "nobody starts a replica for it"
    assert p.wait(2) == ["start m-2"]


def test_a_client_that_leaves_takes_its_batch_request_with_it():
    p = Play(model(batch_deadline=10))
    batch(p, "b1"), p.leave("b1")
    assert not p.fleet.holding
    assert p.wait(20) == []


@pytest.mark.parametrize(
    ("event", "code"),
    [("stop", "503 model_stopped"), ("shut_down", "503 shutting_down"), ("configure", "404 model_not_found")],
)
def test_what_ends_every_wait_ends_that_of_batch(event: str, code: str):
    p = Play(model())
    batch(p, "b1")
    assert getattr(p, event)() == [f"refuse b1 {code}"]


def test_a_start_that_fails_was_not_theirs():
    p = Play(model(batch_deadline=60))
    batch(p, "b1"), p.ask("s1")
    assert p.fail("m-1") == ["refuse s1 503 start_failed"]
    assert waiting(p) == ["b1"]
    assert p.wait(59) == []
    assert p.wait(1) == ["start m-2"]


# -- a full queue ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [CRITICAL, 1])
def test_in_a_full_queue_the_youngest_batch_request_makes_way(rank: int):
    p = Play(model(max_pending_requests=2))
    batch(p, "b1", "b2")
    assert batch(p, "b3") == ["refuse b3 429 too_many_pending_requests"]
    assert p.ask("r", rank=rank) == ["refuse b2 429 too_many_pending_requests", "hold r", "start m-1"]
    assert p.refused["b2"].retry_after == 2.0
    assert "higher class" in p.refused["b2"].because
    assert waiting(p) == ["b1"]


def test_a_critical_request_pushes_out_no_standard_one():
    p = Play(model(max_pending_requests=1))
    p.ask("s1")
    assert critical(p, "c1") == ["refuse c1 429 too_many_pending_requests"]


# -- what policies learn ---------------------------------------------------------------------------------------------


def learning() -> Play:
    return Play(model(ttl_is_auto=True, slots=4, batch_deadline=60))


def test_what_waits_for_idle_capacity_is_no_load():
    p = learning()
    batch(p, "b1", "b2")
    d = p.fleet.deployments["m"]
    assert demand.load(d, p.now) == 0
    assert d.demand is not None
    assert d.demand.busy == 0
    assert p.wait(60) == ["start m-1"]
    assert d.demand.busy == 1


def test_batch_requests_are_never_cold_and_standard_ones_are():
    p = learning()
    batch(p, "b1"), p.wait(60), p.ask("s1"), p.wait(30)
    p.ready("m-1")
    found = p.fleet.deployments["m"].demand
    assert found is not None
    assert (found.requests, found.asked, found.cold) == (0, 1, 1)


# -- beside other policies -------------------------------------------------------------------------------------------


def test_a_warmer_is_not_idle_capacity_for_a_full_one_would_start_beside_it():
    p = resting(small_slots=4, batch_deadline=60)
    assert batch(p, "b1") == ["hold b1"]
    assert p.ask("s1") == ["s1 -> m-2", "start m-3"]
    assert p.ready("m-3") == ["b1 -> m-3"]


def test_no_replica_is_started_ahead_of_batch_requests():
    p = Play(model(predictive=True, slots=4))
    d = p.fleet.deployments["m"]
    assert d.forecast is not None
    batch(p, "b1")
    assert d.forecast.count == 0
    p.ask("s1")
    assert d.forecast.count == 1


def test_with_a_delay_more_replicas_come_only_after_it():
    p = Play(model(slots=1, target_requests=1, max_replicas=2, batch_deadline=10, scale_up_delay=5))
    p.up()
    batch(p, "b1", "b2")
    assert p.wait(14.9) == [], "its deadline, and then the delay"
    assert p.wait(0.1) == ["start m-2"]


def test_a_queue_that_a_bounced_request_has_made_too_long_takes_no_more():
    p = Play(model(max_pending_requests=1, slots=2, target_requests=2))
    p.up()
    batch(p, "b1")
    assert batch(p, "b2") == ["hold b2"]
    p.die("m-1")
    assert p.bounce("b1") == ["hold b1"]
    assert waiting(p) == ["b1", "b2"]
    assert p.ask("s1") == ["refuse s1 429 too_many_pending_requests"]
    p.leave("b1")
    assert p.ask("s1") == ["refuse b2 429 too_many_pending_requests", "hold s1", "start m-2"]


def test_of_two_that_bounce_the_one_that_came_first_is_of_age_first():
    p = Play(model(batch_deadline=20.0, target_requests=4))
    p.up()
    p.ask("early", rank=BATCH), p.wait(5), p.ask("late", rank=BATCH)
    p.bounce("early"), p.bounce("late"), p.crash("m-1"), p.die("m-1")
    assert p.wait(14) == []
    assert p.wait(1) == ["start m-2"], "20 s after the first of them came, not the second"
