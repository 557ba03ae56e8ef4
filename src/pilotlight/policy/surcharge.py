"""By how much the price of a cold request may be stretched for the sake of single windows (windows.py): no further than
adds SHARE to what the replicas cost.

What a stretch adds is known beforehand: from its gaps follows, for each level, the keep-alive that a price makes best,
what that costs in idle seconds and starts, and whether it comes to be rented for long (base.py).
"""

from math import inf

from pilotlight.fleet.fleet import DeploymentState, Fleet
from pilotlight.policy import cold_price, gaps, value
from pilotlight.policy.windows import UTMOST
from pilotlight.policy.working import pass_time

SHARE = 0.4
"""Of what the replicas cost without any stretch [G]: where no more keeps the windows inside the band, it takes little
more, and where that does not, it would take a multiple."""

AT_ONCE = 100
"""Deployments that are reckoned anew with each window, in turn: one step takes no longer where there are more."""

STRETCHES = (1.0, 4.0, 16.0, UTMOST)
"""For which it is reckoned; between two of them what it adds is taken to grow with the logarithm."""


def limit(fleet: Fleet, now: float) -> None:
    """After each window: how far it may be stretched from now on."""
    w = fleet.prices.windows
    w.affordable = affordable(fleet, now) if w.grown > 1.0 and not w.in_vain else inf


def affordable(fleet: Fleet, now: float) -> float:
    """The greatest stretch that adds no more than SHARE, 1 to UTMOST; of deployments that have been reckoned."""
    for d in _next(fleet):
        if d.demand is not None:
            d.demand.paid = _paid(fleet, d, now)
    usd = [0.0] * len(STRETCHES)
    for d in fleet.deployments.values():
        if d.demand is not None and not d.removed:
            for i, some in enumerate(d.demand.paid):
                usd[i] += some
    most = (1.0 + SHARE) * usd[0]
    for i in range(1, len(usd)):
        if usd[i] > most:
            part = (most - usd[i - 1]) / (usd[i] - usd[i - 1])
            return STRETCHES[i - 1] * (STRETCHES[i] / STRETCHES[i - 1]) ** part
    return UTMOST


def _next(fleet: Fleet) -> list[DeploymentState]:
    """AT_ONCE of them, in turn."""
    every, w = list(fleet.deployments.values()), fleet.prices.windows
    if len(every) <= AT_ONCE:
        return every
    begin = w.turn % len(every)
    w.turn = begin + AT_ONCE
    return (every + every)[begin : w.turn]


def _paid(fleet: Fleet, d: DeploymentState, now: float) -> list[float]:
    """What the deployment's replicas cost, in USD a second, at each of the stretches."""
    demand, spec = d.demand, d.spec
    assert demand is not None
    always = max(spec.min_replicas, spec.base or 0)
    fixed = always * fleet.goal.dedicated * (spec.need.gpus or 1)
    usd = [0.0] * len(STRETCHES)
    for k in range(always, min(len(demand.levels), spec.max_replicas)):
        level = demand.levels[k]
        pass_time(level, now)
        if level.over <= 0.0:
            continue
        if spec.ttl_is_auto or spec.base is None:
            _add_level(usd, fleet, d, k)
        else:
            fixed += level.busy_seconds / level.over * cold_price.second(fleet, d)
    return [fixed + some for some in usd]


def _add_level(usd: list[float], fleet: Fleet, d: DeploymentState, k: int) -> None:
    """The same of the k-th level, from 0. A keep-alive that is declared stays as it is, but a stretch may have the
    replica rented for all that."""
    demand, spec = d.demand, d.spec
    assert demand is not None
    level, f = demand.levels[k], cold_price.frontier(fleet, d, k)
    start, each = value.start_seconds(d), cold_price.second(fleet, d)
    busy, spells = level.busy_seconds / level.over * each, level.spells / level.over * each
    waits = cold_price.colds(d, level) * cold_price.plain(fleet, d) * demand.boost / each
    rent = fleet.goal.dedicated * (spec.need.gpus or 1)
    most = rent if spec.base is None else inf
    said = None if spec.ttl_is_auto else gaps.no_longer(f, spec.ttl if k else spec.ttl_to_zero)
    for i, stretch in enumerate(STRETCHES):
        worth = start + waits * stretch
        n = gaps.best(f, worth)
        is_rented = busy + spells * (f.idle[n] + f.missed[n] * worth) > most
        n = n if said is None else said
        usd[i] += rent if is_rented else busy + spells * (f.idle[n] + f.missed[n] * start)
