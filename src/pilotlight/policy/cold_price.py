"""What a cold request of a deployment counts for, and so what it is worth to meet its next spell warm.

cold_rate.py holds the one price that all start from; what each request that was cold would have had to cost is told to
it here.
"""

from math import inf

from pilotlight.fleet.demand import EDGES, Frontier, Level
from pilotlight.fleet.fleet import DeploymentState, Fleet
from pilotlight.fleet.states import READY
from pilotlight.policy import cold_rate, gaps, guard, value, windows

SHORT, LONG = 2 * 3600.0, 7 * 86400.0
"""Seconds over which the share of the time that a level is busy is taken, at least and at most [G]."""

CYCLES = 20.0
"""Gaps of usual length that it is taken over, within those bounds [G]."""

REDRAW = 0.2
"""Share of new gaps from which on a frontier is drawn anew."""

FEW = 3.0
"""Cold spells that the first guess at how many requests one makes wait counts for [G]."""

STARTS = 1.0
"""Starts that a cold request counts for at least [G]: where the band would allow more of them, hardly anything is
saved by it, and the next burst is not known."""

MANY = 400
"""Cold requests of one spell that say what a request must cost [G]; a flood that comes once says it no louder."""


def was_cold(fleet: Fleet, d: DeploymentState, since: float) -> None:
    """A request has waited too long, since then. Those of a deployment that does not learn teach nothing.

    It counts for the replica that came up last: that is the one that would have had to be kept. What it would have
    had to cost is told by the gap of the first level that had none when it came.
    """
    demand = d.demand
    if demand is None:
        return
    usual = plain(fleet, d)
    if not demand.busy:
        cold_rate.was_cold(fleet, inf, usual)
        return
    k = top = 0
    if demand.busy > 1:
        ready = [r.ready_at for r in d.replicas.values() if r.state is READY]
        top = demand.busy - 1
        k = min(max(len(ready) - 1, 0), top)
        top = min(sum(at <= since for at in ready), top)
    demand.levels[k].cold += 1.0
    kept = any(r.state is READY and (r.woken or r.ready_at <= since) for r in d.replicas.values())
    guard.was_cold(fleet.goal, demand, alone=not kept)
    level = demand.levels[top]
    level.waited += 1
    gap = level.busy_since - level.idle_since
    price = prices_of(fleet, d, level, top, [gap])[0] if 0.0 < gap < inf else inf
    cold_rate.was_cold(fleet, price, usual, told=level.waited <= MANY)


def colds(d: DeploymentState, level: Level) -> float:
    """Requests that a replica of the level is taken to spare a wait when a spell begins: those that waited without
    it, but no more than it can serve in the time in which another would start."""
    seen = (level.cold + FEW) / (level.missed + FEW)
    service = d.demand.service if d.demand is not None else None
    if service is None or seen <= 1.0:
        return seen
    most = d.spec.target_requests * value.start_seconds(d) / (service if service > 1e-3 else 1e-3)
    return 1.0 if most < 1.0 else most if most < seen else seen


def frontier(fleet: Fleet, d: DeploymentState, k: int) -> Frontier:
    """Of the k-th level, from 0; drawn anew when enough has come to change it."""
    level = d.demand.levels[k]  # type: ignore[union-attr]
    if level.frontier is None or level.gaps.total > level.redraw_at:
        gaps.fade(level.gaps)
        level.frontier = gaps.frontier(level.gaps, fleet.prices.young)
        level.redraw_at = min((1.0 + REDRAW) * level.gaps.total, level.gaps.total + gaps.MEMORY * REDRAW)
        if level.met:
            each = colds(d, level)
            prices = prices_of(fleet, d, level, k, [0.9 * EDGES[i] for i in level.met])
            for price, n in zip(prices, level.met.values(), strict=True):
                cold_rate.spared(fleet.prices, price, n * each)
            level.met.clear()
        if level.gaps.total:
            usual = sum(level.gaps.seconds) / level.gaps.total
            level.horizon = min(LONG, max(SHORT, CYCLES * usual))
    return level.frontier


def worth(fleet: Fleet, d: DeploymentState, level: Level) -> float:
    """Idle seconds that it is worth to meet the level's next spell warm: the start it spares, and the waiting."""
    start, each = value.start_seconds(d), second(fleet, d)
    found = start + colds(d, level) * _usd(fleet, d, start, each) / each
    return found if d.demand is None else max(found, guard.worth(fleet.goal, d.demand, level))


def usd(fleet: Fleet, d: DeploymentState) -> float:
    """What a cold request of it counts for: the price that holds the band, but no less than STARTS of its starts."""
    return _usd(fleet, d, value.start_seconds(d), second(fleet, d))


def _usd(fleet: Fleet, d: DeploymentState, start: float, each: float) -> float:
    """`start`: seconds that one takes; `each`: USD of one of them."""
    price = _plain(fleet, start, each)
    if fleet.goal.cold_usd is None:
        price *= windows.stretch(fleet.prices.windows)
    return price if d.demand is None else price * d.demand.boost


def plain(fleet: Fleet, d: DeploymentState) -> float:
    """USD that a cold request of it counts for before it is stretched or boosted."""
    return _plain(fleet, value.start_seconds(d), second(fleet, d))


def _plain(fleet: Fleet, start: float, each: float) -> float:
    """Before it is stretched or boosted."""
    said = fleet.goal.cold_usd
    return max(fleet.prices.usd, STARTS * start * each) if said is None else said


def second(fleet: Fleet, d: DeploymentState) -> float:
    """USD for a second of an on-demand replica."""
    return fleet.goal.on_demand * (d.spec.need.gpus or 1)


def prices_of(fleet: Fleet, d: DeploymentState, level: Level, k: int, over: list[float]) -> list[float]:
    """What a cold request would have had to cost for the replica to be kept over each of these gaps."""
    f = level.frontier
    if k < d.floor or f is None:
        return [0.0 if k < d.floor else inf] * len(over)
    start, each, share = value.start_seconds(d), second(fleet, d), colds(d, level)
    if d.demand is not None:
        share *= d.demand.boost
    return [max(0.0, gaps.price_of(f, gap) - start) * each / share for gap in over]
