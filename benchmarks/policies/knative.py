"""Knative's autoscaler, as its documentation and source (pkg/autoscaler/scaling) have it, with its defaults.

Every 2 s, for each model that is not at zero: the mean concurrency (running and held) over the stable window of 60 s
and over the panic window of 6 s, each divided by the target of a replica, 70 % of its slots. Where the panic window
asks for twice the ready replicas or more, it decides, and nothing is scaled down until it has not for 60 s. Down by
half at most at a time, up by 1,000 times. A first request at zero has one replica started at once. When nothing has
been there for the stable window, the last replica goes after a grace of 30 s.
"""

from collections import deque
from math import ceil

from rivals import SLOTS, Model, Replica, World

TICK, STABLE, PANIC, GRACE = 2.0, 60.0, 6.0, 30.0
"""Seconds."""

TARGET = 0.7 * SLOTS
THRESHOLD, UP, DOWN = 2.0, 1000.0, 2.0


class Watched:
    """Concurrency of a model since it was last at zero: its integral, now and at every tick."""

    __slots__ = ("active", "area", "as_of", "load", "most", "panic_until", "since", "ticks", "zero_at")

    def __init__(self) -> None:
        self.active = False
        self.begin(0.0)

    def begin(self, now: float) -> None:
        self.area, self.as_of, self.since, self.load = 0.0, now, now, 0
        self.ticks: deque[tuple[float, float]] = deque([(now, 0.0)])
        self.panic_until, self.most, self.zero_at = 0.0, 0, 0.0

    def pass_time(self, load: int, now: float) -> None:
        """`load`: from now on."""
        self.area += self.load * (now - self.as_of)
        self.as_of, self.load = now, load

    def mean(self, window: float, now: float) -> float:
        for at, area in reversed(self.ticks):
            if at <= now - window or at <= self.since:
                return (self.area - area) / max(1.0, now - at)
        return 0.0


class Knative:
    def came(self, world: World, m: Model, now: float) -> None:
        w = self._watched(m)
        if not w.active:
            w.active = True
            w.begin(now)
            if not m.replicas:
                world.start(m, 1, now)
            world.wake(m, now + TICK)
        w.pass_time(m.load, now)

    def over(self, world: World, m: Model, r: Replica, now: float) -> None:
        self._watched(m).pass_time(m.load, now)

    def ready(self, world: World, m: Model, r: Replica, now: float) -> None:
        self._watched(m).pass_time(m.load, now)

    def due(self, world: World, m: Model, now: float) -> None:
        w = self._watched(m)
        w.pass_time(m.load, now)
        w.ticks.append((now, w.area))
        while w.ticks[0][0] < now - STABLE - TICK and w.ticks[1][0] <= now - STABLE:
            w.ticks.popleft()
        self._scale(world, m, self._desired(m, w, now), w, now)
        if w.active:
            world.wake(m, now + TICK)

    def _desired(self, m: Model, w: Watched, now: float) -> int:
        ready = max(1, sum(r.ready for r in m.replicas))
        low, high = ready // int(DOWN), ceil(UP * ready)
        stable, panic = (
            min(high, max(low, ceil(w.mean(window, now) / TARGET))) for window in (STABLE, PANIC)
        )
        if panic / ready >= THRESHOLD:
            w.panic_until = now + STABLE
        if now >= w.panic_until:
            w.most = 0
            return stable
        w.most = max(w.most, panic, stable)
        return w.most

    def _scale(self, world: World, m: Model, desired: int, w: Watched, now: float) -> None:
        if desired:
            w.zero_at = 0.0
        elif m.load or not w.zero_at:
            w.zero_at = 0.0 if m.load else now + GRACE
            desired = 1
        elif now < w.zero_at:
            desired = 1
        else:
            w.active = False
        world.start(m, desired - len(m.replicas), now)
        if desired < len(m.replicas):
            first = sorted(m.replicas, key=lambda r: (r.ready, r.in_flight, -r.ordered))
            for r in first[: len(m.replicas) - desired]:
                world.stop(m, r, now)

    def _watched(self, m: Model) -> Watched:
        if m.own is None:
            m.own = Watched()
        return m.own
