"""A loop for policies that pilotlight has not: same replicas, same traffic, same bill, and decisions of their own.

A replica takes `SLOTS` requests at a time; a request that finds no free slot is held until there is one. The first
ready replica with a free slot takes it. Everything is billed on demand, from the order of a replica to its end.
"""

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Protocol

import numpy as np
from rows import Row

from pilotlight.cost.capacity import Price, bill
from pilotlight.fleet.declared import MONTH
from pilotlight.sim.oracle import Oracle, evaluated
from pilotlight.sim.result import waits
from pilotlight.sim.trace import Trace
from pilotlight.spec.model import Config

SLOTS = 8
PATIENCE = 3600.0
NEVER = float("inf")


class Replica:
    __slots__ = ("gone", "idle_since", "in_flight", "leaves_at", "leaving", "ordered", "ready")

    def __init__(self, now: float) -> None:
        self.ordered = now
        self.ready = self.leaving = self.gone = False
        self.in_flight = 0
        self.idle_since = NEVER
        self.leaves_at = NEVER
        """For the policy to use."""


class Model:
    """`replicas`: those that are not to go, oldest first."""

    def __init__(self) -> None:
        self.replicas: list[Replica] = []
        self.queue: deque[int] = deque()
        self.in_flight = 0
        self.own: Any = None
        """What the policy remembers of it."""

    @property
    def load(self) -> int:
        return self.in_flight + len(self.queue)


class Rival(Protocol):
    """`came` and `over` are told after the request has found its place; `ready` of a replica that is up."""

    def came(self, world: "World", m: Model, now: float) -> None: ...
    def over(self, world: "World", m: Model, r: Replica, now: float) -> None: ...
    def ready(self, world: "World", m: Model, r: Replica, now: float) -> None: ...
    def due(self, world: "World", m: Model, now: float) -> None: ...


class World:
    def __init__(self, trace: Trace, config: Config, start: float, rival: Rival) -> None:
        given = config.simulation
        self.start_seconds = start
        self.wait = np.full(len(trace), np.nan)
        self.spans: list[tuple[float, float]] = []
        self._trace = trace
        self._runs = (given.first_token + given.per_token * trace.output_tokens.astype(np.float64)).tolist()
        self._rival = rival
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = 0
        self._models = [Model() for _ in trace.models]
        self._t: list[float] = trace.t.tolist()

    def start(self, m: Model, n: int, now: float) -> None:
        for _ in range(n):
            r = Replica(now)
            m.replicas.append(r)
            self._later(now + self.start_seconds, self._ready, m, r)

    def stop(self, m: Model, r: Replica, now: float) -> None:
        """At once, or when it has served what it has."""
        m.replicas.remove(r)
        r.leaving = True
        if not r.in_flight:
            self._gone(r, now)

    def wake(self, m: Model, when: float) -> None:
        """`due` is called then."""
        self._later(when, self._due, m)

    def play(self, until: float) -> None:
        arrivals = iter(zip(self._t, self._trace.model.tolist(), range(len(self._t)), strict=True))
        coming = next(arrivals, None)
        heap = self._heap
        while True:
            if heap and (coming is None or heap[0][0] < coming[0]):
                now, _, call, given = heappop(heap)
                if now > until + PATIENCE:
                    break
                call(*given, now)
            elif coming is not None:
                now, model, i = coming
                self._came(self._models[model], i, now)
                coming = next(arrivals, None)
            else:
                break
        for m in self._models:
            self.spans += [(r.ordered, until) for r in m.replicas if r.ordered < until]

    def _later(self, when: float, call: Callable[..., None], *given: Any) -> None:
        self._order += 1
        heappush(self._heap, (when, self._order, call, given))

    def _came(self, m: Model, i: int, now: float) -> None:
        for r in m.replicas:
            if r.ready and r.in_flight < SLOTS:
                self._run(m, r, i, now)
                break
        else:
            m.queue.append(i)
        self._rival.came(self, m, now)

    def _run(self, m: Model, r: Replica, i: int, now: float) -> None:
        self.wait[i] = now - self._t[i]
        r.in_flight += 1
        m.in_flight += 1
        self._later(now + self._runs[i], self._over, m, r)

    def _over(self, m: Model, r: Replica, now: float) -> None:
        r.in_flight -= 1
        m.in_flight -= 1
        if r.leaving:
            if not r.in_flight:
                self._gone(r, now)
        elif m.queue:
            self._run(m, r, m.queue.popleft(), now)
        elif not r.in_flight:
            r.idle_since = now
        self._rival.over(self, m, r, now)

    def _ready(self, m: Model, r: Replica, now: float) -> None:
        if r.gone:
            return
        r.ready = True
        while m.queue and r.in_flight < SLOTS:
            self._run(m, r, m.queue.popleft(), now)
        if not r.in_flight:
            r.idle_since = now
        self._rival.ready(self, m, r, now)

    def _due(self, m: Model, now: float) -> None:
        self._rival.due(self, m, now)

    def _gone(self, r: Replica, now: float) -> None:
        r.gone = True
        self.spans.append((r.ordered, now))


def play(name: str, trace: Trace, config: Config, start: float, rival: Rival, best: Oracle) -> Row:
    """`start`: seconds; `best`: what the oracle pays."""
    given, objective, prices = config.simulation, config.objective, config.prices
    since, until = evaluated(trace, given.warm_up)
    world = World(trace, config, start, rival)
    world.play(until)
    ttft = np.where(np.isnan(world.wait), until + PATIENCE - trace.t, world.wait) + given.first_token
    counted = trace.t >= since
    band = objective.cold_rate or (0.0, 1.0)
    found = waits(ttft[counted], trace.model[counted], trace.models, objective.wait, band)
    second = prices.gpu_month_usd / MONTH
    price = Price(second, second * prices.serverless_premium, prices.commitment)
    cost = bill(world.spans, [], price, since=since, until=until)
    return Row(
        name,
        "own loop",
        found.cold_rate or 0.0,
        max(found.by_model.values(), default=0.0),
        found.p50 or 0.0,
        found.p99 or 0.0,
        cost.usd,
        cost.usd / best.cost_usd if best.cost_usd else 0.0,
        cost.gpu_seconds / 3600 / best.gpu_hours if best.gpu_hours else 0.0,
        found.windows,
        found.above_band,
        found.in_band,
        None,
    )
