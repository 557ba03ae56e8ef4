"""How long an idle replica stays, and how long it stays awake."""

from pilotlight.fleet.deployment import Deployment
from pilotlight.fleet.fleet import NEVER, Replica
from pilotlight.fleet.states import State


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


def sleeps_at(replica: Replica, spec: Deployment) -> float:
    """The moment from which it is put to sleep; NEVER for what cannot sleep, sleeps already or is busy.

    It counts from the same moment as keep-alive, which goes on while it sleeps.
    """
    awake = replica.state is State.READY and not replica.in_flight
    current = replica.fingerprint == spec.fingerprint
    return replica.idle_since + spec.sleep_after if awake and current and spec.can_sleep else NEVER
