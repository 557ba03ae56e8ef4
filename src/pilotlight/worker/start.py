"""One start: carries out the steps of its plan until the replica can answer."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from pilotlight.errors import EngineError, SourceError
from pilotlight.fleet.actions import Start
from pilotlight.fleet.events import Progressed, Sized
from pilotlight.fleet.plan import Span, Stage
from pilotlight.ports import Command, Engine, Exit, Launch, Process
from pilotlight.spec.model import Model
from pilotlight.units import format_duration
from pilotlight.worker import health, logs
from pilotlight.worker.channel import Channel, EngineRefused
from pilotlight.worker.context import Context
from pilotlight.worker.fetches import Here
from pilotlight.worker.plan_runner import cancel, run_plan
from pilotlight.worker.waiting import sleep

log = logging.getLogger(__name__)

_LAST_WORDS = 0.5
"""Seconds to read what an engine said before it exited; it is there already, but for the reading."""

_ANSWER_WITHIN = 5.0
"""Seconds after which a server that listens, and does not answer while it loads, is asked anew."""


class Failed(Exception):
    """Why a start ended before the replica was ready: one sentence without its full stop."""

    def __init__(self, reason: str, see_log: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.see_log = see_log
        """The log's most telling line belongs to the reason."""

    def sentence(self, log: Path | None) -> str:
        line = logs.telling(logs.tail(log, 40)) if self.see_log and log is not None else ""
        return f"{self.reason}: {line}" if line and line not in self.reason else self.reason


class Starting:
    """What a start has come to so far; what it leaves behind is the replica's to clear up."""

    def __init__(
        self, context: Context, action: Start, model: Model, in_use: Callable[[], tuple[set[int], set[Path]]]
    ) -> None:
        self.model = model
        self.action = action
        self.ordered_at = context.clock.now()
        self.spans: list[Span] = []
        self.doing = "ordered"
        self.url = ""
        self.port = 0
        self.log: Path | None = None
        self.channel: Channel | None = None
        self.launch: Launch | None = None
        self._context = context
        self._in_use = in_use
        self._engine: Engine | None = None
        self._here: Here | None = None
        self._spawned_at = 0.0
        self._spawn: asyncio.Task[Process] | None = None
        self._exit: asyncio.Task[Exit] | None = None
        self._has_process = asyncio.Event()
        self._steps: dict[Stage, Callable[[], Awaitable[Span | None]]] = {
            Stage.ALLOCATE: self._allocate,
            Stage.FETCH: self._fetch,
            Stage.SPAWN: self._spawn_it,
            Stage.IMPORT: lambda: self._told(Stage.IMPORT),
            Stage.LOAD: self._load,
            Stage.WARM_UP: lambda: self._told(Stage.WARM_UP),
        }

    async def run(self) -> None:
        """Until the replica can answer. Raises Failed."""
        try:
            await self._run()
        except (Failed, asyncio.CancelledError):
            raise
        except SourceError as error:
            raise Failed(f"weights could not be fetched: {error}") from error
        except EngineError as error:
            raise Failed(str(error)) from error
        except EngineRefused as error:
            raise Failed(error.said.message, error.said.see_log) from error
        except OSError as error:
            raise Failed(f"the start met an error of the system: {error}") from error
        except Exception as error:
            log.exception("start of %s", self.action.replica)
            raise Failed(f"the start met an error of pilotlight's own: {error!r}") from error

    async def process(self) -> Process | None:
        """The process, also when the start was called off just when it was being made; None when there is none."""
        if self._spawn is None:
            return None
        try:
            return await asyncio.shield(self._spawn)
        except EngineError:
            return None

    @property
    def running(self) -> Process | None:
        """The process, as far as it is known to be there."""
        done = self._spawn is not None and self._spawn.done() and not self._spawn.cancelled()
        return self._spawn.result() if self._spawn and done and not self._spawn.exception() else None

    async def exited(self) -> Exit:
        """Waits until the process has ended."""
        await self._has_process.wait()
        assert self._exit is not None
        return await asyncio.shield(self._exit)

    async def close(self) -> None:
        """Lets go of everything but the process, which is over."""
        process = self.running
        if self.channel is not None:
            await self.channel.close()
        elif process is not None and process.channel is not None:
            os.close(process.channel)
        if self._exit is not None:
            self._exit.cancel()

    # -- the plan ------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        steps = asyncio.create_task(self._carry_out())
        ended = asyncio.create_task(self._end())
        try:
            done, _ = await asyncio.wait((steps, ended), return_when=asyncio.FIRST_COMPLETED)
            for task in (steps, ended):  # what a step met says more than that the process ended after it
                if task in done:
                    task.result()
        finally:
            await cancel(steps, ended)

    async def _carry_out(self) -> None:
        self._engine = self._context.engines.get(self.model.engine)
        if self._engine is None:
            raise EngineError(
                f"there is no engine {self.model.engine!r}; there are {', '.join(self._context.engines)}"
            )
        await run_plan(self.action.plan, self._step)
        if self.channel is not None:
            self.port = await self.channel.port()
            self.url = self.url.removesuffix(":0") + f":{self.port}"

    async def _end(self) -> None:
        """Raises Failed when the process ends."""
        exit = await self.exited()
        said = await self.channel.last_words(_LAST_WORDS) if self.channel is not None else None
        if said is not None:
            raise Failed(said.message, said.see_log)
        after = format_duration(self._context.clock.now() - self._spawned_at)
        raise Failed(f"the engine {exit} after {after}", see_log=True)

    async def _step(self, stage: Stage) -> None:
        if stage not in self._steps:
            raise Failed(f"the plan has a step {stage.value!r} that this worker does not know")
        now = self._context.clock.now
        self.doing = stage.value
        self._context.post(Progressed(now(), self.action.replica, stage))
        began = now()
        span = await self._steps[stage]()
        self.spans.append(span or Span(stage.value, began, now()))

    async def _allocate(self) -> None:
        ports, in_use = self._in_use()
        settings = self._context.settings
        self.log = logs.new(settings.log_dir, self.action.deployment, in_use)
        self.port = self._context.ports.take(ports)
        engine = self._engine
        assert engine is not None
        self.launch = engine.launch(self.model, self.port, self.action.devices, settings.config_dir)
        self.url = self.launch.url
        if not self.launch.reports:
            self._check_address(self.url)

    def _check_address(self, url: str) -> None:
        """A fixed address that somebody serves already would be taken for our engine."""
        try:
            where = health.address(url)
        except ValueError as error:
            raise Failed(f"proxy cannot be used: {error}") from None
        knock = health.Knock(where)
        if knock.loopback and where.port != self.port and not knock.refused():
            raise Failed(
                f"port {where.port} is in use by another process; end that one, or use ${{PORT}} in cmd"
            )

    async def _fetch(self) -> None:
        if self.model.source is None:
            raise Failed("the model has no source; say where its weights come from")
        self._here = await self._context.fetches.get(self.model.source)
        assert self._engine is not None
        need = self._engine.need(self.model, self._here.info)
        if need.estimated or need.gpu_estimated:
            self._context.post(Sized(self._context.clock.now(), self.action.deployment, need))

    async def _spawn_it(self) -> Span | None:
        began = self._spawned_at = self._context.clock.now()
        # Shielded: called off half way, nobody would know of the process.
        self._spawn = asyncio.create_task(self._context.substrate.spawn(self._command()))
        process = await asyncio.shield(self._spawn)
        self._exit = asyncio.create_task(process.wait())
        self._has_process.set()
        if process.channel is None:
            return None
        self.channel = Channel(process.channel)
        return Span(Stage.SPAWN.value, began, await self.channel.begun())

    def _command(self) -> Command:
        launch, settings = self.launch, self._context.settings
        assert launch is not None and self.log is not None
        return Command(
            replica=self.action.replica,
            argv=launch.argv,
            env={**settings.env, **launch.env},
            cwd=launch.cwd,
            log=self.log,
            log_max_size=settings.log_max_size,
            stop_argv=launch.stop_argv,
            channel=launch.reports or launch.wants_weights,
        )

    async def _told(self, stage: Stage) -> Span:
        if self.channel is None:
            raise Failed(f"the plan has a step {stage.value!r}, which this engine does not tell of")
        return await self.channel.stage(stage.value)

    async def _load(self) -> Span | None:
        launch, engine = self.launch, self._engine
        assert launch is not None and engine is not None
        if self.channel is not None and launch.wants_weights:
            assert self._here is not None
            args = engine.settings(self.model, self._here.info)
            order = {"weights": str(self._here.path), "name": self.action.deployment, "port": 0, "args": args}
            await self.channel.send(order)
        if launch.reports:
            return await self._told(Stage.LOAD)
        await self._answers(self.url, launch.health)
        return None

    async def _answers(self, url: str, path: str) -> None:
        """Until health answers 200: tried at short fixed intervals, since a held request waits for it."""
        clock, settings = self._context.clock, self._context.settings
        knock, listens = health.Knock(health.address(url)), False
        while True:
            if not listens and knock.refused():
                await sleep(clock, settings.probe_before_listening)
                continue
            try:
                if await self._context.ask(url, path, _ANSWER_WITHIN) == 200:
                    return
                listens = True
            except (OSError, TimeoutError) as error:
                listens = not isinstance(error, ConnectionRefusedError)
            await sleep(clock, settings.probe_loading)
