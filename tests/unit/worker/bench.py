"""A worker on fakes: scripted processes, weights that come when they are told to, health that says what it is told."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pilotlight.clock import Clock, SystemClock, VirtualClock
from pilotlight.engines.fake import FakeEngine
from pilotlight.fleet.actions import Start
from pilotlight.fleet.events import Died, Event, Progressed, Ready, Sized, StartFailed, Stopped
from pilotlight.fleet.plan import Plan, Stage
from pilotlight.ports import Command, Engine, WeightsInfo
from pilotlight.spec.model import Model
from pilotlight.substrate.fake import FakeSubstrate, Script
from pilotlight.weights.fake import FakeWeights
from pilotlight.worker.settings import Settings
from pilotlight.worker.supervisor import Worker

E = TypeVar("E", bound=Event)
LAST_WORDS = (StartFailed, Died, Stopped)


class Guest:
    """Plays an engine of ours. `received` is what the worker sent it.

    `until` says how far it gets: `import`, `weights`, `ready` and all else; `awake`, it never sleeps; `asleep`, it
    never wakes.
    """

    def __init__(
        self, *, until: str = "ready", error: dict[str, Any] | None = None, garbage: bytes = b""
    ) -> None:
        self.until = until
        self.error = error
        self.garbage = garbage
        self.received: list[dict[str, Any]] = []
        self.compiles = 0.0
        """Seconds that it says it does once."""
        self.wake_error: dict[str, Any] | None = None
        self.told: Callable[[dict[str, Any]], None] = lambda _: None
        """Called with every order after the first."""

    async def __call__(self, far: socket.socket) -> None:
        loop = asyncio.get_running_loop()

        async def tell(**event: Any) -> None:
            await loop.sock_sendall(far, json.dumps(event).encode() + b"\n")

        await tell(event="begin", at=1.0)
        await tell(event="stage", name="import", start=2.0, end=3.0)
        if self.until == "import":
            await asyncio.Event().wait()
        self.received.append(json.loads(await loop.sock_recv(far, 65536)))
        if self.garbage:
            await loop.sock_sendall(far, self.garbage)
        if self.error:
            await tell(event="error", **self.error)
            return
        if self.until == "weights":
            await asyncio.Event().wait()
        if self.compiles:
            await tell(event="stage", name="compile", start=1e9, end=1e9 + self.compiles, once=True)
        await tell(event="stage", name="load", start=4.0, end=5.0)
        if "arriving" in self.received[-1]:
            self.received.append(json.loads(await loop.sock_recv(far, 65536)))
        await tell(event="ready", port=4711)
        while True:
            self.received.append(order := json.loads(await loop.sock_recv(far, 65536)))
            self.told(order)
            await self._obey(tell, order)

    async def _obey(self, tell: Callable[..., Awaitable[None]], order: dict[str, Any]) -> None:
        if self.until == ("asleep" if "wake" in order else "awake"):
            await asyncio.Event().wait()
        if self.wake_error and "wake" in order:
            await tell(event="error", **self.wake_error)
        elif "wake" in order:
            await tell(event="stage", name="load", start=6.0, end=7.0)
            await tell(event="ready", port=4712)
        else:
            await tell(event="asleep")


class Bench:
    def __init__(
        self,
        folder: Path,
        script: Script | Callable[[Command], Script] | None = None,
        *,
        clock: Clock | None = None,
        weights: FakeWeights | None = None,
        engines: Mapping[str, Engine] | None = None,
        substrate: FakeSubstrate | None = None,
    ) -> None:
        self.events: list[Event] = []
        self._news = asyncio.Event()
        self.clock = clock or SystemClock()
        self.guest = Guest()
        self.substrate = substrate or FakeSubstrate(script or Script(player=self.guest), clock=self.clock)
        self.weights = weights or FakeWeights(folder)
        self.engine = FakeEngine()
        self.techniques: tuple[str, ...] = ()
        """That a start may use."""
        self.types = frozenset({0})
        """Of the tensors of weights that are arriving."""
        self.health: int | Exception = 200
        self.asked = 0
        self.orders: list[tuple[str, bytes]] = []
        """Paths and bodies of what was posted to the engine."""
        self.order_answer: int | Exception = 200
        self.obey: Callable[[str], None] = lambda _: None
        self.measured: tuple[int, int | None] = (1000, None)
        self.measure_error: Exception | None = None
        self.worker = Worker(
            self._post,
            self.clock,
            self.substrate,
            self.weights,
            engines or {"llamacpp": self.engine, "command": FakeEngine(reports=False)},
            Settings(config_dir=folder, log_dir=folder / "logs", env={"FROM": "server"}),
            describe=lambda path: WeightsInfo(path.stat().st_size),
            describe_arriving=lambda path: WeightsInfo(path.stat().st_size, types=self.types),
            ask=self._ask,
            measure=self._measure,
            order=self._order,
        )
        self._count = 0

    def start(
        self,
        model: Model | None = None,
        plan: Plan | None = None,
        deployment: str = "org/chat:1",
        devices: tuple[int, ...] = (),
    ) -> str:
        model = model or Model(source="somewhere")
        self._count += 1
        replica = f"{deployment}-{self._count}"
        plan = plan or FakeEngine(reports=model.engine == "llamacpp").plan(model)
        action = Start(replica, deployment, "local", devices, plan, "a test", self.techniques)
        self.worker.start(action, model)
        return replica

    async def ready(self, model: Model | None = None) -> str:
        replica = self.start(model)
        await self.until(Ready, replica)
        return replica

    async def close(self) -> None:
        closing = asyncio.create_task(self.worker.close())
        while not closing.done():
            await settle()
            if isinstance(self.clock, VirtualClock):
                self.clock.run_until(self.clock.now() + 1)

    async def until(self, kind: type[E], replica: str | None = None, **fields: Any) -> E:
        """The first such event, come or to come."""

        def fits(event: Event) -> bool:
            wanted = fields if replica is None else {**fields, "replica": replica}
            return isinstance(event, kind) and all(getattr(event, k) == v for k, v in wanted.items())

        async with asyncio.timeout(5):
            while True:
                for event in self.events:
                    if fits(event):
                        assert isinstance(event, kind)
                        return event
                self._news.clear()
                await self._news.wait()

    def of(self, replica: str) -> list[str]:
        """What was posted of a replica, in short."""
        mine = [e for e in self.events if getattr(e, "replica", None) == replica]
        return [e.stage.value if isinstance(e, Progressed) else type(e).__name__ for e in mine]

    def last_words(self, replica: str) -> list[Event]:
        return [e for e in self.events if isinstance(e, LAST_WORDS) and e.replica == replica]

    def sized(self) -> list[Sized]:
        return [e for e in self.events if isinstance(e, Sized)]

    async def begun(self, stage: Stage, replica: str) -> None:
        await self.until(Progressed, replica, stage=stage)

    def _post(self, event: Event) -> None:
        if isinstance(event, LAST_WORDS) and self.substrate.spawned:
            mine = [p for p in self.substrate.spawned if p.command.replica == event.replica]
            assert all(p.gone for p in mine), "the last word came before the process was gone"
        self.events.append(event)
        self._news.set()

    async def _ask(self, url: str, path: str, timeout: float) -> int:
        self.asked += 1
        await asyncio.sleep(0)
        if isinstance(self.health, Exception):
            raise self.health
        return self.health

    async def _order(self, url: str, path: str, timeout: float, body: bytes = b"") -> int:
        self.orders.append((path, body))
        await asyncio.sleep(0)
        if isinstance(self.order_answer, Exception):
            raise self.order_answer
        self.obey(path)
        return self.order_answer

    def _measure(self, pids: Collection[int], devices: Collection[int]) -> tuple[int, int | None]:
        if self.measure_error is not None:
            raise self.measure_error
        return self.measured


async def settle() -> None:
    """Lets everything that can happen now happen."""
    for _ in range(30):
        await asyncio.sleep(0)
