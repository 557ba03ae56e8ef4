"""How long an idle replica stays: keep_alive of its latest request, else ttl, else ttl_to_zero for the last one."""

from pilotlight.fleet.fleet import NEVER
from unit.policy.play import Play, model


def test_an_idle_replica_goes_when_its_ttl_is_over():
    p = Play(model(ttl=60))
    p.up()
    assert p.wait(59.9) == []
    assert p.wait(0.1) == ["stop m-1"]
    assert p.state("m-1") == "stopping"
    assert p.gone("m-1") == []
    assert p.taken() == 0


def test_a_request_begins_the_ttl_anew_and_a_running_one_ends_it_not():
    p = Play(model(ttl=60))
    p.up()
    p.wait(50)
    p.ask("r1")
    assert p.wait(1000) == []
    p.done("r1")
    assert p.wait(59) == []
    assert p.wait(1) == ["stop m-1"]


def test_ttl_zero_goes_at_once_and_never_means_never():
    p = Play(model(ttl=0))
    p.ask("r1"), p.ready("m-1")
    assert p.done("r1") == ["stop m-1"]
    p = Play(model(ttl=NEVER))
    p.up()
    assert p.wait(10**9) == []


def test_the_last_one_may_stay_longer():
    p = Play(model(ttl=10, ttl_to_zero=100, max_replicas=2, target_requests=1))
    p.ask_all("r1", "r2")
    p.ready("m-1"), p.ready("m-2")
    p.done("r1"), p.done("r2")
    (order,) = p.wait(10)
    p.gone(order.removeprefix("stop "))
    (other,) = p.states()
    assert p.wait(89) == []
    assert p.wait(1) == [f"stop {other}"]


def test_the_last_one_that_is_up_is_the_last_while_another_only_starts():
    p = Play(model(ttl=0, ttl_to_zero=100, max_replicas=2, target_requests=1))
    p.ask("r1"), p.ready("m-1")
    assert p.ask("r2") == ["r2 -> m-1", "start m-2"]
    p.done("r1")
    assert p.done("r2") == [], "m-2 may still fail"
    assert p.ready("m-2") == ["stop m-1"] or p.ready("m-2") == ["stop m-2"], "now one of them is surplus"


def test_min_replicas_stay_and_what_is_above_them_goes():
    p = Play(model(ttl=10, min_replicas=1, max_replicas=2, target_requests=1))
    p.ready("m-1")
    p.ask_all("r1", "r2")
    p.ready("m-2")
    p.done("r1"), p.done("r2")
    assert p.wait(10) in (["stop m-1"], ["stop m-2"])
    assert p.wait(10_000) == []


def test_a_replica_that_only_starts_does_not_count_for_min_replicas():
    p = Play(model(ttl=10, min_replicas=1, max_replicas=2, target_requests=1))
    p.ready("m-1")
    p.ask_all("r1", "r2")
    p.done("r1"), p.done("r2")
    assert p.wait(500) == []
    assert p.fail("m-2") == []
    assert p.states() == {"m-1": "ready"}


def test_keep_alive_of_the_latest_request_overrides_ttl():
    p = Play(model(ttl=60))
    p.up()
    p.ask("r1", keep_alive=5), p.done("r1")
    assert p.wait(5) == ["stop m-1"]

    p = Play(model(ttl=60))
    p.up()
    p.ask("r1", keep_alive=0)
    assert p.done("r1") == ["stop m-1"]

    p = Play(model(ttl=60))
    p.up()
    p.ask("r1", keep_alive=NEVER), p.done("r1")
    assert p.wait(10**6) == []
    p.ask("r2"), p.done("r2")
    assert p.wait(60) == ["stop m-1"], "it held for one request alone"


def test_keep_alive_of_a_held_request_counts_when_it_runs():
    p = Play(model(ttl=60))
    p.ask("r1", keep_alive=5)
    p.ready("m-1"), p.done("r1")
    assert p.wait(5) == ["stop m-1"]


def test_a_start_that_nobody_waits_for_any_more_lives_out_its_ttl():
    p = Play(model(ttl=60))
    p.ask("r1")
    assert p.leave("r1") == [], "the start goes on"
    assert p.ready("m-1") == []
    assert p.wait(59) == []
    assert p.wait(1) == ["stop m-1"]


def test_a_reload_changes_the_ttl_of_what_is_up():
    p = Play(model(ttl=1000))
    p.up()
    p.wait(20)
    assert p.configure(model(ttl=30)) == []
    assert p.wait(10) == ["stop m-1"]
    p = Play(model(ttl=1000))
    p.up()
    p.wait(20)
    assert p.configure(model(ttl=10)) == ["stop m-1"], "it is over already"
