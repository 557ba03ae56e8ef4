"""Where a replica fits, and whether it ever can: host memory and device memory are budgets."""

import pytest

from unit.policy.play import Play, model


def test_memory_is_set_aside_from_the_order_to_the_end():
    p = Play(model(memory=4), memory=16)
    p.ask("r1")
    assert p.taken() == 4, "while it starts"
    p.ready("m-1"), p.done("r1"), p.stop()
    assert p.taken() == 4, "while it stops"
    p.gone("m-1")
    assert p.taken() == 0


@pytest.mark.parametrize("end", ["fail", "die"])
def test_memory_is_free_again_after_a_failure(end: str):
    p = Play(model(memory=4), memory=16)
    p.ask("r1")
    if end == "die":
        p.ready("m-1")
    getattr(p, end)("m-1")
    assert p.taken() == 0


def test_one_that_can_never_fit_is_refused_with_the_numbers():
    p = Play(model(memory=20), memory=16)
    assert p.ask("r1") == ["hold r1", "refuse r1 503 model_does_not_fit"]
    said = p.refused["r1"].because
    assert "needs 20.0 GiB of host memory" in said
    assert "the budget is 16.0 GiB" in said
    assert p.wait(100) == []


def test_what_never_goes_counts_against_it():
    p = Play(model("kept", memory=10, min_replicas=1), model(memory=8), memory=16)
    p.ready("kept-1")
    assert p.ask("r1") == ["hold r1", "refuse r1 503 model_does_not_fit"]
    assert "of which 10.0 GiB is held by replicas that stay" in p.refused["r1"].because


def test_it_is_noted_once_and_not_for_every_request():
    p = Play(model(memory=10, max_replicas=2, target_requests=1), memory=16)
    p.up()
    for n in range(5):
        p.ask(f"r{n}")
    assert len(p.notes) == 1


def test_one_more_replica_than_can_ever_fit_is_not_waited_for():
    """It could only come from its own deployment's replica, which does not go for it; so it claims nothing either."""
    p = Play(model("busy", memory=10, max_replicas=2, target_requests=1), model(memory=4), memory=16)
    p.up("busy")
    p.ask_all("b1", "b2", "b3", of="busy")
    assert p.states("busy") == {"busy-1": "ready"}
    assert p.ask("r1") == ["hold r1", "start m-1"], "there are 6 GiB that nobody else can use"


def test_whole_devices_when_no_share_is_named():
    p = Play(model(gpus=1, max_replicas=3, target_requests=1), gpus=(24, 24))
    assert p.ask_all("r1", "r2", "r3") == [
        "hold r1",
        "start m-1 on 0",
        "hold r2",
        "start m-2 on 1",
        "hold r3",
    ]


def test_several_share_a_device_up_to_its_memory():
    p = Play(
        model("a", gpus=1, gpu_memory=10),
        model("b", gpus=1, gpu_memory=10),
        model(gpus=1, gpu_memory=10),
        gpus=(24,),
    )
    assert p.ask("r1", "a") == ["hold r1", "start a-1 on 0"]
    assert p.ask("r2", "b") == ["hold r2", "start b-1 on 0"]
    assert p.ask("r3") == ["hold r3"], "30 of 24 GiB"
    assert "m waits for room" in p.notes
    p.ready("a-1"), p.done("r1")
    p.ready("b-1")
    assert p.wait(1) == ["stop a-1"], "idle, and its turn is over"
    assert p.gone("a-1") == ["start m-1 on 0"]


def test_the_emptiest_devices_are_taken():
    p = Play(model("a", gpus=1, gpu_memory=10), model(gpus=2, gpu_memory=6), gpus=(24, 24, 24))
    p.ask("r1", "a")
    assert p.ask("r2") == ["hold r2", "start m-1 on 1,2"]


def test_devices_that_are_not_there_are_named():
    p = Play(model(gpus=2, gpu_memory=30), gpus=(24,))
    p.ask("r1")
    said = p.refused["r1"].because
    assert "30.0 GiB of each of 2 GPUs" in said
    assert "GPUs: 0 (24.0 GiB)" in said
    p = Play(model(gpus=1))
    p.ask("r1")
    assert "all of each of 1 GPU; " in p.refused["r1"].because.replace("the budget is 64.0 GiB; ", "")
    assert "GPUs: none" in p.refused["r1"].because


# -- measured and estimated ------------------------------------------------------------------------------------------


def test_a_replica_that_takes_more_is_given_more():
    p = Play(model(memory=4), memory=16)
    p.up()
    p.measure("m-1", 6)
    assert p.taken() == 6


def test_an_estimate_is_lowered_by_what_was_measured_once_it_has_served():
    p = Play(model(memory=8, estimated=True, max_replicas=2, target_requests=1), memory=12)
    p.up(serve=False)
    p.measure("m-1", 2)
    assert p.taken() == 8, "its context is not filled yet"
    p.ask("r1"), p.done("r1"), p.measure("m-1", 3)
    assert p.taken() == 3
    assert p.ask_all("r2", "r3") == ["r2 -> m-1", "r3 -> m-1", "start m-2"], (
        "the second is taken to need 3 as well"
    )
    assert p.taken() == 6


def test_what_the_operator_said_is_not_lowered():
    p = Play(model(memory=8), memory=12)
    p.up()
    p.measure("m-1", 2)
    assert p.taken() == 8


def test_what_one_took_at_most_counts():
    p = Play(model(memory=8, estimated=True), memory=12)
    p.up()
    p.measure("m-1", 5), p.measure("m-1", 3)
    assert p.taken() == 5


def test_what_one_grew_to_does_not_keep_its_model_down():
    p = Play(model(memory=2, estimated=True), memory=8)
    p.up(), p.wait(1)
    assert p.measure("m-1", 9) == ["stop m-1"]
    p.gone("m-1")
    assert p.ask("r1") == ["hold r1", "start m-2"]
    assert p.taken() == 2
    assert p.notes[-1] == "one took 9.0 GiB, which cannot fit; the next is taken to need 2.0 GiB again"


def test_nor_does_what_one_grew_to_beside_those_that_stay():
    p = Play(model("a", memory=4, min_replicas=1), model(gpus=1, gpu_memory=10), gpus=(40,), memory=8)
    p.ready("a-1"), p.up(), p.measure("m-1", 5, 41), p.stop(), p.gone("m-1")
    assert p.ask("r1") == ["hold r1", "start m-2 on 0"]
    assert (p.taken(), p.taken_on(0)) == (5, 10)


def test_measurements_of_replicas_that_are_gone_or_outdated_teach_nothing():
    p = Play(model(memory=4, estimated=True, fingerprint="old"), memory=16)
    p.up()
    p.configure(model(memory=4, estimated=True, fingerprint="new"))
    p.measure("m-1", 9)
    assert p.taken() == 13, "it takes what it takes"
    p.ready("m-2"), p.gone("m-1")
    p.measure("m-1", 12)
    p.stop(), p.gone("m-2")
    p.ask("r1")
    assert p.taken() == 4


def test_idle_ones_go_when_more_is_taken_than_there_is():
    p = Play(model("a", memory=4), model("b", memory=4), memory=10)
    p.up("a"), p.wait(1), p.up("b"), p.wait(1)
    assert p.measure("b-1", 7) == ["stop a-1"]
    assert p.gone("a-1") == []


def test_a_better_estimate_corrects_a_start_under_way():
    p = Play(model(memory=1, estimated=True), memory=16)
    p.ask("r1")
    assert p.size("m", 9) == []
    assert p.taken() == 9


def test_a_start_that_turns_out_too_large_ends_with_the_numbers():
    p = Play(model(memory=1, estimated=True), memory=16)
    p.ask("r1")
    assert p.size("m", 20) == ["stop m-1", "refuse r1 503 start_failed"]
    assert "needs 20.0 GiB" in p.refused["r1"].because
    p.gone("m-1")
    p.wait(100)
    assert p.ask("r2") == ["hold r2", "refuse r2 503 model_does_not_fit"]


def test_device_memory_is_measured_as_well():
    def share(name: str, **fields: bool):
        return model(name, gpus=1, gpu_memory=10, **fields)

    p = Play(share("said"), share("guessed", gpu_estimated=True), gpus=(40,))
    p.up("said"), p.up("guessed", serve=False)
    p.measure("said-1", 1, 4), p.measure("guessed-1", 1, 4)
    assert p.taken_on(0) == 20, "one was declared, the other has not served"
    p.ask("r1", "guessed"), p.done("r1")
    p.measure("guessed-1", 1, 4)
    assert p.taken_on(0) == 14
    p.measure("said-1", 1, 12)
    assert p.taken_on(0) == 16, "more than declared is set aside all the same"


def test_a_guess_of_host_memory_says_nothing_of_a_declared_share():
    p = Play(model(memory=8, estimated=True, gpus=1, gpu_memory=10), gpus=(40,))
    p.up()
    p.measure("m-1", 2, 4)
    p.stop(), p.gone("m-1")
    p.ask("r1")
    assert (p.taken(), p.taken_on(0)) == (2, 10)


def test_a_larger_declaration_holds_for_one_that_was_measured():
    p = Play(model(memory=4), memory=16)
    p.up(), p.measure("m-1", 2)
    p.configure(model(memory=6))
    p.measure("m-1", 2)
    assert p.taken() == 6


def test_whole_devices_stay_whole():
    p = Play(model(gpus=1), gpus=(40,))
    p.up()
    p.measure("m-1", 1, 4)
    assert p.taken_on(0) == 40


def test_idle_ones_go_when_a_device_is_overdrawn():
    p = Play(model("a", gpus=1, gpu_memory=10), model("b", gpus=1, gpu_memory=10), gpus=(24,))
    p.up("a"), p.wait(1), p.up("b"), p.ask("b1", "b"), p.wait(1)
    assert p.measure("b-1", 1, 16) == ["stop a-1"]


def test_what_comes_free_by_a_measurement_goes_to_those_who_wait():
    p = Play(model("a", memory=8, estimated=True), model(memory=8), memory=12)
    p.up("a"), p.ask("a1", "a"), p.ask("r1")
    assert p.measure("a-1", 9) == []
    p.fleet.replicas["a-1"].measured = False
    assert p.measure("a-1", 4) == ["start m-1"]


def test_of_two_that_turn_out_too_large_together_the_later_one_waits():
    p = Play(model("a", memory=1, estimated=True), model("b", memory=1, estimated=True), memory=16)
    p.ask("r1", "a"), p.ask("r2", "b")
    assert p.size("a", 10) == []
    assert p.size("b", 10) == ["stop b-1"]
    assert p.held("b") == ["r2"]
    assert p.fleet.deployments["b"].failures == 0
    assert p.gone("b-1") == []
    assert p.ready("a-1") == ["r1 -> a-1"]
    assert p.done("r1") + p.wait(1) == ["stop a-1"]
    assert p.gone("a-1") == ["start b-2"]
    assert p.ready("b-2") == ["r2 -> b-2"]


def test_a_smaller_estimate_gives_room_to_those_who_wait():
    p = Play(model("a", memory=10, estimated=True), model(memory=8), memory=16)
    p.ask("r1", "a"), p.ask("r2")
    assert p.size("a", 4) == ["start m-1"]


# -- addresses -------------------------------------------------------------------------------------------------------


def test_an_address_is_free_when_the_one_that_had_it_is_gone():
    p = Play(model(exclusive="port 9000", ttl=5))
    p.up()
    assert p.wait(5) == ["stop m-1"]
    assert p.ask("r1") == ["hold r1"], "its process may take a while to end"
    assert p.gone("m-1") == ["start m-2"]


def test_an_idle_one_leaves_its_address_to_another():
    p = Play(model("a", exclusive="port 9000"), model(exclusive="port 9000"))
    p.up("a"), p.wait(1)
    assert p.ask("r1") == ["hold r1", "stop a-1"]
    assert p.gone("a-1") == ["start m-1"]


def test_different_addresses_do_not_mind_each_other():
    p = Play(model("a", exclusive="port 9000"), model(exclusive="port 9001"))
    p.up("a")
    assert p.ask("r1") == ["hold r1", "start m-1"]


def test_an_address_is_kept_for_who_has_waited_longer():
    at = {"exclusive": "port 9000"}
    p = Play(model("a", **at), model("big", memory=60, **at), model(**at), model("other", memory=40))
    p.up("other"), p.ask("o1", "other"), p.up("a"), p.ask("a1", "a")
    p.ask("r1", "big"), p.ask("r2")
    p.stop("a"), p.done("a1")
    assert p.gone("a-1") == []
    p.stop("other"), p.done("o1")
    assert p.gone("other-1") == ["start big-1"]


def test_an_address_that_never_comes_free_is_named():
    p = Play(model("a", exclusive="port 9000", min_replicas=1), model(exclusive="port 9000"))
    p.ready("a-1")
    assert p.ask("r1") == ["hold r1", "refuse r1 503 model_does_not_fit"]
    assert "it needs port 9000, which a-1 has" in p.refused["r1"].because
