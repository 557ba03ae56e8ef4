"""What is kept primed: zygotes, and processes of the warm pool that have their runtime imported and no model yet.

Zygotes are made after the first start that could have used one. A warm pool is filled when it is declared and refilled
once the start that took a process is over, so that the two do not contend. Both cost memory all the time, which is
measured and told as Overhead; `trim` lets go of everything when a replica needs it.
"""

import asyncio
import itertools
import logging
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import msgspec

from pilotlight.clock import Clock
from pilotlight.errors import EngineError
from pilotlight.fleet.events import Event, Overhead
from pilotlight.fleet.plan import Stage
from pilotlight.ports import Command, Launch, Preload, Process, Substrate
from pilotlight.worker.channel import Channel, EngineRefused
from pilotlight.worker.memory import Measure
from pilotlight.worker.settings import Settings
from pilotlight.worker.waiting import sleep

log = logging.getLogger(__name__)

AFTER_TRIM = 60.0
"""Seconds after a trim before anything is primed again: what needed the memory is likely to need it still."""
BEHIND = 1.0
"""Seconds after a start before anything is primed."""
RETRY = 30.0
"""Seconds after a process that could not be primed."""


class Primed(msgspec.Struct, eq=False):
    """A process that waits for its model."""

    process: Process
    channel: Channel
    preload: Preload
    log: Path


class Pool:
    def __init__(
        self,
        substrate: Substrate,
        clock: Clock,
        settings: Settings,
        measure: Measure,
        post: Callable[[Event], None],
    ) -> None:
        self._substrate = substrate
        self._clock = clock
        self._settings = settings
        self._measure = measure
        self._post = post
        self._wanted: dict[Preload, tuple[int, Launch]] = {}
        self._primed: list[Primed] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._filling: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._numbers = itertools.count(1)
        self._not_before = 0.0
        self._told = 0
        self._closed = False

    # -- for a start ---------------------------------------------------------------------------------------------

    def take(self, preload: Preload) -> Primed | None:
        """One that waits, now the caller's; None when there is none."""
        found = next((p for p in self._primed if p.preload == preload), None)
        if found is not None:
            self._primed.remove(found)
        return found

    def put_back(self, primed: Primed) -> None:
        self._primed.append(primed)

    def after_start(self, launch: Launch, techniques: tuple[str, ...]) -> None:
        """A start is over: what it took is made good, and what it missed is begun, when the request that waited has
        had the machine to itself for its first token."""
        if not self._closed:
            self._clock.call_at(
                self._clock.now() + BEHIND, lambda: self._make_good(launch.preload, techniques)
            )

    def _make_good(self, preload: Preload | None, techniques: tuple[str, ...]) -> None:
        if preload is not None and "zygote" in techniques and self._may_prime():
            log_file = self._folder("zygotes") / f"{preload.engine}.log"
            self._substrate.warm_zygote(preload, log_file, self._settings.env)
            self._watch()
        self.fill()

    # -- how much ------------------------------------------------------------------------------------------------

    def want(self, wanted: Mapping[Preload, tuple[int, Launch]]) -> None:
        """How many processes of each kind wait, and how one is started plainly. Those not wanted any more go."""
        self._wanted = dict(wanted)
        for primed in list(self._primed):
            if primed.preload not in self._wanted:
                self._let_go(primed)
        self.fill()

    def waiting(self) -> Mapping[str, int]:
        """Primed processes by engine."""
        counts: dict[str, int] = {}
        for primed in self._primed:
            counts[primed.preload.engine] = counts.get(primed.preload.engine, 0) + 1
        return counts

    def logs(self) -> set[Path]:
        return {primed.log for primed in self._primed}

    def trim(self, host: str) -> None:
        """Lets go of everything that is primed; posts Overhead when it is gone."""
        self._not_before = self._clock.now() + AFTER_TRIM
        self._substrate.end_zygotes()
        going = [self._let_go(primed) for primed in list(self._primed)]
        self._background(self._tell_when_gone(going))

    async def close(self) -> None:
        self._closed = True
        for task in (self._filling, self._watching):
            if task is not None:
                task.cancel()
        for primed in list(self._primed):
            self._let_go(primed)
        self._substrate.end_zygotes()
        if self._tasks:
            await asyncio.wait(self._tasks)

    # -- filling -------------------------------------------------------------------------------------------------

    def fill(self) -> None:
        """Brings the pool to what is wanted, one process after the other, in the background."""
        if not self._closed and self._wanted and (self._filling is None or self._filling.done()):
            self._filling = asyncio.create_task(self._fill())

    async def _fill(self) -> None:
        while (missing := self._missing()) is not None:
            wait = self._not_before - self._clock.now()
            if wait > 0:
                await sleep(self._clock, wait)
                continue
            preload, launch = missing
            try:
                self._primed.append(await self._prime(preload, launch))
            except (EngineError, EngineRefused, OSError) as error:
                log.warning(
                    "a process for the warm pool of %s could not be primed: %s", preload.engine, error
                )
                self._not_before = self._clock.now() + RETRY
            self._watch()

    def _missing(self) -> tuple[Preload, Launch] | None:
        for preload, (count, launch) in self._wanted.items():
            if sum(p.preload == preload for p in self._primed) < count:
                return preload, launch
        return None

    async def _prime(self, preload: Preload, launch: Launch) -> Primed:
        """From the zygote where there is one. Raises EngineError, EngineRefused."""
        number = next(self._numbers)
        where = self._folder("primed") / f"{number}.log"
        command = Command(
            replica=f"primed-{preload.engine}-{number}",
            argv=launch.argv,
            env={**self._settings.env, **dict(preload.env)},
            cwd=launch.cwd,
            log=where,
            log_max_size=self._settings.log_max_size,
            channel=True,
            preload=preload if self._substrate.zygote_ready(preload) else None,
        )
        process = await self._substrate.spawn(command)
        assert process.channel is not None
        primed = Primed(process, Channel(process.channel), preload, where)
        try:
            await self._until_primed(primed, forked=command.preload is not None)
        except BaseException:
            self._background(self._end(primed))
            raise
        self._background(self._watch_over(primed))
        return primed

    async def _until_primed(self, primed: Primed, forked: bool) -> None:
        async def told() -> None:
            await primed.channel.begun()
            if not forked:
                await primed.channel.stage(Stage.IMPORT.value)

        telling = asyncio.create_task(told())
        ended = asyncio.create_task(primed.process.ended())
        try:
            await asyncio.wait((telling, ended), return_when=asyncio.FIRST_COMPLETED)
            if not telling.done():
                raise EngineError(f"it {ended.result()}; see {primed.log}")
            telling.result()
        finally:
            telling.cancel()
            ended.cancel()

    async def _watch_over(self, primed: Primed) -> None:
        """One that ends while it waits is replaced, not at once."""
        await primed.process.ended()
        if primed in self._primed:
            self._primed.remove(primed)
            await primed.channel.close()
            self._not_before = max(self._not_before, self._clock.now() + RETRY)
            self.fill()

    def _may_prime(self) -> bool:
        return not self._closed and self._clock.now() >= self._not_before

    def _folder(self, name: str) -> Path:
        """Beside the models' logs; no model's folder begins with a dot."""
        folder = self._settings.log_dir / f".{name}"
        folder.mkdir(0o700, parents=True, exist_ok=True)
        return folder

    # -- letting go ----------------------------------------------------------------------------------------------

    def _let_go(self, primed: Primed) -> asyncio.Task[None]:
        self._primed.remove(primed)
        return self._background(self._end(primed))

    async def _end(self, primed: Primed) -> None:
        await primed.process.stop(0.0)
        await primed.channel.close()
        primed.log.unlink(missing_ok=True)

    async def _tell_when_gone(self, going: list[asyncio.Task[None]]) -> None:
        if going:
            await asyncio.wait(going)
        await self._tell_overhead()

    def _background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # -- what it costs -------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch_overhead())

    async def _watch_overhead(self) -> None:
        await sleep(self._clock, self._settings.measure_first)
        while self._pids() or self._told:
            await self._tell_overhead()
            await sleep(self._clock, self._settings.measure_every)

    def _pids(self) -> list[int]:
        pids = [zygote.pid for zygote in self._substrate.zygotes()]
        for primed in self._primed:
            pids += primed.process.pids()
        return pids

    async def _tell_overhead(self) -> None:
        pids = self._pids()
        memory = (await asyncio.to_thread(self._measure, pids, ()))[0] if pids else 0
        if not self._closed and memory != self._told:
            self._told = memory
            self._post(Overhead(self._clock.now(), "local", memory))
