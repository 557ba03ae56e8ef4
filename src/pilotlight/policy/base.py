"""How many replicas to rent for long: as many as would cost more on demand."""

from math import inf

from pilotlight.fleet.actions import Action, Rented
from pilotlight.fleet.demand import Demand, Frontier, Level
from pilotlight.fleet.fleet import DeploymentState, Fleet
from pilotlight.policy import cold_price, effects, gaps, guard, value
from pilotlight.policy import demand as traffic
from pilotlight.policy.ask import Ask
from pilotlight.policy.working import pass_time

UNSEEN = 150.0
"""Seconds without traffic that every level is taken to have had before it was first seen [G]: a burst is no base."""

TRUSTED = 600.0
"""Seconds from which on what was seen of a level's gaps counts in full; its work counts at once [G]."""

MARGIN = 1.1
"""By how much on demand must be dearer before a replica is rented, and cheaper before it is given back [G]."""

LOOKS = 100.0
"""Looks in the time over which traffic is weighted, [G]; seldom enough to cost nothing, every half hour at least."""

STEADY = 4.0
"""Times as long between two looks at a base that cannot have come to be too large meanwhile [G]."""

LONGEST, SHORTEST = 1800.0, 30.0
"""Seconds between two looks."""


def wanted(fleet: Fleet, d: DeploymentState, now: float) -> tuple[int, float]:
    """Levels, from the first on, that save most together: a level that is busy all the time, but was seen for less
    long, is no end to those above it. And for how many seconds those that are rented do so for sure."""
    demand = d.demand
    assert demand is not None
    goal = fleet.goal
    rent, costs = goal.dedicated / MARGIN, []
    n, saved, most = 0, 0.0, 0.0
    for k, level in enumerate(demand.levels):
        pass_time(level, now)
        cost = on_demand(fleet, d, level, cold_price.frontier(fleet, d, k)) * goal.on_demand
        if k < demand.base:
            costs.append(cost)
            saved += cost - rent
        else:
            saved += cost - goal.dedicated * MARGIN
        if saved <= 0.0:
            break
        if saved > most:
            n, most = k + 1, saved
    return n, _safe_for(demand.levels[: demand.base], costs, rent) if costs and n >= demand.base else 0.0


def _safe_for(rented: list[Level], costs: list[float], rent: float) -> float:
    """Seconds in which these levels cannot come to cost less on demand, though nobody came.

    `costs`: of each on demand. What was seen of a level falls by less than t / horizon in t seconds, and is spread
    over t more: its share falls by less than t / (over + UNSEEN) besides.
    """
    worst = 0.0
    for some in (costs, costs[::-1]):  # the first ones save together, however many, and the last ones
        spent = paid = 0.0
        for cost in some:
            spent, paid = spent + cost, paid + rent
            worst = max(worst, paid / spent) if spent > 0.0 else inf
    falls = 1 / min(level.horizon for level in rented) + 1 / (min(level.over for level in rented) + UNSEEN)
    return max(0.0, 1.0 - worst) / falls


def on_demand(fleet: Fleet, d: DeploymentState, level: Level, f: Frontier) -> float:
    """Replica-seconds a second that the level takes on demand: busy, kept idle, starting, and what waiting is worth."""
    over = level.over + UNSEEN
    per_gap = gaps.cost(f, cold_price.worth(fleet, d, level))
    if level.over < TRUSTED:
        least = gaps.cost(f, value.start_seconds(d))
        per_gap = least + level.over / TRUSTED * (per_gap - least)
    return (level.busy_seconds + level.spells * per_gap) / over


def declared(fleet: Fleet, d: DeploymentState, rented: int, now: float, out: list[Action]) -> None:
    """After every declaration; `rented` before it."""
    if not d.spec.learns:
        d.demand = None
    elif d.demand is None:
        d.demand = Demand(born=now)
    d.settle_floor()
    if d.rented or rented:
        out.append(Rented(now, d.spec.id, d.rented, "declared"))
    if d.demand is not None:
        traffic.bounds(d, d.demand, d.demand.busy)  # a replica may take more or fewer requests than before
        traffic.follow(fleet, d, now)  # and requests may be there that nobody has followed
        if d.spec.base is None:
            d.demand.look_at = d.demand.saves_until = now  # prices may have changed
            d.demand.awaited = inf
            _look_again(fleet, d, d.demand)


def ask(fleet: Fleet, d: DeploymentState, now: float) -> Ask | None:
    if d.spec.base is not None:
        return Ask("base", d.spec.base, inf, "always up, as declared") if d.spec.base else None
    if d.demand is None or not d.demand.base:
        return None
    because = "on demand they would cost more" + guard.because(
        fleet.goal, d.demand, cold_price.second(fleet, d)
    )
    return Ask("base", d.demand.base, inf, because)


def look(fleet: Fleet, d: DeploymentState, now: float, out: list[Action]) -> bool:
    """Thinks about the base again, if it is time to. Whether it has grown.

    It grows by work that is more than it takes; and is too large, at the earliest, when it no longer saves for sure.
    """
    demand = d.demand
    if demand is None or d.spec.base is not None:
        return False
    before = demand.base
    if now >= demand.look_at and (demand.busy > before or (before and now >= demand.saves_until)):
        _think(fleet, d, demand, now, out)
    _look_again(fleet, d, demand)
    return demand.base > before


def ticked(fleet: Fleet, d: DeploymentState, when: float, now: float, out: list[Action]) -> bool:
    """A Tick that was asked for has come. Whether it has grown."""
    if d.demand is None or when != d.demand.awaited:
        return False
    d.demand.awaited = inf
    return look(fleet, d, now, out)


def _look_again(fleet: Fleet, d: DeploymentState, demand: Demand) -> None:
    """It may be too small where work for more than it takes has lasted, though none is added; and too large when
    nobody comes any more, and until then it is rented."""
    due = demand.look_at
    if demand.busy > demand.base:
        due = max(due, demand.levels[demand.base].busy_since + TRUSTED)
    elif not demand.base:
        return
    else:
        due = max(due, demand.saves_until, demand.rented_at + fleet.goal.commitment)
    if due < demand.awaited:
        demand.awaited = due
        fleet.timer(due, "base", d.spec.id)


def _think(fleet: Fleet, d: DeploymentState, demand: Demand, now: float, out: list[Action]) -> None:
    horizon = demand.levels[0].horizon if demand.levels else 0.0
    usual = min(horizon / LOOKS, 0.05 * (now - demand.born))
    every = min(LONGEST, max(usual, SHORTEST))
    demand.look_at = now + every
    n, safe_for = wanted(fleet, d, now)
    demand.saves_until = now + min(STEADY * every, safe_for)
    n = min(n, d.spec.max_replicas)
    if n == demand.base or (n < demand.base and now < demand.rented_at + fleet.goal.commitment):
        return
    because = "on demand would cost less"
    if n > demand.base:
        demand.rented_at = demand.saves_until = now
        because = "on demand would cost more"
    demand.base = n
    d.settle_floor()
    out.append(Rented(now, d.spec.id, d.rented, because))
    for r in list(d.replicas.values()):
        effects.let_leave(fleet, d, r, now, out)
