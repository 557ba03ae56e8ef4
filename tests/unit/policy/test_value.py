"""Who is worth keeping: how soon it is back, how often it is asked for, how much room its going gives."""

import heapq
import itertools
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest

from pilotlight.coldstart import plans
from pilotlight.fleet import actions as ac
from pilotlight.fleet import events as ev
from pilotlight.fleet.deployment import Deployment, Host
from pilotlight.fleet.fleet import DeploymentState, Fleet
from pilotlight.fleet.plan import Stage
from pilotlight.policy import value
from pilotlight.policy.step import step
from unit.policy.play import GIB, Play, model


def dear(name: str = "m", **fields: Any) -> Deployment:
    """Its start is known to take a while."""
    return model(name, start_seconds=10.0, **fields)


# -- one thing at a time ---------------------------------------------------------------------------------------------


def test_of_two_the_one_that_is_back_sooner_goes():
    p = Play(
        model("slow", memory=4, start_seconds=60.0),
        model("fast", memory=4, start_seconds=2.0),
        model(memory=4),
        memory=8,
    )
    p.up("slow"), p.up("fast"), p.wait(5)
    assert p.ask("r1") == ["hold r1", "stop fast-1"], "though it was used last"


def test_of_two_the_one_that_is_asked_for_less_often_goes():
    p = Play(dear("often", memory=4), dear("rare", memory=4), model(memory=4), memory=8)
    p.up("often")
    for n in range(5):
        p.ask(f"o{n}", "often"), p.done(f"o{n}")
    p.wait(1), p.up("rare"), p.wait(5)
    assert p.ask("r1") == ["hold r1", "stop rare-1"], "though it was used last"


def took(p: Play, seconds: float, *techniques: str) -> float:
    """One more start; what the next one is taken to last."""
    p.warm(), p.wait(seconds)
    d = p.fleet.deployments["m"]
    replica = f"m-{d.started}"
    p.ready(replica, techniques=techniques), p.stop(), p.gone(replica)
    return value.start_seconds(d)


def test_starts_are_learned_apart_by_their_techniques():
    p = Play(model())
    assert took(p, 15.5) == 15.5
    assert took(p, 0.75, "zygote") == 0.75, "a plain start says nothing of it"
    assert took(p, 1.75, "zygote") == pytest.approx(0.7 * 0.75 + 0.3 * 1.75)
    assert took(p, 25.5) == pytest.approx(0.7 * 15.5 + 0.3 * 25.5), "the zygote was not there"


def test_what_was_known_before_is_of_its_own_techniques():
    """After a restart of the server, whose first start has no zygote yet."""
    p = Play(model(start_seconds=0.75, start_techniques=("zygote",)))
    assert value.start_seconds(p.fleet.deployments["m"]) == 0.75
    assert took(p, 15.5) == 15.5
    assert took(p, 1.75, "zygote") == pytest.approx(0.7 * 0.75 + 0.3 * 1.75)


def test_nothing_is_learned_from_a_start_whose_weights_streamed_in():
    p = Play(model(start_seconds=2.0))
    assert took(p, 30.0, "stream", "zygote") == 2.0


def test_what_was_asked_for_often_is_forgotten_in_time():
    p = Play(dear("once", memory=4), dear("now", memory=4), model(memory=4), memory=8)
    p.up("once")
    for n in range(5):
        p.ask(f"o{n}", "once"), p.done(f"o{n}")
    p.wait(4 * value.HALF_LIFE), p.up("now"), p.wait(5)
    assert p.ask("r1") == ["hold r1", "stop once-1"]


def test_a_large_one_goes_before_several_small_ones():
    p = Play(dear("a", memory=2), dear("b", memory=2), dear("large", memory=4), model(memory=4), memory=8)
    p.up("a"), p.up("b"), p.up("large"), p.wait(5)
    assert p.ask("r1") == ["hold r1", "stop large-1"]


def test_how_long_a_start_takes_is_learned():
    p = Play(model("a", memory=4, start_seconds=60.0), dear("b", memory=4), model(memory=4), memory=8)
    for n in range(9):
        p.warm("a"), p.wait(1), p.ready(f"a-{n + 1}"), p.stop("a"), p.gone(f"a-{n + 1}")
    assert 1 < value.start_seconds(p.fleet.deployments["a"]) < 4
    p.up("b"), p.up("a"), p.wait(5)
    assert p.ask("r1") == ["hold r1", "stop a-10"]


def started(fetch: float, load: float, **fields: Any) -> DeploymentState:
    """One start, so many seconds of which were its fetch."""
    p = Play(model(plan=plans.embedded(), startup_timeout=9000.0, **fields))
    p.warm(), p.wait(fetch + load), p.ready("m-1", fetch)
    return p.fleet.deployments["m"]


def test_nothing_is_learned_from_a_start_that_downloaded():
    assert started(fetch=599, load=1).start_took is None
    assert value.start_seconds(started(fetch=599, load=1, start_seconds=4.0)) == 4


def test_a_fetch_that_only_looks_at_the_disk_keeps_nothing_from_being_learned():
    assert started(fetch=0.5, load=20).start_took == 20.5


def test_a_slow_import_is_no_download():
    """However long after its fetch began the next step did."""
    p = Play(model(plan=plans.embedded()))
    p.warm(), p.progress("m-1", Stage.FETCH), p.progress("m-1", Stage.IMPORT)
    p.wait(30), p.progress("m-1", Stage.LOAD)
    p.wait(5), p.ready("m-1", 0.1)
    assert p.fleet.deployments["m"].start_took == 35


def test_a_wake_of_what_was_downloaded_once_is_learned():
    p = Play(model(techniques=("sleep",), plan=plans.embedded()))
    p.warm(), p.wait(300), p.ready("m-1", 300), p.sleep(), p.slept("m-1", 0.1)
    p.warm(), p.wait(2), p.ready("m-1")
    d = p.fleet.deployments["m"]
    assert (d.start_took, d.wake_took) == (None, 2)


def test_a_wake_is_learned_apart_from_starts():
    p = Play(model(techniques=("sleep",), start_seconds=30.0, wake_seconds=3.0))
    p.up(), p.sleep(), p.slept("m-1", 0.1)
    p.warm(), p.wait(1), p.ready("m-1")
    d = p.fleet.deployments["m"]
    assert value.wake_seconds(d) == pytest.approx(0.7 * 3 + 0.3 * 1)
    assert value.start_seconds(d) == pytest.approx(0.7 * 30 + 0.3 * 0)


def test_who_can_be_stopped_in_place_of_two_is():
    """The one that sleeps frees too little, and nobody else has to go if it is stopped."""
    p = Play(
        model("dull", memory=8, techniques=("sleep",)),
        model("dear", memory=8, start_seconds=100.0),
        model(memory=8),
        memory=16,
    )
    p.up("dull"), p.up("dear"), p.wait(5)
    assert p.ask("r1") == ["hold r1", "stop dull-1"]


@pytest.mark.parametrize("gap", [0.0, 0.5, 3600.0])
def test_the_rate_is_that_of_the_arrivals(gap: float):
    d = DeploymentState(Deployment("m"))
    for n in range(9000):
        value.saw(d, 1000.0 + n * gap)
    now = 1000.0 + 8999 * gap
    if gap:
        # That it is too high where there are hours between two does not matter: all fade alike.
        steady = 1 / (1 - 2 ** (-gap / value.HALF_LIFE)) / value.TAU
        assert value.rate(d, now) == pytest.approx(steady, rel=0.05)
    assert value.rate(d, now + value.HALF_LIFE) == pytest.approx(value.rate(d, now) / 2)


# -- against the least recently used one -----------------------------------------------------------------------------


class Cache:
    """A machine with less memory than its models take, and the real policy; how long requests wait in all."""

    def __init__(self, seed: int) -> None:
        rng = Random(seed)
        self.took: dict[str, float] = {}
        self.models: list[Deployment] = []
        for i in range(rng.randint(4, 8)):
            seconds = rng.choice([1.0, 4.0, 15.0, 60.0])
            self.took[f"m{i}"] = seconds
            self.models.append(model(f"m{i}", memory=rng.randint(1, 8), ttl=1e9, start_seconds=seconds))
        self.memory = max(8, sum(m.need.memory for m in self.models) // GIB // 2)
        weights = [1 / (rank + 1) ** rng.choice([0.5, 1.0, 1.5]) for rank in range(len(self.models))]
        rng.shuffle(weights)
        self.asked: list[tuple[float, str]] = []
        at = 0.0
        for _ in range(300):
            at += rng.expovariate(1 / rng.choice([5.0, 60.0]))
            self.asked.append((at, rng.choices([m.id for m in self.models], weights)[0]))

    def waited(self) -> float:
        """Seconds, of all requests together."""
        order, waited, fleet = itertools.count(), 0.0, Fleet()
        hosts = (Host("local", self.memory * GIB),)
        heap: list[tuple[float, int, Any]] = [(0.0, -1, ev.Configured(0.0, tuple(self.models), hosts))]
        since = dict[str, float]()
        for n, (at, name) in enumerate(self.asked):
            since[f"r{n}"] = at
            heap.append((at, next(order), ev.Arrived(at, f"r{n}", name)))
        while heap:
            now, _, event = heapq.heappop(heap)
            fleet, actions = step(fleet, event)
            for action in actions:
                follows: ev.Event | None = None
                match action:
                    case ac.Start():
                        at = now + self.took[action.deployment]
                        follows = ev.Ready(at, action.replica)
                    case ac.Stop():
                        follows = ev.Stopped(now + 0.1, action.replica)
                    case ac.Assign():
                        waited += now - since[action.request]
                        follows = ev.Finished(now + 0.5, action.request)
                    case ac.WakeAt() if action.at < 1e8:
                        follows = ev.Tick(action.at)
                    case _:
                        pass
                if follows is not None:
                    heapq.heappush(heap, (follows.at, next(order), follows))
        assert not fleet.holding
        return waited


def total(seeds: Sequence[int]) -> float:
    return sum(Cache(seed).waited() for seed in seeds)


@pytest.mark.parametrize("first", [0, 30])
def test_less_is_waited_than_if_the_least_recently_used_one_went(first: int, monkeypatch: pytest.MonkeyPatch):
    seeds = range(first, first + 30)
    by_value = total(seeds)
    never: Callable[..., float] = lambda *_: 0.0  # noqa: E731 - all are worth the same, so the order of use is left
    monkeypatch.setattr(value, "cost", never)
    by_use = total(seeds)
    assert by_value <= by_use
    print(f"{by_value:.0f} s in place of {by_use:.0f} s")
