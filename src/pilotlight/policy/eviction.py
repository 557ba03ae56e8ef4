"""Who goes, or is put to sleep, to make room for another deployment."""

from collections.abc import Callable, Collection, Sequence, Set

from msgspec.structs import replace

from pilotlight.fleet.fleet import NEVER, DeploymentState, Fleet, Replica
from pilotlight.fleet.states import ASLEEP, GOING, READY, RESTING, SERVING, State
from pilotlight.policy import sleeping, value, warmer
from pilotlight.policy.placement import NO_CLAIMS, Claims, Freed, Less, Wish, all_of, place

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


def kept(fleet: Fleet, but: DeploymentState | None) -> set[str]:
    """Ids of all replicas that room for `but`, or for any other, cannot come from, however long one waits."""
    found = set[str]()
    for d in fleet.deployments.values():
        if d is not but and (d.spec.pinned or d.spec.min_replicas or (d.ahead and d.reserved)):
            up = (r for r in d.every if r.state in SERVING or r.state in RESTING)
            found.update(r.id for r in up if protected(d, r))
    return found


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
            way = replace(choice, cost=cost)
            found.append((value.per_byte(way), way))
    found.sort(key=lambda entry: entry[0])
    return [way for _, way in found]


def fewest(
    fleet: Fleet,
    wish: Wish,
    claims: Claims,
    ways: Sequence[Less],
    leaving: Set[State] = GOING,
    *,
    overhead: bool = True,
) -> list[Less] | None:
    """Of the ways, taken in their order, those that it takes to make room; None when all do not. Each is a replica's
    going, or its sleep beside that.

    What turns out not to be needed is left out, the dearest first, and who can sleep in place of going does.

    Replicas that are already `leaving` count as gone: their room is on its way. So is that of one going to sleep.
    """
    coming = _on_its_way(fleet, leaving)
    freed = Freed(coming)

    def enough() -> bool:
        return place(fleet, wish, claims, freed, overhead=overhead) is not None

    chosen: dict[str, Less] = {}
    milder: dict[str, Less] = {}
    if not enough():
        # As none gives more than when it goes, fewer are not enough where all are not: most often it is in vain.
        all_gone = Freed([*coming, *(way for way in ways if way.gone)])
        if not ways or place(fleet, wish, claims, all_gone, overhead=overhead) is None:
            return None
        for way in ways:
            name = way.replica.id
            if name in chosen:
                milder[name] = way if chosen[name].gone else chosen[name]
                if chosen[name].gone:
                    continue
                freed.remove(chosen[name])
            chosen[name] = way
            freed.add(way)
            if enough():
                break
    return _pruned(chosen, milder, freed, enough)


def _on_its_way(fleet: Fleet, leaving: Set[State]) -> list[Less]:
    found = (_leaves(fleet, r, leaving) for r in fleet.replicas.values())
    return [less for less in found if less is not None]


def _leaves(fleet: Fleet, r: Replica, leaving: Set[State]) -> Less | None:
    """What will be free of it without anything being done."""
    if r.state in leaving:
        return all_of(r)
    if r.state is State.GOING_TO_SLEEP:
        d = fleet.deployments[r.deployment]
        return sleeping.less(d, r, d.spec.sleep_level)
    return None


def _pruned(
    chosen: dict[str, Less], milder: dict[str, Less], freed: Freed, enough: Callable[[], bool]
) -> list[Less]:
    """`freed`: with all that are chosen; `enough` asks whether that is."""
    for name, way in sorted(chosen.items(), key=lambda entry: -entry[1].cost):
        freed.remove(way)
        if enough():
            del chosen[name]
        else:
            freed.add(way)
    for name in reversed(milder):
        if name in chosen:
            freed.remove(chosen[name])
            freed.add(milder[name])
            if enough():
                chosen[name] = milder[name]
            else:
                freed.remove(milder[name])
                freed.add(chosen[name])
    return list(chosen.values())


def victims(
    fleet: Fleet,
    wish: Wish,
    claims: Claims,
    candidates: Collection[Replica],
    leaving: Set[State] = GOING,
) -> list[Replica] | None:
    """The same of replicas that can only go."""
    chosen = fewest(fleet, wish, claims, [all_of(r) for r in candidates], leaving)
    return None if chosen is None else [way.replica for way in chosen]


LEAVING = GOING | {State.DRAINING}

PATIENCE = 10.0
"""Seconds that a deployment without any replica waits before a busy one is asked to make room."""


def yielding(fleet: Fleet, d: DeploymentState, wish: Wish, now: float) -> list[Replica]:
    """Replicas that shall take no further requests and go when they are done, busy or not, longest up first.

    Fairness between deployments that cannot be up together; nothing that runs is broken off. Asked for who has waited
    for PATIENCE.
    """
    candidates = [
        r
        for r in fleet.replicas.values()
        if (r.state is ASLEEP or may_yield(r, now))
        and (r.deployment != d.spec.id or r.small or r.fingerprint != d.spec.fingerprint)
        and not protected(fleet.deployments[r.deployment], r)
    ]
    candidates.sort(key=lambda r: (r.ready_at, r.id))
    return victims(fleet, wish, NO_CLAIMS, candidates, LEAVING) or []


def may_yield(r: Replica, now: float) -> bool:
    """Busy or not, it has been up for long enough."""
    return r.state is READY and r.ready_at + max(turn(r), PATIENCE) <= now


class Survey:
    """What all replicas are good for at one moment, to somebody who needs room: one look at each, whoever asks."""

    def __init__(self, fleet: Fleet, now: float) -> None:
        asleep: list[Replica] = []
        idle: list[Replica] = []
        yieldable: list[Replica] = []
        leaving: list[Less] = []
        self.next_turn = NEVER
        """When another turn ends, or one of those that are up may have to yield."""
        self.kept = kept(fleet, None)
        for r in fleet.replicas.values():
            if r.state is ASLEEP:
                if r.id not in self.kept:
                    asleep.append(r)
            elif r.state is READY:
                stays = turn(r)
                over, yields = r.ready_at + stays, r.ready_at + max(stays, PATIENCE)
                if now < over < self.next_turn:
                    self.next_turn = over
                if now < yields < self.next_turn:
                    self.next_turn = yields
                if r.id in self.kept:
                    continue
                if (
                    not r.in_flight
                    and (over <= now or not r.served)
                    and not fleet.deployments[r.deployment].held
                ):
                    idle.append(r)
                if yields <= now:
                    yieldable.append(r)
            elif (less := _leaves(fleet, r, LEAVING)) is not None:
                leaving.append(less)
        self._may_go = asleep + idle
        self.leaving = Freed(leaving)
        # At the most: what falls asleep may yet take more of the host than is set aside for it.
        most = Freed(x if x.memory >= 0 else replace(x, memory=0) for x in leaving).and_of(asleep)
        self.with_idle = most.and_of(idle)
        """Room that could be made at once, or is on its way."""
        self.with_yieldable = most.and_of(yieldable)
        """And that would be there if all yielded that may have to."""

    def idle(self, but: DeploymentState | None = None) -> list[Replica]:
        """What may go at once, least recently used first: asleep, or idle, its turn over and nobody waiting for it."""
        name = None if but is None else but.spec.id
        found = [r for r in self._may_go if r.deployment != name]
        found.sort(key=lambda r: (r.idle_since, r.id))
        return found
