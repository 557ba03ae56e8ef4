"""Enough replicas for the requests in flight and held, at target_requests each."""

from math import inf

from pilotlight.fleet.fleet import DeploymentState, Fleet
from pilotlight.fleet.states import SERVING
from pilotlight.policy import demand as traffic
from pilotlight.policy.ask import Ask

NAME = "requests"


def replicas(fleet: Fleet, d: DeploymentState, now: float) -> int:
    """Requests on a replica that is to go finish there and ask for no other."""
    if d.demand is not None:
        return traffic.wanted(fleet, d, now)
    load = len(d.held) + d.away + sum(r.in_flight for r in d.replicas.values() if r.state in SERVING)
    if d.warming is not None:
        load += sum(r.in_flight for r in d.small if r.state in SERVING)
    return -(-load // d.spec.target_requests)


def ask(fleet: Fleet, d: DeploymentState, now: float) -> Ask | None:
    n = replicas(fleet, d, now)
    if not n:
        return None
    because = f"{d.in_flight} in flight and {len(d.held)} held, {d.spec.target_requests} a replica"
    return Ask(NAME, n, inf, because)
