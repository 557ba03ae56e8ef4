"""The live side of the parity tests: the real controller on virtual time."""

from collections.abc import Sequence

from pilotlight.clock import VirtualClock
from pilotlight.controller.loop import Controller
from pilotlight.fleet import actions as ac
from pilotlight.fleet import events as ev

from .heap import Script, World, horizon


class VirtualEffects:
    """Carries out actions by scheduling what the scripted world answers."""

    def __init__(self, clock: VirtualClock, script: Script) -> None:
        self.clock, self.world = clock, World(script)
        self.controller: Controller

    def _carry_out(self, action: ac.Action) -> None:
        for at, event in self.world.consequences(action, self.clock.now()):
            self.clock.call_at(at, lambda event=event: self.controller.post(event))

    assign = hold = send = ping = refuse = start = stop = probe = sleep = wake = trim = moved = rented = (
        note
    ) = _carry_out


def live(traffic: Sequence[ev.Event], script: Script) -> list[ac.Action]:
    log: list[ac.Action] = []
    clock = VirtualClock()
    effects = VirtualEffects(clock, script)
    effects.controller = controller = Controller(clock, effects, lambda _, actions: log.extend(actions))
    for event in traffic:
        clock.call_at(event.at, lambda event=event: controller.post(event))
    clock.run_until(horizon(traffic))
    return log
