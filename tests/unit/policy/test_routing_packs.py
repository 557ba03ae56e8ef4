"""Work goes to as few replicas as there is work for, so that the others can go; what stays anyway shares it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotlight.fleet.deployment import Deployment
from pilotlight.fleet.fleet import DeploymentState, Replica
from pilotlight.fleet.states import State
from pilotlight.policy import routing


def deployment(
    in_flight: list[int], floor: int = 0, target: int = 2, slots: int | None = None
) -> DeploymentState:
    d = DeploymentState(Deployment("m", fingerprint="x", target_requests=target, slots=slots, max_replicas=9))
    for i, n in enumerate(in_flight, 1):
        r = Replica(f"m-{i}", "m", "x", State.READY, 0.0, "local", (), 0, (), 0.0, in_flight=n)
        d.replicas[r.id] = r
    d.in_flight, d.floor = sum(in_flight), floor
    return d


def picked(d: DeploymentState) -> str | None:
    r = routing.pick(d)
    return None if r is None else r.id


@pytest.mark.parametrize(
    ("in_flight", "floor", "to"),
    [
        ([0, 0, 0], 0, "m-1"),
        ([1, 0, 0], 0, "m-1"),
        ([2, 0, 0], 0, "m-2"),
        ([2, 1, 0], 0, "m-2"),
        ([2, 2, 0], 0, "m-3"),
        ([1, 2, 0], 0, "m-1"),
        ([0, 4, 0], 0, "m-1"),
        ([3, 3, 3], 0, "m-1"),
        ([1, 0, 0], 2, "m-2"),
        ([1, 1, 0], 2, "m-1"),
        ([1, 1, 0], 3, "m-3"),
        ([1, 0, 0], 9, "m-2"),
    ],
)
def test_the_oldest_that_there_is_work_for_and_the_least_busy_of_the_floor(
    in_flight: list[int], floor: int, to: str
):
    assert picked(deployment(in_flight, floor)) == to


def test_beyond_those_where_they_have_no_slot_free():
    """Two on one, though there is work for one: the youngest of the two has no room."""
    assert picked(deployment([2, 0], target=4, slots=2)) == "m-2"
    assert picked(deployment([2, 2], target=4, slots=2)) is None


def test_only_what_is_ready_counts():
    d = deployment([0, 0, 0])
    d.replicas["m-1"].state = State.SUSPECT
    assert picked(d) == "m-2"


def test_one_that_goes_keeps_its_own_work_and_gets_none():
    d = deployment([1, 3, 0], target=3)
    d.replicas["m-2"].state = State.DRAINING
    assert picked(d) == "m-1"
    d.replicas["m-1"].state = State.DRAINING
    assert picked(d) == "m-3"


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from([State.READY, State.STARTING, State.DRAINING])),
        max_size=6,
    ),
    st.integers(0, 7),
    st.none() | st.integers(1, 5),
)
def test_only_a_ready_one_with_a_free_slot_and_one_wherever_there_is_one(
    there: list[tuple[int, State]], floor: int, slots: int | None
):
    d = deployment([n for n, _ in there], floor, 2, slots)
    for r, (_, state) in zip(d.replicas.values(), there, strict=True):
        r.state = state
    free = [
        r for r in d.replicas.values() if r.state is State.READY and (slots is None or r.in_flight < slots)
    ]
    assert routing.pick(d) in (free or [None])


@given(
    st.lists(st.integers(0, 5), max_size=6),
    st.integers(0, 7),
    st.integers(1, 4),
    st.none() | st.integers(1, 5),
)
def test_somebody_takes_it_where_a_slot_is_free_and_the_youngest_is_not_needed(
    in_flight: list[int], floor: int, target: int, slots: int | None
):
    d = deployment(in_flight, floor, target, slots)
    r = routing.pick(d)
    free = [o for o in d.replicas.values() if slots is None or o.in_flight < slots]
    if r is None:
        assert not free
        return
    assert r in free
    enough = max(floor, -(-(d.in_flight + 1) // target))
    among = [*d.replicas.values()][:enough]
    if any(o in free for o in among):
        assert r in among
        assert r.in_flight == min(o.in_flight for o in among if o in free)
    else:
        assert r is free[0]
