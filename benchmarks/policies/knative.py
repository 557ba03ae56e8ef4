"""Knative's autoscaler, as its documentation and source (pkg/autoscaler/scaling) have it, with its defaults.

Every 2 s, for each model that is not at zero: the mean concurrency (running and held) over the stable window of 60 s
and over the panic window of 6 s, each divided by the target of a replica, 70 % of its slots. Where the panic window
asks for twice the ready replicas or more, it decides, and nothing is scaled down until it has not for 60 s. Down by
half at most at a time, up by 1,000 times. A first request at zero has one replica started at once. When nothing has
been there for the stable window, the last replica goes after a grace of 30 s.
"""

from collections import defaultdict, deque
from math import ceil

from configs import silent
from rivals import Orders, Rival, load, ready

from pilotlight.fleet.fleet import DeploymentState, Replica
from pilotlight.fleet.states import READY

TICK, STABLE, PANIC, GRACE = 2.0, 60.0, 6.0, 30.0
"""Seconds."""

TARGET = 0.7
"""Of the slots of a replica."""

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


class Knative(Rival):
    config = silent(target_requests=10**9)
    """The kernel starts the first replica at zero, as Knative's activator has it done, and no other."""

    def __init__(self) -> None:
        self._watched: defaultdict[str, Watched] = defaultdict(Watched)

    def came(self, orders: Orders, d: DeploymentState) -> None:
        w = self._watched[d.spec.id]
        if not w.active:
            w.active = True
            w.begin(orders.now)
            orders.wake(d, orders.now + TICK)
        w.pass_time(load(d), orders.now)

    def over(self, orders: Orders, d: DeploymentState, r: Replica) -> None:
        self._watched[d.spec.id].pass_time(load(d), orders.now)

    def due(self, orders: Orders, d: DeploymentState) -> None:
        w, now = self._watched[d.spec.id], orders.now
        w.pass_time(load(d), now)
        w.ticks.append((now, w.area))
        while w.ticks[0][0] < now - STABLE - TICK and w.ticks[1][0] <= now - STABLE:
            w.ticks.popleft()
        self._scale(orders, d, self._to_zero(d, w, self._desired(d, w, now), now))
        if w.active:
            orders.wake(d, now + TICK)

    def _desired(self, d: DeploymentState, w: Watched, now: float) -> int:
        up, target = max(1, len(ready(d))), TARGET * (d.spec.slots or 1)
        low, high = up // int(DOWN), ceil(UP * up)
        stable, panic = (
            min(high, max(low, ceil(w.mean(window, now) / target))) for window in (STABLE, PANIC)
        )
        if panic / up >= THRESHOLD:
            w.panic_until = now + STABLE
        if now >= w.panic_until:
            w.most = 0
            return stable
        w.most = max(w.most, panic, stable)
        return w.most

    def _to_zero(self, d: DeploymentState, w: Watched, desired: int, now: float) -> int:
        """The last one stays while there is a request, and for the grace."""
        if desired:
            w.zero_at = 0.0
        elif load(d) or not w.zero_at:
            w.zero_at = 0.0 if load(d) else now + GRACE
            desired = 1
        elif now < w.zero_at:
            desired = 1
        else:
            w.active = False
        return desired

    def _scale(self, orders: Orders, d: DeploymentState, desired: int) -> None:
        there = d.current()
        orders.start(d, desired - len(there), f"the window asks for {desired}")
        there.sort(key=lambda r: (r.state is READY, r.in_flight, -r.ordered_at))
        for r in there[: max(0, len(there) - desired)]:
            orders.stop(r, f"the window asks for {desired}")
