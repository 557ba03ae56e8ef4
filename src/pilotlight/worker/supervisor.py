"""Carries out what the kernel orders on this machine: starts, stops, probes; and tells it what has come of it."""

import asyncio
import sys
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from pilotlight.clock import Clock
from pilotlight.coldstart.techniques import HUGE_PAGES
from pilotlight.errors import EngineError
from pilotlight.fleet.actions import Start
from pilotlight.fleet.events import Event, Stopped
from pilotlight.ports import Engine, Launch, Preload, Substrate, Weights
from pilotlight.spec.model import Model
from pilotlight.worker import health, logs, memory
from pilotlight.worker.context import Context
from pilotlight.worker.describe import describe as describe_gguf
from pilotlight.worker.describe import describe_arriving as describe_arriving_gguf
from pilotlight.worker.fetches import Describe, Fetches
from pilotlight.worker.free_ports import FreePorts
from pilotlight.worker.laying import Laying
from pilotlight.worker.pool import Pool
from pilotlight.worker.replica import Replica
from pilotlight.worker.report import StartReport
from pilotlight.worker.settings import Settings
from pilotlight.worker.snapshots import Snapshots

_REMEMBERED = 256
"""Replicas that have ended and whose report and log can still be asked for."""


class Worker:
    """Belongs to one running loop; `post` is called on it.

    Every start ends in exactly one of StartFailed, Died and Stopped, posted when the process and all that it
    started are gone; Stopped whenever `stop` was called before. Before that come Progressed, one per step, and Ready;
    before a Died also Failing, as soon as the process itself has ended or was given up.
    """

    def __init__(
        self,
        post: Callable[[Event], None],
        clock: Clock,
        substrate: Substrate,
        weights: Weights,
        engines: Mapping[str, Engine],
        settings: Settings,
        *,
        describe: Describe = describe_gguf,
        describe_arriving: Describe = describe_arriving_gguf,
        ask: health.Ask = health.ask,
        measure: memory.Measure = memory.measure,
        order: health.Order = health.order,
        room: Callable[[Collection[int]], int] = lambda devices: sys.maxsize,
    ) -> None:
        """`room`: bytes of host memory that nothing is reserved for; none where something is on these devices. Those
        before it stand in for the file's header, the network and /proc in tests."""
        fetches = Fetches(weights, describe, describe_arriving)
        self._pool = Pool(substrate, clock, settings, measure, post, self._prime)
        self.snapshots = Snapshots(substrate, clock, settings, self._pool, room)
        self._context = Context(
            post,
            clock,
            substrate,
            engines,
            fetches,
            FreePorts(),
            ask,
            measure,
            settings,
            self._pool,
            self.snapshots,
            order,
        )
        self._declared: tuple[Collection[Model], Mapping[str, int]] = ((), {})
        """Models, and how many processes are to be kept primed for each engine."""
        self._replicas: dict[str, Replica] = {}
        self._ended: OrderedDict[str, StartReport] = OrderedDict()
        self._laying = Laying(clock, self._is_busy, self._in_memory)

    # -- orders --------------------------------------------------------------------------------------------------

    def start(self, action: Start, model: Model) -> None:
        """Begins to carry out the plan; returns at once."""
        assert action.replica not in self._replicas, f"{action.replica} is started twice"
        self.snapshots.give_way(action.devices)
        self._laying.give_way()
        self._replicas[action.replica] = Replica(self._context, action, model, self._in_use, self._end)

    def stop(self, replica: str, grace: float) -> None:
        """Ends it, in the middle of a start too; returns at once. `grace` seconds lie between SIGTERM and SIGKILL.

        Of a replica that is not there any more Stopped is posted at once, unless another last word was.
        """
        found = self._replicas.get(replica)
        if found is not None:
            found.stop(grace)
        elif replica not in self._ended:
            self._context.post(Stopped(self._context.clock.now(), replica))

    def probe(self, replica: str) -> None:
        """Asks a suspect replica at once whether it lives: Recovered, or it is killed and Died."""
        found = self._replicas.get(replica)
        if found is not None:
            found.probe()

    def sleep(self, replica: str, level: int) -> None:
        """Puts a ready replica aside: Slept or SleepFailed, or Died."""
        found = self._replicas.get(replica)
        if found is not None:
            found.sleep(level)

    def wake(self, replica: str) -> None:
        """Brings back one that is asleep: Ready, or Died."""
        found = self._replicas.get(replica)
        if found is not None:
            self.snapshots.give_way(found.starting.action.devices)
            self._laying.give_way()
            found.wake()

    def prime(self, models: Collection[Model], counts: Mapping[str, int]) -> None:
        """Keeps so many processes primed for each engine, for whichever kind most of these models can use."""
        self._declared = models, counts
        self._prime()

    def _prime(self) -> None:
        models, counts = self._declared
        launches = [(model.engine, launch) for model in models if (launch := self._plain_launch(model))]
        of: dict[Preload, Launch] = {}
        kinds: dict[str, Counter[Preload]] = {}
        for engine, launch in launches:
            if launch.preload is not None:
                of[launch.preload] = launch
                kinds.setdefault(engine, Counter())[launch.preload] += 1
        usual = {engine: counted.most_common(1)[0][0] for engine, counted in kinds.items()}
        pools = {kind: (counts[name], of[kind]) for name, kind in usual.items() if counts.get(name)}
        self._pool.want(pools, of.keys())

    def renew(self) -> None:
        """Settings.env has changed: what was started with the old one and serves nobody yet goes."""
        self._pool.renew()

    def trim(self, host: str) -> None:
        """Lets go of what is primed; Overhead is posted when its memory is free."""
        self._pool.trim()

    async def close(self, grace: float = 5.0) -> None:
        """Stops every replica and waits until all are gone. A fetch under way is left behind."""
        going = list(self._replicas.values())
        for replica in going:
            replica.stop(grace)
        await self._laying.close()
        await self.snapshots.close()
        await self._pool.close()
        if going:
            await asyncio.wait([replica.task for replica in going])

    # -- questions -----------------------------------------------------------------------------------------------

    def url(self, replica: str) -> str:
        """Where a ready replica serves, without a trailing slash. Raises KeyError when it is gone."""
        return self._replicas[replica].url

    def report(self, replica: str) -> StartReport:
        """Also of one of the latest replicas that have ended. Raises KeyError for one that is not known."""
        found = self._replicas.get(replica)
        return found.report() if found is not None else self._ended[replica]

    def memory(self, replica: str) -> int | None:
        """Bytes of host memory when last measured."""
        found = self._replicas.get(replica)
        return found.memory if found is not None else None

    def log_tail(self, replica: str, lines: int = 20) -> tuple[str, ...]:
        """An engine's last lines, oldest first; also of one of the latest that have ended."""
        try:
            log = self.report(replica).log
        except KeyError:
            return ()
        return logs.tail(log, lines) if log is not None else ()

    def log_paths(self, model: str) -> list[Path]:
        """The logs of a model's replicas, oldest first, those of earlier servers among them."""
        return logs.paths(self._context.settings.log_dir, model)

    def primed(self) -> Mapping[str, int]:
        """Processes that wait for a model, by engine."""
        return self._pool.waiting()

    # -- inside --------------------------------------------------------------------------------------------------

    def _in_use(self) -> tuple[set[int], set[Path]]:
        """Ports and logs of the replicas that are there."""
        places = [replica.starting.place for replica in self._replicas.values()]
        return {p.port for p in places}, {p.log for p in places if p.log is not None}

    def _is_busy(self) -> bool:
        coming = any(r.ready_at is None and not r.outcome for r in self._replicas.values())
        return coming or self.snapshots.is_busy()

    def _in_memory(self) -> set[Path]:
        return {file for replica in self._replicas.values() for file in self._maps(replica.starting.model)}

    def _maps(self, model: Model) -> tuple[Path, ...]:
        """Files that its replicas map, or read, in the kernel's page cache."""
        engine = self._context.engines.get(model.engine)
        if engine is None or model.source is None or HUGE_PAGES.name not in engine.techniques(model):
            return ()
        return tuple(self._context.fetches.files(model.source))

    def _plain_launch(self, model: Model) -> Launch | None:
        try:
            return self._context.engines[model.engine].launch(model, 0, (), self._context.settings.config_dir)
        except (EngineError, KeyError):  # its start will say so
            return None

    def _end(self, replica: Replica) -> None:
        del self._replicas[replica.id]
        self._ended.pop(replica.id, None)  # of an earlier life: the latest come last
        self._ended[replica.id] = replica.report()
        while len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)
        if HUGE_PAGES.name in replica.starting.action.techniques:
            self._laying.after_stop(self._maps(replica.starting.model))
