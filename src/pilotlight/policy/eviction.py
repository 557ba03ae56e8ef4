"""Who goes to make room for another deployment."""

from collections.abc import Collection

from pilotlight.fleet.deployment import Need
from pilotlight.fleet.fleet import DeploymentState, Fleet, Replica
from pilotlight.fleet.states import SERVING, State
from pilotlight.policy.placement import NO_CLAIMS, Claims, place

SHORTEST_TURN = 1.0
LONGEST_TURN = 60.0


def turn(replica: Replica) -> float:
    """Seconds that a replica stays once it is up: as long as its start took, from 1 to 60.

    So two deployments that want the same memory spend at most half of the time swapping; meanwhile the other's
    requests collect, and one swap serves them all.
    """
    return min(max(replica.start_seconds, SHORTEST_TURN), LONGEST_TURN)


def protected(d: DeploymentState, replica: Replica) -> bool:
    """Never evicted: pinned, or one of the `min_replicas` first."""
    if d.spec.pinned:
        return True
    if not d.spec.min_replicas:
        return False
    ranked = [r for r in d.replicas.values() if r.state in SERVING]
    return replica in ranked[: d.spec.min_replicas]


def kept(fleet: Fleet, but: DeploymentState) -> set[str]:
    """Ids of all replicas that room for `but` cannot come from, however long one waits."""
    found = set[str]()
    for d in fleet.deployments.values():
        if d is not but and (d.spec.pinned or d.spec.min_replicas):
            found.update(r.id for r in d.replicas.values() if r.state in SERVING and protected(d, r))
    return found


def idle(fleet: Fleet, but: DeploymentState | None, now: float) -> list[Replica]:
    """What may go at once, least recently used first: idle, unprotected, its turn over, nobody waiting for it."""
    found = [
        r
        for r in fleet.replicas.values()
        if r.state is State.READY
        and not r.in_flight
        and (but is None or r.deployment != but.spec.id)
        and (r.ready_at + turn(r) <= now or not r.served)
        and not fleet.deployments[r.deployment].held
        and not protected(fleet.deployments[r.deployment], r)
    ]
    found.sort(key=lambda r: (r.idle_since, r.id))
    return found


def victims(
    fleet: Fleet,
    need: Need,
    claims: Claims,
    candidates: Collection[Replica],
    leaving: Collection[State] = (State.STOPPING,),
) -> list[Replica] | None:
    """The fewest of the candidates, in their order, whose going makes room; None when even all do not.

    Replicas that are already `leaving` count as gone: their room is on its way.
    """
    going = [r for r in fleet.replicas.values() if r.state in leaving]
    chosen: list[Replica] = []
    if place(fleet, need, claims, going) is None:
        for r in candidates:
            chosen.append(r)
            if place(fleet, need, claims, [*going, *chosen]) is not None:
                break
        else:
            return None
    for r in list(chosen):
        rest = [c for c in chosen if c is not r]
        if place(fleet, need, claims, [*going, *rest]) is not None:
            chosen = rest
    return chosen


LEAVING = (State.STOPPING, State.DRAINING)

PATIENCE = 10.0
"""Seconds that a deployment without any replica waits before a busy one is asked to make room."""


def yielding(fleet: Fleet, d: DeploymentState, need: Need, now: float) -> list[Replica]:
    """Busy replicas that shall take no further requests and go when they are done, longest up first.

    Fairness between deployments that cannot be up together; nothing that runs is broken off.
    """
    if now < d.waiting_since + PATIENCE:
        return []
    candidates = [
        r
        for r in fleet.replicas.values()
        if r.state is State.READY
        and (r.deployment != d.spec.id or r.fingerprint != d.spec.fingerprint)
        and r.ready_at + max(turn(r), PATIENCE) <= now
        and not protected(fleet.deployments[r.deployment], r)
    ]
    candidates.sort(key=lambda r: (r.ready_at, r.id))
    return victims(fleet, need, NO_CLAIMS, candidates, LEAVING) or []


def next_chance(fleet: Fleet, d: DeploymentState, now: float) -> float:
    """When asking again may help though nothing has happened: a turn ends, or patience does."""
    moments = [d.waiting_since + PATIENCE]
    for r in fleet.replicas.values():
        if r.state is State.READY:
            moments += [r.ready_at + turn(r), r.ready_at + max(turn(r), PATIENCE)]
    return min((m for m in moments if m > now), default=now + PATIENCE)
