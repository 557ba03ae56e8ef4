"""Putting idle replicas to sleep: by themselves, by an operator, or to make room."""

import pytest

from pilotlight.fleet.states import Cause
from unit.policy.play import Play, asleep, model, sleepy

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
    p.sleep_failed("m-1"), p.gone("m-1"), p.ready("m-2")
    assert p.wait(59) == [], "a minute after the first failure"
    assert p.wait(1) == ["sleep m-2"]
    p.sleep_failed("m-2"), p.gone("m-2"), p.ready("m-3")
    assert p.wait(119) == [] and p.wait(1) == ["sleep m-3"], "two minutes after the second"
    p.slept("m-3", 0.1), p.ask("r"), p.ready("m-3"), p.done("r")
    assert p.wait(30) == ["sleep m-3"], "and one that slept makes that good"


def test_one_that_cannot_sleep_is_stopped_to_make_room():
    p = Play(sleepy("a", memory=8, sleep_after=30, ttl=10_000), sleepy("b", memory=8), memory=10)
    p.up("a"), p.wait(30)
    p.sleep_failed("a-1"), p.gone("a-1"), p.ready("a-2"), p.wait(2)
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


def test_what_is_primed_takes_of_the_room_that_it_would_have_there():
    p = Play(sleepy(memory=2, gpus=1, gpu_memory=20), memory=24, gpus=(24,))
    p.up(), p.overhead(3)
    assert p.sleep() == [] and p.notes
    p.overhead(2)
    assert p.sleep() == ["sleep m-1"]


def test_one_that_could_not_sleep_is_restarted_and_kept_as_long_as_any():
    p = Play(sleepy(memory=8, sleep_after=30, ttl=100), memory=10)
    p.up(), p.wait(30)
    assert p.sleep_failed("m-1") == ["stop m-1"]
    assert Cause.SLEEP_FAILED in p.causes
    assert p.gone("m-1") == ["start m-2"], "in its room"
    assert p.fleet.deployments["m"].wanted_up == "the one before could not sleep"
    assert p.ready("m-2") == [] and p.fleet.deployments["m"].wanted_up == ""
    p.sleep_failed("m-2")
    assert p.wait(60) == ["sleep m-2"] and p.slept("m-2", 0.1) == []
    assert p.wait(9) == [], "100 s after the last request, and not after the restart"
    assert p.wait(1) == ["stop m-2"] and p.gone("m-2") == []


def test_one_whose_keep_alive_ends_while_it_cannot_sleep_is_not_restarted():
    p = Play(sleepy(sleep_after=30, ttl=40))
    p.up(), p.wait(30), p.wait(11)
    assert p.sleep_failed("m-1") == ["stop m-1"] and p.gone("m-1") == []
    assert p.ask("r1") == ["hold r1", "start m-2"]


def test_the_next_one_has_the_keep_alive_that_the_last_request_of_the_one_before_asked_for():
    p = Play(sleepy(sleep_after=30, ttl=1))
    p.up(serve=False), p.ask("r", keep_alive=100), p.done("r"), p.wait(30)
    assert p.sleep_failed("m-1") == ["stop m-1", "start m-2"]
    assert p.gone("m-1") == [] and p.ready("m-2") == []
    assert p.wait(59) == [] and p.wait(1) == ["sleep m-2"] and p.slept("m-2", 0.1) == []
    assert p.wait(9) == [] and p.wait(1) == ["stop m-2"]


def test_one_that_can_never_sleep_leaves_in_the_end():
    p = Play(sleepy(sleep_after=30, ttl=500))
    p.up()
    for n, wait in enumerate((30, 60, 120, 240), 1):
        assert p.wait(wait) == [f"sleep m-{n}"]
        p.sleep_failed(f"m-{n}"), p.gone(f"m-{n}"), p.ready(f"m-{n + 1}")
    assert p.wait(50) == ["stop m-5"]


def test_the_next_one_takes_no_room_that_others_want():
    p = Play(sleepy("a", memory=8, sleep_after=30, ttl=1000), sleepy("b", memory=8), memory=10)
    p.up("a"), p.wait(30)
    assert p.sleep_failed("a-1") == ["stop a-1"]
    assert p.ask("r", "b") == ["hold r"] and p.gone("a-1") == ["start b-1"]
    assert p.ready("b-1") == ["r -> b-1"] and p.done("r") == []
    assert p.wait(10) == [] and p.stop("b") == ["stop b-1"] and p.gone("b-1") == [], "it is not caught up on"


def test_the_last_of_several_that_cannot_sleep_is_restarted():
    p = Play(sleepy(sleep_after=30, ttl=1000, target_requests=1, max_replicas=2))
    p.up(), p.ask("r1"), p.ask("r2"), p.ready("m-2"), p.done("r1"), p.done("r2")
    assert p.wait(30) == ["sleep m-1", "sleep m-2"]
    assert p.sleep_failed("m-1") == ["stop m-1"] and p.sleep_failed("m-2") == ["stop m-2", "start m-3"]


def test_one_that_was_to_sleep_for_others_or_an_operator_is_not_restarted():
    p = Play(sleepy("a", memory=8, ttl=1000), sleepy("b", memory=8), memory=10)
    p.up("a"), p.wait(5)
    assert p.ask("r", "b") == ["hold r", "sleep a-1"]
    assert p.sleep_failed("a-1") == ["stop a-1"] and p.gone("a-1") == ["start b-1"]
    q = Play(sleepy(ttl=1000))
    q.up(), q.sleep()
    assert q.sleep_failed("m-1") == ["stop m-1"] and q.gone("m-1") == []


def test_of_several_the_one_that_could_not_sleep_is_only_stopped():
    p = Play(sleepy(sleep_after=30, ttl=1000, target_requests=1, max_replicas=2))
    p.up(), p.ask("r1"), p.ask("r2"), p.ready("m-2")
    assert p.wait(30) == ["sleep m-2"]
    p.done("r1"), p.done("r2")
    assert p.sleep_failed("m-2") == ["stop m-2"] and p.gone("m-2") == [], "another is up"


def test_one_that_never_gets_to_sleep_is_stopped():
    p = Play(sleepy(startup_timeout=20))
    p.up(), p.sleep(), p.ask("r1")
    assert p.wait(20) == ["stop m-1", "start m-2"]
    assert p.slept("m-1", 0.1) == []


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


@pytest.mark.parametrize(("memory", "way"), [(64, "sleep"), (16, "stop")])
def test_of_a_device_it_goes_to_host_memory_or_where_that_has_no_room_it_is_stopped(memory: int, way: str):
    gpu = {"memory": 2, "gpus": 1, "gpu_memory": 20}
    p = Play(sleepy("a", **gpu), model(**gpu), memory=memory, gpus=(24,))
    p.up("a"), p.wait(5)
    assert p.ask("r1") == ["hold r1", f"{way} a-1"]


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
