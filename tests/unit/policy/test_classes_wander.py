"""What holds of classes whatever comes: who goes first, what is started for whom, and that nobody is lost."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pilotlight.fleet import actions as ac
from pilotlight.fleet.classes import BATCH, CRITICAL, STANDARD
from pilotlight.fleet.fleet import DeploymentState
from unit.policy.play import model
from unit.policy.wander import Move, Wander, moves

ALL = moves("ask ask ask done done leave bounce ready fail gone wait crash recover")

SHAPES = st.fixed_dictionaries(
    {
        "slots": st.sampled_from([None, 1, 2, 3]),
        "target_requests": st.integers(1, 3),
        "max_replicas": st.integers(1, 3),
        "batch_deadline": st.sampled_from([0.0, 15.0, 600.0]),
        "max_pending_requests": st.sampled_from([2, 100]),
        "ttl": st.sampled_from([0.0, 30.0, 300.0]),
    }
)


class Classes(Wander):
    """Two models, asked for in turn by requests of each class."""

    def __init__(self, **fields: Any) -> None:
        ranks = (STANDARD, BATCH, CRITICAL)
        deployments = [model(name, **fields) for name in ("m", "other")]
        super().__init__(*deployments, terms=lambda n: {"rank": ranks[n // 2 % 3]})

    def assigned(self, action: ac.Assign) -> None:
        mine = self.asked[action.request]
        others = [self.asked[r] for r in self.waiting if self.asked[r].deployment == mine.deployment]
        if mine.rank != CRITICAL:
            assert not any(o.rank == CRITICAL for o in others), "a critical one is passed over"
        if self.waits_for_idle(mine):
            assert all(self.waits_for_idle(o) for o in others), "it takes what others wait for"

    def waits_for_idle(self, asked: Any) -> bool:
        """A batch request before its deadline."""
        deadline = self.fleet.deployments[asked.deployment].spec.batch_deadline
        return asked.rank == BATCH and self.now < asked.at + deadline

    def look(self, event: Any) -> None:
        super().look(event)
        for d in self.fleet.deployments.values():
            mine = [self.asked[r] for r in self.fleet.holding if self.fleet.holding[r] == d.spec.id]
            assert set(d.urgent) == {a.request for a in mine if a.rank == CRITICAL}
            assert len(mine) <= d.spec.max_pending_requests or self.bounced
            if self.started[self.seen :]:
                self.was_needed(d)
            self.nobody_waits_behind_batch(d)
        self.seen = len(self.started)

    def was_needed(self, d: DeploymentState) -> None:
        """A replica that was just ordered has more to do than wait for a batch request."""
        if all(start.deployment != d.spec.id for _, start in self.started[self.seen :]):
            return
        waiting = [r for r in self.waiting if self.asked[r].deployment == d.spec.id]
        eager = sum(not self.waits_for_idle(self.asked[r]) for r in waiting)
        load = max(eager + sum(r.in_flight for r in d.current()), bool(d.wanted_up))
        each = min(d.spec.target_requests, d.spec.slots or d.spec.target_requests)
        assert len(d.current()) <= -(-load // each)

    def nobody_waits_behind_batch(self, d: DeploymentState) -> None:
        """Where more may be up, and none has just failed, there is or will be a slot for a critical request."""
        running = [self.asked[r] for r, on in self.fleet.assigned.items() if on in d.current()]
        if d.spec.slots and d.urgent and any(a.rank == BATCH for a in running) and self.now >= d.retry_at:
            all_up = len(d.current()) == d.spec.max_replicas
            assert all_up or len(d.current()) * d.spec.slots > len(running)

    seen = 0
    bounced = False

    def move_bounce(self, n: int) -> None:
        self.bounced = True
        super().move_bounce(n)

    def _crash(self, name: str) -> None:
        self.bounced = True
        super()._crash(name)


@settings(deadline=None, max_examples=200)
@given(SHAPES, ALL)
def test_nobody_is_passed_over_by_a_lower_class_and_nobody_is_lost(shape: dict[str, Any], drawn: list[Move]):
    p = Classes(**shape)
    p.play_all(drawn)
    p.rest()
    assert not p.fleet.asides
    for d in p.fleet.deployments.values():
        assert not (d.held or d.urgent or d.patient or d.in_flight)


@settings(deadline=None, max_examples=200)
@given(SHAPES, moves("ask ask warm done leave bounce ready fail gone wait crash"))
def test_batch_requests_alone_start_nothing_before_their_deadline(shape: dict[str, Any], drawn: list[Move]):
    p = Classes(**{**shape, "batch_deadline": 1e6, "startup_timeout": 1e9})
    p.terms = lambda n: {"rank": BATCH}
    p.play_all([("warm", 0), ("ready", 0), ("ask", 0)])
    for move in drawn:
        before = len(p.started)
        p.play_all([move])
        asked = [start for _, start in p.started[before:] if start.because != "one was asked for"]
        assert asked == [], "only an operator has one started"
    p.wait(1e6)
    waiting = set(p.fleet.holding.values())
    for name in waiting:
        assert p.fleet.deployments[name].has_any, "at its deadline one is"
