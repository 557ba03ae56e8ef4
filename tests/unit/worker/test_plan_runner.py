import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotlight.coldstart import plans
from pilotlight.fleet.plan import Plan, Stage, step
from pilotlight.worker.plan_runner import run_plan


async def test_steps_begin_when_what_they_need_is_there() -> None:
    begun: list[str] = []
    fetched = asyncio.Event()

    async def do(stage: Stage) -> None:
        begun.append(stage.value)
        if stage is Stage.FETCH:
            await fetched.wait()
        if stage is Stage.IMPORT:
            fetched.set()

    await run_plan(plans.embedded(warm_up=True), do)
    assert begun == ["allocate", "fetch", "spawn", "import", "load", "warm_up"]


async def test_a_step_that_fails_ends_the_others() -> None:
    ended: list[Stage] = []

    async def do(stage: Stage) -> None:
        if stage is Stage.SPAWN:
            raise OSError("no")
        try:
            if stage is Stage.FETCH:
                await asyncio.Event().wait()
        finally:
            ended.append(stage)

    with pytest.raises(OSError, match="no"):
        await run_plan(plans.embedded(), do)
    assert ended == [Stage.ALLOCATE, Stage.FETCH]


async def test_a_plan_that_cannot_be_carried_out_begins_nothing() -> None:
    begun: list[Stage] = []

    async def do(stage: Stage) -> None:
        begun.append(stage)

    with pytest.raises(ValueError, match="runtime"):
        await run_plan(Plan((plans.ALLOCATE, step(Stage.LOAD, ["runtime"]))), do)
    assert not begun


@given(st.permutations(list(Stage)), st.data())
def test_any_plan_without_circles_is_carried_out_whole(stages: list[Stage], data: st.DataObject) -> None:
    gives = [f"thing {n}" for n in range(len(stages))]
    steps = [
        step(stage, data.draw(st.sets(st.sampled_from(gives[:n])) if n else st.just(set())), [gives[n]])
        for n, stage in enumerate(stages)
    ]
    order: list[Stage] = []

    async def do(stage: Stage) -> None:
        await asyncio.sleep(0)
        order.append(stage)

    asyncio.run(run_plan(Plan(tuple(data.draw(st.permutations(steps)))), do))
    place = {stage: n for n, stage in enumerate(order)}
    assert len(order) == len(stages)
    for early, late in itertools.permutations(steps, 2):
        if early.gives & late.needs:
            assert place[early.name] < place[late.name]
