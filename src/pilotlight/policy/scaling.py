"""How many replicas a deployment wants."""

from pilotlight.fleet.fleet import DeploymentState, Fleet
from pilotlight.fleet.states import SERVING
from pilotlight.policy import demand as traffic


def wanted(fleet: Fleet, d: DeploymentState, now: float) -> int:
    """Enough for its requests, in flight and held, at target_requests each, within min and max.

    Those on a replica that is to go finish there and ask for no other. Only ever a reason to start or to wake:
    replicas leave by their keep-alive. What an operator has put to sleep is not woken for min_replicas alone.
    """
    spec = d.spec
    if d.demand is not None:
        return min(max(traffic.wanted(fleet, d, now), int(d.warm_asked), d.floor), spec.max_replicas)
    load = len(d.held) + sum(r.in_flight for r in d.replicas.values() if r.state in SERVING)
    n = -(-load // spec.target_requests)
    if d.warm_asked:
        n = max(n, 1)
    put_aside = sum(r.is_put_aside for r in d.replicas.values())
    floor = d.floor
    return min(max(n, floor - put_aside), spec.max_replicas)
