"""Which ready replica takes a request."""

from pilotlight.fleet.fleet import DeploymentState, Replica
from pilotlight.fleet.states import State


def pick(d: DeploymentState) -> Replica | None:
    """The least busy ready replica with a free slot; the current declaration before an outdated one."""
    slots = d.spec.slots
    mark = d.spec.fingerprint
    best: Replica | None = None
    for r in d.replicas.values():
        if r.state is not State.READY or (slots is not None and r.in_flight >= slots):
            continue
        if best is None or (r.fingerprint != mark, r.in_flight) < (best.fingerprint != mark, best.in_flight):
            best = r
    return best
