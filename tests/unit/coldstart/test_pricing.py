"""What a plan takes: the longest path through needs and gives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotlight.coldstart import plans
from pilotlight.coldstart.pricing import ends, price
from pilotlight.coldstart.techniques import rewritten
from pilotlight.fleet.plan import Plan, Stage, step

PLAIN = plans.embedded(warm_up=True)
SECONDS = st.floats(0, 1e6)
TIMES = st.fixed_dictionaries({s.name.value: SECONDS for s in PLAIN.steps})


def test_a_plan_without_steps_takes_nothing():
    assert price(Plan(()), {}) == 0.0


@pytest.mark.parametrize(
    ("fetch", "whole"),
    [(0.0, 0.1 + 1 + 2 + 4 + 8), (2.5, 0.1 + 1 + 2 + 4 + 8), (10.0, 10 + 4 + 8)],
    ids=["here", "behind the imports", "slower than the imports"],
)
def test_a_fetch_hides_behind_the_process_and_its_imports(fetch: float, whole: float):
    durations = {"allocate": 0.1, "fetch": fetch, "spawn": 1, "import": 2, "load": 4, "warm_up": 8}
    assert price(PLAIN, durations) == pytest.approx(whole)


def test_a_command_waits_for_its_weights():
    durations = {"allocate": 1, "fetch": 10, "spawn": 1, "load": 1}
    assert price(plans.command(fetch=True), durations) == 12


def test_a_technique_is_priced_by_the_step_it_puts_in():
    durations = {"allocate": 0, "fetch": 0, "spawn": 1, "import": 2, "fork": 0.01, "load": 4}
    plain = plans.embedded()
    assert price(plain, durations) == 7
    assert price(rewritten(plain, ("zygote",)), durations) == pytest.approx(4.01)


def test_a_step_without_a_price_is_an_error():
    with pytest.raises(KeyError, match="load"):
        price(Plan((step(Stage.LOAD),)), {})


def test_what_is_over_counts_as_it_was_and_what_runs_lasts_until_now_at_least():
    durations = {"allocate": 1, "fetch": 1, "spawn": 1, "import": 1, "load": 1, "warm_up": 1}
    seen = ends(PLAIN, durations, {"allocate": 3.0, "fetch": 0.5}, now=10.0)
    assert seen == {"allocate": 3, "fetch": 0.5, "spawn": 10, "import": 11, "load": 12, "warm_up": 13}


@given(TIMES)
def test_it_is_never_below_the_longest_step_nor_above_the_sum(durations: dict[str, float]):
    whole = price(PLAIN, durations)
    assert max(durations.values()) <= whole <= sum(durations.values()) * (1 + 1e-9)


@given(TIMES, st.sampled_from([s.name.value for s in PLAIN.steps]), SECONDS)
def test_a_slower_step_makes_no_plan_faster(durations: dict[str, float], name: str, more: float):
    assert price(PLAIN, {**durations, name: durations[name] + more}) >= price(PLAIN, durations)


@given(TIMES, st.permutations(PLAIN.steps))
def test_the_order_in_which_steps_are_written_does_not_matter(durations, steps):
    assert price(Plan(tuple(steps)), durations) == price(PLAIN, durations)
