"""Who goes, or is put to sleep, to make room for another deployment."""

from collections.abc import Callable, Collection, Sequence

import msgspec

from pilotlight.fleet.fleet import DeploymentState, Fleet, Replica
from pilotlight.fleet.states import GOING, RESTING, SERVING, State
from pilotlight.policy import sleeping, value, warmer
from pilotlight.policy.placement import NO_CLAIMS, Claims, Less, Wish, all_of, place

SHORTEST_TURN = 1.0
LONGEST_TURN = 60.0


def turn(replica: Replica) -> float:
    """Seconds that a replica stays once it is up: as long as its start took, from 1 to 60.

    So two deployments that want the same memory spend at most half of the time swapping; meanwhile the other's
    requests collect, and one swap serves them all.
    """
    return min(max(replica.start_seconds, SHORTEST_TURN), LONGEST_TURN)


def protected(d: DeploymentState, replica: Replica) -> bool:
    """Never evicted: pinned, or one of those first that `min_replicas` or a schedule has up."""
    if d.spec.pinned:
        return True
    if not d.reserved:
        return False
    ranked = [r for r in d.replicas.values() if r.state in SERVING or r.is_put_aside]
    ranked += [r for r in d.replicas.values() if r.state in RESTING and not r.put_aside]
    return replica in ranked[: d.reserved]


def kept(fleet: Fleet, but: DeploymentState) -> set[str]:
    """Ids of all replicas that room for `but` cannot come from, however long one waits."""
    found = set[str]()
    for d in fleet.deployments.values():
        if d is not but and (d.spec.pinned or d.reserved):
            up = (r for r in d.every if r.state in SERVING or r.state in RESTING)
            found.update(r.id for r in up if protected(d, r))
    return found


def idle(fleet: Fleet, but: DeploymentState | None, now: float) -> list[Replica]:
    """What may go at once, least recently used first: asleep, or idle, its turn over and nobody waiting for it."""
    found = [
        r
        for r in fleet.replicas.values()
        if (r.state is State.ASLEEP or _has_had_its_turn(fleet, r, now))
        and (but is None or r.deployment != but.spec.id)
        and not protected(fleet.deployments[r.deployment], r)
    ]
    found.sort(key=lambda r: (r.idle_since, r.id))
    return found


def _has_had_its_turn(fleet: Fleet, r: Replica, now: float) -> bool:
    return (
        r.state is State.READY
        and not r.in_flight
        and (r.ready_at + turn(r) <= now or not r.served)
        and not fleet.deployments[r.deployment].held
    )


def ways(fleet: Fleet, candidates: Collection[Replica], now: float) -> list[Less]:
    """What may become of these, the least valuable first; what can sleep may be stopped too.

    Of equal ones the first candidate comes first.
    """
    found: list[tuple[float, Less]] = []
    for r in candidates:
        d = fleet.deployments[r.deployment]
        choices = [all_of(r)]
        share = warmer.WORTH if warmer.is_one(fleet, d, r, now) else 1.0
        if r.state is State.READY and d.is_current(r) and d.spec.can_sleep and now >= d.no_sleep_before:
            choices.insert(0, sleeping.less(d, r, d.spec.sleep_level))
        for choice in choices:
            cost = value.cost(d, choice, now) * share
            way = msgspec.structs.replace(choice, cost=cost)
            found.append((value.per_byte(way), way))
    found.sort(key=lambda entry: entry[0])
    return [way for _, way in found]


def fewest(
    fleet: Fleet,
    wish: Wish,
    claims: Claims,
    ways: Sequence[Less],
    leaving: Collection[State] = GOING,
    *,
    overhead: bool = True,
) -> list[Less] | None:
    """Of the ways, taken in their order, those that it takes to make room; None when all do not.

    What turns out not to be needed is left out, the dearest first, and who can sleep in place of going does.

    Replicas that are already `leaving` count as gone: their room is on its way. So is that of one going to sleep.
    """
    coming = _on_its_way(fleet, leaving)

    def enough(chosen: Collection[Less]) -> bool:
        return place(fleet, wish, claims, [*coming, *chosen], overhead=overhead) is not None

    chosen: dict[str, Less] = {}
    milder: dict[str, Less] = {}
    if not enough(()):
        for way in ways:
            name = way.replica.id
            if name in chosen:
                milder[name] = way if chosen[name].gone else chosen[name]
                if chosen[name].gone:
                    continue
            chosen[name] = way
            if enough(chosen.values()):
                break
        else:
            return None
    return _pruned(chosen, milder, enough)


def _on_its_way(fleet: Fleet, leaving: Collection[State]) -> list[Less]:
    found: list[Less] = []
    for r in fleet.replicas.values():
        if r.state in leaving:
            found.append(all_of(r))
        elif r.state is State.GOING_TO_SLEEP:
            d = fleet.deployments[r.deployment]
            found.append(sleeping.less(d, r, d.spec.sleep_level))
    return found


def _pruned(
    chosen: dict[str, Less], milder: dict[str, Less], enough: Callable[[Collection[Less]], bool]
) -> list[Less]:
    for name in sorted(chosen, key=lambda name: -chosen[name].cost):
        rest = {n: way for n, way in chosen.items() if n != name}
        if enough(rest.values()):
            chosen = rest
    for name in reversed(milder):
        if name in chosen and enough({**chosen, name: milder[name]}.values()):
            chosen[name] = milder[name]
    return list(chosen.values())


def victims(
    fleet: Fleet,
    wish: Wish,
    claims: Claims,
    candidates: Collection[Replica],
    leaving: Collection[State] = GOING,
) -> list[Replica] | None:
    """The same of replicas that can only go."""
    chosen = fewest(fleet, wish, claims, [all_of(r) for r in candidates], leaving)
    return None if chosen is None else [way.replica for way in chosen]


LEAVING = GOING | {State.DRAINING}

PATIENCE = 10.0
"""Seconds that a deployment without any replica waits before a busy one is asked to make room."""


def yielding(fleet: Fleet, d: DeploymentState, wish: Wish, now: float) -> list[Replica]:
    """Replicas that shall take no further requests and go when they are done, busy or not, longest up first.

    Fairness between deployments that cannot be up together; nothing that runs is broken off.
    """
    if now < d.waiting_since + PATIENCE:
        return []
    candidates = [
        r
        for r in fleet.replicas.values()
        if (
            r.state is State.ASLEEP or (r.state is State.READY and r.ready_at + max(turn(r), PATIENCE) <= now)
        )
        and (r.deployment != d.spec.id or r.small or r.fingerprint != d.spec.fingerprint)
        and not protected(fleet.deployments[r.deployment], r)
    ]
    candidates.sort(key=lambda r: (r.ready_at, r.id))
    return victims(fleet, wish, NO_CLAIMS, candidates, LEAVING) or []


def next_chance(fleet: Fleet, d: DeploymentState, now: float) -> float:
    """When asking again may help though nothing has happened: a turn ends, or patience does."""
    moments = [d.waiting_since + PATIENCE]
    for r in fleet.replicas.values():
        if r.state is State.READY:
            moments += [r.ready_at + turn(r), r.ready_at + max(turn(r), PATIENCE)]
    return min((m for m in moments if m > now), default=now + PATIENCE)
