"""One running command, as the server sees it: the near end of its keeper's socket."""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import psutil

from pilotlight.errors import EngineError
from pilotlight.ports import Command, Exit
from pilotlight.substrate.local.strays import OWNER, Mark
from pilotlight_guest import guardian_proc as proc

_KEEPER_LIMIT = 25.0
"""Seconds beyond the grace after which a keeper that has not ended its command is stuck, and killed itself.
More than a keeper spends on a stop command."""
_FOREVER = 1e9


class Report(msgspec.Struct, frozen=True):
    """What a keeper says; `event` tells which of the rest is set."""

    event: str
    pid: int = 0
    keeper: int = 0
    stage: str = ""
    errno: int = 0
    text: str = ""
    code: int | None = None
    signal: int | None = None


class LocalProcess:
    """See `ports.Process`. `lost` is called when the keeper ended without a word."""

    def __init__(
        self,
        command: Command,
        number: int,
        control: socket.socket,
        lost: Callable[["LocalProcess"], None],
        zygote: bool = False,
    ) -> None:
        self.command = command
        self.number = number
        self._control = control
        self._lost = lost
        self.zygote = zygote
        self._outlived = zygote
        """What was forked from it goes on below its keeper when it has ended."""
        self._loop = asyncio.get_running_loop()
        self._inbox = b""
        self._first: asyncio.Future[Report | None] = self._loop.create_future()
        self._ended: asyncio.Future[Exit] = self._loop.create_future()
        self._exit: asyncio.Future[Exit] = self._loop.create_future()
        self._keeper = 0
        self._pid = 0
        self._channel: int | None = None
        self._ordered = False
        self._stop_early: float | None = None
        self._watchdog: asyncio.TimerHandle | None = None
        self._loop.add_reader(control.fileno(), self._readable)

    @property
    def pid(self) -> int:
        return self._pid

    @property
    def channel(self) -> int | None:
        return self._channel

    async def ended(self) -> Exit:
        return await asyncio.shield(self._ended)

    async def wait(self) -> Exit:
        return await asyncio.shield(self._exit)

    def log_to(self, log: Path) -> None:
        if self._control.fileno() >= 0:
            order = {"log": _text(os.fspath(log)), "log_max_size": self.command.log_max_size}
            with contextlib.suppress(OSError):  # it is gone
                self._control.send(msgspec.json.encode(order) + b"\n")

    async def stop(self, grace: float) -> Exit:
        self.ask_to_stop(grace)
        return await self.wait()

    def pids(self) -> Sequence[int]:
        if self._exit.done() or not self._keeper:
            return ()
        if not proc.LINUX:
            return _pids_elsewhere(self._keeper)
        # The keeper of a fork is one too, and shares the zygote's pages: without it, its part of them counts nowhere.
        keepers = () if self.command.preload is None else (self._keeper,)
        found = ((pid, proc.stat(pid)) for pid in (*proc.descendants(self._keeper), *keepers))
        return tuple(pid for pid, stat in found if stat is not None and stat.alive)

    # -- for the substrate ----------------------------------------------------------------------------------

    async def begin(self, order: Mapping[str, Any], channel: socket.socket | None) -> bool:
        """False when the keeper ended before it said anything; EngineError when the command cannot be run."""
        with contextlib.suppress(OSError):  # its end is read below
            await self._loop.sock_sendall(self._control, msgspec.json.encode(order) + b"\n")
        self._ordered = True
        if self._stop_early is not None:
            self.ask_to_stop(self._stop_early)
        report = await self._first
        if report is None:
            return False
        if report.event == "failed":
            raise EngineError(why(self.command, report))
        self._pid, self._keeper = report.pid, report.keeper
        self._channel = None if channel is None else channel.detach()
        return True

    def ask_to_stop(self, grace: float) -> None:
        """0 is "at once". The smallest grace asked for counts."""
        grace = min(max(grace, 0.0), _FOREVER)
        if self._exit.done() or self._control.fileno() < 0:
            return
        if not self._ordered:
            self._stop_early = grace
            return
        with contextlib.suppress(OSError):  # it is gone, or does not read, which the watchdog ends
            self._control.send(msgspec.json.encode({"stop": grace}) + b"\n")
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._watchdog = self._loop.call_later(grace + _KEEPER_LIMIT, self._kill_keeper)

    def end_for_good(self) -> None:
        """At once, and nothing that was forked from it may outlive it."""
        self._outlived = False
        self.ask_to_stop(0.0)

    @property
    def keeper(self) -> int:
        """Its pid; 0 until it has said so."""
        return self._keeper

    def on_end(self, callback: Callable[[], None]) -> None:
        self._exit.add_done_callback(lambda _: callback())

    def abandon(self) -> None:
        """Lets go of the keeper, to which that is the end of the server."""
        self._hang_up()
        self.finish(Exit())

    def finish(self, exit: Exit) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
        if not self._first.done():
            self._first.set_result(None)
        _settle(self._ended, exit)
        _settle(self._exit, exit)

    def _kill_keeper(self) -> None:
        if self._outlived and self._ended.done():
            return  # its keeper stays for as long as anything that was forked from it
        if self._control.fileno() >= 0 and self._keeper:
            proc.send(self._keeper, 9)

    def _readable(self) -> None:
        # To the last byte: when the far end has closed with something unread, uvloop calls this once and never again,
        # and a reader that is not removed then breaks the next one on a file descriptor of the same number.
        while (data := self._read()) is not None:
            *lines, self._inbox = (self._inbox + data).split(b"\n")
            for line in lines:
                self._take(msgspec.json.decode(line, type=Report))
            if not data:
                self._hang_up()
                if not self._exit.done():
                    self._lost(self)
                return

    def _read(self) -> bytes | None:
        """None when there is nothing for now; b"" at the end."""
        try:
            return self._control.recv(1 << 16)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def _take(self, report: Report) -> None:
        if report.event == "ended":
            _settle(self._ended, Exit(code=report.code, signal=report.signal))
        elif report.event == "exit":
            self.finish(Exit(code=report.code, signal=report.signal))
        elif not self._first.done():
            self._first.set_result(report)
        if report.event == "failed":
            self.finish(Exit())

    def _hang_up(self) -> None:
        if self._control.fileno() >= 0:
            self._loop.remove_reader(self._control.fileno())
            self._control.close()


def _settle(future: asyncio.Future[Exit], exit: Exit) -> None:
    if not future.done():
        future.set_result(exit)


def order(command: Command, mark: Mark, run_dir: Path, zygote: bool = False) -> dict[str, Any]:
    """What a keeper has to be told. Bytes travel as Latin-1: arguments may be invalid in any encoding."""
    env = {k: v for k, v in command.env.items() if k != "PILOTLIGHT_CHANNEL"}
    env |= {OWNER: mark.wide() if zygote else str(mark), "PILOTLIGHT_REPLICA": command.replica}
    for text in (*command.argv, *env, *env.values(), command.cwd):
        if "\0" in text:
            raise EngineError(f"cmd {command.argv[0]!r} cannot be run: there is a NUL character in {text!r}")
    return {
        "replica": command.replica,
        "mark": str(mark),
        "zygote": zygote,
        "argv": [_text(word) for word in command.argv],
        "env": {_text(k): _text(v) for k, v in env.items()},
        "cwd": _text(command.cwd),
        "log": _text(os.fspath(command.log)),
        "log_max_size": command.log_max_size,
        "stop_argv": None if command.stop_argv is None else [_text(word) for word in command.stop_argv],
        "fifo": _text(os.fspath(run_dir / f"{mark}.out")),
        "record": _text(os.fspath(run_dir / f"{mark}.json")),
    }


def _text(text: str) -> str:
    return os.fsencode(text).decode("latin-1")


def why(command: Command, report: Report) -> str:
    """One sentence: which command, what is wrong with it, what to do."""
    name = command.argv[0]
    if report.stage == "cwd":
        return f"cmd {name!r} cannot be run: its cwd {command.cwd!r}: {report.text}"
    if report.stage == "exec" and report.errno == errno.ENOENT:
        if "/" not in name:
            return f"cmd {name!r} was not found on PATH; install it, or write its full path"
        if (Path(command.cwd) / name).exists():
            return f"cmd {name!r} cannot be run: the interpreter named in its first line (#!) was not found"
        return (
            f"cmd {name!r} was not found; check the path (a relative one starts at its cwd, {command.cwd!r})"
        )
    if report.stage == "exec" and report.errno == errno.EACCES:
        return f"cmd {name!r} cannot be run: permission denied; it must be an executable file (chmod +x)"
    if report.stage == "exec" and report.errno == errno.ENOEXEC:
        return f"cmd {name!r} cannot be run: it is no program; a script needs a first line like #!/bin/sh"
    return f"cmd {name!r} cannot be run: {report.text}"


def _pids_elsewhere(keeper: int) -> Sequence[int]:
    try:
        return tuple(p.pid for p in psutil.Process(keeper).children(recursive=True))
    except psutil.Error:
        return ()
