"""Which ready replica takes a request."""

from pilotlight.fleet.fleet import DeploymentState, Replica
from pilotlight.fleet.states import READY
from pilotlight.policy import warmer


def pick(d: DeploymentState) -> Replica | None:
    """Of as many as there is work for, the oldest first, the least busy with a free slot; the current declaration
    before an outdated one.

    Those that there is no work for are left alone, so that they can go; those that stay in any case share the work.
    """
    spec = d.spec
    slots, mark = spec.slots, spec.fingerprint
    enough = -(-(d.in_flight + 1) // spec.target_requests)
    if enough < d.floor:  # noqa: PLR1730 (max takes twice as long, and this runs with every request)
        enough = d.floor
    best: Replica | None = None
    for r in d.replicas.values():
        if r.state is not READY:
            continue
        enough -= 1
        if slots is None or r.in_flight < slots:
            if r.fingerprint == mark:
                if best is None or r.in_flight < best.in_flight or best.fingerprint != mark:
                    best = r
            elif best is None or (best.fingerprint != mark and r.in_flight < best.in_flight):
                best = r
        if enough <= 0 and best is not None and best.fingerprint == mark:
            return best
    return best if best is not None or d.warming is None else warmer.pick(d)
