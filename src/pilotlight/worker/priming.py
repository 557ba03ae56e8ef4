"""One primed process: its runtime imported, waiting on its channel for a model."""

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path

import msgspec

from pilotlight.clock import Clock
from pilotlight.errors import EngineError, ZygoteUnavailable
from pilotlight.fleet.plan import Stage
from pilotlight.ports import Command, Exit, Launch, Preload, Process, Substrate
from pilotlight.units import format_duration
from pilotlight.worker import logs
from pilotlight.worker.channel import Channel
from pilotlight.worker.plan_runner import cancel
from pilotlight.worker.settings import Settings
from pilotlight.worker.waiting import within

LIMIT = 120.0
"""Seconds for the imports; vLLM's take 6 to 20."""

_numbers = itertools.count(1)


class Primed(msgspec.Struct, eq=False):
    process: Process
    channel: Channel
    preload: Preload
    log: Path
    over: asyncio.Task[Exit]
    """Done once the process has ended."""

    def last_words(self) -> str:
        return logs.telling(logs.tail(self.log, 40))

    async def end(self) -> None:
        """Ends it where it still runs, and removes its log."""
        self.over.cancel()
        await self.process.stop(0.0)
        await self.channel.close()
        self.log.unlink(missing_ok=True)


async def prime(
    substrate: Substrate,
    clock: Clock,
    settings: Settings,
    preload: Preload,
    launch: Launch,
    folder: Path,
    there: Callable[[Primed], None],
) -> Primed:
    """From the zygote where one can fork. `there` is called as soon as the process exists: from then on it is to be
    counted, and ended by the caller if this raises: EngineError, EngineRefused or TimeoutError."""
    number = next(_numbers)
    command = Command(
        replica=f"primed-{preload.engine}-{number}",
        argv=launch.argv,
        env={**settings.env, **dict(preload.env)},
        cwd=launch.cwd,
        log=folder / f"{number}.log",
        log_max_size=settings.log_max_size,
        channel=True,
        preload=preload if substrate.zygote_ready(preload) else None,
    )
    try:
        process = await substrate.spawn(command)
    except ZygoteUnavailable:
        command = msgspec.structs.replace(command, preload=None)
        process = await substrate.spawn(command)
    assert process.channel is not None
    over = asyncio.create_task(process.ended())
    primed = Primed(process, Channel(process.channel), preload, command.log, over)
    there(primed)
    try:
        await within(clock, LIMIT, _until_primed(primed, forked=command.preload is not None))
    except TimeoutError:
        raise EngineError(f"its imports took more than {format_duration(LIMIT)}") from None
    return primed


async def _until_primed(primed: Primed, forked: bool) -> None:
    async def told() -> None:
        await primed.channel.begun()
        if not forked:
            await primed.channel.stage(Stage.IMPORT.value)

    telling = asyncio.create_task(told())
    try:
        await asyncio.wait((telling, primed.over), return_when=asyncio.FIRST_COMPLETED)
        if not telling.done():
            raise EngineError(f"it {primed.over.result()}: {primed.last_words()}")
        telling.result()
    finally:
        await cancel(telling)
