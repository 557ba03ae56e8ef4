"""What operators ask for: warm, stop, shut down; and how busy replicas are drained."""

from pilotlight.fleet import events as ev
from pilotlight.fleet.actions import Moved
from pilotlight.fleet.deployment import Need
from pilotlight.fleet.states import Cause, State
from pilotlight.policy.step import step
from unit.policy.play import GIB, Play, model

# -- warm ------------------------------------------------------------------------------------------------------------


def test_warm_starts_one_and_only_one():
    p = Play(model(ttl=60, max_replicas=3))
    assert p.warm() == ["start m-1"]
    assert p.warm() == []
    p.ready("m-1")
    assert p.warm() == []
    assert p.wait(60) == ["stop m-1"], "it lives out its ttl"


def test_a_warm_that_fails_is_not_tried_for_ever():
    p = Play(model())
    p.warm()
    assert p.fail("m-1") == []
    assert p.wait(1000) == []


def test_warm_makes_room_like_a_request_does():
    p = Play(model("a", memory=8), model(memory=8), memory=12)
    p.up("a"), p.wait(2)
    assert p.warm() == ["stop a-1"]
    assert p.gone("a-1") == ["start m-1"]


def test_warm_of_one_that_is_unknown_or_too_large_does_nothing():
    p = Play(model(memory=100), memory=16)
    assert p.warm("other") == []
    assert p.warm() == []
    assert "needs 100.0 GiB" in p.notes[-1]


# -- stop ------------------------------------------------------------------------------------------------------------


def test_an_idle_one_stops_at_once_and_a_request_brings_it_back():
    p = Play(model())
    p.up()
    assert p.stop() == ["stop m-1"]
    assert p.ask("r1") == ["hold r1", "start m-2"]


def test_a_busy_one_finishes_first_and_stays_away():
    p = Play(model())
    p.up(), p.ask("r1")
    assert p.stop() == []
    assert p.state("m-1") == "draining"
    assert p.wait(5) == []
    assert p.done("r1") == ["stop m-1"]
    assert p.gone("m-1") == []
    assert p.wait(1000) == []


def test_drain_timeout_ends_what_does_not_finish():
    p = Play(model(drain_timeout=30))
    p.up(), p.ask("r1"), p.stop()
    assert p.wait(29) == []
    assert p.wait(1) == ["stop m-1"]


def test_also_when_an_earlier_look_at_it_was_due_for_another_reason():
    p = Play(model(ttl=40, drain_timeout=30))
    p.up()
    p.wait(20), p.ask("r1"), p.stop()
    assert p.wait(29) == [], "at 20 its idle timer rings, which is no longer about it"
    assert p.wait(1) == ["stop m-1"]


def test_stop_during_a_start_ends_it_and_tells_those_who_wait():
    p = Play(model())
    p.ask_all("r1", "r2")
    assert p.stop() == ["refuse r1 503 model_stopped", "refuse r2 503 model_stopped", "stop m-1"]
    assert p.ready("m-1") == [], "it came up all the same; it is going"
    assert p.gone("m-1") == []
    assert p.wait(1000) == []


def test_a_start_that_fails_while_it_is_being_stopped_is_no_failure():
    p = Play(model())
    p.ask("r1"), p.stop()
    p.fail("m-1")
    assert p.states() == {}
    assert p.ask("r2") == ["hold r2", "start m-2"], "without a back-off"


def test_a_replica_that_dies_while_it_drains_or_stops_is_no_crash():
    p = Play(model())
    p.up(), p.ask("r1"), p.stop()
    assert p.die("m-1") == []
    assert p.bounce("r1") == ["hold r1", "start m-2"], "at once"
    p.ready("m-2"), p.done("r1"), p.stop()
    assert p.die("m-2") == []
    assert p.ask("r2") == ["hold r2", "start m-3"]


def test_stopping_one_that_must_be_up_restarts_it():
    p = Play(model(min_replicas=1))
    p.ready("m-1")
    assert p.stop() == ["stop m-1", "start m-2"]


def test_stop_of_a_suspect_one():
    p = Play(model())
    p.up(), p.ask_all("r1", "r2"), p.bounce("r1")
    assert p.stop() == ["refuse r1 503 model_stopped"]
    assert p.state("m-1") == "draining", "r2 may still be running there"
    assert p.recover("m-1") == []
    assert p.leave("r2") == ["stop m-1"]


def test_stop_of_one_that_is_unknown_or_down_does_nothing():
    p = Play(model())
    assert p.stop() == []
    assert p.stop("other") == []


# -- shut down -------------------------------------------------------------------------------------------------------


def test_shutting_down_refuses_those_who_wait_and_lets_running_ones_finish():
    p = Play(model(slots=1, target_requests=1), model("idle"), model("coming"))
    p.up(), p.up("idle")
    p.ask_all("running", "waiting"), p.ask("c1", "coming")
    assert p.shut_down() == [
        "refuse waiting 503 shutting_down", "stop idle-1", "refuse c1 503 shutting_down", "stop coming-1",
    ]  # fmt: skip
    assert p.ask("late") == ["refuse late 503 shutting_down"]
    assert p.warm() == []
    assert p.done("running") == ["stop m-1"]


def test_nothing_is_restarted_while_the_server_leaves():
    p = Play(model(min_replicas=2, max_replicas=2))
    p.ready("m-1")
    p.ask("r1"), p.shut_down()
    p.die("m-1"), p.gone("m-2")
    assert p.bounce("r1") == ["refuse r1 503 model_gone"]
    assert p.wait(1000) == []
    assert p.fleet.replicas == {}
    assert p.taken() == 0


def test_drain_timeout_holds_when_the_server_leaves():
    p = Play(model(drain_timeout=30))
    p.up(), p.ask("r1"), p.shut_down()
    assert p.wait(30) == ["stop m-1"]


# -- time ------------------------------------------------------------------------------------------------------------


def test_a_tick_that_comes_for_nothing_does_nothing():
    from pilotlight.fleet import events as ev

    p = Play(model())
    p.up()
    assert p.play(ev.Tick(p.now)) == []


def test_events_about_replicas_that_are_not_there_do_nothing():
    p = Play(model())
    for play in (p.ready, p.fail, p.die, p.recover, p.gone):
        assert play("m-9") == []
    assert p.measure("m-9", 1) == []
    assert p.size("other", 1) == []


def test_warm_is_done_when_a_suspect_one_recovers():
    p = Play(model(ttl=60))
    p.up(), p.ask("r1"), p.bounce("r1")
    p.warm()
    assert p.recover("m-1") == ["r1 -> m-1"]
    p.done("r1")
    assert p.wait(60) == ["stop m-1"]
    assert p.gone("m-1") == []


def causes(p: Play, event: ev.Event) -> list[tuple[State | None, State, Cause | None, float]]:
    p.fleet, actions = step(p.fleet, event)
    return [(a.was, a.state, a.cause, a.at) for a in actions if isinstance(a, Moved)]


def test_a_move_tells_from_where_why_and_when():
    p = Play(model(startup_timeout=10))
    assert causes(p, ev.WarmAsked(100.0, "m")) == [(None, State.STARTING, None, 100.0)]
    assert causes(p, ev.Tick(110.0)) == [(State.STARTING, State.STOPPING, Cause.TIMED_OUT, 110.0)]
    assert causes(p, ev.Stopped(111.0, "m-1")) == [(State.STOPPING, State.GONE, Cause.ENDED, 111.0)]


def test_a_start_that_is_called_off_did_not_fail():
    p = Play(model())
    p.warm()
    assert causes(p, ev.StopAsked(100.0, "m")) == [(State.STARTING, State.STOPPING, Cause.TO_STOP, 100.0)]


def test_a_start_that_cannot_fit_did():
    p = Play(model(estimated=True), memory=16)
    p.warm()
    moves = causes(p, ev.Sized(100.0, "m", Need(20 * GIB)))
    assert moves == [(State.STARTING, State.STOPPING, Cause.TOO_LARGE, 100.0)]
