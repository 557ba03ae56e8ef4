"""Reads weights ahead of an engine, in a thread."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Sequence
from pathlib import Path

import psutil

from pilotlight.weights.read_ahead import is_cold, read
from pilotlight.worker.plan_runner import cancel

log = logging.getLogger(__name__)


def worth_it(files: Sequence[Path]) -> bool:
    """Whether they are on the disk alone, and there is memory for them that nothing else has to leave."""
    try:
        return is_cold(files) and sum(f.stat().st_size for f in files) <= psutil.virtual_memory().available
    except OSError:
        return False


async def read_ahead(files: Sequence[Path], enough: asyncio.Event) -> None:
    """Until they are in memory, or `enough` is set: the engine has loaded, and needs no more of them."""
    loop, done, over = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def work() -> None:
        try:
            read(files, over.is_set)
        except OSError as error:  # the engine will say so too
            log.info("not read ahead: %s", error)
        with contextlib.suppress(RuntimeError):  # the loop is closed: the server has left
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=work, name="read ahead", daemon=True).start()
    waits = [asyncio.create_task(event.wait()) for event in (done, enough)]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        over.set()
        await cancel(*waits)
