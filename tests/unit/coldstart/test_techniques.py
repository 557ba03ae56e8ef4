"""Rewriting a start plan."""

import pytest

from pilotlight.coldstart import plans
from pilotlight.coldstart.techniques import TECHNIQUES, rewritten
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
