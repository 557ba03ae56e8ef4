"""Putting a replica aside and bringing it back: told over its channel, or by vLLM's own routes.

What it gave back counts only once it was measured: an engine may call itself asleep and keep all that it had.
"""

import asyncio
from collections.abc import Awaitable
from typing import Protocol

import msgspec

from pilotlight.fleet.plan import Span, Stage
from pilotlight.units import format_duration, format_size
from pilotlight.worker.channel import Channel, EngineRefused
from pilotlight.worker.context import Context
from pilotlight.worker.failed import Failed
from pilotlight.worker.start import Starting
from pilotlight.worker.waiting import sleep, within

SLEEPS_WITHIN = 30.0
"""Seconds that an engine may take to put itself aside."""
FREES_WITHIN = 2.0
"""Seconds after that until its memory is seen to be free."""
WAKES_WITHIN = 120.0
"""Seconds that a wake may take at most, where weights need not be read anew."""
_LOOK_AGAIN = 0.25
_STAGES = frozenset(stage.value for stage in Stage)
_ANSWER_WITHIN = 5.0
"""Seconds after which an engine that was woken is asked for its health anew."""


class CannotSleep(Exception):
    """Why it is not asleep, or its memory not free: one sentence without its full stop."""


class Way(Protocol):
    """How one kind of engine is told. Both raise OSError, EngineRefused or Failed."""

    async def sleep(self, level: int) -> None: ...

    async def wake(self, level: int) -> None:
        """Returns when it can answer."""
        ...


class ByChannel:
    """Ours: it unloads and loads, and serves at another port then."""

    def __init__(self, starting: Starting, channel: Channel) -> None:
        self._starting = starting
        self._channel = channel

    async def sleep(self, level: int) -> None:
        await self._channel.sleep(level)

    async def wake(self, level: int) -> None:
        self._starting.place.serves_at(await self._channel.wake())


class ByHttp:
    """vLLM, whose development routes are open to us: level 1 keeps the weights in host memory, 2 drops them."""

    def __init__(self, context: Context, starting: Starting, health: str) -> None:
        self._context = context
        self._url = starting.place.url
        self._health = health

    async def sleep(self, level: int) -> None:
        await self._order(f"/sleep?level={level}", SLEEPS_WITHIN)

    async def wake(self, level: int) -> None:
        if level < 2:
            await self._order("/wake_up")
        else:  # room for the context only when the weights are back, for both at once may be too much
            await self._order("/wake_up?tags=weights")
            await self._order("/collective_rpc", body=b'{"method": "reload_weights"}')
            await self._order("/wake_up?tags=kv_cache")
        while not await self._answers():
            await sleep(self._context.clock, self._context.settings.probe_loading)

    async def _answers(self) -> bool:
        try:
            return await self._context.ask(self._url, self._health, _ANSWER_WITHIN) == 200
        except TimeoutError:
            return False

    async def _order(self, path: str, timeout: float = 86400.0, body: bytes = b"") -> None:
        status = await self._context.order(self._url, path, timeout, body)
        if status != 200:
            raise Failed(f"POST {path} was answered with {status}")


class Wake(msgspec.Struct):
    """The latest one; seconds of the controller's clock."""

    ordered_at: float
    ready_at: float | None = None
    spans: tuple[Span, ...] = ()


class Aside:
    """Of one replica that is up. The kernel gives one order at a time."""

    def __init__(self, context: Context, starting: Starting) -> None:
        self.doing = ""
        """`going to sleep`, `asleep` or `waking`; empty while it is awake."""
        self.woken: Wake | None = None
        self._context = context
        self._starting = starting
        self._level = 1

    async def sleep(self, level: int) -> tuple[int, int | None]:
        """Bytes that it was measured to take still: of host memory, of its device. Raises CannotSleep."""
        way = self._way()
        if way is None:
            raise CannotSleep("its engine cannot sleep")
        before = await self.measured()
        self.doing, self._level = "going to sleep", level
        wrong = await self._wrong(way.sleep(level), SLEEPS_WITHIN)
        if wrong:
            raise CannotSleep(f"it did not go to sleep: {wrong}")
        after = await self._freed(before)
        self.doing = "asleep"
        return after

    async def wake(self) -> str:
        """Empty when it can answer again, else why it cannot."""
        way, clock = self._way(), self._context.clock
        assert way is not None, "it was asleep"
        self.doing = "waking"
        self.woken = wake = Wake(clock.now())
        wrong = await self._wrong(way.wake(self._level), self._patience())
        if wrong:
            return f"the wake failed: {wrong}"
        wake.ready_at = clock.now()
        wake.spans = (Span(Stage.WAKE, wake.ordered_at, wake.ready_at), *self._told_since(wake.ordered_at))
        self.doing = ""
        return ""

    async def measured(self) -> tuple[int, int | None]:
        """Bytes of host memory, and of the device where it takes most; 0 when it is just ending."""
        process = self._starting.engine_process.running
        pids, devices = process.pids() if process is not None else (), self._starting.action.devices
        # Both look through /proc, which takes about a millisecond for each process.
        return await asyncio.to_thread(lambda: self._context.measure(pids, devices))

    # -- inside --------------------------------------------------------------------------------------------------

    def _way(self) -> Way | None:
        launch, channel = self._starting.launch, self._starting.channel
        kind = launch.sleeps if launch is not None else ""
        if launch is not None and kind == "http":
            return ByHttp(self._context, self._starting, launch.health)
        return ByChannel(self._starting, channel) if kind == "channel" and channel is not None else None

    def _patience(self) -> float:
        """Half of what a start may take: the other half is for the start that has to replace it."""
        half = self._starting.model.startup_timeout / 2
        return half if self._level > 1 else min(half, WAKES_WITHIN)

    async def _wrong(self, order: Awaitable[None], seconds: float) -> str:
        """What came of an order that was to be done within this time; empty when it was."""
        try:
            await within(self._context.clock, seconds, order)
        except TimeoutError:
            return f"it did not answer within {format_duration(seconds)}"
        except EngineRefused as error:
            return Failed(error.said.message, error.said.see_log).sentence(self._starting.place.log)
        except (Failed, OSError) as error:
            return str(error)
        return ""

    async def _freed(self, before: tuple[int, int | None]) -> tuple[int, int | None]:
        """Once at least half of what it took is free: of its device, where it has one. Raises CannotSleep."""
        clock = self._context.clock
        until = clock.now() + FREES_WITHIN
        while (
            kept := _kept(before, after := await self.measured(), bool(self._starting.action.devices))
        ) != "":
            if clock.now() >= until:
                raise CannotSleep(kept)
            await sleep(clock, _LOOK_AGAIN)
        return after

    def _told_since(self, moment: float) -> list[Span]:
        channel = self._starting.channel
        told = channel.told if channel is not None else []
        return [span for span in told if span.start >= moment and span.stage in _STAGES]


def _kept(before: tuple[int, int | None], after: tuple[int, int | None], on_device: bool) -> str:
    """Why this is no sleep; empty when it is one. Weights that leave a device may well go to host memory."""
    was, now = (before[1], after[1]) if on_device else (before[0], after[0])
    if was is None or now is None:
        return "what it gave back cannot be measured: NVML does not tell what it takes of its device"
    if now <= was / 2:
        return ""
    where = "device" if on_device else "host"
    return f"it gave too little back: it took {format_size(was)} of {where} memory, and {format_size(now)} asleep"
