"""Who goes to make room, and how deployments that cannot be up together take turns."""

import pytest

from pilotlight.policy.eviction import PATIENCE
from unit.policy.play import Play, model


def test_the_least_recently_used_one_goes():
    p = Play(*(model(n, memory=4) for n in "abcd"), memory=12)
    for name in "abc":
        p.up(name), p.wait(2)
    p.ask("again", "a"), p.done("again")
    p.wait(2)
    assert p.ask("r1", "d") == ["hold r1", "stop b-1"]
    assert p.gone("b-1") == ["start d-1"]


def test_no_more_go_than_must():
    p = Play(model("small", memory=2), model("large", memory=8), model(memory=8), memory=12)
    p.up("small"), p.wait(2), p.up("large"), p.wait(2)
    assert p.ask("r1") == ["hold r1", "stop large-1"], "though small is the older one, it would not help"


def test_room_that_is_on_its_way_is_waited_for():
    p = Play(model("a", memory=8), model("b", memory=8), model("c", memory=2), memory=12)
    p.up("a"), p.wait(2), p.up("c"), p.wait(2)
    p.stop("a")
    assert p.ask("r1", "b") == ["hold r1"], "a is stopping; c need not go"
    assert p.gone("a-1") == ["start b-1"]


@pytest.mark.parametrize("why", ["pinned", "busy", "min_replicas", "starting"])
def test_these_never_go(why: str):
    fields = {"pinned": {"pinned": True}, "min_replicas": {"min_replicas": 1}}.get(why, {})
    p = Play(model("a", memory=8, **fields), model(memory=8), memory=12)
    if why == "starting":
        p.ask("busy", "a")
    elif why == "min_replicas":
        p.ready("a-1")
    else:
        p.up("a")
    if why == "busy":
        p.ask("busy", "a")
    p.wait(5)
    words = p.ask("r1")
    assert "stop a-1" not in words + p.wait(1)
    assert p.state("a-1") in ("ready", "starting")
    if why in ("pinned", "min_replicas"):
        assert words == ["hold r1", "refuse r1 503 model_does_not_fit"]
    else:
        assert words == ["hold r1"]


def test_a_busy_one_is_evicted_once_it_is_idle():
    p = Play(model("a", memory=8), model(memory=8), memory=12)
    p.up("a"), p.ask("busy", "a")
    p.wait(3)
    assert p.ask("r1") == ["hold r1"]
    assert p.done("busy") == ["stop a-1"]
    assert p.gone("a-1") == ["start m-1"]


def test_a_wish_that_nobody_has_any_more_evicts_nobody():
    p = Play(model("a", memory=8), model(memory=8), memory=12)
    p.up("a"), p.ask("busy", "a")
    p.wait(3), p.ask("r1"), p.leave("r1")
    assert p.done("busy") == []
    assert p.wait(100) == []


# -- turns: no thrash, no starvation ---------------------------------------------------------------------------------


def rivals(**fields: object) -> Play:
    return Play(model("a", memory=8, **fields), model("b", memory=8, **fields), memory=12)


def test_a_replica_stays_for_as_long_as_its_start_took():
    p = rivals()
    p.ask("a1", "a"), p.wait(20), p.ready("a-1"), p.done("a1")
    assert p.ask("b1", "b") == ["hold b1"]
    assert p.wait(19) == []
    assert p.wait(1) == ["stop a-1"]


def test_requests_of_the_other_collate_meanwhile_and_one_swap_serves_them_all():
    p = rivals(target_requests=100)
    p.ask("a0", "a"), p.wait(20), p.ready("a-1"), p.done("a0")
    swaps = 0
    for n in range(10):
        p.wait(1)
        assert p.ask(f"a{n + 1}", "a") == [f"a{n + 1} -> a-1"]
        swaps += "stop a-1" in p.done(f"a{n + 1}")
        assert p.ask(f"b{n}", "b") == [f"hold b{n}"]
    assert swaps == 0
    assert p.wait(10) == ["stop a-1"]
    p.gone("a-1"), p.wait(20)
    assert p.ready("b-1") == [f"b{n} -> b-1" for n in range(10)]


def test_a_permanently_busy_one_yields_to_one_that_has_waited():
    p = rivals()
    p.up("a"), p.ask("a1", "a")
    assert p.ask("b1", "b") == ["hold b1"]
    p.wait(PATIENCE)
    assert p.state("a-1") == "draining", "it takes no more requests, and nothing that runs is broken off"
    assert p.ask("a2", "a") == ["hold a2"]
    assert p.done("a1") == ["stop a-1"]
    assert p.gone("a-1") == ["start b-1"]
    p.ready("b-1")
    p.wait(PATIENCE)
    assert p.state("b-1") == "draining", "and back"
    p.done("b1")
    assert p.gone("b-1") == ["start a-2"]


def test_one_that_yields_wants_no_other_for_the_requests_it_finishes():
    p = rivals()
    p.up("a"), p.ask("a1", "a"), p.ask("b1", "b")
    p.wait(PATIENCE), p.done("a1"), p.gone("a-1")
    p.ready("b-1"), p.done("b1")
    assert p.wait(100) == [], "a has nothing to do, so b stays"


def test_only_those_whose_room_helps_yield():
    p = Play(
        model("cpu", memory=4), model("gpu", memory=4, gpus=1), model(memory=4, gpus=1), memory=64, gpus=(24,)
    )
    p.up("cpu"), p.wait(5), p.up("gpu")
    p.ask("c1", "cpu"), p.ask("g1", "gpu"), p.ask("r1")
    p.wait(PATIENCE)
    assert (p.state("cpu-1"), p.state("gpu-1")) == ("ready", "draining")


def test_pinned_ones_do_not_yield():
    p = Play(model("a", memory=8, pinned=True), model("b", memory=3), model(memory=4), memory=12)
    p.up("a"), p.up("b"), p.ask("a1", "a"), p.ask("b1", "b")
    assert p.ask("r1") == ["hold r1"]
    p.wait(PATIENCE)
    assert (p.state("a-1"), p.state("b-1")) == ("ready", "draining")


def test_room_goes_to_the_one_that_has_waited_longest():
    p = Play(model("a", memory=8), model("b", memory=8), model("c", memory=8), memory=12)
    p.up("a"), p.ask("a1", "a")
    p.ask("b1", "b"), p.wait(1), p.ask("c1", "c")
    p.done("a1")
    p.wait(5)
    assert p.gone("a-1") == ["start b-1"]


def test_a_small_one_does_not_slip_in_before_a_large_one_that_waits():
    p = Play(model("a", memory=6), model("large", memory=10), model("small", memory=5), memory=12)
    p.up("a"), p.ask("a1", "a")
    p.ask("l1", "large")
    assert p.ask("s1", "small") == ["hold s1"], "6 GiB are free, but large would wait for ever"
    p.wait(1), p.done("a1")
    assert p.gone("a-1") == ["start large-1"]


def test_nor_on_a_device():
    p = Play(
        model("a", gpus=1, gpu_memory=12),
        model("b", gpus=1, gpu_memory=12),
        model("whole", gpus=1),
        gpus=(24,),
    )
    p.up("a"), p.up("b")
    p.ask("a1", "a"), p.ask("b1", "b"), p.ask("w1", "whole")
    p.wait(PATIENCE)
    assert (p.state("a-1"), p.state("b-1")) == ("draining", "draining")
    assert p.ask_all("a2", of="a") + p.ask_all("b2", of="b") == ["hold a2", "hold b2"]
    p.done("a1")
    assert p.gone("a-1") == [], "half of the device is free, and the next turn is another's"
    p.done("b1")
    assert p.gone("b-1") == ["start whole-1 on 0"]


def test_a_device_that_others_do_not_need_is_not_kept_from_anyone():
    p = Play(model("a", gpus=1), model("b", gpus=1), model("c", gpus=1, gpu_memory=4), gpus=(24, 24))
    p.up("a"), p.ask("a1", "a")
    p.configure(model("a", gpus=1), model("b", gpus=2), model("c", gpus=1, gpu_memory=4))
    assert p.ask("b1", "b") == ["hold b1"], "it needs both"
    p.leave("b1")
    assert p.ask("c1", "c") == ["hold c1", "start c-1 on 1"]


def test_one_without_any_replica_comes_before_another_ones_second():
    p = Play(
        model("a", memory=4, max_replicas=2, target_requests=1),
        model("busy", memory=6),
        model(memory=2),
        memory=12,
    )
    p.up("a"), p.up("busy"), p.ask("x", "busy")
    p.ask("a1", "a"), p.ask("a2", "a")
    assert p.states("a") == {"a-1": "ready"}, "its second waits for busy"
    assert p.ask("r1") == ["hold r1", "start m-1"]


def test_everyone_is_served_in_the_end_whoever_fights():
    """Five deployments, room for two, all of them always busy: each comes up again and again."""
    names = "abcde"
    p = Play(*(model(n, memory=4, target_requests=1) for n in names), memory=8)
    served, asked = dict.fromkeys(names, 0), 0
    for _ in range(600):
        for name in names:
            asked += 1
            p.ask(f"{name}:{asked}", name)
        for replica in list(p.fleet.replicas.values()):
            if replica.state.value == "starting":
                p.ready(replica.id)
            if replica.state.value == "stopping":
                p.gone(replica.id)
        p.wait(1)
        for request, replica in list(p.fleet.assigned.items()):
            served[replica.deployment] += 1
            p.done(request)
    assert min(served.values()) > max(served.values()) / 3, served


def test_many_that_wait_are_served_in_turn():
    """Each claims what it will take, so none that came later gets ahead of it."""
    names = [f"w{i}" for i in range(6)]
    p = Play(model("a", memory=8), *[model(n, memory=6) for n in names], memory=16)
    p.up("a"), p.ask("a1", "a"), p.ask("r", "w0")
    for n in names[1:]:
        p.ask(f"r-{n}", n)
    assert list(p.fleet.waiting) == names[1:]
    p.stop("a"), p.done("a1")
    assert p.gone("a-1") == ["start w1-1"]


def test_a_request_for_one_that_waits_for_room_asks_nobody_again():
    p = Play(model("a", memory=8), model(memory=8), memory=12)
    p.up("a"), p.ask("a1", "a"), p.ask("r1")
    due = p.wake_at
    assert p.ask("r2") == ["hold r2"]
    assert p.wake_at == due
    p.wait(1), p.done("a1")
    assert p.gone("a-1") == ["start m-1"]
    assert p.ready("m-1") == ["r1 -> m-1", "r2 -> m-1"]
