"""A start plan: what can be carried out, and what is said of one that cannot."""

import pytest

from pilotlight.coldstart import plans
from pilotlight.fleet.plan import Plan, Span, Stage, step


@pytest.mark.parametrize(
    "plan",
    [plans.embedded(), plans.embedded(warm_up=True), plans.command(), plans.command(fetch=True), Plan(())],
)
def test_the_plain_plans_can_be_carried_out(plan: Plan):
    plan.check()


def test_the_order_in_which_steps_are_written_does_not_matter():
    Plan(tuple(reversed(plans.embedded(warm_up=True).steps))).check()


def test_weights_are_fetched_beside_the_process():
    fetch, spawn = (
        next(s for s in plans.embedded().steps if s.name is n) for n in (Stage.FETCH, Stage.SPAWN)
    )
    assert not fetch.needs & spawn.gives
    assert not spawn.needs & fetch.gives


def test_a_command_finds_its_weights_when_it_runs():
    spawn = next(s for s in plans.command(fetch=True).steps if s.name is Stage.SPAWN)
    assert "weights" in spawn.needs


def test_a_need_that_nobody_gives_is_named():
    with pytest.raises(ValueError, match=r"load needs \['weights'\]"):
        Plan((step(Stage.LOAD, ["weights"], ["model"]),)).check()


def test_a_circle_is_named():
    circle = Plan((step(Stage.SPAWN, ["model"], ["process"]), step(Stage.LOAD, ["process"], ["model"])))
    with pytest.raises(ValueError, match=r"spawn needs \['model'\], load needs \['process'\]"):
        circle.check()


def test_a_step_that_needs_what_it_gives_itself_is_a_circle():
    with pytest.raises(ValueError, match="load needs"):
        Plan((step(Stage.LOAD, ["model"], ["model"]),)).check()


def test_two_givers_of_one_thing_are_named():
    with pytest.raises(ValueError, match="two steps give the same thing: model"):
        Plan((step(Stage.LOAD, gives=["model"]), step(Stage.WARM_UP, gives=["model"]))).check()


def test_a_span_knows_its_length():
    assert Span("load", 1.5, 4.0).seconds == 2.5
