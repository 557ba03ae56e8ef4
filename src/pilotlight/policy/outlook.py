"""What room there is, and could be, at one moment: worked out once for all who wait, and only as far as is asked.

Many may wait for little, and with every event each of them is to get what it can. A search for who should make room
looks at every replica, so it is made only where all that may go would be enough, and for one of those who are alike:
who waits longer claims what it waits for, so where the first gets nothing the others do not either.
"""

from collections.abc import Hashable, Iterable
from functools import cached_property

from pilotlight.fleet.actions import Action
from pilotlight.fleet.fleet import NEVER, DeploymentState, Fleet, Replica
from pilotlight.fleet.states import ASLEEP
from pilotlight.policy import placement, wishes
from pilotlight.policy.eviction import PATIENCE, Survey
from pilotlight.policy.placement import NO_CLAIMS, Claims, Freed, Wish


class _Line:
    """Those who wait, longest first, and what they claim."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = list(names)
        self._places = {name: i for i, name in enumerate(self.names)}
        self.summed: dict[bool, list[Claims]] = {True: [NO_CLAIMS], False: [NO_CLAIMS]}
        """Of the first 0, 1, 2, ..., as far as was asked: against who has a replica, and against who has none."""
        self.of_turn: dict[str, Claims] = {}
        """Against the one whose turn it is."""

    def place(self, d: DeploymentState) -> int:
        return self._places.get(d.spec.id, len(self.names))


class Outlook:
    """It holds until something is ordered, or who waits has changed; `renewed` is to be asked then."""

    def __init__(self, fleet: Fleet, now: float, out: list[Action], line: "_Line | None" = None) -> None:
        """`line`: those who are asked one after the other; without, any of those who wait may be asked."""
        self._fleet, self._now, self._out = fleet, now, out
        self._in_turn = line is not None
        self._line = line or _Line(fleet.waiting)
        self._stamp = len(out), len(fleet.waiting)
        self._vain: dict[Hashable, int] = {}
        """Of those who got nothing: the first in line of each kind."""

    @classmethod
    def in_turn(cls, fleet: Fleet, now: float, out: list[Action], line: Iterable[str]) -> "Outlook":
        return cls(fleet, now, out, _Line(line))

    def renewed(self) -> "Outlook":
        if self._stamp == (len(self._out), len(self._fleet.waiting)):
            return self
        return type(self)(self._fleet, self._now, self._out, self._line if self._in_turn else None)

    def joined(self) -> None:
        """One more waits, behind all others: what is known holds."""
        self._stamp = len(self._out), len(self._fleet.waiting)

    # -- those who wait --------------------------------------------------------------------------------------------

    def claims(self, d: DeploymentState) -> Claims:
        """What those who have waited longer will take first. Who has a replica claims nothing from who has none."""
        line = self._line
        return line.of_turn.get(d.spec.id) or self._claims(d.has_any, line.place(d))

    def its_turn(self, d: DeploymentState) -> None:
        """Claims are those of before it got anything, and stay for those behind it: each claims once."""
        if self._in_turn:
            place = self._line.place(d)
            of = {has_any: self._claims(has_any, place) for has_any in (True, False)}
            self._line.of_turn = {d.spec.id: of[d.has_any]}

    def _claims(self, has_any: bool, ahead: int) -> Claims:
        """Of so many, the first in line."""
        summed = self._line.summed[has_any]
        for name in self._line.names[len(summed) - 1 : ahead]:
            other, claims = self._fleet.deployments.get(name), summed[-1]
            if other is not None and name in self._fleet.waiting and (has_any or not other.has_any):
                claims = wishes.with_claim(self._fleet, other, claims, self.may_go(other))
            summed.append(claims)
        return summed[ahead]

    def is_vain(self, d: DeploymentState) -> bool:
        """Whether it is for sure that one which waits gets nothing, nor is refused, now."""
        if d.waiting_since == NEVER or (kind := self._kind(d)) is None:
            return False
        place = self._line.place(d)
        if self._vain.get(kind, place + 1) <= place:
            return True
        found = wishes.all_wishes(self._fleet, d)
        if (
            self.may_do(d, found)
            or self.may_yield(d, found[0])
            or not self.can_fit(d, found[0], overhead=True)
        ):
            return False
        self._vain[kind] = place
        return True

    def _kind(self, d: DeploymentState) -> Hashable:
        """The same for those who wait for the same, and for nothing else; None for who is a case by itself."""
        if (
            not d.held or d.patient or d.bursting or d.warming or d.delays or d.ahead or len(d.replicas) > 1
            or d.spec.pinned or d.spec.min_replicas or self._now < d.retry_at
        ):  # fmt: skip
            return None
        need = self._fleet.need_of(d)
        for r in d.replicas.values():
            if r.state is not ASLEEP or r.fingerprint != d.spec.fingerprint or r.awake is None:
                return None
            return need, r.awake, r.host, r.devices, r.memory, r.gpu_memory, r.exclusive
        return need

    # -- what may become of the others -----------------------------------------------------------------------------

    @cached_property
    def _survey(self) -> Survey:
        return Survey(self._fleet, self._now)

    def idle(self, d: DeploymentState) -> list[Replica]:
        """What may go for it at once, least recently used first."""
        return self._survey.idle(d)

    def may_do(self, d: DeploymentState, found: list[Wish]) -> bool:
        """Whether there could be room at once, or soon. Only where not it is for sure."""
        if (d.warming and d.small) or (d.replicas and d.outdated()):
            return True  # these may go, too
        sleeper = found[0].sleeper
        if sleeper is not None:
            if sleeper.id not in self._survey.with_idle.gone:
                return True  # nobody else's, but its own may go for another of it elsewhere
            found = [*found, Wish(self._fleet.need_of(d))]
        return any(self._may_do(d, wish) for wish in found)

    def _may_do(self, d: DeploymentState, wish: Wish) -> bool:
        """Claims only grow along the line: most often what the first ones claim leaves nothing."""
        free, place, ahead = self._survey.with_idle, self._line.place(d), 0
        has_any = bool(place) and d.has_any
        while ahead < place and d.spec.id not in self._line.of_turn:
            if placement.place(self._fleet, wish, self._claims(has_any, ahead), free, overhead=False) is None:
                return False
            ahead = 2 * ahead + 1
        return placement.place(self._fleet, wish, self.claims(d), free, overhead=False) is not None

    def may_yield(self, d: DeploymentState, wish: Wish) -> bool:
        """Whether others may have to yield to it, for it has waited for long. Only where not it is for sure."""
        if self._now < d.waiting_since + PATIENCE:
            return False
        if placement.place(self._fleet, wish, NO_CLAIMS, self._survey.with_yieldable) is None:
            return False
        return placement.place(self._fleet, wish, NO_CLAIMS, self._survey.leaving) is None

    # -- what can ever be ------------------------------------------------------------------------------------------

    @cached_property
    def _all_may_go(self) -> Freed:
        return placement.all_but(self._fleet, self._survey.kept)

    def may_go(self, d: DeploymentState) -> Freed:
        """All but what nobody may evict, and its own."""
        if d.every and (d.current() or d.spec.pinned or d.reserved):
            return placement.all_but(self._fleet, wishes.staying(self._fleet, d))
        return self._all_may_go

    def can_fit(self, d: DeploymentState, wish: Wish, *, overhead: bool = False) -> bool:
        """Whether there is room with all gone that may go."""
        return placement.place(self._fleet, wish, NO_CLAIMS, self.may_go(d), overhead=overhead) is not None

    # -- when to look again ----------------------------------------------------------------------------------------

    def next_chance(self, d: DeploymentState) -> float:
        """When asking again may help though nothing has happened: a turn ends, or its patience does."""
        patience = d.waiting_since + PATIENCE
        moment = self._survey.next_turn
        if self._now < patience < moment:
            moment = patience
        return moment if moment != NEVER else self._now + PATIENCE
