"""What replicas have cost: from what the kernel says of them, as one adds up a bill.

1. A replica is up from its order to its end, and takes its deployment's devices all that time; a warmer its own.
2. A rental begins when the kernel says that more replicas are dedicated, and lasts for the commitment at least; a
   rental that it has given back too early is taken over by the next one, as long as it runs.
3. A moment costs the dedicated price for each rental, and the on-demand price for each replica that is up beyond them.
4. What is counted lies between two moments. A rental that would outlast the second is cut there, as all else is.
"""

from collections.abc import Iterator, Mapping

import msgspec
import numpy as np

from pilotlight.fleet.actions import Moved, Note, Refuse, Rented
from pilotlight.fleet.states import State
from pilotlight.sim.loop import Effect
from pilotlight.sim.trace import Floats

Spans = list[tuple[float, float]]
"""From and to."""

Who = tuple[str, bool]
"""A deployment, and whether its warmers."""

NONE: Spans = []


class Price(msgspec.Struct, frozen=True):
    """USD for a second of one device, and seconds."""

    dedicated: float
    on_demand: float
    commitment: float


class Bill(msgspec.Struct, frozen=True):
    replica_seconds: float
    """Of replicas that were up."""
    dedicated_seconds: float
    """Of devices that were rented."""
    on_demand_seconds: float
    """Of devices beyond them."""
    usd: float

    @property
    def gpu_seconds(self) -> float:
        """All that was paid for."""
        return self.dedicated_seconds + self.on_demand_seconds


class Devices(msgspec.Struct, frozen=True):
    """That a replica takes."""

    full: int = 1
    small: int = 1
    """A warmer."""


ONE = Devices()


class Ledger:
    def __init__(self) -> None:
        self.rented: dict[str, list[tuple[float, int]]] = {}
        """By deployment: from this moment on, so many."""
        self.refused: list[str] = []
        """Requests."""
        self.noted: dict[str, int] = {}
        """What the kernel could not do, and how often; of whom is left out."""
        self.starts = 0
        self._up: dict[Who, Spans] = {}
        """From order to end, of replicas that are gone."""
        self._since: dict[str, tuple[float, Who]] = {}
        """Of the others: from order."""

    def told(self, action: Effect, now: float) -> None:
        if isinstance(action, Moved):
            if action.was is None:
                self.starts += 1
                self._since[action.replica] = (now, (action.deployment, action.small))
            if action.state is State.GONE:
                began, who = self._since.pop(action.replica)
                self._up.setdefault(who, []).append((began, now))
        elif isinstance(action, Rented):
            self.rented.setdefault(action.deployment, []).append((now, action.replicas))
        elif isinstance(action, Refuse):
            self.refused.append(action.request)
        elif isinstance(action, Note):
            text = action.because.removeprefix(action.deployment).strip()
            if text in self.noted or len(self.noted) < MOST_NOTES:
                self.noted[text] = self.noted.get(text, 0) + 1

    def notes(self) -> tuple[str, ...]:
        return tuple(f"{text}: {n:,} time{'s' if n != 1 else ''}" for text, n in self.noted.items())

    def up(self, until: float) -> dict[Who, Spans]:
        """When replicas were up. Those that are up still are so until `until`."""
        found = {who: list(spans) for who, spans in self._up.items()}
        for began, who in self._since.values():
            found.setdefault(who, []).append((began, max(began, until)))
        return found

    def bills(
        self, price: Price, devices: Mapping[str, Devices], since: float, until: float
    ) -> dict[str, Bill]:
        """By deployment, for what was between the two moments."""
        up = self.up(until)
        return {
            name: bill(
                up.get((name, False), []),
                rentals(self.rented.get(name, []), price.commitment, until),
                price,
                devices.get(name, ONE),
                since,
                until,
                up.get((name, True), []),
            )
            for name in sorted({name for name, _ in up} | self.rented.keys())
        }


MOST_NOTES = 10
"""That are kept."""


def bill(
    up: Spans,
    rented: Spans,
    price: Price,
    devices: Devices = ONE,
    since: float = 0.0,
    until: float = 0.0,
    small: Spans = NONE,
) -> Bill:
    """Of one deployment. `small`: warmers, which count among what is up."""
    of = [(up, 1, devices.full, 0), (small, 1, devices.small, 0), (rented, 0, 0, devices.full)]
    t, *counts = zip(*(row for entry in of for row in _changes(*entry)), (until, 0, 0, 0), strict=True)
    order = np.argsort(t, kind="stable")
    lasts = np.diff(np.clip(np.append(np.array(t)[order], until), since, max(since, until)))
    replicas, used, paid = (np.cumsum(np.array(column)[order]) for column in counts)
    dedicated, beyond = float((lasts * paid).sum()), float((lasts * np.maximum(0, used - paid)).sum())
    usd = dedicated * price.dedicated + beyond * price.on_demand
    return Bill(float((lasts * replicas).sum()), dedicated, beyond, usd)


def _changes(spans: Spans, *by: int) -> Iterator[tuple[float, int, int, int]]:
    """What each beginning adds and each end takes away."""
    replicas, used, paid = by
    for began, end in spans:
        yield began, replicas, used, paid
        yield end, -replicas, -used, -paid


def rentals(changes: list[tuple[float, int]], commitment: float, until: float) -> Spans:
    """From and to of each, none shorter than the commitment but for those that the end cuts."""
    spans: Spans = []
    running: list[float] = []
    want, dropped = 0, 0.0
    for at, n in [*changes, (until, 0)]:
        while len(running) > want and running[0] + commitment <= at:
            began = running.pop(0)
            spans.append((began, max(began + commitment, dropped)))
        running += [at] * (n - len(running))
        want, dropped = n, at
    return spans + [(began, max(began, until)) for began in running]


def in_use(spans: Spans, edges: Floats) -> Floats:
    """How many were up on average between each two edges."""
    begins = np.sort(np.array([x for x, _ in spans], np.float64))
    ends = np.sort(np.array([y for _, y in spans], np.float64))
    seconds = _passed(begins, edges) - _passed(ends, edges)
    return np.maximum(0.0, np.diff(seconds) / np.diff(edges))  # a difference of sums may fall short of 0


def _passed(moments: Floats, edges: Floats) -> Floats:
    """Sum of the seconds since each of the moments before an edge, for each edge."""
    k = np.searchsorted(moments, edges)
    total = np.concatenate([[0.0], np.cumsum(moments)])
    return k * edges - total[k]
