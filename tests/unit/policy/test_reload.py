"""A changed declaration: new before old, old first only where memory forbids both, unchanged ones not touched."""

import pytest

from unit.policy.play import Play, model


def test_what_did_not_change_is_not_touched():
    p = Play(model(), model("other"))
    p.up(), p.ask("r1")
    assert p.configure(model(), model("other", ttl=5)) == []
    assert p.state("m-1") == "ready"


def test_limits_apply_to_what_is_up():
    p = Play(model(slots=1))
    p.up(), p.ask_all("r1", "r2", "r3")
    assert p.configure(model(slots=2)) == ["r2 -> m-1"]


def test_a_changed_one_is_replaced_when_its_successor_is_ready():
    p = Play(model(fingerprint="old"))
    p.up(), p.ask("r1")
    assert p.configure(model(fingerprint="new")) == ["start m-2"]
    assert p.ask("r2") == ["r2 -> m-1"], "it serves on meanwhile"
    assert p.ready("m-2") == []
    assert p.state("m-1") == "draining"
    assert p.ask("r3") == ["r3 -> m-2"]
    p.done("r1")
    assert p.done("r2") == ["stop m-1"]


def test_an_idle_one_too():
    p = Play(model(fingerprint="old", ttl=60))
    p.up()
    assert p.configure(model(fingerprint="new", ttl=60)) == ["start m-2"]
    assert p.ready("m-2") == ["stop m-1"]
    p.gone("m-1")
    assert p.wait(60) == ["stop m-2"]


def test_a_finished_request_does_not_let_the_old_one_go_early():
    p = Play(model(fingerprint="old", ttl=0, ttl_to_zero=100))
    p.up(), p.ask("r1")
    p.configure(model(fingerprint="new", ttl=0, ttl_to_zero=100))
    assert p.done("r1") == [], "there is no other that is up"
    assert p.ready("m-2") == ["stop m-1"]


def test_one_that_is_starting_is_started_anew_and_those_who_wait_go_on_waiting():
    p = Play(model(fingerprint="old"))
    p.ask_all("r1", "r2")
    assert p.configure(model(fingerprint="new")) == ["stop m-1", "start m-2"]
    assert p.ready("m-1") == []
    p.gone("m-1")
    assert p.ready("m-2") == ["r1 -> m-2", "r2 -> m-2"]


def test_two_reloads_in_a_row_leave_the_last():
    p = Play(model(fingerprint="1"))
    p.up()
    assert p.configure(model(fingerprint="2")) == ["start m-2"]
    assert p.configure(model(fingerprint="3")) == ["stop m-2", "start m-3"]
    assert p.ready("m-3") == ["stop m-1"]
    p.gone("m-1"), p.gone("m-2")
    assert p.states() == {"m-3": "ready"}


def test_and_back_again_keeps_what_is_up():
    p = Play(model(fingerprint="1"))
    p.up()
    p.configure(model(fingerprint="2"))
    assert p.configure(model(fingerprint="1")) == ["stop m-2"]
    p.gone("m-2")
    assert p.states() == {"m-1": "ready"}


def test_old_ones_go_when_as_many_are_ready_as_are_wanted():
    def busy(fingerprint: str):
        return model(fingerprint=fingerprint, max_replicas=2, target_requests=2)

    p = Play(busy("old"))
    p.ask_all("r1", "r2", "r3"), p.ready("m-1"), p.ready("m-2")
    assert p.configure(busy("new")) == ["start m-3", "start m-4"]
    assert p.ready("m-3") == []
    assert p.states()["m-1"] == p.states()["m-2"] == "ready"
    p.ready("m-4")
    assert "ready" not in (p.states()["m-1"], p.states()["m-2"])


def test_where_memory_forbids_both_the_old_one_goes_first():
    p = Play(model(memory=8, fingerprint="old"), memory=12)
    p.up(), p.ask("r1")
    assert p.configure(model(memory=8, fingerprint="new")) == []
    assert p.state("m-1") == "draining"
    assert p.ask("r2") == ["hold r2"]
    assert p.done("r1") == ["stop m-1"]
    assert p.gone("m-1") == ["start m-2"]
    assert p.ready("m-2") == ["r2 -> m-2"]


def test_but_not_before_one_successor_that_has_room_is_up():
    def busy(fingerprint: str):
        return model(memory=4, fingerprint=fingerprint, max_replicas=2, target_requests=1, slots=1)

    p = Play(busy("old"), memory=12)
    p.ask_all("r1", "r2"), p.ready("m-1"), p.ready("m-2")
    assert p.configure(busy("new")) == ["start m-3"], (
        "for a second one there is no room, and one is on its way"
    )
    assert p.states() == {"m-1": "ready", "m-2": "ready", "m-3": "starting"}
    p.ready("m-3")
    assert "draining" in p.states().values(), "now the second gets its room"


def test_an_idle_neighbour_goes_before_the_old_one_does():
    p = Play(model("idle", memory=4), model(memory=4, fingerprint="old"), memory=10)
    p.up("idle"), p.up(), p.wait(5)
    assert p.configure(model("idle", memory=4), model(memory=4, fingerprint="new")) == ["stop idle-1"]
    assert p.gone("idle-1") == ["start m-2"]
    assert p.state("m-1") == "ready"


def test_the_old_one_serves_on_when_its_going_would_not_help():
    p = Play(model("busy", memory=6), model(memory=4, fingerprint="old"), memory=12)
    p.up("busy"), p.ask("b1", "busy"), p.up()
    p.configure(model("busy", memory=6), model(memory=8, fingerprint="new"))
    assert p.state("m-1") == "ready"
    assert p.ask("r1") == ["r1 -> m-1"]


def test_a_successor_that_can_never_fit_leaves_the_old_one_up():
    p = Play(model(memory=8, fingerprint="old"), memory=12)
    p.up()
    assert p.configure(model(memory=80, fingerprint="new")) == []
    assert p.ask("r1") == ["r1 -> m-1"]
    assert "needs 80.0 GiB" in p.notes[-1]


def test_a_successor_that_fails_is_tried_again_while_the_old_one_serves():
    p = Play(model(fingerprint="old"))
    p.up()
    p.configure(model(fingerprint="new"))
    assert p.fail("m-2") == []
    assert p.ask("r1") == ["r1 -> m-1"]
    assert p.wait(1) == ["start m-3"]
    p.fail("m-3")
    assert p.wait(2) == ["start m-4"]
    p.ready("m-4")
    assert p.state("m-1") == "draining"


def test_min_replicas_are_kept_up_through_a_reload():
    p = Play(model(min_replicas=2, max_replicas=2, fingerprint="old"))
    p.ready("m-1"), p.ready("m-2")
    assert p.configure(model(min_replicas=2, max_replicas=2, fingerprint="new")) == ["start m-3", "start m-4"]
    assert p.ready("m-3") == []
    assert p.ready("m-4") == ["stop m-1", "stop m-2"]


# -- models that come and go -----------------------------------------------------------------------------------------


def test_a_new_one_can_be_asked_at_once():
    p = Play(model())
    assert p.configure(model(), model("new", min_replicas=1)) == ["start new-1"]


def test_a_removed_one_is_drained_and_forgotten():
    p = Play(model(), model("gone", slots=1, target_requests=1))
    p.up("gone"), p.ask_all("r1", "r2", of="gone")
    assert p.configure(model()) == ["refuse r2 404 model_not_found"]
    assert p.ask("r3", "gone") == ["refuse r3 404 model_not_found"]
    assert p.done("r1") == ["stop gone-1"]
    p.gone("gone-1")
    assert list(p.fleet.deployments) == ["m"]


@pytest.mark.parametrize("state", ["starting", "ready", "stopping"])
def test_a_removed_one_in_any_state(state: str):
    p = Play(model(), model("gone"))
    if state == "starting":
        p.ask("r1", "gone")
    else:
        p.up("gone")
    if state == "stopping":
        p.stop("gone")
    p.configure(model())
    assert p.state("gone-1") == "stopping"
    p.gone("gone-1")
    assert list(p.fleet.deployments) == ["m"]


def test_a_request_of_a_removed_one_whose_replica_dies_is_refused():
    p = Play(model(), model("gone"))
    p.up("gone"), p.ask("r1", "gone"), p.configure(model())
    p.die("gone-1")
    assert p.bounce("r1") == ["refuse r1 503 model_gone"]


def test_removed_and_declared_again_while_it_drains():
    p = Play(model())
    p.up(), p.ask("r1")
    p.configure()
    p.configure(model())
    assert p.ask("r2") == ["hold r2", "start m-2"]
    assert p.done("r1") == ["stop m-1"]
    assert p.ready("m-2") == ["r2 -> m-2"]


def test_removed_while_it_waits_for_room_and_declared_again():
    p = Play(model("a", memory=8), model(memory=8), memory=12)
    p.up("a"), p.ask("a1", "a")
    p.ask("r1")
    p.configure(model("a", memory=8))
    p.configure(model("a", memory=8), model(memory=8))
    assert p.ask("r2") == ["hold r2"]
    p.wait(1)
    assert p.done("a1") == ["stop a-1"]
    assert p.gone("a-1") == ["start m-1"]


def test_removed_while_its_own_old_replica_drains_and_it_waits_for_room():
    p = Play(model(memory=8), memory=12)
    p.up(), p.ask("r1"), p.stop()
    p.ask("r2")
    assert p.states() == {"m-1": "draining"}
    p.configure()
    p.configure(model(memory=8))
    p.ask("r3")
    p.done("r1")
    assert p.gone("m-1") == ["start m-2"]


# -- the machine -----------------------------------------------------------------------------------------------------


def test_less_memory_lets_idle_ones_go_and_no_new_ones_come():
    p = Play(model("a", memory=4), model("b", memory=4), model("c", memory=4), memory=16)
    p.up("a"), p.wait(2), p.up("b"), p.wait(2), p.up("c"), p.ask("c1", "c"), p.wait(2)
    declared = (model("a", memory=4), model("b", memory=4), model("c", memory=4))
    assert p.configure(*declared, memory=8) == ["stop a-1"]
    p.gone("a-1")
    assert p.configure(*declared, memory=5) == ["stop b-1"], "c is busy"
    assert p.ask("r1", "a") == ["hold r1"]


def test_fewer_gpus_let_idle_ones_go():
    p = Play(model("a", gpus=1), model("b", gpus=1), gpus=(24, 24))
    p.up("a"), p.up("b"), p.wait(5)
    assert p.configure(model("a", gpus=1), model("b", gpus=1), memory=64, gpus=(24,)) == ["stop b-1"]


def test_more_memory_helps_those_who_wait():
    p = Play(model("a", memory=8), model(memory=8), memory=12)
    p.up("a"), p.ask("a1", "a"), p.ask("r1")
    assert p.configure(model("a", memory=8), model(memory=8), memory=16) == ["start m-1"]


# -- what a reload must not cut --------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", [64, 1], ids=["beside it", "before it"])
def test_a_replaced_one_finishes_however_long_it_takes(memory: int):
    p = Play(model(fingerprint="old", drain_timeout=5), memory=memory)
    p.up(), p.ask("r1")
    p.configure(model(fingerprint="new", drain_timeout=5))
    p.ready("m-2")
    assert p.state("m-1") == "draining"
    assert p.wait(1000) == []
    assert p.done("r1") == ["stop m-1"]


def test_a_replaced_one_has_drain_timeout_once_the_server_leaves():
    p = Play(model(fingerprint="old", drain_timeout=5))
    p.up(), p.ask("r1")
    p.configure(model(fingerprint="new", drain_timeout=5)), p.ready("m-2")
    p.shut_down()
    assert p.wait(5) == ["stop m-1"]


def test_one_with_the_address_of_its_successor_goes_first():
    p = Play(model(exclusive="port 9000", fingerprint="old"))
    p.up(), p.ask("r1")
    assert p.configure(model(exclusive="port 9000", fingerprint="new")) == []
    assert p.state("m-1") == "draining"
    assert p.ask("r2") == ["hold r2"]
    assert p.done("r1") == ["stop m-1"]
    assert p.gone("m-1") == ["start m-2"]
    assert p.ready("m-2") == ["r2 -> m-2"]
