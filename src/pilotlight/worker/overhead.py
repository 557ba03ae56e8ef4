"""What zygotes and primed processes take, measured and told to the kernel."""

import asyncio
from collections.abc import Callable, Sequence

from pilotlight.clock import Clock
from pilotlight.fleet.events import Event
from pilotlight.fleet.events import Overhead as Told
from pilotlight.worker.memory import Measure
from pilotlight.worker.settings import Settings
from pilotlight.worker.waiting import sleep


class Overhead:
    """`pids` says whose memory it is at the moment."""

    def __init__(
        self,
        clock: Clock,
        settings: Settings,
        measure: Measure,
        post: Callable[[Event], None],
        pids: Callable[[], Sequence[int]],
    ) -> None:
        self._clock = clock
        self._settings = settings
        self._measure = measure
        self._post = post
        self._pids = pids
        self._told = 0
        self._watching: asyncio.Task[None] | None = None
        self._closed = False

    def watch(self) -> None:
        """As long as there is something to be measured."""
        if not self._closed and (self._watching is None or self._watching.done()):
            self._watching = asyncio.create_task(self._watch())

    async def tell(self, always: bool = False) -> None:
        """Posts Overhead, where it has changed or `always`."""
        pids = self._pids()
        memory = (await asyncio.to_thread(self._measure, pids, ()))[0] if pids else 0
        if not self._closed and (always or memory != self._told):
            self._told = memory
            self._post(Told(self._clock.now(), "local", memory))

    def close(self) -> None:
        self._closed = True
        if self._watching is not None:
            self._watching.cancel()

    async def _watch(self) -> None:
        await sleep(self._clock, self._settings.measure_first)
        while self._pids() or self._told:
            await self.tell()
            await sleep(self._clock, self._settings.measure_every)
