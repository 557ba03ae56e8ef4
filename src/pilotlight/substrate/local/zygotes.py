"""The zygotes of one server: when each is begun, whether it can fork, and why not.

A zygote is a command like any other (`pilotlight_guest/zygote.py`), under a keeper of its own, and a source of keepers
as the guardian is. There is at most one for each Preload. It is made when it is asked for, and again when it is asked
for after it has ended; each end that nobody wanted makes the next wait longer.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path

import msgspec

from pilotlight.errors import EngineError, ZygoteUnavailable
from pilotlight.ports import Command, Preload, Zygote
from pilotlight.substrate.local.guardian import Source, guardian_script
from pilotlight.substrate.local.process import LocalProcess
from pilotlight_guest import guardian_proc as proc

log = logging.getLogger(__name__)

_IMPORT_LIMIT = 120.0
"""Seconds for its imports; vLLM's take 6 to 20 on a machine that does nothing else."""
_ANSWER_LIMIT = 3.0
"""Seconds for a fork, which takes milliseconds, until the process exists; then a plain start is better."""
_BACK_OFF = 5.0
"""Seconds after a first failure, doubled with each further one [G]."""
_BACK_OFF_MOST = 600.0
_LOG_MAX_SIZE = 1 << 20
_CHANGED = "what is installed has changed since it was begun"
MOST = 4
"""Zygotes at a time: environments that differ in one variable each have their own, of 20 MB (llama.cpp) to 560 MB
(vLLM). Most servers have one or two [G]."""
UNUSED = 60.0
"""Seconds without a fork after which one makes way for another environment's; sooner, they would take turns [G]."""


class _Word(msgspec.Struct, frozen=True):
    """What it says when its imports are done."""

    ready: bool = False
    failed: str = ""


class _Line:
    """The zygotes of one Preload, of which one at most lives."""

    def __init__(self, engine: str) -> None:
        self.engine = engine
        self.life: asyncio.Task[None] | None = None
        self.process: LocalProcess | None = None
        self.source: Source | None = None
        self.why = "none is up yet"
        """It cannot fork."""
        self.failures = 0
        """Ends that nobody wanted, since one last forked."""
        self.not_before = 0.0
        self.used_at = asyncio.get_running_loop().time()
        """It was begun, or last forked."""

    @property
    def ready(self) -> bool:
        return self.source is not None and not self.source.lost

    def let_go(self, why: str) -> None:
        """What was forked goes on."""
        self.why = why
        if self.source is not None:
            self.source.hang_up()
        if self.life is not None:
            self.life.cancel()

    def failed(self, why: str, was_ready: bool) -> None:
        """The first end of one that had been of use costs no wait: it may have been killed for its memory."""
        wait = 0.0 if was_ready and not self.failures else _BACK_OFF * 2.0 ** min(self.failures, 20)
        self.failures += 1
        self.why = why
        self.not_before = asyncio.get_running_loop().time() + min(wait, _BACK_OFF_MOST)
        log.warning("the zygote of %s: %s", self.engine, why)


class _Source(Source):
    def __init__(self, process: LocalProcess, control: socket.socket) -> None:
        super().__init__(f"the zygote (process {process.pid})", control)
        self._keeper = process.keeper

    async def keeper_gone(self, number: int, pid: int) -> None:
        """What a dead zygote no longer tells is seen at its keeper, to which all that was below it has come."""
        await super().keeper_gone(number, pid)
        while self.lost and (_runs(pid) or not all(map(proc.is_keeper, proc.children(self._keeper)))):  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def _with_its_own(zygote: int) -> tuple[int, ...]:
    """It and what is below it but for its keepers, each of which belongs to a fork."""
    return zygote, *proc.descendants(zygote, proc.is_keeper)


def _runs(pid: int) -> bool:
    found = proc.stat(pid)
    return found is not None and found.alive


class Zygotes:
    """Belongs to one running loop, as its substrate does."""

    def __init__(self, spawn: Callable[[Command], Awaitable[LocalProcess]]) -> None:
        self._spawn = spawn
        self._lines: dict[Preload, _Line] = {}

    def ready(self, preload: Preload) -> bool:
        line = self._lines.get(preload)
        return line is not None and line.ready

    def all(self) -> Sequence[Zygote]:
        return tuple(
            Zygote(line.engine, line.process.pid, line.ready, _with_its_own(line.process.pid))
            for line in self._lines.values()
            if line.process is not None
        )

    def warm(self, preload: Preload, log: Path, env: Mapping[str, str]) -> None:
        self._end_older(preload)
        line = self._lines.setdefault(preload, _Line(preload.engine))
        now = asyncio.get_running_loop().time()
        if line.life is None and now >= line.not_before and self._room(line, now):
            line.used_at = now
            line.life = asyncio.create_task(self._live(line, _command(preload, log, env)))

    def _room(self, line: _Line, now: float) -> bool:
        """Where there are as many as may be, the one that has not forked for longest goes, if that is long enough."""
        others = [each for each in self._lines.values() if each.life is not None]
        if len(others) < MOST:
            return True
        oldest = min(others, key=lambda each: each.used_at)
        if now - oldest.used_at < UNUSED:
            line.why = f"there are {MOST} zygotes of other environments, which are in use"
            return False
        oldest.let_go("it made way for that of another environment")
        return True

    @contextlib.asynccontextmanager
    async def answering(self, preload: Preload) -> AsyncGenerator[Source]:
        """Something is to be forked from it in here, and soon. Raises ZygoteUnavailable."""
        line = self._lines.get(preload) or _Line(preload.engine)
        if self._older(preload):
            raise ZygoteUnavailable(_CHANGED)
        if line.source is None or line.source.lost:
            raise ZygoteUnavailable(line.why)
        try:
            async with asyncio.timeout(_ANSWER_LIMIT):
                yield line.source
        except TimeoutError:
            line.failed(f"it did not answer within {_ANSWER_LIMIT:g} s", was_ready=True)
            line.let_go(line.why)
            raise ZygoteUnavailable(line.why) from None
        except ZygoteUnavailable:
            raise
        except EngineError as error:
            raise ZygoteUnavailable(f"it could not fork: {error}") from error
        line.failures = 0
        line.used_at = asyncio.get_running_loop().time()

    def keep(self, preloads: Collection[Preload]) -> None:
        for other in [each for each in self._lines if each not in preloads]:
            self._lines.pop(other).let_go("nothing uses it any more")

    def end(self, why: str = "it was let go of") -> None:
        for line in self._lines.values():
            line.let_go(why)

    async def close(self) -> None:
        """Their processes are the substrate's to wait for."""
        lives = [line.life for line in self._lines.values() if line.life is not None]
        self.end("the server is stopping")
        await asyncio.gather(*lives, return_exceptions=True)

    def _end_older(self, preload: Preload) -> None:
        """Those for what was installed there before."""
        for other in self._older(preload):
            self._lines.pop(other).let_go(_CHANGED)

    def _older(self, preload: Preload) -> list[Preload]:
        alike = (each for each in self._lines if each != preload)
        return [each for each in alike if msgspec.structs.replace(each, stamp=preload.stamp) == preload]

    # -- one life -----------------------------------------------------------------------------------------------

    async def _live(self, line: _Line, command: Command) -> None:
        """From its start to its end. Cancelled, it is let go of."""
        why, was_ready = "", False
        try:
            line.process = await self._spawn(command)
            line.source = await _first_word(line.process)
            was_ready, line.why = True, "it has just ended"
            why = f"it {await line.process.ended()}"
        except TimeoutError:
            why = f"its imports took more than {_IMPORT_LIMIT:g} s"
        except (EngineError, OSError, msgspec.MsgspecError) as error:
            why = str(error)
        finally:
            if line.source is not None:
                line.source.hang_up()
            if line.process is not None:
                line.process.ask_to_stop(0.0)
            line.life = line.process = line.source = None
        line.failed(why, was_ready)


async def _first_word(process: LocalProcess) -> Source:
    """Waits for its imports. Raises EngineError with their error, TimeoutError."""
    assert process.channel is not None
    control = socket.socket(fileno=process.channel)
    try:
        async with asyncio.timeout(_IMPORT_LIMIT):
            line = b""
            while not line.endswith(b"\n"):
                part = await asyncio.get_running_loop().sock_recv(control, 1 << 16)
                if not part:
                    raise EngineError(
                        f"it {await process.ended()} during its imports; see {process.command.log}"
                    )
                line += part
        word = msgspec.json.decode(line, type=_Word)
        if not word.ready:
            raise EngineError(f"its imports failed: {word.failed}")
        return _Source(process, control)
    except BaseException:
        control.close()
        raise


def _command(preload: Preload, log: Path, env: Mapping[str, str]) -> Command:
    script = guardian_script().with_name("zygote.py")
    return Command(
        replica=f"zygote-{preload.engine}",
        argv=(*preload.python, str(script), str(os.getpid()), preload.module, *preload.path),
        env={**env, **dict(preload.env)},
        cwd="/",
        log=log,
        log_max_size=_LOG_MAX_SIZE,
        channel=True,
    )
