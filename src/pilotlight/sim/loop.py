"""The other loop: a heap, the same step, and effects that have a price in place of a machine."""

from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from typing import Protocol

from pilotlight.fleet.actions import (
    Assign,
    Hold,
    Moved,
    Note,
    Probe,
    Refuse,
    Rented,
    Sleep,
    Start,
    Stop,
    Trim,
    Wake,
    WakeAt,
)
from pilotlight.fleet.events import Arrived, Configured, Event, Finished, Tick
from pilotlight.fleet.fleet import Fleet
from pilotlight.policy.step import step

Effect = Start | Stop | Probe | Sleep | Wake | Trim | Refuse | Moved | Rented | Note

NEVER = float("inf")


class World(Protocol):
    """What follows from an action, and when."""

    def follows(self, action: Effect, now: float) -> tuple[Event, ...]:
        """Events to come of it. `at` of each is not before `now`."""
        ...


def run(
    configured: Configured,
    arrivals: Iterable[tuple[Arrived, float]],
    waited: Callable[[str, float], None],
    world: World,
    told: Callable[[Effect, float], None],
    end: float,
) -> Fleet:
    """Replays `arrivals`, which come in order, each with the seconds that it runs, and what follows until `end`.

    `waited` is told of each request that was held and runs from now on, with the seconds that it waited. `told` hears
    of every action but Assign, Hold and WakeAt, with its moment.
    """
    order = 0
    wake: Tick | None = None
    heap: list[tuple[float, int, Event]] = []
    held: dict[str, tuple[float, float]] = {}
    nothing = (None, 0.0)
    coming = iter(arrivals)
    arrival, seconds = next(coming, nothing)
    arrives = NEVER if arrival is None else arrival.at
    service = 0.0
    event: Event = configured
    fleet = Fleet()
    while True:
        fleet, actions = step(fleet, event)
        now = event.at
        for action in actions:
            if isinstance(action, Assign):
                request = action.request
                if request in held:
                    since, runs = held.pop(request)
                    waited(request, now - since)
                else:  # it has come just now
                    runs = service
                order += 1
                heappush(heap, (now + runs, order, Finished(now + runs, request)))
            elif isinstance(action, Hold):
                held[action.request] = (now, service)
            elif isinstance(action, WakeAt):
                wake = Tick(action.at)
                order += 1
                heappush(heap, (action.at, order, wake))
            else:
                told(action, now)
                for event in world.follows(action, now):
                    order += 1
                    heappush(heap, (event.at, order, event))
        while True:
            if heap and heap[0][0] < arrives:
                event = heappop(heap)[2]
                if isinstance(event, Tick) and event is not wake:
                    continue  # another one has been asked for since
            elif arrival is not None:
                event, service = arrival, seconds
                arrival, seconds = next(coming, nothing)
                arrives = NEVER if arrival is None else arrival.at
            else:
                return fleet
            break
        if event.at > end:
            return fleet
