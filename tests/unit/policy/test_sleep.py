"""Putting idle replicas to sleep, and waking them in preference to starting others."""

from typing import Any

import pytest

from pilotlight.fleet.states import Cause
from unit.policy.play import Play, model


def sleepy(name: str = "m", **fields: Any):
    """A deployment whose replicas can sleep."""
    return model(name, techniques=("sleep",), **fields)


def asleep(p: Play, deployment: str = "m", memory: float = 0.1) -> str:
    """A replica that an operator has put to sleep; its id."""
    replica = p.up(deployment)
    assert p.sleep(deployment) == [f"sleep {replica}"]
    p.slept(replica, memory)
    return replica


# -- going to sleep --------------------------------------------------------------------------------------------------


def test_one_that_was_idle_for_long_enough_is_put_to_sleep():
    p = Play(sleepy(memory=8, sleep_after=30))
    p.up()
    assert p.wait(29) == []
    assert p.wait(1) == ["sleep m-1"]
    assert p.state("m-1") == "going_to_sleep" and p.taken() == 8
    assert p.slept("m-1", 0.5) == []
    assert p.state("m-1") == "asleep" and p.taken() == 0.5


def test_an_engine_that_cannot_sleep_stays_awake():
    p = Play(model(sleep_after=30, techniques=("zygote",)))
    p.up()
    assert p.wait(1000) == [] and p.state("m-1") == "ready"


def test_after_one_that_could_not_sleep_the_next_ones_stay_awake_for_a_while():
    p = Play(sleepy(sleep_after=30, ttl=10_000))
    p.up(), p.wait(30)
    p.sleep_failed("m-1"), p.gone("m-1")
    p.up()
    assert p.wait(59) == [], "a minute after the first failure"
    assert p.wait(1) == ["sleep m-2"]
    p.sleep_failed("m-2"), p.gone("m-2")
    p.up()
    assert p.wait(119) == [] and p.wait(1) == ["sleep m-3"], "two minutes after the second"
    p.slept("m-3", 0.1), p.ask("r"), p.ready("m-3"), p.done("r")
    assert p.wait(30) == ["sleep m-3"], "and one that slept makes that good"


def test_one_that_cannot_sleep_is_stopped_to_make_room():
    p = Play(sleepy("a", memory=8, sleep_after=30, ttl=10_000), sleepy("b", memory=8), memory=10)
    p.up("a"), p.wait(30)
    p.sleep_failed("a-1"), p.gone("a-1")
    p.up("a"), p.wait(2)
    assert p.ask("r", "b") == ["hold r", "stop a-2"]


def test_a_busy_one_is_not_put_to_sleep():
    p = Play(sleepy(sleep_after=30))
    p.up(), p.ask("r1")
    assert p.wait(100) == [] and p.sleep() == []


def test_its_keep_alive_goes_on_from_when_it_was_idle():
    p = Play(sleepy(sleep_after=30, ttl=100))
    p.up(), p.wait(30), p.slept("m-1", 0.1)
    assert p.wait(69) == []
    assert p.wait(1) == ["stop m-1"]


def test_one_that_would_leave_before_it_is_not_put_to_sleep():
    p = Play(sleepy(sleep_after=30, ttl=20))
    p.up()
    assert p.wait(100) == ["stop m-1"]


def test_min_replicas_do_not_sleep_by_themselves():
    p = Play(sleepy(sleep_after=30, min_replicas=1, max_replicas=2, target_requests=1))
    p.ready("m-1")
    p.ask("r1"), p.ask("r2"), p.ready("m-2"), p.done("r1"), p.done("r2")
    assert p.wait(100) == ["sleep m-2"], "one of two"
    p.slept("m-2", 0.1)
    assert p.wait(1000) == []


def test_it_never_takes_more_than_before():
    p = Play(sleepy(memory=2))
    p.up(), p.sleep()
    p.slept("m-1", 5)
    assert p.taken() == 2


def test_a_model_that_moves_from_its_device_has_its_room_in_host_memory():
    p = Play(sleepy(memory=2, gpus=1, gpu_memory=20), memory=64, gpus=(24,))
    p.up()
    assert p.sleep() == ["sleep m-1"]
    assert (p.taken(), p.taken_on(0)) == (22, 20), "both, until it sleeps"
    p.slept("m-1", 16, 1)
    assert (p.taken(), p.taken_on(0)) == (16, 1)


def test_it_is_not_put_to_sleep_where_that_has_no_room():
    p = Play(sleepy(memory=2, gpus=1, gpu_memory=20, sleep_after=30, ttl=60), memory=16, gpus=(24,))
    p.up()
    assert p.sleep() == [] and p.notes
    assert p.wait(60) == ["stop m-1"]


def test_one_that_could_not_sleep_is_stopped_and_comes_back_when_asked_for():
    p = Play(sleepy(sleep_after=30))
    p.up(), p.wait(30)
    assert p.sleep_failed("m-1") == ["stop m-1"]
    assert p.causes[-1] is Cause.SLEEP_FAILED
    assert p.ask("r1") == ["hold r1", "start m-2"]


def test_one_that_never_gets_to_sleep_is_stopped():
    p = Play(sleepy(startup_timeout=20))
    p.up(), p.sleep(), p.ask("r1")
    assert p.wait(20) == ["stop m-1", "start m-2"]
    assert p.slept("m-1", 0.1) == []


# -- waking ----------------------------------------------------------------------------------------------------------


def test_a_request_wakes_it():
    p = Play(sleepy(memory=8))
    asleep(p)
    assert p.ask("r1") == ["hold r1", "wake m-1"]
    assert p.state("m-1") == "waking" and p.taken() == 8
    assert p.ask("r2") == ["hold r2"]
    p.wait(3)
    assert p.ready("m-1") == ["r1 -> m-1", "r2 -> m-1"]
    r = p.fleet.replicas["m-1"]
    assert r.woken and r.start_seconds == 3


def test_one_that_is_going_to_sleep_is_woken_as_soon_as_it_sleeps():
    p = Play(sleepy())
    p.up(), p.sleep()
    assert p.ask("r1") == ["hold r1"]
    assert p.slept("m-1", 0.1) == ["wake m-1"]
    assert p.ready("m-1") == ["r1 -> m-1"]


def test_a_request_that_has_left_meanwhile_does_not_wake_it():
    p = Play(sleepy())
    p.up(), p.sleep(), p.ask("r1"), p.leave("r1")
    assert p.slept("m-1", 0.1) == []


def test_waking_comes_before_starting_and_both_when_both_are_needed():
    p = Play(sleepy(max_replicas=2, target_requests=1))
    asleep(p)
    assert p.ask("r1") == ["hold r1", "wake m-1"]
    assert p.ask("r2") == ["hold r2", "start m-2"]


def test_of_two_the_one_that_was_used_last_is_woken():
    p = Play(sleepy(max_replicas=2, target_requests=1))
    p.up(), p.ask("r1"), p.ask("r2"), p.ready("m-2")
    p.done("r2"), p.wait(1), p.done("r1"), p.wait(1)
    assert p.sleep() == ["sleep m-1", "sleep m-2"]
    p.slept("m-1", 0.1), p.slept("m-2", 0.1)
    assert p.ask("r3") == ["hold r3", "wake m-1"]


def test_room_is_made_for_what_wakes():
    p = Play(sleepy("a", memory=8), model("b", memory=8), memory=12)
    asleep(p, "a", 1)
    p.up("b"), p.wait(5)
    assert p.ask("r1", "a") == ["hold r1", "stop b-1"]
    assert p.gone("b-1") == ["wake a-1"]


def test_where_others_are_busy_another_is_started_elsewhere():
    gpu = {"memory": 1, "gpus": 1}
    p = Play(sleepy("a", **gpu), model("b", **gpu), model("c", **gpu), gpus=(24, 24))
    p.up("a"), p.sleep("a"), p.slept("a-1", 4, 1)
    p.configure(sleepy("a", **gpu), model("b", memory=1, gpus=1, gpu_memory=20))
    p.up("b"), p.ask("busy", "b")
    on = p.fleet.replicas["b-1"].devices
    words = p.ask("r1", "a")
    if on == p.fleet.replicas["a-1"].devices:
        assert words == ["hold r1", "stop a-1", "start a-2 on 1"]
    else:
        assert words == ["hold r1", "wake a-1"]


def test_where_it_can_never_be_woken_another_is_started():
    p = Play(sleepy("a", memory=8), model("b", memory=4, pinned=True), memory=12)
    p.up("a"), p.measure("a-1", 10), p.sleep("a"), p.slept("a-1", 1)
    p.up("b")
    assert p.ask("r1", "a") == ["hold r1", "refuse r1 503 model_does_not_fit"] or p.state("a-1") == "stopping"


def test_a_wake_that_ends_in_death_is_made_good_by_a_start():
    p = Play(sleepy())
    asleep(p), p.ask("r1")
    assert p.crash("m-1") == ["start m-2"]
    assert p.die("m-1") == []
    assert p.ready("m-2") == ["r1 -> m-2"]


def test_a_wake_past_the_start_timeout_is_stopped_and_its_requests_learn_why():
    p = Play(sleepy(startup_timeout=20))
    asleep(p), p.wait(100), p.ask("r1")
    assert p.wait(19) == []
    assert p.wait(1) == ["stop m-1", "refuse r1 503 start_failed"]


@pytest.mark.parametrize("state", ["going_to_sleep", "asleep", "waking"])
def test_it_may_die_in_any_state(state: str):
    p = Play(sleepy(memory=8))
    p.up(), p.sleep()
    if state != "going_to_sleep":
        p.slept("m-1", 1)
    if state == "waking":
        p.warm()
    assert p.state("m-1") == state
    assert p.die("m-1") == (["start m-2"] if state == "waking" else [])
    assert p.taken() == (8 if state == "waking" else 0)
    assert p.ready("m-1") == [] and p.slept("m-1", 1) == []


# -- operators -------------------------------------------------------------------------------------------------------


def test_warm_wakes_it():
    p = Play(sleepy())
    asleep(p)
    assert p.warm() == ["wake m-1"]
    assert p.ready("m-1") == [] and p.warm() == []


def test_an_operator_may_put_min_replicas_to_sleep_and_a_request_brings_them_back():
    p = Play(sleepy(min_replicas=1, ttl=60))
    p.ready("m-1"), p.ask("r1"), p.done("r1")
    assert p.sleep() == ["sleep m-1"]
    assert p.slept("m-1", 0.1) == []
    assert p.wait(1000) == [], "nobody wakes it, and its keep-alive does not end it"
    assert p.ask("r2") == ["hold r2", "wake m-1"]
    p.ready("m-1"), p.done("r2")
    assert p.wait(1000) == [] and p.state("m-1") == "ready"


@pytest.mark.parametrize("state", ["going_to_sleep", "asleep", "waking"])
@pytest.mark.parametrize("end", ["stop", "remove", "shut_down", "reload"])
def test_what_sleeps_is_stopped_like_all_others(state: str, end: str):
    p = Play(sleepy(fingerprint="old"))
    p.up(), p.sleep()
    if state != "going_to_sleep":
        p.slept("m-1", 0.1)
    if state == "waking":
        p.warm()
    words = {
        "stop": p.stop,
        "remove": p.configure,
        "shut_down": p.shut_down,
        "reload": lambda: p.configure(sleepy(fingerprint="new")),
    }[end]()
    assert words[:1] == ["stop m-1"]
    p.gone("m-1")
    assert p.state("m-1") == "gone"


def test_a_lower_max_replicas_lets_those_asleep_go_first():
    p = Play(sleepy(max_replicas=2, target_requests=1))
    p.up(), p.ask("r1"), p.ask("r2"), p.ready("m-2")
    assert p.sleep() == ["sleep m-2"]
    p.slept("m-2", 0.1)
    assert p.configure(sleepy(max_replicas=1, target_requests=1)) == ["stop m-2"]


# -- making room -----------------------------------------------------------------------------------------------------


def test_one_that_can_sleep_is_put_to_sleep_in_place_of_being_stopped():
    p = Play(sleepy("a", memory=8), model(memory=8), memory=12)
    p.up("a"), p.wait(5)
    assert p.ask("r1") == ["hold r1", "sleep a-1"]
    assert p.slept("a-1", 1) == ["start m-1"]
    assert p.taken() == 9


def test_it_is_stopped_where_its_sleep_would_not_free_enough():
    p = Play(sleepy("a", memory=8), model(memory=11), memory=12)
    p.up("a"), p.wait(5)
    assert p.ask("r1") == ["hold r1", "stop a-1"], "15 % would stay"


def test_what_it_took_asleep_is_known_the_next_time():
    p = Play(sleepy("a", memory=8), model(memory=8), memory=12)
    p.up("a"), p.sleep("a"), p.slept("a-1", 6), p.warm("a"), p.wait(1), p.ready("a-1")
    p.wait(5)
    assert p.ask("r1") == ["hold r1", "stop a-1"]


def test_what_sleeps_already_is_stopped_before_anyone_awake():
    p = Play(sleepy("a", memory=8), model("b", memory=6), model(memory=5), memory=12)
    asleep(p, "a", 2)
    p.up("b"), p.wait(1)
    p.ask("busy", "b")
    assert p.ask("r1") == ["hold r1", "stop a-1"]


def test_two_that_sleep_do_not_keep_each_other_from_waking():
    p = Play(sleepy("a", memory=10), sleepy("b", memory=10), memory=12)
    asleep(p, "a", 1)
    p.up("b"), p.sleep("b"), p.slept("b-1", 3)
    words = p.ask("a1", "a") + p.ask("b1", "b")
    assert words == ["hold a1", "stop b-1", "hold b1"]
    assert p.gone("b-1") == ["wake a-1"]


# -- zygotes and primed processes ------------------------------------------------------------------------------------


def test_they_are_let_go_of_when_a_model_fits_only_without_them():
    p = Play(model(memory=8), memory=10)
    p.overhead(3)
    assert p.ask("r1") == ["hold r1", "trim local"]
    assert p.ask("r2") == ["hold r2"] and p.wait(60) == [], "once is enough"
    assert p.overhead(1) == ["start m-1"]


def test_and_not_before_idle_models_have_gone():
    p = Play(model("a", memory=6), model(memory=6), memory=10)
    p.overhead(3), p.up("a"), p.wait(5)
    assert p.ask("r1") == ["hold r1", "stop a-1"]
    assert p.gone("a-1") == ["start m-1"]


def test_they_count_against_the_budget_and_stop_nobody():
    p = Play(model("a", memory=6), model(memory=2), memory=10)
    p.up("a"), p.ask("busy", "a")
    assert p.overhead(5) == []
    assert p.ask("r1") == ["hold r1", "trim local"]
    assert p.overhead(2) == ["start m-1"]
