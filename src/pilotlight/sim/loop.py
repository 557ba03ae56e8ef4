"""The other loop: a heap, the same step, and effects that have a price in place of a machine."""

import heapq
from collections.abc import Callable
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


class World(Protocol):
    """What follows from an action, and when."""

    def follows(self, action: Effect, now: float) -> tuple[Event, ...]:
        """Events to come of an action other than Assign, Hold and WakeAt. `at` of each is not before `now`."""
        ...


class Requests(Protocol):
    """The trace: request i comes at at(i)."""

    def __len__(self) -> int: ...
    def arrival(self, i: int) -> Arrived | None:
        """None when there are no more."""
        ...

    def assigned(self, request: str, now: float) -> float:
        """It runs from now on; when it will be over."""
        ...


def run(
    configured: Configured,
    requests: Requests,
    world: World,
    told: Callable[[Effect, float], None],
    end: float,
) -> Fleet:
    """Replays the requests. `told` hears of every action but Assign, Hold and WakeAt, with its moment."""
    order = 0
    wake = float("inf")
    heap: list[tuple[float, int, Event]] = []
    fleet, actions = step(Fleet(), configured)
    i = 0
    arrival = requests.arrival(0)
    now = configured.at
    while True:
        for action in actions:
            if isinstance(action, Assign):
                over = requests.assigned(action.request, now)
                order += 1
                heapq.heappush(heap, (over, order, Finished(over, action.request)))
            elif isinstance(action, Hold):
                pass
            elif isinstance(action, WakeAt):
                wake = action.at
                order += 1
                heapq.heappush(heap, (wake, order, Tick(wake)))
            else:
                told(action, now)
                for event in world.follows(action, now):
                    order += 1
                    heapq.heappush(heap, (event.at, order, event))
        if arrival is not None and (not heap or arrival.at <= heap[0][0]):
            event = arrival
            i += 1
            arrival = requests.arrival(i)
        elif heap:
            event = heapq.heappop(heap)[2]
            if event.at > end:
                return fleet
            if isinstance(event, Tick) and event.at != wake:
                actions = ()
                continue
        else:
            return fleet
        now = event.at
        fleet, actions = step(fleet, event)
