"""The simulator as it is shipped, beside the real controller: the same requests, the same simulated world."""

from collections.abc import Sequence
from unittest import mock

import msgspec

from pilotlight.clock import VirtualClock
from pilotlight.controller.loop import Controller
from pilotlight.fleet import actions as ac
from pilotlight.fleet import events as ev
from pilotlight.policy.requests import arrived, finished
from pilotlight.policy.step import step, wake
from pilotlight.sim import loop
from pilotlight.sim.starts import StartTimes
from pilotlight.sim.world import SimulatedWorld
from pilotlight.spec.simulation import RemoteTroubles, Simulation

AFTER = 900.0
"""Seconds after the last request at which both stop looking."""


class Scene(msgspec.Struct, frozen=True):
    """All that a replay depends on."""

    configured: ev.Configured
    arrivals: tuple[tuple[ev.Arrived, float], ...]
    """Each with the seconds that it runs; in order."""
    starts: StartTimes
    seed: int
    troubles: dict[str, RemoteTroubles] = {}
    """Of providers."""

    @property
    def end(self) -> float:
        return (self.arrivals[-1][0].at if self.arrivals else self.configured.at) + AFTER

    def world(self) -> SimulatedWorld:
        given = Simulation(per_token=0.03, providers=self.troubles)
        return SimulatedWorld(self.configured, self.starts, self.seed, Asked(self), given)


class Asked:
    """Of the requests of a scene: any size will do, as long as it is the same one whenever it is asked for."""

    def __init__(self, scene: Scene) -> None:
        self._runs = {a.request: (a.deployment, seconds) for a, seconds in scene.arrivals}

    def size(self, request: str) -> tuple[str, int, int]:
        name, seconds = self._runs[request]
        return name, len(request), int(20 * seconds)

    def first_token(self, request: str) -> float:
        return 0.0

    def answered(self, request: str, at: float) -> None:
        pass


def simulated(scene: Scene) -> list[ac.Action]:
    """By `pilotlight.sim.loop.run`. What it tells nobody, Assign, Hold and WakeAt, is seen at the step itself, or at
    the handlers of the events that are so many that it calls them without a step."""
    log: list[tuple[float, ac.Action]] = []
    told: list[ac.Action] = []
    waited = dict[str, float]()

    now = 0.0

    def spy(fleet, event):
        fleet, actions = step(fleet, event)
        log.extend((event.at, action) for action in actions)
        return fleet, actions

    def spied(handler):
        def spy(fleet, event, out):
            nonlocal now
            now = event.at
            handler(fleet, event, out)
            log.extend((now, action) for action in out)

        return spy

    def spied_wake(fleet, out):
        wake(fleet, out)
        log.append((now, out[-1]))

    by_itself = {"arrived": spied(arrived), "finished": spied(finished), "wake": spied_wake}
    with mock.patch.multiple(loop, step=spy, **by_itself):
        loop.run(
            scene.configured,
            loop.ends(scene.arrivals),
            waited.__setitem__,
            scene.world(),
            lambda action, now: told.append(action),
            scene.end,
        )
    assert told == [a for _, a in log if not isinstance(a, ac.Assign | ac.Hold | ac.WakeAt)]
    assert waited == _waits(log), "it said otherwise how long requests waited"
    return [action for _, action in log]


def _waits(log: Sequence[tuple[float, ac.Action]]) -> dict[str, float]:
    """Seconds of those that were held, or that a provider declined before."""
    since: dict[str, float] = {}
    found: dict[str, float] = {}
    for now, action in log:
        if isinstance(action, ac.Hold | ac.Send):
            since.setdefault(action.request, now)
        elif isinstance(action, ac.Assign) and action.request in since:
            found[action.request] = now - since.pop(action.request)
    return found


class VirtualEffects:
    """Carries out actions by scheduling what the simulated world answers."""

    def __init__(self, clock: VirtualClock, scene: Scene) -> None:
        self.clock, self.world = clock, scene.world()
        self.runs = {a.request: seconds for a, seconds in scene.arrivals}
        self.controller: Controller

    def assign(self, action: ac.Assign) -> None:
        at = self.clock.now() + self.runs[action.request]
        self._post(ev.Finished(at, action.request))

    def hold(self, action: ac.Hold) -> None:
        pass

    def _carry_out(self, action: loop.Effect) -> None:
        for event in self.world.follows(action, self.clock.now()):
            self._post(event)

    def _post(self, event: ev.Event) -> None:
        self.clock.call_at(event.at, lambda: self.controller.post(event))

    send = ping = refuse = start = stop = probe = sleep = wake = trim = moved = rented = note = _carry_out


def live(scene: Scene) -> list[ac.Action]:
    """By the controller that serves, on virtual time."""
    log: list[ac.Action] = []
    clock = VirtualClock()
    effects = VirtualEffects(clock, scene)
    effects.controller = controller = Controller(clock, effects, lambda _, actions: log.extend(actions))
    for event in (scene.configured, *(a for a, _ in scene.arrivals)):
        clock.call_at(event.at, lambda event=event: controller.post(event))
    clock.run_until(scene.end)
    return log
