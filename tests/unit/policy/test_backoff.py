"""What follows a start that failed and a replica that died: the reason, a pause, another try; never for ever."""

import pytest

from pilotlight.policy.backoff import CAP, delay
from unit.policy.play import Play, model


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 1), (2, 2), (3, 4), (5, 16), (6, 30), (7, 30), (10**6, 30)]
)
def test_the_pause_doubles_up_to_a_cap(failures: int, seconds: float):
    assert delay(failures) == seconds <= CAP


def test_every_held_request_gets_the_reason():
    p = Play(model())
    p.ask_all("r1", "r2", "r3")
    assert p.fail("m-1", "no such file") == [f"refuse r{i} 503 start_failed" for i in (1, 2, 3)]
    said = p.refused["r2"]
    assert said.because == "m could not be started: no such file"
    assert (said.replica, said.retry_after) == ("m-1", 1.0)


def test_a_later_request_waits_for_the_back_off_and_tries_again():
    p = Play(model())
    p.ask("r1"), p.fail("m-1")
    p.wait(0.4)
    assert p.ask("r2") == ["hold r2"]
    assert p.wait(0.5) == []
    assert p.wait(0.1) == ["start m-2"]
    assert p.ready("m-2") == ["r2 -> m-2"]


def test_after_the_back_off_a_request_starts_at_once():
    p = Play(model())
    p.ask("r1"), p.fail("m-1")
    assert p.wait(100) == [], "nobody asks, nothing is tried"
    assert p.ask("r2") == ["hold r2", "start m-2"]


def test_failures_in_a_row_make_the_pause_longer_and_a_served_request_ends_it():
    p = Play(model())
    for n, pause in enumerate((1, 2, 4, 8, 16, 30, 30), 1):
        p.ask(f"r{n}")
        p.wait(1000)
        p.fail(f"m-{n}")
        assert p.refused[f"r{n}"].retry_after == pause
    p.ask("r"), p.wait(30), p.ready("m-8"), p.done("r")
    p.stop(), p.gone("m-8")
    p.ask("last"), p.fail("m-9")
    assert p.refused["last"].retry_after == 1


def test_a_changed_declaration_ends_the_pause():
    p = Play(model(fingerprint="wrong"))
    for n in range(1, 6):
        p.ask(f"r{n}"), p.wait(100), p.fail(f"m-{n}")
    p.ask("r")
    assert p.configure(model(fingerprint="right")) == ["start m-6"]


def test_an_operator_ends_the_pause_too():
    p = Play(model())
    p.ask("r1"), p.fail("m-1")
    assert p.warm() == ["start m-2"]


def test_requests_are_not_told_of_a_failure_when_another_replica_can_serve_them():
    p = Play(model(max_replicas=2, target_requests=1, slots=1))
    p.ask("r1"), p.ready("m-1")
    assert p.ask("r2") == ["hold r2", "start m-2"]
    assert p.fail("m-2") == []
    assert p.done("r1") == ["r2 -> m-1"]


def test_one_of_two_starts_that_fail_leaves_the_requests_to_the_other():
    p = Play(model(max_replicas=2, target_requests=1))
    p.ask_all("r1", "r2")
    assert p.fail("m-1") == []
    assert p.fail("m-2") == ["refuse r1 503 start_failed", "refuse r2 503 start_failed"]


def test_a_start_past_its_timeout_is_stopped_and_its_requests_learn_why():
    p = Play(model(startup_timeout=20))
    p.ask("r1")
    assert p.wait(19) == []
    assert p.wait(1) == ["stop m-1", "refuse r1 503 start_failed"]
    assert "not ready within 20 s (startup_timeout)" in p.refused["r1"].because
    assert p.ready("m-1") == [], "too late"
    assert p.ask("r2") == ["hold r2"]
    p.gone("m-1")
    assert p.wait(1) == ["start m-2"]


def test_a_reload_changes_the_timeout_of_a_start_under_way():
    p = Play(model(startup_timeout=1000))
    p.ask("r1")
    assert p.configure(model(startup_timeout=20)) == []
    assert p.wait(20) == ["stop m-1", "refuse r1 503 start_failed"]


def test_min_replicas_are_tried_again_and_again():
    p = Play(model(min_replicas=1))
    starts = 1
    for _ in range(20):
        p.fail(f"m-{starts}")
        assert p.wait(CAP) == [f"start m-{starts + 1}"]
        starts += 1


# -- crashes -------------------------------------------------------------------------------------------------------


def test_the_first_crash_of_a_replica_that_served_is_made_good_at_once():
    p = Play(model())
    p.up()
    assert p.die("m-1") == []
    assert p.ask("r1") == ["hold r1", "start m-2"]


def test_one_that_crashes_before_it_has_served_waits():
    p = Play(model())
    p.up(serve=False)
    assert p.die("m-1") == []
    assert p.ask("r1") == ["hold r1"]
    assert p.wait(1) == ["start m-2"]


def test_a_crash_with_requests_bounces_them_to_a_new_replica():
    p = Play(model())
    p.up()
    p.ask_all("r1", "r2")
    p.die("m-1")
    assert p.bounce("r1") == ["hold r1", "start m-2"]
    assert p.bounce("r2") == ["hold r2"]
    assert p.ready("m-2") == ["r2 -> m-2", "r1 -> m-2"] or p.held() == []


def test_one_whose_process_has_ended_takes_nothing_and_keeps_its_room_until_it_is_gone():
    p = Play(model(memory=8, max_replicas=2), memory=20)
    p.up()
    p.ask("r1")
    assert p.crash("m-1") == []
    assert p.state("m-1") == "failing"
    assert p.bounce("r1") == ["hold r1", "start m-2"], "there is room for both"
    assert p.ask("r2") == ["hold r2"]
    assert p.taken() == 16
    assert p.die("m-1") == [] and p.taken() == 8
    assert p.ready("m-2") == ["r1 -> m-2", "r2 -> m-2"]


@pytest.mark.parametrize("fields", [{"memory": 8}, {"exclusive": "port 8000"}])
def test_where_there_is_no_room_for_both_the_new_one_waits_for_the_old_one(fields: dict[str, object]):
    p = Play(model(min_replicas=1, **fields), model("other", memory=4), memory=12)
    p.ready("m-1")
    p.ask("r1"), p.up("other"), p.wait(5)
    assert p.crash("m-1") == [], "nobody is evicted, for its room is on its way"
    assert p.bounce("r1") == ["hold r1"]
    assert p.wait(0.5) == []
    p.wait(1), p.wait(0)
    assert p.die("m-1") == ["start m-2"]


def test_a_crash_counts_once():
    p = Play(model())
    p.up(serve=False)
    p.crash("m-1"), p.crash("m-1"), p.die("m-1"), p.die("m-1")
    assert p.fleet.deployments["m"].failures == 1
    assert p.ask("r1") == ["hold r1"]
    assert p.wait(1) == ["start m-2"]


@pytest.mark.parametrize("end", ["remove", "shut_down", "stop"])
def test_one_that_is_failing_is_told_nothing_more(end: str):
    p = Play(model())
    p.up(), p.ask("r1"), p.crash("m-1")
    words = p.configure() if end == "remove" else p.shut_down() if end == "shut_down" else p.stop()
    assert words == [] and p.wait(1000) == [] and p.recover("m-1") == []
    assert p.done("r1") == []
    assert p.gone("m-1") == [] and p.state("m-1") == "gone"


def test_one_that_was_to_go_anyway_may_fail_too():
    p = Play(model())
    p.up(), p.ask("r1"), p.stop()
    assert p.crash("m-1") == [] and p.state("m-1") == "failing"
    assert p.fleet.deployments["m"].failures == 0
    assert p.bounce("r1") == ["hold r1", "start m-2"]


def test_a_crash_below_min_replicas_is_restarted_by_itself():
    p = Play(model(min_replicas=1))
    p.ready("m-1")
    p.ask("r1"), p.done("r1")
    assert p.die("m-1") == ["start m-2"]


def test_a_request_that_could_not_reach_its_replica_has_it_probed():
    p = Play(model())
    p.up()
    p.ask("r1")
    assert p.bounce("r1") == ["hold r1", "probe m-1"]
    assert p.state("m-1") == "suspect"
    assert p.ask("r2") == ["hold r2"]
    assert p.recover("m-1") == ["r1 -> m-1", "r2 -> m-1"]


def test_a_suspect_that_is_dead_is_replaced():
    p = Play(model())
    p.up()
    p.ask("r1"), p.bounce("r1")
    assert p.die("m-1", "hung") == ["start m-2"]
    assert p.ready("m-2") == ["r1 -> m-2"]


def test_a_recovered_replica_that_nobody_wants_leaves_in_its_time():
    p = Play(model(ttl=10))
    p.up()
    p.ask("r1"), p.bounce("r1"), p.leave("r1")
    p.wait(60)
    assert p.recover("m-1") == ["stop m-1"]
