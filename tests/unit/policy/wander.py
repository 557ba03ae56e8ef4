"""Plays whatever is drawn on a fleet, and has a property looked at after every event.

    p = Wander(model(), model("other"))
    p.play_all([("ask", 0), ("wait", 3), ("ready", 0)])

A move is (what happens, a number that chooses to whom); one that nobody is there for does nothing.
"""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from pilotlight.fleet import actions as ac
from pilotlight.fleet import events as ev
from pilotlight.fleet.classes import STANDARD
from pilotlight.fleet.fleet import Replica
from pilotlight.fleet.states import COMING, GOING, State
from unit.policy.play import Play

Move = tuple[str, int]


def moves(kinds: str, least: int = 20, most: int = 80) -> st.SearchStrategy[list[Move]]:
    """Lists of moves of these kinds, with spaces between; one that is named twice comes twice as often.

    Not too few of them, for few moves lead nowhere.
    """
    return st.lists(
        st.tuples(st.sampled_from(kinds.split()), st.integers(0, 11)), min_size=least, max_size=most
    )


class Wander(Play):
    """Asks for its deployments in turn, with whatever `terms` says of the n-th choice."""

    def __init__(self, *deployments: Any, terms: Callable[[int], dict[str, Any]] = lambda n: {}, **host: Any):
        self.names = [d.id for d in deployments]
        self.terms = terms
        self.asked: dict[str, ev.Arrived] = {}
        """Every request that was ever made."""
        self.over: set[str] = set()
        """Those that have ended, or whose clients have left."""
        self.waiting: dict[str, None] = {}
        """Those that were told to wait, and no more since; kept action by action."""
        self.started: list[tuple[float, ac.Start]] = []
        super().__init__(*deployments, **host)

    # -- what happens --------------------------------------------------------------------------------------------

    def play_all(self, drawn: list[Move]) -> None:
        for kind, n in drawn:
            getattr(self, f"move_{kind}")(n)

    def move_ask(self, n: int) -> None:
        request, name = f"r{len(self.asked)}", self.names[n % len(self.names)]
        terms = {"rank": STANDARD, **self.terms(n)}
        self.asked[request] = ev.Arrived(self.now, request, name, **terms)
        self.play(self.asked[request])

    def move_wait(self, n: int) -> None:
        """From 0 s to a little more than a minute, and ten of those at the most."""
        self.wait((0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 61.0, 300.0, 600.0)[n])

    def move_done(self, n: int) -> None:
        self._end(list(self.fleet.assigned), n)

    def move_leave(self, n: int) -> None:
        self._end([*self.fleet.holding, *self.fleet.assigned], n, ok=False)

    def move_bounce(self, n: int) -> None:
        if request := _chosen(list(self.fleet.assigned), n):
            self.bounce(request)

    def move_ready(self, n: int) -> None:
        self._to(COMING, n, self.ready)

    def move_fail(self, n: int) -> None:
        self._to((State.STARTING,), n, self.fail)

    def move_gone(self, n: int) -> None:
        self._to(GOING, n, self._gone)

    def move_recover(self, n: int) -> None:
        self._to((State.SUSPECT,), n, self.recover)

    def move_crash(self, n: int) -> None:
        """Its process ends, and all that it runs comes back."""
        self._to((State.READY, State.DRAINING, State.SUSPECT), n, self._crash)

    def move_warm(self, n: int) -> None:
        self.warm(self.names[n % len(self.names)])

    def rest(self) -> None:
        """Every request ends; nobody comes any more."""
        for _ in range(1000):
            if not (self.fleet.assigned or self.fleet.holding):
                return
            self.move_ready(0), self.move_recover(0), self.move_gone(0), self.move_done(0), self.wait(1.0)
        raise AssertionError(f"these wait for ever: {list(self.fleet.holding)}")

    def _end(self, among: list[str], n: int, ok: bool = True) -> None:
        if request := _chosen(among, n):
            self.over.add(request)
            self.waiting.pop(request, None)
            self.done(request, ok)

    def _to(self, states: Any, n: int, happens: Callable[[str], Any]) -> None:
        if r := _chosen([r for r in self.fleet.replicas.values() if r.state in states], n):
            happens(r.id)

    def _gone(self, name: str) -> None:
        """What still runs there comes back first."""
        for request in self._running(self.fleet.replicas[name]):
            self.bounce(request)
        self.gone(name)

    def _crash(self, name: str) -> None:
        running = self._running(self.fleet.replicas[name])
        self.die(name)
        for request in running:
            self.bounce(request)

    def _running(self, r: Replica) -> list[str]:
        return [request for request, ran in self.fleet.assigned.items() if ran is r]

    # -- what is looked at ---------------------------------------------------------------------------------------

    def play(self, event: ev.Event) -> list[str]:
        shown = super().play(event)
        if self.fleet.deployments:
            self.look(event)
        return shown

    def look(self, event: ev.Event) -> None:
        """After every event: each request is in one place, and the sums are right."""
        places = [set(self.fleet.assigned), set(self.fleet.holding), set(self.refused), self.over]
        asked = set(self.asked)
        assert set.union(*places) == asked, "none is lost"
        assert sum(map(len, places)) == len(asked), "none is in two places"
        assert set(self.waiting) == set(self.fleet.holding)
        for d in self.fleet.deployments.values():
            assert d.in_flight == sum(r.in_flight for r in d.every) + d.away
            for r in d.every:
                assert r.in_flight == len(self._running(r))
                slots = d.spec.warmer.slots if r.small and d.spec.warmer else d.spec.slots
                assert slots is None or r.in_flight <= slots

    def _show(self, action: ac.Action) -> str | None:
        match action:
            case ac.Assign():
                self.assigned(action)
                self.waiting.pop(action.request, None)
            case ac.Hold():
                self.waiting[action.request] = None
            case ac.Refuse():
                assert action.request not in self.refused, "nobody is refused twice"
                self.waiting.pop(action.request, None)
            case ac.Start():
                self.started.append((self.now, action))
            case _:
                pass
        return super()._show(action)

    def assigned(self, action: ac.Assign) -> None:
        """With every one, as those who wait stand just before it."""


def _chosen(among: list[Any], n: int) -> Any:
    return among[n % len(among)] if among else None
