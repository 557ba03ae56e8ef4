"""Waiting by the clock that the controller uses, so that tests can move it."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from pilotlight.clock import Clock
from pilotlight.worker.plan_runner import cancel

T = TypeVar("T")


async def sleep(clock: Clock, seconds: float) -> None:
    """Wakes when `clock` is `seconds` later."""
    due: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    timer = clock.call_at(clock.now() + seconds, lambda: None if due.done() else due.set_result(None))
    try:
        await due
    finally:
        timer.cancel()


async def within(clock: Clock, seconds: float, work: Awaitable[T]) -> T:
    """What comes of it; TimeoutError when it is not done by then, and it is cancelled."""
    doing, late = asyncio.ensure_future(work), asyncio.create_task(sleep(clock, seconds))
    try:
        await asyncio.wait((doing, late), return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise TimeoutError
        return doing.result()
    finally:
        await cancel(doing, late)
