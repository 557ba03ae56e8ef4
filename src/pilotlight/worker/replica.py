"""One replica's life: brought up, watched, ended. Exactly one of StartFailed, Died and Stopped is its last word."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from pilotlight.fleet.actions import Start
from pilotlight.fleet.events import Died, Measured, Ready, Recovered, StartFailed, Stopped
from pilotlight.spec.model import Model
from pilotlight.units import format_duration
from pilotlight.worker.context import Context
from pilotlight.worker.plan_runner import cancel
from pilotlight.worker.report import StartReport
from pilotlight.worker.start import Failed, Starting
from pilotlight.worker.waiting import sleep

log = logging.getLogger(__name__)

_SUSPECT_ASK = 5.0
"""Seconds after which a suspect replica that has not answered is asked anew: requests wait for the verdict."""
_SUSPECT_PAUSE = 1.0
"""Seconds between two such questions."""
_WATCH_ANEW = 30.0
"""Seconds after which a watch that met an error of its own is taken up again."""


class Replica:
    """Runs as one task; `stop` and `probe` return at once."""

    def __init__(
        self,
        context: Context,
        action: Start,
        model: Model,
        in_use: Callable[[], tuple[set[int], set[Path]]],
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
        self._work = asyncio.create_task(self._up())
        self.task = asyncio.create_task(self._live(), name=f"replica {self.id}")

    @property
    def url(self) -> str:
        return self.starting.url

    def stop(self, grace: float) -> None:
        """Seconds from SIGTERM to SIGKILL. It ends in any state; a second call changes nothing."""
        if self._stopping is None:
            self._stopping = grace
            self._work.cancel()

    def probe(self) -> None:
        """Posts Recovered, or ends in Died."""
        if self.ready_at is not None and not self.outcome and (self._asking is None or self._asking.done()):
            self._asking = asyncio.create_task(self._answer_suspicion())

    def report(self) -> StartReport:
        start, process = self.starting, self.starting.running
        return StartReport(
            replica=self.id,
            deployment=self.deployment,
            engine=self._model.engine,
            ordered_at=start.ordered_at,
            ready_at=self.ready_at,
            spans=tuple(sorted(start.spans, key=lambda span: span.start)),
            doing=self.outcome or self._doing(),
            log=start.log,
            pid=process.pid if process is not None else None,
            memory=self.memory,
        )

    def _doing(self) -> str:
        if self.ready_at is not None:
            return "ready"
        source = self._model.source
        fetching = self._context.fetches.progress(source) if source else ""
        return fetching or self.starting.doing

    # -- its life ------------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        """Never cancelled, so that what was started is always cleared up; `_up` is."""
        await asyncio.wait([self._work])
        outcome = self._outcome()
        self.outcome = str(outcome)
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
        self._context.post(Ready(self.ready_at, self.id))
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
            process = await self.starting.process()
            if process is not None:
                await process.stop(grace)
        except Exception:
            log.exception("could not end replica %s", self.id)
        await self.starting.close()

    def _last_word(self, outcome: str | Failed) -> None:
        if isinstance(outcome, Failed):
            self.outcome = outcome.sentence(self.starting.log)
        self._ended(self)
        now = self._context.clock.now()
        if self._stopping is not None:
            self._context.post(Stopped(now, self.id))
        elif self.ready_at is None:
            self._context.post(StartFailed(now, self.id, self.outcome))
        else:
            self._context.post(Died(now, self.id, self.outcome))

    # -- while it is up ------------------------------------------------------------------------------------------

    async def _stay_up(self) -> str:
        """Why it is no longer up."""
        exited = asyncio.create_task(self.starting.exited())
        watching = [asyncio.create_task(self._keep(w)) for w in (self._watch_health, self._watch_memory)]
        try:
            await asyncio.wait((exited, self._condemned), return_when=asyncio.FIRST_COMPLETED)
            return f"the engine {exited.result()}" if exited.done() else self._condemned.result()
        finally:
            await cancel(*watching)
            exited.cancel()

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

    async def _watch_health(self) -> None:
        """One question that is not answered in time is enough: it hangs. Answers that are no are borne for as long."""
        interval, patience = self._model.probe_interval, self._model.probe_timeout
        if interval <= 0:
            return
        clock, failing_since = self._context.clock, None
        while True:
            await sleep(clock, interval if failing_since is None else min(interval, 1.0))
            asked = clock.now()
            wrong = await self._wrong(patience)
            if wrong is None:
                failing_since = None
                continue
            failing_since = asked if failing_since is None else failing_since
            if isinstance(wrong, TimeoutError) or clock.now() - failing_since >= patience:
                self._condemn(f"hung: health {_words(wrong)} for {format_duration(patience)}")
                return

    async def _wrong(self, timeout: float) -> Exception | int | None:
        """What is wrong with its health: no answer, a status that is not 200, or nothing."""
        assert self.starting.launch is not None
        try:
            status = await self._context.ask(self.url, self.starting.launch.health, timeout)
        except Exception as error:  # whatever it says or does, the verdict is due
            return error
        return None if status == 200 else status

    async def _answer_suspicion(self) -> None:
        """A refused connection is enough to end it; for anything else there may be streams in it that go on."""
        clock, patience = self._context.clock, self._model.probe_timeout
        began = clock.now()
        while (wrong := await self._wrong(min(patience, _SUSPECT_ASK))) is not None:
            refused, waited = isinstance(wrong, ConnectionRefusedError), clock.now() - began
            if refused or waited >= patience:
                lasted = "" if refused else f" for {format_duration(waited)}"
                self._condemn(f"a request could not reach it, and health {_words(wrong)}{lasted}")
                return
            await sleep(clock, _SUSPECT_PAUSE)
        self._context.post(Recovered(clock.now(), self.id))

    async def _watch_memory(self) -> None:
        settings, clock = self._context.settings, self._context.clock
        await sleep(clock, settings.measure_first)
        while True:
            await self._measure()
            await sleep(clock, settings.measure_every)

    async def _measure(self) -> None:
        process = self.starting.running
        if process is None:
            return
        devices = self.starting.action.devices
        # Both look through /proc, which takes about a millisecond for each process.
        memory, on_gpu = await asyncio.to_thread(lambda: self._context.measure(process.pids(), devices))
        if not memory:
            return  # it is just ending
        self.memory = memory
        self._context.post(Measured(self._context.clock.now(), self.id, memory, on_gpu))


def _words(wrong: Exception | int) -> str:
    if isinstance(wrong, int):
        return f"answered {wrong}"
    if isinstance(wrong, TimeoutError):
        return "did not answer"
    return "refused the connection" if isinstance(wrong, ConnectionRefusedError) else f"failed ({wrong})"
