"""What is kept primed: zygotes, and processes of the warm pool that have their runtime imported and no model yet.

Zygotes are made after the first start that could have used one. A warm pool is filled when it is declared and refilled
once the start that took a process is over, so that the two do not contend. Both cost memory all the time, which is
measured and told as Overhead; `trim` lets go of everything when a replica needs it.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Mapping
from pathlib import Path
from typing import Any

from pilotlight.clock import Clock, Timer
from pilotlight.errors import EngineError
from pilotlight.fleet.events import Event
from pilotlight.ports import Launch, Preload, Process, Substrate
from pilotlight.worker.channel import EngineRefused
from pilotlight.worker.memory import Measure
from pilotlight.worker.overhead import Overhead
from pilotlight.worker.plan_runner import cancel
from pilotlight.worker.priming import Primed, prime
from pilotlight.worker.settings import Settings

log = logging.getLogger(__name__)

AFTER_TRIM = 60.0
"""Seconds after a trim before anything is primed again: what needed the memory is likely to need it still."""
BEHIND = 1.0
"""Seconds after a start before anything is primed."""
RETRY = 30.0
"""Seconds after a process that could not be primed, or that ended while it waited."""

Wanted = Mapping[Preload, tuple[int, Launch]]
"""How many processes of each kind wait, and how one is started plainly."""


class Pool:
    def __init__(
        self,
        substrate: Substrate,
        clock: Clock,
        settings: Settings,
        measure: Measure,
        post: Callable[[Event], None],
        again: Callable[[], None],
    ) -> None:
        """`again` has `want` called anew with what is declared, as engines are installed now."""
        self._substrate = substrate
        self._clock = clock
        self._settings = settings
        self._again = again
        self._wanted: Wanted = {}
        self._kinds: set[Preload] | None = None
        """All that a start may use; None before anything was declared."""
        self._waiting: list[Primed] = []
        self._coming: list[Primed] = []
        """Whose imports still run."""
        self._beside: list[Process] = []
        """Others that are not replicas either, and go when what is primed has to."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._watches: set[asyncio.Task[None]] = set()
        self._filling: asyncio.Task[None] | None = None
        self._trimmed_until = 0.0
        self._retry_at: dict[Preload, float] = {}
        """Of the kinds that failed: one that is broken keeps no other from being primed."""
        self._timer: Timer | None = None
        self._closed = False
        self._overhead = Overhead(clock, settings, measure, post, self._pids)

    # -- for a start ---------------------------------------------------------------------------------------------

    def take(self, preload: Preload) -> Primed | None:
        """One that waits, now the caller's; None when there is none."""
        found = next((p for p in self._waiting if p.preload == preload and not p.over.done()), None)
        if found is not None:
            self._waiting.remove(found)
            self._background(self._overhead.tell())  # from now on it counts as a replica
        return found

    def put_back(self, primed: Primed) -> None:
        """It was not used after all."""
        self._waiting.append(primed)
        self._let_go_of_surplus()

    def after_start(self, launch: Launch, techniques: Collection[str]) -> None:
        """A start is over: what it took is made good, and what it missed is begun, when the request that waited has
        had the machine to itself for its first token."""
        if not self._closed:
            due = self._clock.now() + BEHIND
            self._clock.call_at(due, lambda: self._make_good(launch.preload, techniques))

    def _make_good(self, preload: Preload | None, techniques: Collection[str]) -> None:
        trimmed = self._clock.now() < self._trimmed_until
        known = preload is None or self._kinds is None or preload in self._kinds
        if not known and not self._closed:
            self._again()  # it may have been installed, or changed, since
        declared = self._kinds is None or preload in self._kinds  # a reload may have come since
        if preload is not None and declared and "zygote" in techniques and not trimmed and not self._closed:
            log_file = self._folder("zygotes") / f"{preload.engine}.log"
            self._substrate.warm_zygote(preload, log_file, self._settings.env)
            self._overhead.watch()
        self.fill()

    # -- how much ------------------------------------------------------------------------------------------------

    def want(self, wanted: Wanted, kinds: Collection[Preload]) -> None:
        """`kinds` are all that a start may use; zygotes of others go, and processes beyond what is wanted."""
        self._wanted, self._kinds = dict(wanted), set(kinds)
        self._retry_at = {kind: at for kind, at in self._retry_at.items() if kind in wanted}
        self._substrate.keep_zygotes(kinds)
        if any(primed.preload not in self._wanted for primed in self._coming):
            self._stop_filling()
        self._let_go_of_surplus()
        self.fill()

    def renew(self) -> None:
        """What engines find in their environment has changed: all that has the old one goes."""
        self._let_all_go()
        self.fill()

    def waiting(self) -> Mapping[str, int]:
        """Primed processes by engine."""
        counts: dict[str, int] = {}
        for primed in self._waiting:
            counts[primed.preload.engine] = counts.get(primed.preload.engine, 0) + 1
        return counts

    def trim(self) -> None:
        """Lets go of everything that is primed; posts Overhead when it is gone."""
        self._trimmed_until = self._clock.now() + AFTER_TRIM
        self._let_all_go()
        self._background(self._tell_when_gone(set(self._tasks)))
        self.fill()  # once it may again

    def counts(self, process: Process) -> None:
        """What it takes is told with what is primed, and it is ended with that when a replica needs the room."""
        self._beside.append(process)
        self._overhead.watch()

    def counts_no_more(self, process: Process) -> None:
        self._beside.remove(process)

    async def close(self) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._overhead.close()
        self._let_all_go()
        await cancel(*self._watches)
        while self._tasks:
            await asyncio.wait(self._tasks)

    # -- filling -------------------------------------------------------------------------------------------------

    def fill(self) -> None:
        """Brings the pool to what is wanted, one process after the other, in the background."""
        if self._closed or (self._filling is not None and not self._filling.done()):
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = [self._due(preload) for preload, _ in self._missing()]
        if due and min(due) > self._clock.now():
            self._timer = self._clock.call_at(min(due), self.fill)
        elif due:
            self._filling = asyncio.create_task(self._fill())

    async def _fill(self) -> None:
        while missing := [m for m in self._missing() if self._due(m[0]) <= self._clock.now()]:
            preload, launch = missing[0]
            try:
                await self._add(preload, launch)
            except (EngineError, EngineRefused, OSError) as error:
                log.warning("no process could be primed for %s: %s", preload.engine, error)
                self._retry_at[preload] = self._clock.now() + RETRY
        self._let_go_of_surplus()
        self._filling = None
        self.fill()  # those that are not due yet

    async def _add(self, preload: Preload, launch: Launch) -> None:
        mine: list[Primed] = []

        def is_there(primed: Primed) -> None:
            mine.append(primed)
            self._coming.append(primed)
            self._overhead.watch()

        folder = self._folder("primed")
        try:
            primed = await prime(
                self._substrate, self._clock, self._settings, preload, launch, folder, is_there
            )
        except BaseException:
            for primed in mine:
                self._coming.remove(primed)
                self._background(primed.end())
            raise
        self._coming.remove(primed)
        self._waiting.append(primed)
        watch = asyncio.create_task(self._watch_over(primed))
        self._watches.add(watch)
        watch.add_done_callback(self._watches.discard)

    def _missing(self) -> list[tuple[Preload, Launch]]:
        """Kinds of which too few wait."""
        return [
            (preload, launch)
            for preload, (count, launch) in self._wanted.items()
            if sum(p.preload == preload for p in self._waiting) < count
        ]

    def _due(self, preload: Preload) -> float:
        return max(self._trimmed_until, self._retry_at.get(preload, 0.0))

    async def _watch_over(self, primed: Primed) -> None:
        """One that ends while it waits is replaced, not at once."""
        await asyncio.wait((primed.over,))
        if primed in self._waiting:
            log.warning("a primed process of %s has ended: %s", primed.preload.engine, primed.last_words())
            self._waiting.remove(primed)
            self._retry_at[primed.preload] = self._clock.now() + RETRY
            self.fill()
            await primed.end()

    def _folder(self, name: str) -> Path:
        """Beside the models' logs; no model's folder begins with a dot."""
        folder = self._settings.log_dir / f".{name}"
        folder.mkdir(0o700, parents=True, exist_ok=True)
        return folder

    # -- letting go ----------------------------------------------------------------------------------------------

    def _let_all_go(self) -> None:
        self._stop_filling()
        for primed in list(self._waiting):
            self._let_go(primed)
        for process in self._beside:
            self._background(_ended(process))
        self._background(self._substrate.end_zygotes())

    def _stop_filling(self) -> None:
        """And end the process whose imports still run."""
        if self._filling is not None and not self._filling.done():
            self._background(cancel(self._filling))
        self._filling = None

    def _let_go_of_surplus(self) -> None:
        kept: dict[Preload, int] = {}
        for primed in list(self._waiting):
            kept[primed.preload] = kept.get(primed.preload, 0) + 1
            many = self._closed or kept[primed.preload] > self._wanted.get(primed.preload, (0,))[0]
            if many or primed.over.done():
                self._let_go(primed)

    def _let_go(self, primed: Primed) -> None:
        self._waiting.remove(primed)
        self._background(primed.end())

    async def _tell_when_gone(self, going: Collection[asyncio.Task[None]]) -> None:
        if going:
            await asyncio.wait(going)
        await self._overhead.tell(always=True)

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _pids(self) -> list[int]:
        pids = [pid for zygote in self._substrate.zygotes() for pid in zygote.pids]
        for process in (*(p.process for p in (*self._waiting, *self._coming)), *self._beside):
            pids += process.pids()
        return pids


async def _ended(process: Process) -> None:
    await process.stop(0.0)
