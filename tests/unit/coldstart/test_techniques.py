"""Rewriting a start plan."""

import pytest

from pilotlight.coldstart import plans
from pilotlight.coldstart.pricing import ends, price
from pilotlight.coldstart.techniques import TECHNIQUES, chosen, rewritten
from pilotlight.fleet.plan import Stage
from pilotlight.spec.types import TECHNIQUES as NAMES

PLAIN = plans.embedded(warm_up=True)


def names(techniques: list[str]) -> list[Stage]:
    plan = rewritten(PLAIN, techniques)
    plan.check()
    return [step.name for step in plan.steps]


@pytest.mark.parametrize(("technique", "stage"), [("zygote", Stage.FORK), ("warm_pool", Stage.TAKE)])
def test_a_process_and_its_imports_are_replaced_by_one_step(technique: str, stage: Stage) -> None:
    plan = rewritten(PLAIN, [technique])
    (step,) = [step for step in plan.steps if step.name is stage]
    assert step.needs == {"place"} and step.gives == {"process", "runtime"}
    assert {s.name for s in plan.steps} == {Stage.ALLOCATE, Stage.FETCH, stage, Stage.LOAD, Stage.WARM_UP}
    assert plan.techniques == (technique,)


@pytest.mark.parametrize("warm_up", [True, False])
def test_what_was_dumped_when_it_was_ready_needs_its_weights_and_nothing_else(warm_up: bool) -> None:
    plan = rewritten(plans.embedded(warm_up), ["snapshot", "warm_pool", "zygote", "stream"])
    plan.check()
    assert [step.name for step in plan.steps] == [Stage.ALLOCATE, Stage.FETCH, Stage.RESTORE]
    assert plan.steps[-1].needs == {"place", "weights"} and "model" in plan.steps[-1].gives
    assert plan.techniques == ("snapshot",)
    assert rewritten(plans.self_fetching(), ["snapshot"]) == plans.self_fetching()


def test_snapshots_are_for_those_who_name_them() -> None:
    offered = ("zygote", "snapshot", "sleep")
    assert chosen(offered, None) == ("zygote", "sleep")
    assert chosen(offered, ("sleep", "snapshot", "stream")) == ("snapshot", "sleep")
    assert chosen(offered, ()) == ()


def test_weights_are_laid_in_huge_pages_unless_others_are_named() -> None:
    offered = ("zygote", "read_ahead", "huge_pages")
    assert chosen(offered, None) == ("zygote", "huge_pages")
    assert chosen(offered, ("zygote",)) == ("zygote",)
    assert chosen(offered, ()) == ()
    assert rewritten(PLAIN, ["huge_pages"]) == PLAIN, "nothing of it happens in a start"


def test_a_primed_process_goes_before_a_fork() -> None:
    plan = rewritten(PLAIN, ["zygote", "warm_pool"])
    assert plan.techniques == ("warm_pool",)
    assert Stage.FORK not in names(["zygote", "warm_pool"])


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_a_plan_that_offers_no_hold_stays_as_it_was(technique: str) -> None:
    command = plans.command()
    assert rewritten(command, [technique]) == command


def test_nothing_is_rewritten_unasked() -> None:
    assert rewritten(PLAIN, []) == PLAIN
    assert rewritten(PLAIN, ["sleep"]) == PLAIN, "waking has no plan"


def test_the_config_knows_every_technique() -> None:
    assert set(TECHNIQUES) <= set(NAMES)


def test_a_load_beside_the_fetch_is_held_back_by_it_alone() -> None:
    plan = rewritten(PLAIN, ["stream", "zygote"])
    plan.check()
    assert plan.techniques == ("zygote", "stream")
    took = {
        "allocate": 0.0,
        "header": 0.5,
        "fetch": 10.0,
        "fork": 0.1,
        "load": 2.0,
        "whole": 0.0,
        "warm_up": 1.0,
    }
    over = ends(plan, took)
    assert (over["load"], over["whole"], over["warm_up"]) == (2.5, 10.0, 11.0)
    assert price(PLAIN, took | {"spawn": 0.1, "import": 0.0}) == 13.0


def test_what_fetches_by_itself_is_not_streamed() -> None:
    assert rewritten(plans.self_fetching(), ["stream"]) == plans.self_fetching()
    assert rewritten(plans.command(fetch=True), ["stream"]) == plans.command(fetch=True)


def test_reading_ahead_begins_with_the_weights_and_nothing_waits_for_it() -> None:
    plan = rewritten(PLAIN, ["read_ahead", "zygote"])
    plan.check()
    assert plan.techniques == ("zygote", "read_ahead")
    (read,) = [s for s in plan.steps if s.name is Stage.READ]
    assert (read.needs, read.gives) == ({"weights"}, frozenset())
    (alone,) = [s for s in rewritten(plans.self_fetching(), ["read_ahead"]).steps if s.name is Stage.READ]
    assert alone.needs == frozenset(), "where they are is known from the first"
