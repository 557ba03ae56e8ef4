"""Waking what sleeps, in preference to starting others."""

import pytest

from unit.policy.play import Play, asleep, model, sleepy


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


def two_asleep() -> Play:
    """a-1 on GPU 0, which b takes and is busy on, and a-2 on GPU 1; a-1 was used last."""
    a = sleepy("a", gpus=1, gpu_memory=20, max_replicas=2, target_requests=1)
    p = Play(a, model("b", gpus=1, gpu_memory=20), model("c", gpus=1, gpu_memory=20), gpus=(24, 24))
    p.up("a"), p.ask("r1", "a"), p.ask("r2", "a"), p.ready("a-2")
    p.done("r2"), p.wait(1), p.done("r1"), p.sleep("a")
    p.slept("a-1", 1, 0), p.slept("a-2", 1, 0)
    p.up("b"), p.ask("busy", "b"), p.wait(5)
    assert [p.fleet.replicas[r].devices for r in ("a-1", "b-1", "a-2")] == [(0,), (0,), (1,)]
    return p


def test_where_others_are_busy_another_that_sleeps_elsewhere_is_woken():
    p = two_asleep()
    assert p.ask("r3", "a") == ["hold r3", "wake a-2"]
    assert p.ready("a-2") == ["r3 -> a-2"] and p.state("a-1") == "asleep"


def test_room_is_made_for_another_that_sleeps_before_any_of_them_is_stopped():
    p = two_asleep()
    p.up("c"), p.wait(5)
    assert p.fleet.replicas["c-1"].devices == (1,)
    assert p.ask("r3", "a") == ["hold r3", "stop c-1"]
    assert p.gone("c-1") == ["wake a-2"] and p.state("a-1") == "asleep"


def test_where_all_of_them_find_others_busy_they_wait():
    p = two_asleep()
    p.up("c"), p.ask("also busy", "c"), p.wait(5)
    assert p.ask("r3", "a") == ["hold r3"]
    assert p.done("also busy") == ["stop c-1"]


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
