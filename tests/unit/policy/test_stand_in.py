"""A smaller deployment answers while the one that was asked for comes up."""

import pytest

from pilotlight.fleet import actions as ac
from pilotlight.fleet import events as ev
from pilotlight.fleet.classes import BATCH, CRITICAL
from pilotlight.policy.step import step
from unit.policy.play import Play, asleep, model, sleepy
from unit.policy.test_warmer import resting


def pair(**small: object) -> Play:
    """`m` is down; `small` is up and idle."""
    small = {"slots": 2, "target_requests": 2, "max_replicas": 3, **small}
    p = Play(model(max_replicas=3, target_requests=2), model("small", **small))
    p.up("small")
    return p


def ask(p: Play, *requests: str, **terms: object) -> list[str]:
    return [word for r in requests for word in p.ask(r, stand_in="small", **terms)]


def test_it_answers_and_the_start_goes_ahead():
    p = pair()
    assert ask(p, "r1") == ["r1 -> small-1", "start m-1"]
    assert p.ready("m-1") == []
    assert ask(p, "r2") == ["r2 -> m-1"], "the real one is up"


def test_the_assignment_says_whose_it_is_and_why():
    p = pair()
    p.fleet, actions = step(p.fleet, ev.Arrived(p.now, "r1", "m", stand_in="small"))
    assert actions[0] == ac.Assign("r1", "small-1", "m is not up; small stands in", "small")
    started = next(a for a in actions if isinstance(a, ac.Start))
    assert started.because == "a stand-in answers 1 of its requests, no replica"


def test_only_where_the_request_allows_it():
    p = pair()
    assert p.ask("r1") == ["hold r1", "start m-1"]


@pytest.mark.parametrize("other", ["m", "unknown"])
def test_a_stand_in_that_is_none_is_none(other: str):
    p = pair()
    assert p.ask("r1", stand_in=other) == ["hold r1", "start m-1"]


def test_it_is_never_started_for_it():
    p = Play(model(), model("small"))
    assert ask(p, "r1") == ["hold r1", "start m-1"]


def test_one_that_was_removed_stands_in_for_nobody():
    p = pair()
    p.ask("s1", "small")
    p.configure(model(max_replicas=3, target_requests=2))
    assert p.state("small-1") == "draining"
    assert ask(p, "r1") == ["hold r1", "start m-1"]


def test_its_slots_are_full_and_the_rest_is_held():
    p = pair()
    assert ask(p, "r1", "r2", "r3") == [
        "r1 -> small-1",
        "start m-1",
        "r2 -> small-1",
        "hold r3",
        "start m-2",
    ], "they count in its demand as if they were held"
    assert p.fleet.replicas["small-1"].in_flight == 2
    assert p.done("r1") == [], "who is held waits for what it asked for"
    assert p.ready("m-1") == ["r3 -> m-1"]


def test_no_more_than_the_stand_ins_target_so_that_it_is_not_scaled_up():
    p = pair(slots=None)
    assert ask(p, "r1", "r2", "r3") == ["r1 -> small-1", "start m-1", "r2 -> small-1", "hold r3", "start m-2"]


def test_its_own_requests_come_first():
    p = pair(slots=1, target_requests=1, max_replicas=1)
    p.ask("s1", "small"), p.ask("s2", "small")
    assert ask(p, "r1") == ["hold r1", "start m-1"]


@pytest.mark.parametrize("state", ["starting", "waking"])
def test_it_answers_while_the_other_comes_up(state: str):
    p = Play(sleepy(), model("small"))
    p.up("small")
    if state == "waking":
        asleep(p)
    p.warm()
    assert state in p.states().values()
    assert ask(p, "r1") == ["r1 -> small-1"]


def test_a_sleeping_one_is_woken():
    p = Play(sleepy(), model("small"))
    p.up("small")
    asleep(p)
    assert ask(p, "r1") == ["r1 -> small-1", "wake m-1"]


def test_a_busy_one_that_is_up_is_waited_for():
    p = Play(model(slots=1, target_requests=1, max_replicas=1), model("small"))
    p.up("small"), p.up()
    p.ask("running")
    assert ask(p, "r1") == ["hold r1"]


def test_the_start_goes_ahead_when_the_request_is_over_first():
    p = Play(model(memory=8), model("small"), model("other", memory=8), memory=12)
    p.up("small"), p.up("other")
    p.ask("o1", "other")
    ask(p, "r1")
    assert p.states() == {}, "there is no room yet"
    p.done("r1")
    p.done("o1"), p.wait(60), p.gone("other-1")
    assert p.states() == {"m-1": "starting"}


def test_one_that_bounces_is_held_for_what_it_asked_for():
    p = pair()
    ask(p, "r1", rank=CRITICAL)
    assert p.bounce("r1") == ["hold r1", "probe small-1"]
    d = p.fleet.deployments["m"]
    assert (p.held(), d.away, d.in_flight) == (["r1"], 0, 0)
    assert p.ready("m-1") == ["r1 -> m-1"]


def test_one_that_bounces_after_what_it_asked_for_was_removed_is_refused():
    p = pair()
    ask(p, "r1")
    p.configure(model("small"))
    p.gone("m-1")
    assert "refuse r1 503 model_gone" in p.bounce("r1")


def test_it_ends_well_though_what_it_asked_for_was_removed_and_came_back():
    p = pair()
    ask(p, "r1")
    p.configure(model("small")), p.gone("m-1"), p.configure(model("small"), model())
    p.done("r1")
    d = p.fleet.deployments["m"]
    assert (d.away, d.in_flight) == (0, 0)


def test_a_start_that_fails_leaves_those_alone_that_are_answered():
    p = pair()
    ask(p, "r1")
    assert p.fail("m-1") == []
    assert p.wait(1) == ["start m-2"], "there is work for it still"
    p.done("r1")
    assert p.fail("m-2") == []
    assert p.wait(60) == []


def test_how_long_the_stand_in_stays_is_not_for_them_to_say():
    p = pair(ttl=60.0)
    p.ask("s1", "small"), p.done("s1")
    p.ask("r1", stand_in="small", keep_alive=0.0)
    assert p.done("r1") == []
    assert p.wait(59) == []


def test_batch_requests_wait_for_idle_capacity_of_their_own():
    p = pair()
    assert ask(p, "b1", rank=BATCH) == ["hold b1"]


def test_the_traffic_is_the_asked_ones():
    p = Play(model(ttl_is_auto=True), model("small"))
    p.up("small")
    ask(p, "r1")
    demand = p.fleet.deployments["m"].demand
    assert demand is not None
    assert (demand.busy, demand.requests, demand.cold) == (1, 1, 0)
    p.done("r1")
    assert demand.busy == 0


def test_a_warmer_of_its_own_comes_before_a_stand_in():
    p = resting(model("small"), target_requests=1)
    p.up("small")
    assert ask(p, "r1", "r2") == ["r1 -> m-2", "start m-3", "hold r2"], "it is up, though busy"


def test_the_stand_ins_warmer_is_not_lent_for_a_full_one_would_start_beside_it():
    p = resting(model("big"))
    assert p.ask("r1", "big", stand_in="m") == ["hold r1", "start big-1"]
