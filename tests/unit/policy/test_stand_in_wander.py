"""What holds of stand-ins whatever comes."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pilotlight.fleet import actions as ac
from pilotlight.fleet import events as ev
from pilotlight.fleet.classes import CRITICAL, STANDARD
from pilotlight.fleet.states import READY
from unit.policy.play import model
from unit.policy.wander import Move, Wander, moves

ALL = moves("ask ask ask done leave bounce ready ready fail gone wait crash recover warm")

SHAPES = st.fixed_dictionaries(
    {
        "slots": st.sampled_from([None, 1, 2]),
        "target_requests": st.integers(1, 3),
        "max_replicas": st.integers(1, 2),
        "ttl": st.sampled_from([5.0, 300.0]),
        "max_pending_requests": st.sampled_from([2, 100]),
        "scale_up_delay": st.sampled_from([0.0, 5.0]),
    }
)

STANDS_IN = {"large": "middle", "middle": "small"}


class StandIns(Wander):
    """`small` stands in for `middle`, that for `large`; every other request allows it."""

    def __init__(self, **fields: Any) -> None:
        self.ups: set[str] = set()
        """Which have a replica that is up, as of before the event."""
        deployments = [model(name, **fields) for name in ("large", "middle", "small")]
        super().__init__(*deployments, terms=self.say)

    def say(self, n: int) -> dict[str, Any]:
        allows = STANDS_IN.get(self.names[n % 3]) if n // 3 % 2 else None
        return {"stand_in": allows, "rank": CRITICAL if n // 6 % 2 else STANDARD}

    def play(self, event: ev.Event) -> list[str]:
        self.event = event
        found = self.fleet.deployments.values()
        self.ups = {d.spec.id for d in found if any(r.state is READY for r in d.every)}
        self.queued = {d.spec.id for d in found if d.held}
        self.began = len(self.started)
        return super().play(event)

    def assigned(self, action: ac.Assign) -> None:
        asked, served = self.asked[action.request], self.served(action)
        assert action.stands_in == (None if served == asked.deployment else served), (
            "it says who has answered"
        )
        if action.stands_in is None:
            return
        assert asked.stand_in == served == STANDS_IN[asked.deployment]
        assert self.event is asked, "who waits, waits for what it asked for"
        assert asked.deployment not in self.ups
        assert served in self.ups - self.queued
        d = self.fleet.deployments[served]
        assert self.fleet.replicas[action.replica].in_flight <= d.spec.target_requests, (
            "only what it can spare"
        )

    def served(self, action: ac.Assign) -> str:
        return self.fleet.replicas[action.replica].deployment

    def look(self, event: Any) -> None:
        super().look(event)
        away = dict.fromkeys(self.names, 0)
        for request, r in self.fleet.assigned.items():
            asked = self.asked[request].deployment
            away[asked] += r.deployment != asked
        assert {d.spec.id: d.away for d in self.fleet.deployments.values()} == away
        if isinstance(event, ev.Arrived):
            ordered = {start.deployment for _, start in self.started[self.began :]}
            assert ordered <= {event.deployment}, "nothing is started to stand in"


@settings(deadline=None, max_examples=200)
@given(SHAPES, st.sets(st.integers(0, 2)), ALL)
def test_only_who_allows_it_is_answered_by_a_stand_in_and_only_while_what_it_asked_for_is_down(
    shape: dict[str, Any], up: set[int], drawn: list[Move]
):
    p = StandIns(**shape)
    for n in sorted(up):
        p.play_all([("warm", n), ("ready", 0)])
    p.play_all(drawn)
    p.rest()
    assert not p.fleet.asides
    assert [(d.in_flight, d.away) for d in p.fleet.deployments.values()] == [(0, 0)] * 3


@settings(deadline=None, max_examples=100)
@given(SHAPES, moves("done leave bounce recover", 1, 20))
def test_what_was_asked_for_comes_up_though_a_stand_in_has_answered(shape: dict[str, Any], drawn: list[Move]):
    p = StandIns(**{**shape, "ttl": 30.0})
    p.up("small", serve=False)
    p.terms = lambda n: {"stand_in": "small"}
    p.move_ask(1)
    assert p.fleet.assigned
    p.play_all(drawn)
    assert p.fleet.deployments["middle"].has_any
