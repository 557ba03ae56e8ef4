"""How long an idle replica stays."""

from pilotlight.fleet.deployment import Deployment
from pilotlight.fleet.fleet import NEVER, Replica


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
