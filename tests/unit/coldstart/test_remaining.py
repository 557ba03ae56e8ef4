"""How much of a start is left."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotlight.coldstart import plans
from pilotlight.coldstart.learned import Estimate, Mean
from pilotlight.coldstart.remaining import Left, to_go
from pilotlight.fleet.plan import Plan

PLAIN = plans.embedded()
STAGES = {"allocate": 0.0, "fetch": 1.0, "spawn": 1.0, "import": 2.0, "load": 4.0}
NAMES = list(STAGES)


def usual(spread: float = 0.1, plan: Plan = PLAIN) -> Estimate:
    means = {name: Mean(seconds, (spread * seconds) ** 2) for name, seconds in STAGES.items()}
    return Estimate(7.0, 6.0, 8.0, means, 9, plan)


@pytest.mark.parametrize(
    ("elapsed", "done", "left"),
    [
        (0.0, {}, 7.0),
        (0.5, {"allocate": 0.0}, 6.5),
        (1.0, {"allocate": 0.0, "fetch": 1.0, "spawn": 1.0}, 6.0),
        (3.0, {"allocate": 0.0, "fetch": 1.0, "spawn": 1.0}, 4.0),
        (3.5, {"allocate": 0.0, "fetch": 1.0, "spawn": 1.0}, 4.0),
        (2.0, {"allocate": 0.0, "fetch": 1.0, "spawn": 1.0, "import": 2.0}, 4.0),
        (6.5, {"allocate": 0.0, "fetch": 1.0, "spawn": 1.0, "import": 3.0}, 0.5),
        (7.5, {"allocate": 0.0, "fetch": 1.0, "spawn": 1.0, "import": 3.0}, 0.0),
    ],
    ids=["ordered", "spawning", "spawned", "importing", "late to import", "early", "loading", "over"],
)
def test_what_is_done_early_or_late_moves_the_end(elapsed: float, done: dict[str, float], left: float):
    assert to_go(usual(), elapsed, done) == Left(pytest.approx(left))  # type: ignore[arg-type]


def test_a_stage_that_takes_much_too_long_is_named():
    done = {"allocate": 0.0, "fetch": 1.0, "spawn": 1.0}
    assert to_go(usual(), 1.0 + 2.0 + 0.4 + 0.9, done).late == ""
    found = to_go(usual(), 1.0 + 2.0 + 0.4 + 1.1, done)
    assert (found.seconds, found.late) == (4.0, "import")


def test_a_download_that_nobody_expected_leaves_what_comes_after_it():
    found = to_go(usual(), 20.0, {"allocate": 0.0, "spawn": 1.0, "import": 3.0})
    assert (found.seconds, found.late) == (4.0, "fetch")


def test_without_a_plan_the_whole_is_all_there_is():
    assert to_go(usual(plan=Plan(())), 5.0, {}) == Left(2.0)
    assert to_go(usual(plan=Plan(())), 9.0, {}) == Left(0.0)


@given(st.floats(0, 1e6), st.dictionaries(st.sampled_from(NAMES), st.floats(0, 1e6)))
def test_it_is_never_negative_nor_more_than_all_there_is(elapsed: float, done: dict[str, float]):
    done = {name: min(at, elapsed) for name, at in done.items()}
    assert 0.0 <= to_go(usual(), elapsed, done).seconds <= 7.0 + 1e-6


@given(st.floats(0, 20), st.floats(0, 20))
def test_while_nothing_happens_it_only_shrinks(first: float, later: float):
    first, later = sorted((first, later))
    assert to_go(usual(), later, {}).seconds <= to_go(usual(), first, {}).seconds + 1e-9
