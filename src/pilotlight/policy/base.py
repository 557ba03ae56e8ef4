"""How many replicas to rent for long: as many as would cost more on demand."""

from pilotlight.fleet.actions import Action, Rented
from pilotlight.fleet.demand import Demand, Level
from pilotlight.fleet.fleet import DeploymentState, Fleet
from pilotlight.policy import demand as traffic
from pilotlight.policy import effects, gaps

UNSEEN = 300.0
"""Seconds without traffic that every level is taken to have had before it was first seen [G]: a burst is no base."""

MARGIN = 1.1
"""By how much on demand must be dearer before a replica is rented, and cheaper before it is given back [G]."""

EVERY = 60.0
"""Seconds between two looks."""


def wanted(fleet: Fleet, d: DeploymentState, now: float) -> int:
    """Levels, from the first on, whose on-demand cost a second is above the dedicated price."""
    demand = d.demand
    assert demand is not None
    goal = fleet.goal
    n = 0
    for level in demand.levels:
        traffic.pass_time(level, now, busy=level.busy and not level.guessed)
        margin = 1 / MARGIN if n < demand.base else MARGIN
        if on_demand(fleet, d, level) * goal.on_demand <= goal.dedicated * margin:
            break
        n += 1
    return n


def on_demand(fleet: Fleet, d: DeploymentState, level: Level) -> float:
    """Replica-seconds a second that the level takes on demand: busy, kept idle, starting, and what waiting is worth."""
    over = level.over + UNSEEN
    worth = traffic.worth(fleet, d, level)
    f = traffic.frontier(fleet, level)
    i = gaps.best(f, worth)
    per_gap = f.idle[i] + f.missed[i] * worth
    return (level.busy_seconds + level.spells * per_gap) / over


def declared(fleet: Fleet, d: DeploymentState, now: float, out: list[Action]) -> None:
    """After every declaration."""
    if not d.spec.learns:
        d.demand = None
    elif d.demand is None:
        d.demand = Demand()
    if d.floor:
        out.append(Rented(now, d.spec.id, d.floor, "declared"))
    if d.demand is None:
        return
    d.demand.above = d.demand.busy * d.spec.target_requests


def look(fleet: Fleet, d: DeploymentState, now: float, out: list[Action]) -> None:
    demand = d.demand
    if demand is None or d.spec.base is not None or now < demand.looked_at + EVERY:
        return
    demand.looked_at = now
    n = min(wanted(fleet, d, now), d.spec.max_replicas)
    if n > demand.base or (n < demand.base and now >= demand.rented_at + fleet.goal.commitment):
        if n > demand.base:
            demand.rented_at = now
        demand.base = n
        out.append(Rented(now, d.spec.id, d.floor, "on demand would cost more"))
        for r in list(d.replicas.values()):
            effects.let_leave(fleet, d, r, now, out)
    if demand.base:
        effects.look_again(fleet, d, now + 10 * EVERY)
