"""`base = "auto"`: what would cost more on demand is rented."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotlight.fleet import actions as ac
from pilotlight.fleet.demand import Level, empty_gaps
from pilotlight.fleet.deployment import Goal
from pilotlight.fleet.fleet import DeploymentState
from pilotlight.policy import base as policy
from unit.policy.play import Play, model

COMMITMENT = 1800.0


class Renting(Play):
    """Keeps what was rented, with its moment; everything that starts is up at once."""

    def __init__(self, **fields: object) -> None:
        self.rented: list[tuple[float, int]] = []
        super().__init__()
        self.goal = Goal(cold_usd=0.0, commitment=COMMITMENT)
        self.learns = model(
            **{
                "ttl_is_auto": True,
                "base": None,
                "start_seconds": 1.0,
                "max_replicas": 4,
                "target_requests": 1,
            }
            | fields
        )
        self.declared = self.configure(self.learns, memory=64)

    def _show(self, action: ac.Action) -> str | None:
        if isinstance(action, ac.Rented):
            self.rented.append((self.now, action.replicas))
        return super()._show(action)

    @property
    def d(self) -> DeploymentState:
        return self.fleet.deployments["m"]

    @property
    def base(self) -> int:
        return self.d.demand.base

    def settle(self) -> None:
        for _ in range(9):
            for name, state in self.states().items():
                if state == "starting":
                    self.ready(name)
                elif state == "stopping":
                    self.gone(name)

    def busy(self, share: float, seconds: float, every: float = 100.0, side_by_side: int = 1) -> None:
        """So many requests at a time run for this share of each `every` seconds."""
        for i in range(int(seconds / every)):
            names = [f"{self.now}.{i}.{j}" for j in range(side_by_side)]
            self.ask_all(*names)
            self.settle(), self.wait(0.5), self.settle()
            self.wait(share * every - 0.5), self.settle()
            for name in names:
                self.done(name)
            self.settle(), self.wait((1 - share) * every), self.settle()


def test_what_is_busy_half_of_the_time_is_rented():
    """The premium is 2.5: more than 40 % of the time, and the margin."""
    p = Renting()
    p.busy(0.55, 6 * 3600)
    assert p.base == 1 and p.d.floor == 1
    assert [n for _, n in p.rented] == [1]


def test_what_is_busy_a_tenth_of_the_time_is_not():
    p = Renting()
    p.busy(0.1, 6 * 3600, every=1000.0)
    assert p.base == 0 and p.rented == []


def test_a_short_burst_is_no_base():
    p = Renting()
    p.busy(0.9, 90, every=30.0)
    assert p.rented == []


def test_each_level_by_itself():
    p = Renting()
    p.busy(0.6, 6 * 3600, side_by_side=2)
    assert p.base == 2
    assert [n for _, n in p.rented] in ([1, 2], [2])


def test_it_is_given_back_in_the_night_and_not_before_it_is_paid_for():
    p = Renting()
    p.busy(0.6, 4 * 3600)
    (began, _), before = p.rented[-1], p.now
    for _ in range(36):
        p.wait(3600), p.settle()
    assert [n for _, n in p.rented] == [1, 0]
    assert p.rented[-1][0] >= began + COMMITMENT
    assert p.rented[-1][0] > before
    assert p.d.floor == 0 and p.states() == {}, "nobody asks for it and nobody pays for it"


def test_what_is_paid_for_is_kept_though_it_would_not_be_rented_again():
    p = Renting()
    p.busy(0.9, 4 * 3600)
    p.d.demand.rented_at = p.now
    p.d.demand.levels[0].busy_seconds = p.d.demand.levels[0].spells = 0.0
    p.wait(COMMITMENT - 1), p.settle()
    assert p.base == 1
    p.wait(3 * 3600), p.settle()
    assert p.base == 0


def test_a_replica_that_is_rented_does_not_leave():
    p = Renting()
    p.busy(0.6, 4 * 3600)
    (name,) = p.states()
    assert p.wait(600) == []
    assert p.states() == {name: "ready"}


def test_what_is_declared_is_rented_from_the_first_moment():
    p = Renting(base=2, ttl_is_auto=False, ttl=0.0)
    assert p.rented == [(p.now, 2)]
    assert p.declared == ["start m-1", "start m-2"]
    p.settle(), p.wait(10**6)
    assert p.states() == {"m-1": "ready", "m-2": "ready"}


@pytest.mark.parametrize("most", [1, 2])
def test_no_more_than_max_replicas(most: int):
    p = Renting(max_replicas=most)
    p.busy(0.8, 4 * 3600, side_by_side=4)
    assert p.base == most


@given(st.lists(st.tuples(st.sampled_from([0.05, 0.3, 0.5, 0.9]), st.integers(1, 4)), min_size=1, max_size=5))
@settings(deadline=None, max_examples=25)
def test_every_change_is_said_once_and_stays_within_bounds(phases: list[tuple[float, int]]):
    p = Renting(max_replicas=3, min_replicas=1)
    for share, side_by_side in phases:
        p.busy(share, 3600, every=200.0, side_by_side=side_by_side)
        assert 0 <= p.base <= 3
        assert p.d.floor == max(1, p.base) == p.rented[-1][1]
    assert [at for at, _ in p.rented] == sorted({at for at, _ in p.rented})
    grew = -COMMITMENT
    for (_, before), (at, n) in zip(p.rented, p.rented[1:], strict=False):
        assert n > before or at >= grew + COMMITMENT, "given back before its time"
        grew = at if n > before else grew


@pytest.mark.parametrize(
    ("levels", "rented"),
    [
        ([], 0),
        ([(600, 600)], 1),
        ([(600, 100)], 0),
        ([(600, 600), (600, 100), (600, 600)], 3),
        ([(600, 600), (100, 100), (600, 400)], 3),
        ([(600, 600), (100, 100), (600, 200)], 1),
        ([(600, 100), (600, 600)], 0),
        ([(600, 400), (600, 0), (600, 0), (600, 600)], 1),
    ],
)
def test_as_many_are_rented_as_save_most_together(levels: list[tuple[float, float]], rented: int):
    """By hand, in dedicated prices: a level of which so many seconds were seen, and so many of them busy, costs
    2.5 x busy / (seen + 150) on demand, and 1.1 to rent."""
    p = Renting()
    demand = p.d.demand
    for over, busy in levels:
        level = Level(empty_gaps(), p.now, as_of=p.now)
        level.over, level.busy_seconds = over, busy
        demand.levels.append(level)
    assert policy.wanted(p.fleet, p.d, p.now)[0] == rented


@given(
    st.lists(
        st.tuples(st.floats(1, 1e5), st.floats(0.3, 1), st.sampled_from([600.0, 7200.0, 1e5])),
        min_size=1,
        max_size=4,
    ),
    st.floats(0.01, 0.999),
)
def test_a_base_that_saves_for_sure_does_so_though_nobody_comes(
    seen: list[tuple[float, float, float]], share: float
):
    p = Renting()
    demand = p.d.demand
    for over, busy, horizon in seen:
        level = Level(empty_gaps(), p.now, as_of=p.now)
        level.over, level.busy_seconds = min(over, horizon), min(over, horizon) * busy
        level.horizon = horizon
        demand.levels.append(level)
    demand.base = len(seen)
    n, safe_for = policy.wanted(p.fleet, p.d, p.now)
    assert (safe_for > 0.0) == (n == len(seen))
    if safe_for:
        assert policy.wanted(p.fleet, p.d, p.now + share * safe_for)[0] == n


def test_a_base_that_saves_is_looked_at_more_seldom_until_there_is_more_work_than_it_takes():
    p = Renting(target_requests=2)
    p.busy(0.9, 6 * 3600)
    demand = p.d.demand
    assert demand.base == 1
    policy.look(p.fleet, p.d, p.now, [])
    looked = demand.look_at
    p.busy(0.9, 200)
    assert demand.look_at == looked < p.now < demand.saves_until, "it was time, and nothing was to be seen"
    p.ask_all("a", "b"), p.settle(), p.ask("c"), p.settle()
    assert demand.busy == 2
    assert demand.look_at > p.now


def nights(p: Renting, days: int) -> None:
    """Hardly anybody comes."""
    for i in range(days * 6):
        p.ask(f"night {i}"), p.settle(), p.wait(1), p.done(f"night {i}"), p.settle()
        p.wait(4 * 3600 - 1), p.settle()


@pytest.mark.parametrize("asked", [False, True])
def test_a_base_that_was_declared_for_a_while_is_given_back_all_the_same(asked: bool):
    p = Renting()
    p.busy(0.6, 4 * 3600)
    assert p.base == 1
    p.configure(msgspec.structs.replace(p.learns, base=0)), p.settle()
    p.wait(6 * 3600), p.settle()
    p.configure(p.learns), p.settle()
    nights(p, 4) if asked else p.wait(86400)
    assert p.base == 0 and p.d.floor == 0


def test_a_shorter_commitment_counts_at_once():
    p = Renting()
    p.goal = Goal(cold_usd=0.0, commitment=30 * 86400.0)
    p.configure(p.learns)
    p.busy(0.6, 4 * 3600)
    nights(p, 2)
    assert p.base == 1
    p.goal = Goal(cold_usd=0.0, commitment=COMMITMENT)
    p.configure(p.learns)
    nights(p, 1)
    assert p.base == 0


def test_reloads_leave_no_looks_behind():
    p = Renting()
    p.busy(0.6, 4 * 3600)
    for _ in range(20):
        p.configure(p.learns)
    p.wait(2 * 3600), p.settle()
    assert sum(kind == "base" for _, _, kind, _ in p.fleet.timers) <= 2


@pytest.mark.parametrize("before", [0, 1])
def test_steady_work_that_nobody_adds_to_is_rented_as_well(before: int):
    """Nothing rises or falls: only the clock tells that it lasts."""
    p = Renting(target_requests=8)
    p.ask("first"), p.settle(), p.ask("timed"), p.wait(1), p.done("first"), p.done("timed")
    p.ask_all(*(f"r{i}" for i in range(before * 8 + 4))), p.settle()
    p.wait(1800), p.settle()
    assert p.base == before + 1
    assert p.rented[-1][0] <= 102.0 + 600.0 + 100.0


def test_a_base_that_has_just_grown_is_not_taken_to_save_for_long():
    p = Renting()
    p.busy(0.9, 6 * 3600)
    demand = p.d.demand
    assert demand.base == 1 and demand.saves_until > p.now
    level = Level(empty_gaps(), p.now, as_of=p.now, over=600.0, busy_seconds=600.0)
    demand.levels[1:] = [level]
    demand.busy, demand.look_at = 2, p.now
    assert policy.look(p.fleet, p.d, p.now, []) and demand.base == 2
    assert demand.saves_until == p.now


def test_what_is_no_longer_declared_is_no_longer_rented():
    p = Renting(base=2)
    p.wait(5)
    p.configure(model(base=0))
    p.wait(5)
    p.configure(model(base=0))
    p.wait(5)
    p.configure(model(min_replicas=1))
    p.wait(5)
    p.configure()
    p.wait(5)
    p.configure(model(base=0))
    start = p.rented[0][0]
    assert [(at - start, n) for at, n in p.rented] == [(0, 2), (5, 0), (15, 1), (20, 0)]
