"""Which ready replica takes a request."""

from pilotlight.fleet.fleet import DeploymentState, Replica
from pilotlight.fleet.states import State


def pick(d: DeploymentState) -> Replica | None:
    """Of as many as there is work for, the oldest first, the least busy with a free slot; the current declaration
    before an outdated one.

    Those that there is no work for are left alone, so that they can go; those that stay in any case share the work.
    """
    slots = d.spec.slots
    mark = d.spec.fingerprint
    enough = max(1, -(-(d.in_flight + 1) // d.spec.target_requests), d.floor)
    best: Replica | None = None
    for r in d.replicas.values():
        if r.state is not State.READY or (slots is not None and r.in_flight >= slots):
            enough -= r.state is State.READY
        elif best is None or (r.fingerprint != mark, r.in_flight) < (
            best.fingerprint != mark,
            best.in_flight,
        ):
            best = r
            enough -= 1
        else:
            enough -= 1
        if enough <= 0 and best is not None and best.fingerprint == mark:
            break
    return best
