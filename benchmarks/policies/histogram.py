"""The hybrid histogram policy of "Serverless in the Wild" (Shahrad et al., USENIX ATC 2020), without its ARIMA.

Each model has a histogram of its idle times, in bins of a minute up to four hours. When it falls idle it is unloaded,
prewarmed shortly before the 5th percentile (lower edge of the bin, less 10 %), and kept until the 99th (upper edge, and
10 % more). Where the 5th percentile is too near for that, it just stays. Where the histogram tells nothing (fewer than
10 idle times, more than half beyond the range, or a coefficient of variation of the bins under 2) it stays for four
hours. The start is ordered so much earlier that the replica is ready in time, which the paper leaves out. More
replicas are started by load; each idle one stays as long as the model would.
"""

from collections import defaultdict
from math import inf, sqrt

from configs import silent
from rivals import Orders, Rival, load, ready

from pilotlight.fleet.fleet import DeploymentState, Replica

BIN, BINS = 60.0, 240
HEAD, TAIL, MARGIN = 0.05, 0.99, 0.1
FEW = 10
BEYOND = 0.5
CV = 2.0


class Idle:
    __slots__ = ("beyond", "counts", "drawn", "idle_since", "keep_until", "prewarm_at", "total", "windows")

    def __init__(self) -> None:
        self.counts = [0] * BINS
        self.total = self.beyond = 0
        self.idle_since = self.keep_until = -inf
        self.prewarm_at = inf
        self.windows = (0.0, BIN * BINS)
        self.drawn = 0

    def saw(self, seconds: float) -> None:
        i = int(seconds // BIN)
        self.total += 1
        if i < BINS:
            self.counts[i] += 1
        else:
            self.beyond += 1

    def known(self) -> tuple[float, float]:
        """Seconds after which it is prewarmed, and until which it is kept; drawn anew with 2 % more idle times."""
        if self.total > self.drawn * 1.02:
            self.drawn = self.total
            self.windows = self._windows()
        return self.windows

    def _windows(self) -> tuple[float, float]:
        inside = self.total - self.beyond
        if self.total < FEW or self.beyond > BEYOND * self.total or self._cv(inside) < CV:
            return 0.0, BIN * BINS
        head, tail = self._bin(HEAD * self.total), self._bin(TAIL * self.total)
        return head * BIN * (1 - MARGIN), min(BINS, tail + 1) * BIN * (1 + MARGIN)

    def _cv(self, inside: int) -> float:
        mean = inside / BINS
        return sqrt(sum((n - mean) ** 2 for n in self.counts) / BINS) / mean

    def _bin(self, rank: float) -> int:
        seen = 0
        for i, n in enumerate(self.counts):
            seen += n
            if seen >= rank:
                return i
        return BINS - 1


class Histogram(Rival):
    config = silent()
    """The kernel starts what more the load asks for."""

    def __init__(self, start: float) -> None:
        """`start`: seconds."""
        self._start = start
        self._known: defaultdict[str, Idle] = defaultdict(Idle)

    def came(self, orders: Orders, d: DeploymentState) -> None:
        known = self._known[d.spec.id]
        if load(d) == 1 and known.idle_since > -inf:
            known.saw(orders.now - known.idle_since)
        known.prewarm_at = inf

    def over(self, orders: Orders, d: DeploymentState, r: Replica) -> None:
        if r.in_flight:
            return
        known, now = self._known[d.spec.id], orders.now
        prewarm, keep = known.known()
        if load(d):
            orders.keep(d, r, keep)
            return
        known.idle_since, known.keep_until = now, now + keep
        if prewarm <= self._start:
            orders.keep(d, r, keep)
            return
        for other in ready(d):
            orders.stop(other, "it falls idle, and the next request is far")
        known.prewarm_at = now + prewarm - self._start
        orders.wake(d, known.prewarm_at)

    def ready(self, orders: Orders, d: DeploymentState, r: Replica) -> None:
        if not r.in_flight:
            orders.keep(d, r, max(0.0, self._known[d.spec.id].keep_until - orders.now))

    def due(self, orders: Orders, d: DeploymentState) -> None:
        known = self._known[d.spec.id]
        if orders.now >= known.prewarm_at:
            known.prewarm_at = inf
            if not d.current():
                orders.start(d, 1, "the next request is near")
