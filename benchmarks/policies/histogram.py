"""The hybrid histogram policy of "Serverless in the Wild" (Shahrad et al., USENIX ATC 2020), without its ARIMA.

Each model has a histogram of its idle times, in bins of a minute up to four hours. When it falls idle it is unloaded,
prewarmed shortly before the 5th percentile (lower edge of the bin, less 10 %), and kept until the 99th (upper edge, and
10 % more). Where the 5th percentile is too near for that, it just stays. Where the histogram tells nothing (fewer than
10 idle times, more than half beyond the range, or a coefficient of variation of the bins under 2) it stays for four
hours. The start is ordered so much earlier that the replica is ready in time, which the paper leaves out. More
replicas are started by load; each idle one stays as long as the model would.
"""

from math import inf, sqrt

from rivals import SLOTS, Model, Replica, World

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


class Histogram:
    def came(self, world: World, m: Model, now: float) -> None:
        known = self._known(m)
        if m.load == 1 and known.idle_since > -inf:
            known.saw(now - known.idle_since)
        known.prewarm_at = inf
        world.start(m, -(-m.load // SLOTS) - len(m.replicas), now)

    def over(self, world: World, m: Model, r: Replica, now: float) -> None:
        if r.in_flight or r.gone:
            return
        known = self._known(m)
        prewarm, keep = known.known()
        self._keep(world, m, r, now + keep)
        if m.load:
            return
        known.idle_since, known.keep_until = now, now + keep
        if prewarm > world.start_seconds:
            for other in [o for o in m.replicas if o.ready]:
                world.stop(m, other, now)
            known.prewarm_at = now + prewarm - world.start_seconds
            world.wake(m, known.prewarm_at)

    def ready(self, world: World, m: Model, r: Replica, now: float) -> None:
        if not r.in_flight:
            self._keep(world, m, r, max(now, self._known(m).keep_until))

    def due(self, world: World, m: Model, now: float) -> None:
        known = self._known(m)
        if now >= known.prewarm_at:
            known.prewarm_at = inf
            if not m.replicas:
                world.start(m, 1, now)
        for r in [o for o in m.replicas if o.ready and not o.in_flight and o.leaves_at <= now]:
            world.stop(m, r, now)

    def _keep(self, world: World, m: Model, r: Replica, until: float) -> None:
        r.leaves_at = until
        world.wake(m, until)

    def _known(self, m: Model) -> Idle:
        if m.own is None:
            m.own = Idle()
        return m.own
