"""A substrate without processes, for tests and for trying out policies: every spawn behaves as a script says.

Time comes from a `Clock`, so under a `VirtualClock` everything happens exactly when the clock is moved there.
"""

import asyncio
import itertools
import signal
import socket
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pilotlight.clock import Clock, SystemClock, Timer
from pilotlight.errors import EngineError, ZygoteUnavailable
from pilotlight.ports import Command, Exit, Preload, Zygote
from pilotlight.units import FOREVER

Player = Callable[[socket.socket], Coroutine[Any, Any, None]]
"""Plays the process at the far end of its channel (a non-blocking socket, closed when the process ends)."""


class Script(msgspec.Struct, frozen=True):
    """How one process behaves. Times are seconds."""

    fails: str | None = None
    """Why `spawn` raises EngineError, as it follows the command's name: `was not found on PATH`."""
    spawn_takes: float = 0.0
    exit_after: float | None = None
    """After the spawn, by itself; None runs until it is stopped."""
    exit: Exit = Exit(code=0)
    """How it ends by itself."""
    term_takes: float | None = 0.0
    """From SIGTERM to its end; None ignores SIGTERM."""
    term_exit: Exit = Exit(signal=signal.SIGTERM)
    clearing_takes: float = 0.0
    """From its own end until nothing of it is left."""
    children: int = 0
    """Descendants that `pids` shows besides it."""
    output: bytes = b""
    """Written to its log at the start."""
    player: Player | None = None


class ZygoteScript(msgspec.Struct, frozen=True):
    """How every zygote behaves."""

    ready_after: float | None = 0.0
    """Seconds from when it is begun; None never gets there."""
    forks_fail: str | None = None
    """Why `spawn` raises ZygoteUnavailable."""


class FakeSubstrate:
    """See `ports.Substrate`. `spawned` and each process's `events` are there to be asserted on."""

    def __init__(
        self,
        script: Script | Callable[[Command], Script] = Script(),  # noqa: B008, it is frozen
        *,
        clock: Clock | None = None,
        leftovers: int = 0,
        zygote: ZygoteScript = ZygoteScript(),  # noqa: B008, it is frozen
    ) -> None:
        """`leftovers` is what the first sweep finds."""
        self._script = script
        self._clock: Clock = clock or SystemClock()
        self._leftovers = leftovers
        self._pids = itertools.count(1001)
        self._closed = False
        self._zygote = zygote
        self._begun: dict[Preload, tuple[int, float]] = {}
        """Pid of each zygote, and when it was begun."""
        self.spawned: list[FakeProcess] = []

    @property
    def running(self) -> Sequence["FakeProcess"]:
        return [process for process in self.spawned if not process.gone]

    async def spawn(self, command: Command) -> "FakeProcess":
        name = repr(command.argv[0])
        script = self._script(command) if callable(self._script) else self._script
        await self._pass(script.spawn_takes)
        if self._closed:
            raise EngineError(f"cmd {name} is not started: the server is stopping")
        if command.preload is not None:
            self._check_zygote(command.preload)
        if script.fails is not None:
            raise EngineError(f"cmd {name} {script.fails}")
        pids = tuple(itertools.islice(self._pids, 1 + script.children))
        process = FakeProcess(command, script, pids, self._clock)
        self.spawned.append(process)
        return process

    def zygote_ready(self, preload: Preload) -> bool:
        _, begun = self._begun.get(preload, (0, FOREVER))
        after = self._zygote.ready_after
        return after is not None and self._clock.now() >= begun + after

    def warm_zygote(self, preload: Preload, log: Path, env: Mapping[str, str]) -> None:
        if not self._closed:
            self._begun.setdefault(preload, (next(self._pids), self._clock.now()))

    def zygotes(self) -> Sequence[Zygote]:
        return [
            Zygote(each.engine, pid, self.zygote_ready(each), (pid,))
            for each, (pid, _) in self._begun.items()
        ]

    def keep_zygotes(self, preloads: Collection[Preload]) -> None:
        self._begun = {each: begun for each, begun in self._begun.items() if each in preloads}

    async def end_zygotes(self) -> None:
        self._begun.clear()

    def _check_zygote(self, preload: Preload) -> None:
        if not self.zygote_ready(preload):
            raise ZygoteUnavailable("none is up yet")
        if self._zygote.forks_fail is not None:
            raise ZygoteUnavailable(self._zygote.forks_fail)

    async def sweep(self) -> int:
        found, self._leftovers = self._leftovers, 0
        return found

    async def close(self) -> None:
        self._closed = True
        await self.end_zygotes()
        for process in self.running:
            await process.stop(0.0)

    async def _pass(self, seconds: float) -> None:
        if seconds > 0:
            passed = asyncio.get_running_loop().create_future()
            timer = self._clock.call_at(self._clock.now() + seconds, lambda: passed.set_result(None))
            try:
                await passed
            finally:
                timer.cancel()


class FakeProcess:
    """See `ports.Process`."""

    def __init__(self, command: Command, script: Script, pids: tuple[int, ...], clock: Clock) -> None:
        self.command = command
        self.script = script
        self.log = command.log
        self.events: list[str] = []
        """`stop_argv`, `SIGTERM`, `SIGKILL` in the order in which it met them."""
        self._pids = pids
        self._clock = clock
        self._ended: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._exit: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._timers: list[Timer] = []
        self._kill_at: float | None = None
        self._channel: int | None = None
        self._far: socket.socket | None = None
        self._playing: asyncio.Task[None] | None = None
        if script.output:
            command.log.parent.mkdir(parents=True, exist_ok=True)
            with command.log.open("ab") as file:
                file.write(script.output)
        if command.channel:
            self._open_channel()
        if script.exit_after is not None:
            self._after(script.exit_after, lambda: self.end(script.exit))

    @property
    def pid(self) -> int:
        return self._pids[0]

    @property
    def channel(self) -> int | None:
        return self._channel

    @property
    def gone(self) -> bool:
        return self._exit.done()

    async def ended(self) -> Exit:
        return await asyncio.shield(self._ended)

    async def wait(self) -> Exit:
        return await asyncio.shield(self._exit)

    def log_to(self, log: Path) -> None:
        self.log = log

    async def stop(self, grace: float) -> Exit:
        now = self._clock.now()
        first = self._kill_at is None
        if not self._ended.done() and (self._kill_at is None or now + grace < self._kill_at):
            self._kill_at = now + grace
            if first:
                self._run_stop_command()
            if grace <= 0:
                self._kill()
            else:
                if first:
                    self._terminate()
                if grace != FOREVER:
                    self._after(grace, self._kill)
        return await self.wait()

    def pids(self) -> Sequence[int]:
        return () if self.gone else self._pids[1:] if self._ended.done() else self._pids

    def end(self, exit: Exit) -> None:
        """It ends now, as a crash would have it."""
        if self._ended.done():
            return
        self._run_stop_command()
        for timer in self._timers:
            timer.cancel()
        if self._playing is not None:
            self._playing.cancel()
        if self._far is not None:
            self._far.close()
        self._ended.set_result(exit)
        if self.script.clearing_takes:
            self._after(self.script.clearing_takes, lambda: self._exit.set_result(exit))
        else:
            self._exit.set_result(exit)

    def _terminate(self) -> None:
        self.events.append("SIGTERM")
        if self.script.term_takes is not None:
            self._after(self.script.term_takes, lambda: self.end(self.script.term_exit))

    def _kill(self) -> None:
        if not self._ended.done():
            self.events.append("SIGKILL")
            self.end(Exit(signal=signal.SIGKILL))

    def _run_stop_command(self) -> None:
        # Once for each process, whatever the cause of its end.
        if self.command.stop_argv is not None and "stop_argv" not in self.events:
            self.events.append("stop_argv")

    def _after(self, seconds: float, callback: Callable[[], None]) -> None:
        self._timers.append(self._clock.call_at(self._clock.now() + seconds, callback))

    def _open_channel(self) -> None:
        near, self._far = socket.socketpair()
        near.setblocking(False)
        self._far.setblocking(False)
        self._channel = near.detach()
        if self.script.player is not None:
            self._playing = asyncio.ensure_future(self.script.player(self._far))
