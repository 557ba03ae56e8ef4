"""Reads weights ahead of an engine, in a thread."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Sequence
from pathlib import Path

from pilotlight.substrate.inventory import free_memory
from pilotlight.units import format_size
from pilotlight.weights.page_cache import can_tell
from pilotlight.weights.read_ahead import is_cold, read
from pilotlight.worker.plan_runner import cancel

log = logging.getLogger(__name__)


def worth_it(files: Sequence[Path]) -> tuple[bool, str]:
    """Whether they are on the disk alone, and there is memory for them that nothing else has to leave; and if not, why
    they are not read though they may be on the disk, empty where there is nothing to read."""
    try:
        untold = next((f for f in files if not can_tell(f)), None)
        if untold is not None:
            return False, (
                f"the kernel does not say whether {untold} is in memory, for it belongs to another user; "
                "make it this user's"
            )
        if not is_cold(files):
            return False, ""
        size, free = sum(f.stat().st_size for f in files), free_memory()
    except OSError:  # the engine will say so
        return False, ""
    if size > free:
        return False, f"the weights take {format_size(size)}, and {format_size(free)} of memory are free"
    return True, ""


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
