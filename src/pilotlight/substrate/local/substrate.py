"""The local substrate: starts the guardian, has keepers made, and clears up where one was lost."""

import asyncio
import functools
import itertools
import logging
import socket
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from pilotlight.errors import EngineError, ZygoteUnavailable
from pilotlight.ports import Command, Exit, Preload, Zygote
from pilotlight.substrate.local import strays
from pilotlight.substrate.local.guardian import Guardian, Source, start_guardian
from pilotlight.substrate.local.process import LocalProcess, order
from pilotlight.substrate.local.zygotes import Zygotes
from pilotlight_guest.guardian_proc import LINUX

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

# Of processes; one count for all, since two substrates may share a state folder.
_numbers = itertools.count(1)
_GONE_LIMIT = 5.0
"""Seconds for the guardian to clear up after a lost keeper before the server does it as well as it can."""


_ANSWER_LIMIT = 20.0
"""Seconds for the guardian to make a keeper before it is killed, and another one asked [G]."""
_SOON = 5.0
"""Seconds: a guardian that has ended earlier than that is replaced once they are over, not at once."""


class LocalSubstrate:
    """See `ports.Substrate`. Every method belongs to one running loop."""

    def __init__(self, state_dir: Path) -> None:
        self._run_dir = state_dir.resolve() / "run"
        self._mark = strays.own_mark(state_dir)
        self._guardian: asyncio.Task[Guardian] | None = None
        self._processes: set[LocalProcess] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._zygotes = Zygotes(functools.partial(self._spawn, zygote=True))
        # Not the loop's own pool, which may be busy with downloads.
        self._threads = ThreadPoolExecutor(2, "pilotlight-substrate")
        self._closed = False

    def warm_up(self) -> None:
        """Starts the guardian in the background, ahead of the first spawn. `sweep` does it too."""
        self._start_guardian()

    async def spawn(self, command: Command) -> LocalProcess:
        return await (self._fork(command) if command.preload is not None else self._spawn(command))

    def zygote_ready(self, preload: Preload) -> bool:
        return self._zygotes.ready(preload)

    def warm_zygote(self, preload: Preload, log: Path, env: Mapping[str, str]) -> None:
        if LINUX and not self._closed:
            self._zygotes.warm(preload, log, env)

    def zygotes(self) -> Sequence[Zygote]:
        return self._zygotes.all()

    def keep_zygotes(self, preloads: Collection[Preload]) -> None:
        self._zygotes.keep(preloads)

    async def end_zygotes(self) -> None:
        self._zygotes.end()
        await asyncio.gather(*(process.ended() for process in self._processes if process.zygote))

    async def _fork(self, command: Command) -> LocalProcess:
        assert command.preload is not None
        if self._closed:
            raise EngineError(f"cmd {command.argv[0]!r} is not started: the server is stopping")
        async with self._zygotes.answering(command.preload) as source:
            process = await self._spawn_below(source, command)
            if process is None:
                raise ZygoteUnavailable("it ended when it was to fork")
        return process

    async def _spawn(self, command: Command, zygote: bool = False) -> LocalProcess:
        for _ in range(2):  # the guardian may have been killed since it was last used
            guardian = await self._running_guardian(command)
            try:
                async with asyncio.timeout(_ANSWER_LIMIT):
                    process = await self._spawn_below(guardian, command, zygote)
            except TimeoutError:
                log.warning("%s does not answer for %g s, and is killed", guardian.name, _ANSWER_LIMIT)
                guardian.kill()
                continue
            if process is not None:
                return process
            if not guardian.lost:
                break
        raise EngineError(
            f"cmd {command.argv[0]!r} cannot be run: its keeper ended at once; "
            f"is the system out of processes or memory? (see {self._run_dir / 'guardian.log'})"
        )

    async def sweep(self) -> int:
        self._start_guardian()
        return await self._in_thread(strays.sweep, self._run_dir, self._mark)

    async def close(self) -> None:
        self._closed = True
        for process in self._processes:
            process.end_for_good()
        await self._zygotes.close()
        while self._processes or self._tasks:
            await asyncio.gather(*(p.wait() for p in self._processes), *map(asyncio.shield, self._tasks))
        if self._guardian is not None:
            task, self._guardian = self._guardian, None
            try:
                guardian = await asyncio.shield(task)
            except OSError:
                return
            guardian.hang_up()
            await self._in_thread(guardian.reap)
        self._threads.shutdown(wait=False)

    # -- a start --------------------------------------------------------------------------------------------

    async def _spawn_below(
        self, source: Source, command: Command, zygote: bool = False
    ) -> LocalProcess | None:
        """None when no keeper came of it."""
        number = next(_numbers)
        text = order(command, self._mark.of(number), self._run_dir, zygote)
        ours, theirs = socket.socketpair()
        near, far = socket.socketpair() if command.channel else (None, None)
        ours.setblocking(False)
        if near is not None:
            near.setblocking(False)
        process = None
        try:
            with theirs:
                source.start_keeper(number, [s.fileno() for s in (theirs, far) if s is not None])
            if far is not None:
                far.close()
            process = LocalProcess(command, number, ours, lambda p: self._lost(p, source), zygote)
            self._processes.add(process)
            process.on_end(functools.partial(self._processes.discard, process))
            return process if await process.begin(text, near) else None
        except OSError:
            return None
        except asyncio.CancelledError:
            if process is not None:
                process.abandon()
            raise
        finally:
            for end in (far, near) if process is None or not process.pid else ():
                if end is not None:
                    end.close()
            if process is None:
                ours.close()

    # -- the guardian ---------------------------------------------------------------------------------------

    async def _running_guardian(self, command: Command) -> Guardian:
        name = repr(command.argv[0])
        try:
            guardian = None if self._closed else await asyncio.shield(self._start_guardian())
        except OSError as e:
            raise EngineError(f"cmd {name} is not started: the process guardian cannot be run: {e}") from e
        if guardian is None or self._closed:
            raise EngineError(f"cmd {name} is not started: the server is stopping")
        return guardian

    def _start_guardian(self) -> asyncio.Task[Guardian]:
        task = self._guardian
        if task is not None and task.done() and (task.cancelled() or task.exception() or task.result().lost):
            if not task.cancelled() and task.exception() is None:
                log.warning("%s has ended; what runs goes on, under another one", task.result().name)
                self._background(self._in_thread(task.result().reap))
            task = None
        if task is None:
            task = self._guardian = asyncio.create_task(self._new_guardian())
            task.add_done_callback(lambda t: t.cancelled() or t.exception())  # told to whoever spawns next
        return task

    async def _new_guardian(self) -> Guardian:
        if not LINUX:
            log.warning(
                "no child subreaper on this system: what leaves its process group may outlive its owner"
            )
        guardian = Guardian(*await self._in_thread(start_guardian, str(self._mark), self._run_dir))
        loop = asyncio.get_running_loop()
        due = loop.time() + _SOON

        def lost() -> None:
            loop.call_at(due, self._replace_guardian)

        guardian.on_lost = lost
        return guardian

    def _replace_guardian(self) -> None:
        if not self._closed:
            self._start_guardian()

    # -- a lost keeper --------------------------------------------------------------------------------------

    def _lost(self, process: LocalProcess, source: Source) -> None:
        self._background(self._bury(process, source))

    async def _bury(self, process: LocalProcess, source: Source) -> None:
        """A keeper was killed: its command died with it. Waits for the rest, then says so."""
        try:
            await asyncio.wait_for(source.keeper_gone(process.number, process.keeper), _GONE_LIMIT)
        except TimeoutError:
            log.warning("%s does not answer", source.name)
        mark = self._mark.of(process.number)
        await self._in_thread(strays.kill_marked, lambda found: found == mark)
        await self._in_thread(strays.run_records, self._run_dir, self._mark, process.number)
        process.finish(Exit())

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, functools.partial(function, *args, **kwargs))
