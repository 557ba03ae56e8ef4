"""Carries out the steps of a plan, each as soon as what it needs is there."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from pilotlight.fleet.plan import Plan, Stage, Step


async def run_plan(plan: Plan, do: Callable[[Stage], Awaitable[None]]) -> None:
    """Returns when every step is done. The first step that raises ends the others, and its exception goes on.

    Raises ValueError for a plan that cannot be carried out, before anything is begun.
    """
    plan.check()
    have: set[str] = set()
    left = list(plan.steps)
    running: dict[asyncio.Task[None], Step] = {}
    try:
        while left or running:
            for step in [s for s in left if s.needs <= have]:
                left.remove(step)
                running[asyncio.create_task(_call(do, step.name))] = step
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                have |= running.pop(task).gives
                task.result()
    finally:
        await cancel(*running)


async def _call(do: Callable[[Stage], Awaitable[None]], stage: Stage) -> None:
    await do(stage)


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    """Ends tasks and waits for them, whatever they come to."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
