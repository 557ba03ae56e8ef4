"""How long an idle replica stays, and how long it stays awake."""

from pilotlight.fleet.demand import Demand
from pilotlight.fleet.deployment import Deployment
from pilotlight.fleet.fleet import NEVER, DeploymentState, Fleet, Replica
from pilotlight.fleet.states import ASLEEP, READY
from pilotlight.policy import cold_price, gaps


def leaves_at(replica: Replica, spec: Deployment, last: bool) -> float:
    """The moment from which the replica is no longer kept; NEVER while it is busy.

    Its latest request's keep_alive, else ttl, else, for the last one, ttl_to_zero.
    """
    if replica.in_flight:
        return NEVER
    ttl = replica.keep_alive
    if ttl is None:
        ttl = spec.ttl_to_zero if last else spec.ttl
    return replica.idle_since + ttl


def leaves(fleet: Fleet, d: DeploymentState, r: Replica) -> float:
    """The same, by its deployment's keep-alive: said, or learned, and then longest for the one that is used most."""
    if r.keep_alive is None and d.spec.ttl_is_auto and d.demand is not None:
        return NEVER if r.in_flight else _learned(fleet, d, d.demand, r)
    there = sum(o.state in (READY, ASLEEP) for o in d.replicas.values())
    return leaves_at(r, d.spec, there <= 1)


def _learned(fleet: Fleet, d: DeploymentState, demand: Demand, r: Replica) -> float:
    k = 0
    for other in d.replicas.values():
        if other is r:
            break
        if other.state is READY or other.state is ASLEEP:
            k += 1
    return needed(demand, k, r) + stay(fleet, d, k)


def needed(demand: Demand, k: int, r: Replica) -> float:
    """When there was work for it last; that it was used does not count where others had a slot free soon.

    NEVER while there is work for so many: if it went, another would have to be started.
    """
    levels = demand.levels
    if k < len(levels) and levels[k].busy:
        return NEVER
    if k >= len(levels) or levels[k].idle_since == NEVER:
        return r.idle_since
    return min(r.idle_since, max(levels[k].idle_since, r.ready_at))


def stay(fleet: Fleet, d: DeploymentState, k: int) -> float:
    """Idle seconds for which it pays to keep the replica of the k-th level (from 0)."""
    demand = d.demand
    assert demand is not None
    if not demand.levels:
        return UNTRIED
    k = min(k, len(demand.levels) - 1)
    f = cold_price.frontier(fleet, d, k)
    return f.stays[gaps.best(f, cold_price.worth(fleet, d, demand.levels[k]))]


UNTRIED = 300.0
"""Idle seconds for a replica that was started before anybody asked [G]."""


def sleeps_at(replica: Replica, spec: Deployment) -> float:
    """The moment from which it is put to sleep; NEVER for what cannot sleep, sleeps already or is busy.

    It counts from the same moment as keep-alive, which goes on while it sleeps.
    """
    awake = replica.state is READY and not replica.in_flight
    current = replica.fingerprint == spec.fingerprint
    return replica.idle_since + spec.sleep_after if awake and current and spec.can_sleep else NEVER
