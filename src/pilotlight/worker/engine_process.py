"""The process of one replica: how it comes to be, and the near end of its channel."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from pilotlight.clock import Clock
from pilotlight.errors import EngineError, ZygoteUnavailable
from pilotlight.fleet.plan import Span, Stage
from pilotlight.ports import Command, Exit, Process, Substrate
from pilotlight.worker.channel import Channel
from pilotlight.worker.plan_runner import cancel
from pilotlight.worker.priming import Primed
from pilotlight.worker.waiting import within

_FORK_WITHIN = 10.0
"""Seconds for a fork to run its first instruction; it takes milliseconds."""


_RESTORE_WITHIN = 30.0
"""Seconds for a restore; it takes 50 ms, and for what has to be read as long as the disk does."""
_RESTORED_A_SECOND = 2**29
"""Bytes of memory that one may go on for at least [G]."""

_TAKE_WITHIN = 3.0
"""Seconds for one that waits to say that it is there; it takes less than a millisecond."""


class EngineProcess:
    """Nothing yet, until one of `spawn`, `fork` and `take` has given it a process."""

    def __init__(self, substrate: Substrate, clock: Clock) -> None:
        self.channel: Channel | None = None
        self.ordered_at = 0.0
        self._substrate = substrate
        self._clock = clock
        self._coming: asyncio.Future[Process] | None = None
        self._exit: asyncio.Task[Exit] | None = None
        self._is_there = asyncio.Event()

    async def spawn(self, command: Command) -> Span | None:
        """Until it exists; one with a channel, until its first instruction. Raises EngineError."""
        process = await self._order(command)
        if process.channel is not None:
            self.channel = Channel(process.channel)
        self._watch(process)
        return Span(Stage.SPAWN, self.ordered_at, await self.channel.begun()) if self.channel else None

    async def fork(self, command: Command) -> Span:
        """Raises ZygoteUnavailable when nothing has come of it; `spawn` is possible then."""
        process = await self._order(command)
        assert process.channel is not None
        self.channel = Channel(process.channel)
        begun = asyncio.create_task(self.channel.begun())
        ended = asyncio.create_task(process.ended())
        try:
            await asyncio.wait((begun, ended), timeout=_FORK_WITHIN, return_when=asyncio.FIRST_COMPLETED)
            if begun.done():
                self._watch(process)
                return Span(Stage.FORK, self.ordered_at, begun.result())
        finally:
            await cancel(begun, ended)
        await process.stop(0.0)
        await self.channel.close()
        self.channel = self._coming = None
        raise ZygoteUnavailable("the fork ended before it began")

    async def restore(self, command: Command, order: Mapping[str, object], memory: int) -> Span:
        """By a command that restores what had been ready and takes so many bytes: until it is so again. Raises
        ZygoteUnavailable when nothing has come of it, caused by EngineRefused where that was the engine's word."""
        limit = _RESTORE_WITHIN + memory / _RESTORED_A_SECOND
        process = await self._order(command)
        assert process.channel is not None
        self.channel = Channel(process.channel)
        await self.channel.send(order)
        up = asyncio.create_task(self.channel.port())
        ended = asyncio.create_task(_unseen(process))
        try:
            await asyncio.wait((up, ended), timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            refused = up.exception() if up.done() else None
            if up.done() and refused is None:
                self._exit = asyncio.create_task(_unseen(process))
                self._is_there.set()
                return Span(Stage.RESTORE, self.ordered_at, self._clock.now())
            why = f"it {ended.result()}" if ended.done() else f"not within {limit:.0f} s"
        finally:
            await cancel(up, ended)
        await process.stop(0.0)
        await self.channel.close()
        self.channel = self._coming = None
        raise ZygoteUnavailable(str(refused or why)) from refused

    async def take(self, primed: Primed, log: Path) -> None:
        """One that has waited, which logs there from now on. Raises ZygoteUnavailable when it does not answer."""
        self.ordered_at = self._clock.now()
        self._coming = asyncio.get_running_loop().create_future()
        self._coming.set_result(primed.process)
        primed.process.log_to(log)
        self.channel = primed.channel
        await self.channel.send({"take": True})
        try:
            await within(self._clock, _TAKE_WITHIN, self.channel.stage(Stage.TAKE.value))
        except TimeoutError:
            await primed.end()
            self.channel = self._coming = None
            raise ZygoteUnavailable(f"it did not answer within {_TAKE_WITHIN:g} s") from None
        primed.log.unlink(missing_ok=True)
        self._watch(primed.process)

    async def process(self) -> Process | None:
        """Also when the start was called off just when it was being made; None when there is none."""
        if self._coming is None:
            return None
        try:
            return await asyncio.shield(self._coming)
        except EngineError:
            return None

    @property
    def running(self) -> Process | None:
        """The process, as far as it is known to be there."""
        coming = self._coming
        known = coming is not None and coming.done() and not coming.cancelled() and not coming.exception()
        return coming.result() if coming is not None and known else None

    async def exited(self) -> Exit:
        """Waits until the process has ended; what it started may still be there."""
        await self._is_there.wait()
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

    async def _order(self, command: Command) -> Process:
        self.ordered_at = self._clock.now()
        # Shielded: called off half way, nobody would know of the process.
        self._coming = asyncio.create_task(self._substrate.spawn(command))
        return await asyncio.shield(self._coming)

    def _watch(self, process: Process) -> None:
        """Its end is the end of the start from here on."""
        self._exit = asyncio.create_task(process.ended())
        self._is_there.set()


async def _unseen(process: Process) -> Exit:
    """How one ended that CRIU has restored and waits for: it exits with status 0 whatever has killed the engine."""
    exit = await process.ended()
    return Exit() if exit.code == 0 else exit
