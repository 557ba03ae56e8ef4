"""Which ready replica takes a request."""

from itertools import islice

from pilotlight.fleet.fleet import DeploymentState, Fleet, Replica
from pilotlight.fleet.states import READY
from pilotlight.policy import warmer

NO_LIMIT = 2**62


def pick(d: DeploymentState) -> Replica | None:
    """Of as many as there is work for, the oldest first, the least busy with a free slot; the current declaration
    before an outdated one.

    Those that there is no work for are left alone, so that they can go; those that stay in any case share the work.
    One that is not ready, and busier than another, counts among those that there is work for: its work is its own.
    """
    spec = d.spec
    least = spec.slots
    if least is None:
        least = NO_LIMIT
    enough = d.in_flight // spec.target_requests + 1
    if enough < d.floor:  # noqa: PLR1730 (max takes twice as long, and this runs with every request)
        enough = d.floor
    if enough == 1:  # as often as not: without a loop
        for r in d.replicas.values():
            if r.state is READY and r.in_flight < least and r.fingerprint == spec.fingerprint:
                return r
            break
        return _search(d, 1)
    best: Replica | None = None
    for r in islice(d.replicas.values(), enough):
        n = r.in_flight
        if n < least:
            if r.state is not READY:
                break
            best, least = r, n
            if not n:
                return r if r.fingerprint == spec.fingerprint else _search(d, enough)
    else:
        if best is None:
            if enough >= len(d.replicas) and d.warming is None:
                return None
        elif best.fingerprint == spec.fingerprint:
            return best
    return _search(d, enough)


def _search(d: DeploymentState, enough: int) -> Replica | None:
    """The same where some of the oldest are not ready, or are busy, or outdated."""
    slots, mark = d.spec.slots, d.spec.fingerprint
    least = old_least = NO_LIMIT if slots is None else slots
    best: Replica | None = None
    outdated: Replica | None = None
    for r in d.replicas.values():
        if r.state is not READY:
            continue
        enough -= 1
        n = r.in_flight
        if n < least:
            if r.fingerprint == mark:
                best, least = r, n
            elif n < old_least:
                outdated, old_least = r, n
        if enough <= 0 and best is not None:
            return best
    if best is None:
        best = outdated
    return best if best is not None or d.warming is None else warmer.pick(d)


def has_room(fleet: Fleet, deployment: str) -> bool:
    """Whether a request that is no batch one would be assigned at once."""
    d = fleet.deployments.get(deployment)
    return d is not None and not d.held and pick(d) is not None
