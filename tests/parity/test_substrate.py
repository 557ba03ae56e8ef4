"""The server's own hands in the comparison too: controller, effects and worker on a substrate that is pretended."""

import asyncio
from itertools import groupby
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from pilotlight.clock import VirtualClock
from pilotlight.controller.live import LiveEffects
from pilotlight.controller.loop import Controller
from pilotlight.engines.fake import FakeEngine
from pilotlight.fleet import actions as ac
from pilotlight.fleet import events as ev
from pilotlight.fleet.classes import BATCH, CRITICAL, STANDARD
from pilotlight.fleet.deployment import Deployment, Host
from pilotlight.fleet.records import StartRecord
from pilotlight.fleet.states import State
from pilotlight.ports import Command
from pilotlight.sim.starts import StartTimes
from pilotlight.spec.model import Model
from pilotlight.substrate.fake import FakeProcess, FakeSubstrate, Script
from unit.worker.bench import Bench, Guest, settle

from .shipped import Scene, simulated

STARTS = StartTimes(drawn=tuple(5.0 + i * 0.00371 for i in range(1, 1000)))
"""Seconds, odd ones: what two processes do at one moment comes in no certain order."""

MODEL = Model(source="somewhere")


class Pretended(FakeSubstrate):
    """Every process takes as long as a start to come up, and ends as soon as it is told to."""

    def __init__(self, clock: VirtualClock, seed: int) -> None:
        super().__init__(lambda c: Script(spawn_takes=self.takes(c.replica), player=Guest()), clock=clock)
        self.seed = seed
        self.begun: set[str] = set()

    def takes(self, replica: str) -> float:
        return STARTS.seconds("", replica, self.seed)

    async def spawn(self, command: Command) -> FakeProcess:
        self.begun.add(command.replica)
        return await super().spawn(command)


class Told:
    """Nobody wants to know."""

    def moved(self, action: ac.Moved) -> None: ...
    def started(self, report: StartRecord) -> None: ...
    def died(self, deployment: str) -> None: ...


class Hands(Bench):
    """A worker that answers to a controller, and requests that run as long as the scene says."""

    def __init__(self, folder: Path, scene: Scene) -> None:
        self.virtual = VirtualClock()
        self.pretended = Pretended(self.virtual, scene.seed)
        super().__init__(folder, clock=self.virtual, substrate=self.pretended)
        self.log: list[ac.Action] = []
        self.runs = {a.request: seconds for a, seconds in scene.arrivals}
        effects = LiveEffects(self.worker, lambda _: MODEL, lambda _: None, Told())
        effects.requests = self  # type: ignore[assignment]
        self.controller = Controller(self.virtual, effects, lambda _, actions: self.log.extend(actions))

    def _post(self, event: ev.Event) -> None:
        super()._post(event)
        if isinstance(
            event, ev.Ready
        ):  # a thread looks at the disk meanwhile, and knows nothing of this clock
            event = msgspec.structs.replace(event, fetched=0.0)
        self.controller.post(event)

    def assign(self, action: ac.Assign) -> None:
        self.comes(ev.Finished(self.clock.now() + self.runs[action.request], action.request))

    def hold(self, action: ac.Hold) -> None:
        pass

    def comes(self, event: Any) -> None:
        self.clock.call_at(event.at, lambda: self.controller.post(event))

    def is_busy(self) -> bool:
        """Whether something is under way that takes no time of the clock's."""
        now = self.virtual.now()
        return any(
            r.state is State.STOPPING
            or (
                r.state is State.STARTING
                and (r.id not in self.pretended.begun or now >= r.ordered_at + self.pretended.takes(r.id))
            )
            for r in self.controller.fleet.replicas.values()
        )


async def live(folder: Path, scene: Scene) -> list[ac.Action]:
    hands = Hands(folder, scene)
    clock = hands.virtual
    for event in (scene.configured, *(a for a, _ in scene.arrivals)):
        hands.comes(event)
    async with asyncio.timeout(60):
        while (due := clock.due()) <= scene.end:
            clock.run_until(due)
            await settle()
            while hands.is_busy():
                await asyncio.sleep(0)
                clock.run_until(clock.now())
    log = [*hands.log]
    await hands.close()
    return log


def in_order(log: list[ac.Action]) -> list[ac.Action]:
    """Of two processes that were told to go at one moment, either may be gone first."""
    found: list[ac.Action] = []
    for gone, some in groupby(log, lambda a: isinstance(a, ac.Moved) and a.state is State.GONE):
        together = list(some)
        found += sorted(together, key=str) if gone else together
    return found


def scene(seed: int) -> Scene:
    dice = Random(seed)
    plan = FakeEngine().plan(MODEL)
    names = ("a", "b")
    deployments = tuple(
        Deployment(
            name,
            plan=plan,
            ttl=dice.choice([0.0, 7.0, 60.0]),
            ttl_to_zero=60.0,
            ttl_is_auto=dice.random() < 0.5,
            base=dice.choice([0, 1, None]),
            max_replicas=3,
            target_requests=dice.choice([1, 2]),
            slots=2,
            batch_deadline=dice.choice([0.0, 3.1, 30.0]),
            start_seconds=8.0,
        )
        for name in names
    )
    at, arrivals = 10.0, []
    for i in range(40):
        at += dice.choice([0.11, 0.7, 3.3, 41.0]) + i * 1e-4
        name, rank = dice.choice(names), dice.choice([STANDARD, STANDARD, CRITICAL, BATCH])
        other = dice.choice([None, "a", "b"])
        arrived = ev.Arrived(at, f"r{i}", name, rank=rank, stand_in=other)
        arrivals.append((arrived, dice.choice([0.37, 2.1, 13.7])))
    configured = ev.Configured(1.0, deployments, (Host(),), unix=1.8e9)
    return Scene(configured, tuple(arrivals), STARTS, seed)


def test_the_comparison_sees_actions():
    kinds = [{type(a) for a in simulated(scene(seed))} for seed in range(20)]
    assert {ac.Start, ac.Stop, ac.Hold, ac.Assign, ac.Moved, ac.Rented} <= set.union(*kinds)
    assert all({ac.Start, ac.Assign, ac.Moved} <= found for found in kinds)


def test_the_comparison_sees_classes_and_stand_ins():
    seen = [a for seed in range(20) for a in simulated(scene(seed))]
    assert sum(isinstance(a, ac.Assign) and a.stands_in is not None for a in seen) > 20
    assert sum(isinstance(a, ac.Hold) and a.because == "it waits for idle capacity" for a in seen) > 20


@pytest.mark.parametrize("seed", range(20))
async def test_what_the_server_does_on_a_pretended_machine_is_what_is_simulated(seed: int, tmp_path: Path):
    of = scene(seed)
    there = simulated(of)
    here = await live(tmp_path, of)
    assert in_order(here) == in_order(there)
