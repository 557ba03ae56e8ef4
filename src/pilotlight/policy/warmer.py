"""When a deployment's last full replica may give way to its warmer, and which replicas are warmers."""

from math import inf, log

from pilotlight.fleet.fleet import DeploymentState, Fleet, Replica
from pilotlight.fleet.states import State
from pilotlight.policy import keep_alive
from pilotlight.policy.value import TAU

SHORTEST = 1.0
LONGEST = 60.0

WORTH = 1e-6
"""Of a warmer, against a full replica of the same value: of two that have been asked for it goes first."""


def is_full(d: DeploymentState) -> bool:
    """Whether its warmer is no smaller than its other replicas: then the last of those is the warmer."""
    return d.spec.warmer is not None and d.spec.warmer.fingerprint == d.spec.fingerprint


def last(d: DeploymentState) -> Replica | None:
    """The full one that is there, up or asleep; None where there is none, or more than one."""
    there = [r for r in d.replicas.values() if r.state in (State.READY, State.ASLEEP)]
    return there[0] if len(there) == 1 else None


def due(d: DeploymentState, r: Replica, leaves: float) -> float:
    """From when on the idle last one may give way.

    `leaves`: when its keep-alive is over. A request that said how long it shall stay is obeyed.
    """
    if r.keep_alive is not None:
        return leaves
    return min(leaves, max(rare_at(d), r.idle_since + _turn(r)))


def _turn(r: Replica) -> float:
    """Idle seconds before traffic counts as rare: as long as its start took, from 1 to 60.

    Who idles as long as a start takes before he gives way pays at most twice what a clairvoyant would (the rule of
    ski rental), and a single request does not have replicas swapped for every answer.
    """
    return min(max(r.start_seconds, SHORTEST), LONGEST)


def rare_at(d: DeploymentState) -> float:
    """When the rate of its requests, as of late, falls under `below`, if none comes; see `value.rate`."""
    below = d.spec.warmer.below if d.spec.warmer is not None else None
    if below is None:
        return inf
    if d.uses <= 0.0:
        return -inf
    return d.used_at + TAU * log(d.uses / (TAU * below))


def is_one(fleet: Fleet, d: DeploymentState, r: Replica, now: float) -> bool:
    """Whether it is kept as a warmer only: it is one, or the last full one that would otherwise be gone."""
    if r.small:
        return True
    if d.spec.warmer is None or r.in_flight or last(d) is not r:
        return False
    return due(d, r, keep_alive.leaves(fleet, d, r)) <= now


def pick(d: DeploymentState) -> Replica | None:
    """The least busy warmer with a free slot."""
    if d.warming is None or d.spec.warmer is None:
        return None
    slots = d.spec.warmer.slots
    free = [
        r
        for r in d.warming.replicas.values()
        if r.state is State.READY and (slots is None or r.in_flight < slots)
    ]
    return min(free, key=lambda r: (not d.is_current(r), r.in_flight), default=None)
