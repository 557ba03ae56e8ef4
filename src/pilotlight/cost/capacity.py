"""What replicas have cost, from when they were up: the rule of the bill, for whole spans of time at once.

1. A replica is up from its order to its end, and takes its deployment's devices all that time; a warmer its own.
2. A rental begins when the kernel says that more replicas are dedicated, and lasts for the commitment at least; a
   rental that it has given back too early is taken over by the next one, as long as it runs.
3. A moment costs the dedicated price for each rental, and the on-demand price for each replica that is up beyond them.
4. What is counted lies between two moments. A rental that would outlast the second is cut there, as all else is.

ledger.py keeps the same rule as things happen, and says what the replicas did meanwhile; a test holds the two equal.
"""

from collections.abc import Iterator

import msgspec
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

Spans = list[tuple[float, float]]
"""From and to."""

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
    """That a replica takes. One without a GPU counts as one: it takes a machine's place all the same."""

    full: int = 1
    small: int = 1
    """A warmer."""


ONE = Devices()


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
