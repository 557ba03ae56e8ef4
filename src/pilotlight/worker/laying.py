"""Lays weights anew in huge pages, in a thread, where they lie in memory in small ones and no replica maps them now."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path

from pilotlight.clock import Clock
from pilotlight.substrate.inventory import free_memory
from pilotlight.units import format_size
from pilotlight.weights.huge import Laid, is_small, lay_anew
from pilotlight.worker.plan_runner import cancel
from pilotlight.worker.pool import BEHIND
from pilotlight.worker.waiting import sleep

log = logging.getLogger(__name__)

RETRY = 600.0
"""Seconds after most of them stayed in small pages before the same are looked at again [G]."""

Files = tuple[Path, ...]


class Laying:
    """One model's weights at a time, and none while a replica comes up or a snapshot is taken, which want the disk and
    the processor, and map files themselves."""

    def __init__(self, clock: Clock, is_busy: Callable[[], bool], in_use: Callable[[], set[Path]]) -> None:
        """`in_use`: files that replicas map."""
        self._clock = clock
        self._is_busy = is_busy
        self._in_use = in_use
        self._wanted: dict[Files, None] = {}
        self._not_before: dict[Files, float] = {}
        self._over = threading.Event()
        """Of what the thread does now."""
        self._task: asyncio.Task[None] | None = None
        self._quiet_at = 0.0
        """When the last order is BEHIND seconds ago."""
        self._closed = False

    def after_stop(self, files: Files) -> None:
        """One that mapped these has gone: they are looked at soon, unless another maps them."""
        if not files or self._closed or self._clock.now() < self._not_before.get(files, 0.0):
            return
        self._wanted[files] = None
        self._wait()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    def give_way(self) -> None:
        """A start or a wake is ordered: what is under way ends within one chunk, and goes on once it may."""
        self._over.set()
        self._wait()

    async def close(self) -> None:
        """Does not wait for the chunk that is under way."""
        self._closed = True
        self._over.set()
        if self._task is not None:
            await cancel(self._task)

    def _wait(self) -> None:
        self._quiet_at = self._clock.now() + BEHIND

    async def _run(self) -> None:
        while self._wanted:
            await sleep(self._clock, BEHIND)
            if self._clock.now() < self._quiet_at or self._is_busy():
                continue
            used = self._in_use()
            self._wanted = {files: None for files in self._wanted if used.isdisjoint(files)}
            if self._wanted:
                await self._lay(next(iter(self._wanted)))

    async def _lay(self, files: Files) -> None:
        over = self._over = threading.Event()
        began = self._clock.now()
        laid = await _in_a_thread(files, over.is_set)
        if laid.huge:
            seconds = self._clock.now() - began
            log.info("laid %s of %s anew in huge pages in %.1f s", format_size(laid.huge), files[0], seconds)
        in_vain = laid.in_vain > laid.huge
        if in_vain:
            self._not_before[files] = self._clock.now() + RETRY
        if in_vain or not over.is_set():
            del self._wanted[files]


async def _in_a_thread(files: Files, is_over: Callable[[], bool]) -> Laid:
    """A daemon: a disk that does not answer keeps no server from ending."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Laid] = loop.create_future()

    def tell(laid: Laid) -> None:
        if not done.done():
            done.set_result(laid)

    def work() -> None:
        laid = _laid(files, is_over)
        with contextlib.suppress(RuntimeError):  # the loop is closed: the server has left
            loop.call_soon_threadsafe(tell, laid)

    threading.Thread(target=work, name="lay anew", daemon=True).start()
    return await done


def _laid(files: Files, is_over: Callable[[], bool]) -> Laid:
    """Nothing where it is of no use or cannot be; nothing is raised."""
    try:
        fits = sum(file.stat().st_size for file in files) <= free_memory()
        if fits and is_small(files):
            return lay_anew(files, is_over)
    except (OSError, AttributeError) as error:  # they have gone; another system than Linux
        log.debug("not laid anew: %s", error)
    except Exception:
        log.exception("laying %s anew", files[0])
    return Laid()
