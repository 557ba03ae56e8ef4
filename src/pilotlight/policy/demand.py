"""Follows how many replicas a deployment has work for, and learns from every spell of it."""

from math import exp, inf

from pilotlight.fleet.demand import Demand, Frontier, Level, empty_gaps
from pilotlight.fleet.fleet import DeploymentState, Fleet
from pilotlight.fleet.states import State
from pilotlight.policy import cold_rate, gaps, value

HORIZON = 2 * 3600.0
"""Seconds over which the share of the time that a level is busy is taken [G]."""

REDRAW = 0.1
"""Share of new gaps from which on a frontier is drawn anew."""

FEW = 2.0
"""Cold spells that the first guess at how many requests one makes wait counts for [G]."""

FORGET = 0.98
"""How much the cold spells so far count for when another one comes."""

YOUNG = 8.0
"""Gaps of each deployment that tell what the next new one will be like [G]."""

LASTS = 0.15
"""Of the wait from which a request is cold: work for one more replica that is over sooner waits its turn [G]."""

UNTIMED = 5.0
"""Seconds that a request is taken to run before one has been timed [G]."""

SERVICE_WEIGHT = 0.1
"""Of the latest request in how long one is taken to run."""


def load(d: DeploymentState, now: float) -> float:
    """Requests that want to run side by side: those that do, and of those that wait as many as would if none had
    had to wait, and what it takes to have the others done soon.

    By Little's law a stream of r requests a second, each running for s seconds, has r x s of them running.
    """
    waiting = len(d.held)
    demand = d.demand
    if not waiting or demand is None:
        return d.in_flight + waiting
    since = now - next(iter(d.held.values())).at
    service = UNTIMED if demand.service is None else demand.service
    if since <= service:
        return d.in_flight + waiting
    soon = max(service, 0.5 * value.start_seconds(d))
    return d.in_flight + min(waiting, waiting * service * (1 / since + 1 / soon))


def follow(fleet: Fleet, d: DeploymentState, now: float) -> None:
    demand = d.demand
    assert demand is not None
    n = load(d, now)
    while n > demand.above:
        _rise(fleet, d, demand, now)
    while demand.busy and n <= demand.until:
        _fall(fleet, d, demand, now)


def wanted(fleet: Fleet, d: DeploymentState, now: float) -> int:
    """Replicas that there is work for, and that will not be over before it is worth anybody's while."""
    demand = d.demand
    assert demand is not None
    n = demand.busy
    while n > 1 and now - demand.levels[n - 1].busy_since < LASTS * fleet.goal.wait:
        n -= 1
    return n


def _rise(fleet: Fleet, d: DeploymentState, demand: Demand, now: float) -> None:
    k = demand.busy
    if k == len(demand.levels):
        demand.levels.append(Level(empty_gaps(), inf, as_of=now))
    level = demand.levels[k]
    level.busy, level.busy_since = True, now
    level.guessed = k > 0 and demand.service is None
    level.unmet = sum(r.state is State.READY for r in d.replicas.values()) <= k
    if k == 0:
        _spell(fleet, d, demand, k, now)
    _bounds(d, demand, k + 1)


def _fall(fleet: Fleet, d: DeploymentState, demand: Demand, now: float) -> None:
    k = demand.busy - 1
    level = demand.levels[k]
    level.busy = False
    lasted = now - level.busy_since
    if level.guessed:
        level.as_of = now
    elif k == 0 or lasted >= LASTS * fleet.goal.wait:
        if k:
            _spell(fleet, d, demand, k, level.busy_since)
        pass_time(level, now)
        level.idle_since = now
    _bounds(d, demand, k)


def _bounds(d: DeploymentState, demand: Demand, busy: int) -> None:
    per = d.spec.target_requests
    demand.busy, demand.above = busy, busy * per
    demand.until = demand.above - per if busy else -1


def _spell(fleet: Fleet, d: DeploymentState, demand: Demand, k: int, began: float) -> None:
    """One has come, after a gap."""
    level = demand.levels[k]
    pass_time(level, began, busy=False)
    level.spells += 1.0
    gap = began - level.idle_since
    price = inf
    if gap > 0.0:
        price = price_of(fleet, d, level, k, gap)
        gaps.learn(level.gaps, gap)
        level.stale += 1.0
        if k == 0 and level.gaps.total <= YOUNG:
            gaps.learn(fleet.prices.young, gap)
    if not level.unmet:
        cold_rate.spared(fleet.prices, price, colds(d, level))
    else:
        level.missed = FORGET * level.missed + 1.0
        level.cold *= FORGET


def pass_time(level: Level, now: float, busy: bool = True) -> None:
    """Exponentially weighted over HORIZON."""
    passed = now - level.as_of
    if passed <= 0.0:
        return
    keep = exp(-passed / HORIZON)
    new = HORIZON * (1.0 - keep)
    level.over = level.over * keep + new
    level.busy_seconds *= keep
    level.spells *= keep
    if busy:
        level.busy_seconds += new
    level.as_of = now


def began(d: DeploymentState, request: str, now: float) -> None:
    demand = d.demand
    if demand is not None and demand.timed is None:
        demand.timed, demand.timed_at = request, now


def ended(demand: Demand, now: float) -> None:
    """The request that is timed has ended."""
    took = now - demand.timed_at
    demand.timed = None
    demand.service = (
        took if demand.service is None else demand.service + SERVICE_WEIGHT * (took - demand.service)
    )


def was_cold(fleet: Fleet, d: DeploymentState) -> None:
    """A request has waited too long: for the topmost replica that there was work for."""
    demand = d.demand
    if demand is not None:
        demand.cold += 1
    if demand is not None and demand.busy:
        ready = sum(r.state is State.READY for r in d.replicas.values())
        k = min(max(ready - 1, 0), demand.busy - 1)
        level = demand.levels[k]
        level.cold += 1.0
        gap = level.busy_since - level.idle_since
        cold_rate.was_cold(fleet.prices, price_of(fleet, d, level, k, gap) if gap > 0.0 else inf)
    else:
        cold_rate.was_cold(fleet.prices, inf)


def colds(d: DeploymentState, level: Level) -> float:
    """Requests that a spell of the level is taken to make wait when it has no replica."""
    return (level.cold + FEW) / (level.missed + FEW)


def frontier(fleet: Fleet, level: Level) -> Frontier:
    if level.frontier is None or level.stale > REDRAW * level.gaps.total:
        level.frontier = gaps.frontier(level.gaps, fleet.prices.young)
        level.stale = 0.0
    return level.frontier


def worth(fleet: Fleet, d: DeploymentState, level: Level) -> float:
    """Idle seconds that it is worth to meet the level's next spell warm: the start it spares, and the waiting."""
    return value.start_seconds(d) + colds(d, level) * usd(fleet, d) / second(fleet, d)


def usd(fleet: Fleet, d: DeploymentState) -> float:
    return fleet.prices.usd * _boost(d)


def _boost(d: DeploymentState) -> float:
    return 1.0 if d.demand is None else d.demand.boost


def second(fleet: Fleet, d: DeploymentState) -> float:
    """USD for a second of an on-demand replica."""
    return fleet.goal.on_demand * max(1, d.spec.need.gpus)


def price_of(fleet: Fleet, d: DeploymentState, level: Level, k: int, gap: float) -> float:
    """What a cold request would have had to cost for the replica to be kept over this gap."""
    if k < d.floor:
        return 0.0
    least = gaps.price_of(frontier(fleet, level), gap)
    spared = least - value.start_seconds(d)
    return max(0.0, spared) * second(fleet, d) / (colds(d, level) * _boost(d))
