"""One replica's life: brought up, watched, ended. Exactly one of StartFailed, Died and Stopped is its last word."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from pilotlight.coldstart.techniques import SLEEP
from pilotlight.fleet.actions import Start
from pilotlight.fleet.events import (
    Died,
    Failing,
    Measured,
    Ready,
    Recovered,
    SleepFailed,
    Slept,
    StartFailed,
    Stopped,
)
from pilotlight.spec.model import Model
from pilotlight.worker.asleep import Aside, CannotSleep
from pilotlight.worker.context import Context
from pilotlight.worker.failed import Failed
from pilotlight.worker.place import InUse
from pilotlight.worker.plan_runner import cancel
from pilotlight.worker.report import StartReport
from pilotlight.worker.start import Starting
from pilotlight.worker.waiting import sleep
from pilotlight.worker.watch import HealthWatch

log = logging.getLogger(__name__)

_WATCH_ANEW = 30.0
"""Seconds after which a watch that met an error of its own is taken up again."""


class Replica:
    """Runs as one task; `stop` and `probe` return at once."""

    def __init__(
        self,
        context: Context,
        action: Start,
        model: Model,
        in_use: InUse,
        ended: Callable[["Replica"], None],
    ) -> None:
        self.id = action.replica
        self.deployment = action.deployment
        self.starting = Starting(context, action, model, in_use)
        self.memory: int | None = None
        self.ready_at: float | None = None
        self.outcome = ""
        self._context = context
        self._model = model
        self._ended = ended
        self._stopping: float | None = None
        self._condemned: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._asking: asyncio.Task[None] | None = None
        self._watching: list[asyncio.Task[None]] = []
        self._health = HealthWatch(context, self.starting, self._condemn)
        self._aside = Aside(context, self.starting)
        self._resting: asyncio.Task[None] | None = None
        self._work = asyncio.create_task(self._up())
        self.task = asyncio.create_task(self._live(), name=f"replica {self.id}")

    @property
    def url(self) -> str:
        return self.starting.place.url

    def stop(self, grace: float) -> None:
        """Seconds from SIGTERM to SIGKILL. It ends in any state; a second call changes nothing."""
        if self._stopping is None:
            self._stopping = grace
            self._work.cancel()

    def probe(self) -> None:
        """Posts Recovered, or ends in Died."""
        if self._is_awake() and (self._asking is None or self._asking.done()):
            self._asking = asyncio.create_task(self._answer_suspicion())

    def sleep(self, level: int) -> None:
        """Posts Slept or SleepFailed, or ends in Died."""
        if self._is_awake():
            self._rest(self._go_to_sleep(level))

    def wake(self) -> None:
        """Posts Ready, or ends in Died."""
        if self.ready_at is not None and not self.outcome:
            self._rest(self._come_back())

    def report(self) -> StartReport:
        start, process, woken = self.starting, self.starting.engine_process.running, self._aside.woken
        spans = woken.spans if woken is not None else start.spans
        return StartReport(
            replica=self.id,
            deployment=self.deployment,
            engine=self._model.engine,
            ordered_at=woken.ordered_at if woken is not None else start.ordered_at,
            ready_at=woken.ready_at if woken is not None else self.ready_at,
            spans=tuple(sorted(spans, key=lambda span: span.start)),
            doing=self.outcome or self._doing(),
            log=start.place.log,
            pid=process.pid if process is not None else None,
            memory=self.memory,
            techniques=(SLEEP.name,) if woken is not None else start.ways.used,
            fell_back="" if woken is not None else start.ways.fell_back,
            seen=start.seen if self.ready_at is None and self._stopping is not None else "",
            kind="start" if woken is None else "wake",
        )

    def _doing(self) -> str:
        if self.ready_at is not None:
            return self._aside.doing or "ready"
        source = self._model.source
        fetching = self._context.fetches.progress(source) if source else ""
        return fetching or self.starting.doing

    # -- its life ------------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        """Never cancelled, so that what was started is always cleared up; `_up` is."""
        await asyncio.wait([self._work])
        outcome = self._outcome()
        self.outcome = str(outcome)
        if self.ready_at is not None and self._stopping is None:
            # Clearing up may take as long as a stop command does, and nobody is to be sent here meanwhile.
            self._context.post(Failing(self._context.clock.now(), self.id, self.outcome))
        try:
            await self._clear_up()
        except Exception:
            log.exception("could not clear up after replica %s", self.id)
        finally:  # without it the kernel would reckon with this replica for ever
            self._last_word(outcome)

    async def _up(self) -> str:
        """Until it is no longer up, and why. Raises Failed when it did not get there."""
        await self.starting.run()
        self.ready_at = self._context.clock.now()
        self._context.post(Ready(self.ready_at, self.id, self.starting.fetched, self.starting.ways.used))
        return await self._stay_up()

    def _outcome(self) -> str | Failed:
        if self._work.cancelled():
            return "stopped"
        error = self._work.exception()
        if error is None:
            return self._work.result()
        if isinstance(error, Failed):
            return error
        log.error("replica %s", self.id, exc_info=error)
        return f"pilotlight met an error of its own: {error!r}"

    async def _clear_up(self) -> None:
        if self._asking is not None:
            await cancel(self._asking)
        failed = self.ready_at is None and self._stopping is None
        grace = self._context.settings.failed_grace if failed else self._stopping or 0.0
        try:
            process = await self.starting.engine_process.process()
            if process is not None:
                await process.stop(grace)
        except Exception:
            log.exception("could not end replica %s", self.id)
        await self.starting.close()

    def _last_word(self, outcome: str | Failed) -> None:
        if isinstance(outcome, Failed):
            self.outcome = outcome.sentence(self.starting.place.log)
        self._ended(self)
        now = self._context.clock.now()
        if self._stopping is not None:
            self._context.post(Stopped(now, self.id))
            if self.ready_at is not None and (wanted := self.starting.snapshot(self.memory)) is not None:
                self._context.snapshots.after_stop(wanted)
        elif self.ready_at is None:
            self._context.post(StartFailed(now, self.id, self.outcome))
        else:
            self._context.post(Died(now, self.id, self.outcome))

    # -- while it is up ------------------------------------------------------------------------------------------

    async def _stay_up(self) -> str:
        """Why it is no longer up."""
        exited = asyncio.create_task(self.starting.engine_process.exited())
        self._watch()
        try:
            await asyncio.wait((exited, self._condemned), return_when=asyncio.FIRST_COMPLETED)
            return f"the engine {exited.result()}" if exited.done() else self._condemned.result()
        finally:
            await cancel(*self._watching, *([self._resting] if self._resting is not None else []))
            exited.cancel()

    def _is_awake(self) -> bool:
        return self.ready_at is not None and not self.outcome and not self._aside.doing

    def _watch(self) -> None:
        """Not while it is asleep: neither is it to be woken by a question nor to be condemned for its silence."""
        watches = (self._health.watch, self._watch_memory)
        self._watching = [asyncio.create_task(self._keep(watch)) for watch in watches]

    async def _keep(self, watch: Callable[[], Awaitable[None]]) -> None:
        """Until the watch is over; an error of its own is logged and does not leave the replica unwatched."""
        while True:
            try:
                return await watch()
            except Exception:
                log.exception("watching replica %s", self.id)
            await sleep(self._context.clock, _WATCH_ANEW)

    def _condemn(self, reason: str) -> None:
        if not self._condemned.done():
            self._condemned.set_result(reason)

    async def _answer_suspicion(self) -> None:
        if await self._health.recovers():
            self._context.post(Recovered(self._context.clock.now(), self.id))

    async def _watch_memory(self) -> None:
        settings, clock = self._context.settings, self._context.clock
        await sleep(clock, settings.measure_first)
        while True:
            await self._measure()
            await sleep(clock, settings.measure_every)

    async def _measure(self) -> None:
        memory, on_gpu = await self._aside.measured()
        if not memory:
            return  # it is just ending
        self.memory = memory
        self._context.post(Measured(self._context.clock.now(), self.id, memory, on_gpu))

    # -- put aside -----------------------------------------------------------------------------------------------

    def _rest(self, work: Coroutine[Any, Any, None]) -> None:
        self._resting = asyncio.create_task(work)

    async def _go_to_sleep(self, level: int) -> None:
        await cancel(*self._watching)
        try:
            self.memory, on_gpu = await self._aside.sleep(level)
        except CannotSleep as error:
            self._context.post(SleepFailed(self._context.clock.now(), self.id, str(error)))
        except Exception as error:
            log.exception("putting replica %s to sleep", self.id)
            reason = f"pilotlight met an error of its own: {error!r}"
            self._context.post(SleepFailed(self._context.clock.now(), self.id, reason))
        else:
            self._context.post(Slept(self._context.clock.now(), self.id, self.memory, on_gpu))

    async def _come_back(self) -> None:
        try:
            wrong = await self._aside.wake()
        except Exception as error:
            log.exception("waking replica %s", self.id)
            wrong = f"pilotlight met an error of its own: {error!r}"
        if wrong:
            self._condemn(wrong)
            return
        self._watch()
        self._context.post(Ready(self._context.clock.now(), self.id))
