"""Waiting by the clock that the controller uses, so that tests can move it."""

import asyncio

from pilotlight.clock import Clock


async def sleep(clock: Clock, seconds: float) -> None:
    """Wakes when `clock` is `seconds` later."""
    due: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    timer = clock.call_at(clock.now() + seconds, lambda: None if due.done() else due.set_result(None))
    try:
        await due
    finally:
        timer.cancel()
