"""What holds of warmers whatever comes."""

from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pilotlight.fleet.states import RESTING, SERVING, State
from unit.policy.test_warmer import warm
from unit.policy.wander import Move, Wander, moves

KIND = moves("ask ask ask done done ready ready gone wait wait leave")
ROUGH = moves("ask ask ask done done ready ready gone wait wait leave fail crash bounce recover warm")

SHAPES = st.fixed_dictionaries(
    {
        "slots": st.sampled_from([None, 1, 3]),
        "small_slots": st.sampled_from([None, 1, 2]),
        "target_requests": st.integers(1, 3),
        "max_replicas": st.integers(2, 3),
        "min_replicas": st.sampled_from([0, 0, 1, 2]),
        "below": st.sampled_from([None, 0.001, 0.1]),
        "ttl_is_auto": st.sampled_from([False, False, True]),
        "startup_timeout": st.just(1e6),
    }
)


class Warmers(Wander):
    served = False
    """A replica is up, or was once."""

    def look(self, event: Any) -> None:
        super().look(event)
        d = self.fleet.deployments["m"]
        assert sum(r.state in SERVING or r.state in RESTING for r in d.small) <= 1
        full = [r for r in d.replicas.values() if r.state is State.READY]
        if full:
            assert all(r.state is not State.READY for r in d.small), "it leaves once a full one is up"
        assert len(d.current()) <= d.spec.max_replicas
        if d.spec.min_replicas:
            assert not d.small
        self.served = self.served or any(r.state is State.READY for r in d.every)


class Undisturbed(Warmers):
    """Nothing fails: what was up once always has somebody up, and what runs is never stopped."""

    def look(self, event: Any) -> None:
        super().look(event)
        d = self.fleet.deployments["m"]
        up = [r for r in d.every if r.state is State.READY]
        assert up or not self.served, "there is no moment in which none is ready"
        assert len(d.current()) >= d.spec.min_replicas
        assert not any(r.in_flight for r in d.every if r.state is State.STOPPING)


@settings(deadline=None, max_examples=200)
@given(SHAPES, ROUGH)
def test_there_is_one_at_most_and_none_beside_a_full_one(shape: dict[str, Any], drawn: list[Move]):
    p = Warmers(warm(**shape))
    p.play_all(drawn)
    p.rest()


@settings(deadline=None, max_examples=200)
@given(SHAPES, KIND)
def test_between_the_two_of_them_one_is_always_up(shape: dict[str, Any], drawn: list[Move]):
    p = Undisturbed(warm(**shape))
    p.play_all(drawn)
    p.rest()
    if not shape["min_replicas"] and not shape["ttl_is_auto"]:
        p.wait(3600.0)
        while p.fleet.replicas and any(r.state is State.STARTING for r in p.fleet.replicas.values()):
            p.move_ready(0), p.wait(3600.0)
        up = [r for r in p.fleet.replicas.values() if r.state is State.READY]
        assert [r.small for r in up] == [True] or not p.served, "when nobody comes any more it alone stays"


@settings(deadline=None, max_examples=200)
@given(SHAPES, st.sampled_from([20.0, 60.0]), KIND)
def test_it_is_started_only_so_often(shape: dict[str, Any], ttl: float, drawn: list[Move]):
    p = Undisturbed(warm(**{**shape, "ttl_is_auto": False, "below": None, "ttl": ttl}))
    p.play_all(drawn)
    small = [at for at, start in p.started if start.small]
    assert all(later >= earlier + ttl for earlier, later in pairwise(small))
