"""One start: carries out the steps of its plan until the replica can answer."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from pilotlight.coldstart.snapshot import INSTEAD_OF
from pilotlight.coldstart.techniques import SNAPSHOT, STREAM
from pilotlight.errors import EngineError, ZygoteUnavailable
from pilotlight.fleet.actions import Start
from pilotlight.fleet.events import Progressed
from pilotlight.fleet.plan import Span, Stage
from pilotlight.ports import Command, Engine, Launch
from pilotlight.spec.diff import fingerprint
from pilotlight.spec.model import Model
from pilotlight.worker import cuda_checkpoint, probing
from pilotlight.worker.channel import Channel
from pilotlight.worker.context import Context
from pilotlight.worker.engine_process import EngineProcess
from pilotlight.worker.failed import Failed, of_error, of_exit
from pilotlight.worker.incoming import Incoming
from pilotlight.worker.place import InUse, Place
from pilotlight.worker.plan_runner import cancel, run_plan
from pilotlight.worker.report import not_done
from pilotlight.worker.snapshot_making import Wanted
from pilotlight.worker.ways import Ways

_STAGES = frozenset(stage.value for stage in Stage)

_LAST_WORDS = 0.5
"""Seconds to read what an engine said before it exited; it is there already, but for the reading."""

_WORTH_TELLING = 0.1
"""Seconds from which a process that was waited for in vain is a stage of the start [G]."""


class Starting:
    """What a start has come to so far; what it leaves behind is the replica's to clear up."""

    def __init__(self, context: Context, action: Start, model: Model, in_use: InUse) -> None:
        self.model = model
        self.action = action
        self.ordered_at = context.clock.now()
        self.spans: list[Span] = []
        self.doing = "ordered"
        self._open: dict[Stage, float] = {}
        """Steps that have begun and are not done, with when."""
        self._seen = ""
        self.place = Place(context, action, in_use)
        self.engine_process = EngineProcess(context.substrate, context.clock)
        self.launch: Launch | None = None
        self._context = context
        self._engine: Engine | None = None
        self._incoming = Incoming(context, action, model)
        self._loaded = asyncio.Event()
        self.ways = Ways(context, action, self._incoming)
        self._steps: dict[Stage, Callable[[], Awaitable[Span | None]]] = {
            Stage.ALLOCATE: self._allocate,
            Stage.FETCH: self._fetch,
            Stage.READ: lambda: self._incoming.read(self._loaded),
            Stage.HEADER: self._header,
            Stage.SPAWN: lambda: self.engine_process.spawn(self._command()),
            Stage.IMPORT: lambda: self._told(Stage.IMPORT),
            Stage.FORK: self._fork,
            Stage.TAKE: self._take,
            Stage.RESTORE: self._restore,
            Stage.LOAD: self._load,
            Stage.WHOLE: self._whole,
            Stage.WARM_UP: lambda: self._told(Stage.WARM_UP),
        }

    @property
    def channel(self) -> Channel | None:
        return self.engine_process.channel

    async def run(self) -> None:
        """Until the replica can answer. Raises Failed."""
        try:
            await self._run()
        except (Failed, asyncio.CancelledError):
            raise
        except Exception as error:
            raise of_error(error, self.action.replica) from error

    @property
    def fetched(self) -> float:
        """Seconds of what the next start will find on the disk: its fetch, and what an engine says is made once."""
        return sum(span.seconds for span in self.spans if span.once or span.stage == Stage.FETCH)

    @property
    def seen(self) -> str:
        """What may explain that it is not ready: what asking for its health came to last; of an engine that tells by
        itself, what it has not told."""
        if self._seen or not self._open:
            return self._seen
        begun = {stage: began - self.ordered_at for stage, began in self._open.items()}
        return not_done(self.action.deployment, begun)

    async def close(self) -> None:
        """Lets go of everything but the process, which is over."""
        if self.engine_process.running is None:
            self.ways.put_back()  # called off before it was handed anything
        await self.engine_process.close()
        self._incoming.close()
        await self.place.close()
        self._context.pool.fill()  # also where what was taken came to nothing

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
        launch = self.launch = self.place.launch(self._engine, self.model)
        await run_plan(self.ways.plan(launch), self._step)
        if self.channel is not None:
            self.place.serves_at(await self.channel.port())
            self._add_what_it_told()
        self._context.pool.after_start(launch, self.action.techniques)

    def _add_what_it_told(self) -> None:
        """Stages that its plan does not know of, such as what a load is made of; not what primed it beforehand."""
        assert self.channel is not None
        known = {span.stage for span in self.spans}
        new = (s for s in self.channel.told if s.stage not in known and s.start >= self.ordered_at)
        self.spans += [s for s in new if s.stage in _STAGES]

    async def _end(self) -> None:
        """Raises Failed when the process ends."""
        exit = await self.engine_process.exited()
        said = await self.channel.last_words(_LAST_WORDS) if self.channel is not None else None
        if said is not None:
            raise Failed(said.message, said.see_log)
        raise of_exit(exit, self._context.clock.now() - self.engine_process.ordered_at)

    async def _step(self, stage: Stage) -> None:
        if stage not in self._steps:
            raise Failed(f"the plan has a step {stage.value!r} that this worker does not know")
        now = self._context.clock.now
        self.doing = stage.value
        self._context.post(Progressed(now(), self.action.replica, stage))
        began = self._open[stage] = now()
        try:
            span = await self._steps[stage]()
        except ZygoteUnavailable as error:
            if now() - began >= _WORTH_TELLING:  # seconds that the trace would have lost
                self.spans.append(Span(stage.value, began, now()))
            await self._start_plainly(str(error))
        else:
            self.spans.append(span or Span(stage.value, began, now()))
        del self._open[stage]

    async def _allocate(self) -> None:
        assert self.launch is not None
        self.place.allocate(self.launch)

    async def _fetch(self) -> None:
        await self._incoming.fetch(self._source(), self._the_engine())

    async def _header(self) -> None:
        """Where nothing can be loaded before all is here, the load waits for the fetch as in a plain start."""
        assert self.launch is not None
        why_not = await self._incoming.header(self._source(), self._the_engine(), self.launch)
        if why_not:
            self.ways.do_without(STREAM.name, why_not)

    async def _whole(self) -> None:
        """The engine may compute from here on."""
        told = self._incoming.whole()
        if told is not None and self.channel is not None:
            await self.channel.send(told)

    def _source(self) -> str:
        if self.model.source is None:
            raise Failed("the model has no source; say where its weights come from")
        return self.model.source

    def _the_engine(self) -> Engine:
        assert self._engine is not None
        return self._engine

    async def _fork(self) -> Span:
        assert self.launch is not None
        command = msgspec.structs.replace(self._command(), preload=self.launch.preload)
        return await self.engine_process.fork(command)

    async def _take(self) -> None:
        """Raises ZygoteUnavailable when it has just ended."""
        primed = self.ways.primed
        assert primed is not None and self.place.log is not None
        if primed.over.done():
            self.ways.put_back()
            raise ZygoteUnavailable("the process that waited has ended")
        try:
            await self.engine_process.take(primed, self.place.log)
        except ZygoteUnavailable:
            self.ways.primed = None
            raise

    async def _restore(self) -> Span:
        """Raises ZygoteUnavailable, and then there is none any more."""
        wanted, command = self.snapshot(None), self._command()
        assert wanted is not None, "its plan has fetched the weights"
        async with self._context.snapshots.restoring(wanted, self.place.port) as argv:
            order = {
                "restored": self.place.port,
                "env": {**command.env, "PILOTLIGHT_REPLICA": command.replica},
                **cuda_checkpoint.told(self.action.devices),
            }
            command = msgspec.structs.replace(command, argv=argv)
            return await self.engine_process.restore(command, order, wanted.memory)

    def snapshot(self, memory: int | None) -> Wanted | None:
        """This engine as one that is dumped, `memory` being what it was measured to take; None where that is not
        wanted, or it did not get so far."""
        launch, engine, here = self.launch, self._engine, self._incoming.here
        if SNAPSHOT.name not in self.action.techniques or launch is None or engine is None or here is None:
            return None
        need, devices = engine.need(self.model, here.info), self.action.devices
        return Wanted(
            deployment=self.action.deployment,
            small=self.action.small,
            fingerprint=fingerprint(self.model),
            launch=launch,
            devices=devices,
            order={
                "weights": str(here.path),
                "args": {**engine.settings(self.model, here.info), "warmup": True},
                "name": self.action.deployment,
                "port": 0,
            },
            memory=(memory or need.memory) + len(devices) * (need.gpu_memory or here.info.size),
            within=self.model.startup_timeout,
        )

    async def _start_plainly(self, why: str) -> None:
        technique = self.ways.used[0]
        self.ways.do_without(technique, why)
        missed = INSTEAD_OF if technique == SNAPSHOT.name else (Stage.SPAWN, Stage.IMPORT)
        for stage in missed:
            if any(step.name is stage for step in self.action.plan.steps):
                await self._step(stage)

    def _command(self) -> Command:
        assert self.launch is not None
        return self.place.command(self.launch)

    async def _told(self, stage: Stage) -> Span:
        if self.channel is None:
            raise Failed(f"the plan has a step {stage.value!r}, which this engine does not tell of")
        return await self.channel.stage(stage.value)

    def _saw(self, seen: str) -> None:
        self._seen = seen

    async def _load(self) -> Span | None:
        launch, engine = self.launch, self._engine
        assert launch is not None and engine is not None
        if self.ways.early and (why_not := await self._incoming.to_load()):
            self.ways.do_without(STREAM.name, why_not)
        if self.channel is not None and launch.wants_weights:
            await self.channel.send(self._order(launch, engine))
        try:
            if launch.reports:
                return await self._told(Stage.LOAD)
            await probing.answers(self._context, self.place.url, launch.health, self._saw)
            return None
        finally:
            self._loaded.set()

    def _order(self, launch: Launch, engine: Engine) -> Mapping[str, object]:
        """What an engine that waits for its model is told."""
        order = {**self._incoming.order(engine), "name": self.action.deployment, "port": 0}
        # A primed process was started before anybody knew for which model.
        if self.ways.primed is None:
            return order
        env = {**self.place.env(launch), "PILOTLIGHT_REPLICA": self.action.replica}
        return {**order, "env": env, "cwd": launch.cwd}
