"""How many replicas a deployment wants."""

from pilotlight.fleet.fleet import DeploymentState


def wanted(d: DeploymentState) -> int:
    """Enough for its requests, in flight and held, at target_requests each, within min and max.

    Only ever a reason to start: replicas leave by their keep-alive.
    """
    spec = d.spec
    load = d.in_flight + len(d.held)
    n = -(-load // spec.target_requests)
    if d.warm_asked:
        n = max(n, 1)
    return min(max(n, spec.min_replicas), spec.max_replicas)
