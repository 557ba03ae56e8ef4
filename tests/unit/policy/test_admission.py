"""Which requests are held, which are refused, and that every hold ends."""

import pytest

from unit.policy.play import Play, model


def test_one_more_than_max_pending_requests_is_refused_with_a_time_to_try_again():
    p = Play(model(max_pending_requests=2))
    assert p.ask_all("r1", "r2", "r3") == [
        "hold r1", "start m-1", "hold r2", "refuse r3 429 too_many_pending_requests",
    ]  # fmt: skip
    assert p.refused["r3"].retry_after == 2.0
    p.ready("m-1")
    assert p.ask("r4") == ["r4 -> m-1"], "running ones are not pending"


def test_one_that_leaves_makes_room_in_the_queue():
    p = Play(model(max_pending_requests=1))
    p.ask("r1"), p.leave("r1")
    assert p.ask("r2") == ["hold r2"]


def test_no_pending_requests_at_all_still_serves_a_warm_model():
    p = Play(model(max_pending_requests=0))
    assert p.ask("r1") == ["refuse r1 429 too_many_pending_requests"], (
        "nothing is started for one that is refused"
    )
    p.up(serve=False)
    assert p.ask("r2") == ["r2 -> m-1"]


def test_a_request_that_comes_back_from_a_dead_replica_is_never_refused_for_the_queue():
    p = Play(model(max_pending_requests=1))
    p.up()
    p.ask_all("r1", "r2")
    p.die("m-1")
    assert p.bounce("r1") == ["hold r1", "start m-2"]
    assert p.bounce("r2") == ["hold r2"]


def test_it_comes_before_those_who_have_waited_less():
    p = Play(model(slots=1, target_requests=1))
    p.up()
    p.ask_all("old", "young")
    p.die("m-1"), p.bounce("old")
    assert p.held() == ["old", "young"]
    p.ready("m-2")
    assert p.held() == ["young"]


def test_an_unknown_model_is_refused():
    assert Play(model()).ask("r1", "other") == ["refuse r1 404 model_not_found"]


def test_the_reason_for_a_hold_is_told():
    p = Play(model())

    def why() -> str:
        from pilotlight.fleet import events as ev
        from pilotlight.policy.step import step

        _, actions = step(p.fleet, ev.Arrived(p.now, f"r{p.now}", "m"))
        p.now += 0.1
        return actions[0].because

    assert why() == "no replica is up"
    assert why() == "a replica is starting"
    p.fail("m-1")
    assert why() == "the last start failed; the next one is due in 1 s"


@pytest.mark.parametrize("state", ["held", "running", "over", "unknown"])
def test_an_end_is_an_end(state: str):
    """A client may leave at any moment, and its end may be told twice."""
    p = Play(model(slots=1, target_requests=1))
    p.up()
    if state == "held":
        p.ask("other")
    if state != "unknown":
        p.ask("r")
    if state == "over":
        p.done("r")
    p.leave("r")
    assert p.leave("r") == []
    assert p.bounce("r") == []
    assert "r" not in p.fleet.assigned
    assert "r" not in p.fleet.holding


def test_a_warm_request_costs_nothing_but_its_assignment():
    p = Play(model())
    p.up()
    for n in range(100):
        assert p.ask(f"r{n}") == [f"r{n} -> m-1"]
        assert p.done(f"r{n}") == []
    assert len(p.fleet.timers) < 5, "timers do not pile up"
