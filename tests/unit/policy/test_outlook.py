"""What an event costs while many wait: as much as there are replicas and as many as wait, not one times the other."""

import sys
from collections.abc import Callable

import pytest

from unit.policy.play import Play, model, sleepy


def calls(do: Callable[[], object]) -> int:
    """Calls, of functions of Python and of C, that it takes."""
    n = 0

    def count(frame: object, event: str, arg: object) -> None:
        nonlocal n
        n += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        do()
    finally:
        sys.setprofile(None)
    return n


def crowd(n: int, alike: bool) -> Play:
    """n models are up, all but one busy, and n others wait for room."""
    up, wait = [f"up{i}" for i in range(n)], [f"wait{i}" for i in range(n)]
    sizes = [4 if alike else 4 + i / 1000 for i in range(n)]
    models = [model(name, memory=4) for name in up]
    p = Play(*models, *(model(w, memory=s) for w, s in zip(wait, sizes, strict=True)), memory=4 * n + 0.5)
    for name in up:
        p.up(name)
        if name != "up0":
            p.ask(f"busy with {name}", name)
    p.ask("last", "up0")
    for name in wait:
        assert p.ask(f"of {name}", name) == [f"hold of {name}"]
    return p


@pytest.mark.parametrize("alike", [True, False], ids=["alike", "all different"])
def test_an_event_that_helps_nobody_does_not_cost_waiters_times_replicas(alike: bool):
    few, many = crowd(10, alike), crowd(80, alike)
    cost = calls(lambda: few.done("last"))
    assert calls(lambda: many.done("last")) < 12 * cost, "eight times as many of both"
    assert few.state("up0-1") == many.state("up0-1") == "ready", "it has not had its turn"


@pytest.mark.parametrize("alike", [True, False], ids=["alike", "all different"])
def test_nor_does_a_moment_in_which_one_of_many_gets_room(alike: bool):
    few, many = crowd(10, alike), crowd(80, alike)
    few.done("last"), many.done("last")
    cost = calls(lambda: few.wait(1))
    assert calls(lambda: many.wait(1)) < 12 * cost, "eight times as many of both"
    assert few.state("up0-1") == many.state("up0-1") == "stopping"


def test_one_that_nobody_may_evict_makes_room_for_another_of_its_own():
    """Where it sleeps another is busy, and its memory is needed for a start elsewhere: `min_replicas` keeps it from
    the others alone."""
    p = Play(
        sleepy("m", memory=4, gpus=1, min_replicas=1, sleep_level=2),
        *(model(n, memory=1, gpus=1) for n in "ab"),
        memory=6, gpus=(40, 40),
    )  # fmt: skip
    p.ready("m-1")
    assert p.sleep() == ["sleep m-1"], "at level 2, for host memory has no room for the model"
    p.slept("m-1", memory=4, gpu_memory=0)
    p.up("a"), p.ask("busy", "a"), p.up("b"), p.wait(2)
    assert p.ask("r1") == ["hold r1", "stop m-1", "stop b-1"]
