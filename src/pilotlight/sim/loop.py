"""The other loop: a heap, the same step, and effects that have a price in place of a machine."""

from collections.abc import Callable, Iterable, Iterator
from heapq import heappop, heappush
from typing import Any, Protocol

from pilotlight.fleet.actions import (
    Action,
    Assign,
    Hold,
    Moved,
    Note,
    Ping,
    Probe,
    Refuse,
    Rented,
    Send,
    Sleep,
    Start,
    Stop,
    Trim,
    Wake,
    WakeAt,
)
from pilotlight.fleet.events import Answered, Arrived, Configured, Declined, Event, Finished, Tick
from pilotlight.fleet.fleet import Fleet
from pilotlight.policy.requests import arrived, finished
from pilotlight.policy.step import step, wake

Entry = tuple[float, int, Event]
"""Of the heap: when, which of those of one moment comes first, and what."""

APART = 1 << 32
"""What follows from a request, or comes before the next one, is numbered in between."""

Effect = Start | Stop | Probe | Sleep | Wake | Trim | Send | Ping | Refuse | Moved | Rented | Note

Beside = Callable[[Fleet, Event, list[Action]], None]
"""Who decides beside the kernel: sees each event once the kernel has taken it, with the actions that came of it, and
may order more by the kernel's own verbs (policy/effects.py), which add to those actions."""

Handler = Callable[[Fleet, Any, list[Action]], None]

Step = Callable[[Fleet, Event], tuple[Fleet, list[Action]]]


class World(Protocol):
    """What follows from an action, and when."""

    def follows(self, action: Effect, now: float) -> tuple[Event, ...]:
        """Events to come of it. `at` of each is not before `now`."""
        ...

    def first_token(self, request: str) -> float:
        """Seconds that a replica takes to its first token."""
        ...

    def cut(self, request: str, at: float) -> Event:
        """Of a hedged request a replica gives the first token then: what becomes of the provider's part."""
        ...


class _Course:
    """What is to come, and what follows from what the kernel orders."""

    __slots__ = (
        "asked",
        "away",
        "beside",
        "fleet",
        "heap",
        "held",
        "lasts",
        "order",
        "placed",
        "told",
        "waited",
        "world",
    )

    def __init__(
        self,
        waited: Callable[[str, float], None],
        world: World,
        told: Callable[[Effect, float], None],
        placed: Callable[[str, str], None] | None,
        lasts: Callable[[str, int], float] | None,
        fleet: Fleet,
    ) -> None:
        self.waited, self.world, self.told, self.placed = waited, world, told, placed
        self.lasts, self.fleet = lasts, fleet
        self.heap: list[Entry] = []
        self.order = 0
        self.held: dict[str, tuple[float, float]] = {}
        """Since when, and seconds that it will run."""
        self.away: dict[str, tuple[float, float]] = {}
        """The same of those that a provider will decline."""
        self.beside: dict[str, Event] = {}
        """The first that a provider will do with a hedged request."""
        self.asked: Tick | None = None
        """The latest; those that were asked for before it do not count any more."""

    def comes(self, at: float, event: Event) -> None:
        self.order += 1
        heappush(self.heap, (at, self.order, event))

    def carry_out(self, actions: list[Action], now: float, service: float) -> None:
        """`service`: seconds that a request which has come just now runs.

        Types are compared here: that something is no instance of a struct `isinstance` asks the struct's metaclass.
        """
        for action in actions:
            if type(action) is Assign:
                self._runs(action, now, service)
            elif type(action) is Hold:
                self.held[action.request] = self.away.pop(action.request, None) or (now, service)
            elif type(action) is WakeAt:
                self.asked = Tick(action.at)
                self.comes(action.at, self.asked)
            else:
                self._follows(action, now, service)  # type: ignore[arg-type]  (what is left is an Effect)

    def _follows(self, action: Effect, now: float, service: float) -> None:
        self.told(action, now)
        events = self.world.follows(action, now)
        for event in events:
            self.comes(event.at, event)
        if type(action) is not Send:
            return
        request = action.request
        if action.hedged:
            self.beside[request] = events[0]
            return
        waits = self.held.pop(request, None) or self.away.pop(request, None) or (now, service)
        if type(events[0]) is Declined:
            self.away[request] = waits

    def _is_beaten(self, request: str, now: float) -> bool:
        """Whether the provider that was asked beside the replica gives the first token. Else it is cut; the kernel
        knows nothing of it from then on, and leaves what it would have done."""
        first, at = self.beside.pop(request), now + self.world.first_token(request)
        if first.at <= at:
            return type(first) is Answered
        self.comes(at, self.world.cut(request, at))
        return False

    def _runs(self, action: Assign, now: float, service: float) -> None:
        request = action.request
        if request in self.held:
            since, service = self.held.pop(request)
            if request in self.beside and self._is_beaten(request, now):
                return
            self.waited(request, now - since)
        if self.placed is not None:
            self.placed(request, action.replica)
        if self.lasts is not None:
            service = self.lasts(request, self.fleet.assigned[request].in_flight - 1)
        self.order += 1  # `comes`, without the call
        at = now + service
        heappush(self.heap, (at, self.order, Finished(at, request)))


def ends(arrivals: Iterable[tuple[Arrived, float]]) -> Iterator[tuple[Arrived, float, Entry]]:
    """As `run` wants them: with the end of each, should it run at once."""
    for i, (arrival, service) in enumerate(arrivals, 1):
        at = arrival.at + service
        yield arrival, service, (at, i * APART, Finished(at, arrival.request))


def _with(beside: Beside) -> tuple[Handler, Handler, Step]:
    """`arrived`, `finished` and `step`, each followed by who decides beside them."""

    def then_beside(handler: Handler) -> Handler:
        def handle(fleet: Fleet, event: Event, out: list[Action]) -> None:
            handler(fleet, event, out)
            beside(fleet, event, out)

        return handle

    def both(fleet: Fleet, event: Event) -> tuple[Fleet, list[Action]]:
        fleet, out = step(fleet, event)
        beside(fleet, event, out)
        if fleet.timers and fleet.timers[0][0] < fleet.wake_at:
            wake(fleet, out)
        return fleet, out

    return then_beside(arrived), then_beside(finished), both


def run(
    configured: Configured,
    arrivals: Iterable[tuple[Arrived, float, Entry]],
    waited: Callable[[str, float], None],
    world: World,
    told: Callable[[Effect, float], None],
    end: float,
    placed: Callable[[str, str], None] | None = None,
    lasts: Callable[[str, int], float] | None = None,
    beside: Beside | None = None,
) -> Fleet:
    """Replays `arrivals`, which come in order, each with the seconds that it runs and with its end as `ends` makes it,
    and what follows until `end`.

    `waited` is told of each request that was held and runs from now on, with the seconds that it waited. `told` hears
    of every action but Assign, Hold and WakeAt, with its moment. `placed`, where somebody wants to know, is told of
    each request and its replica. `lasts`, where that depends on it, is asked how many seconds a request runs which
    begins beside so many others on its replica; those that begin with it in one step are among them. `beside`
    decides beside the kernel.
    """
    came, over, takes = (arrived, finished, step) if beside is None else _with(beside)
    fleet, actions = takes(Fleet(), configured)
    course = _Course(waited, world, told, placed, lasts, fleet)
    heap, carry_out = course.heap, course.carry_out
    at_once = placed is None and lasts is None
    carry_out(actions, configured.at, 0.0)
    timers = fleet.timers
    timed = fleet.order  # up to which timer it has been seen to that a Tick is asked for
    actions = []
    for arrival, service, ending in arrivals:
        arrives = arrival.at
        if arrives > end:
            break
        while heap and heap[0][0] < arrives:
            _, _, event = heappop(heap)
            if type(event) is Finished:  # `step`, without the call, for what comes most often
                over(fleet, event, actions)
                if fleet.order != timed:
                    timed = fleet.order
                    if timers and timers[0][0] < fleet.wake_at:
                        wake(fleet, actions)
                if not actions:
                    continue
            elif type(event) is Tick and event is not course.asked:
                continue
            else:
                fleet, actions = takes(fleet, event)
            carry_out(actions, event.at, 0.0)
            actions = []
        came(fleet, arrival, actions)
        if fleet.order != timed:
            timed = fleet.order
            if timers and timers[0][0] < fleet.wake_at:
                wake(fleet, actions)
        course.order = ending[1]
        if len(actions) == 1 and type(actions[0]) is Assign and at_once:
            heappush(heap, ending)  # nearly always: it runs at once
        else:
            carry_out(actions, arrives, service)
        actions = []
    while heap and heap[0][0] <= end:
        event = heappop(heap)[2]
        if type(event) is not Tick or event is course.asked:
            fleet, actions = takes(fleet, event)
            carry_out(actions, event.at, 0.0)
    return fleet
