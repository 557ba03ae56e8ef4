"""The server's side of the guardian: its start, and the socket on which keepers are ordered from it or a zygote."""

import asyncio
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

_MESSAGE = struct.Struct("!cQ")
_EXIT_LIMIT = 10.0
"""Seconds for the guardian to end once it was told to; it waits for its keepers."""


def guardian_script() -> Path:
    spec = find_spec("pilotlight_guest.guardian")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin)


class Source:
    """Of keepers: the near end of the guardian's socket, or of a zygote's. Belongs to the running loop."""

    def __init__(self, name: str, control: socket.socket) -> None:
        self.name = name
        self._control = control
        self._gone: dict[int, asyncio.Event] = {}
        self.lost = False
        """It has ended, or was told to."""
        self.on_lost: Callable[[], None] | None = None
        """When it has ended by itself."""
        control.setblocking(False)
        asyncio.get_running_loop().add_reader(control.fileno(), self._readable)

    def start_keeper(self, number: int, fds: Sequence[int]) -> None:
        """Hands the far ends `fds` to a new keeper. OSError when nobody is there."""
        if self.lost:
            raise BrokenPipeError(f"{self.name} has ended")
        try:
            socket.send_fds(self._control, [_MESSAGE.pack(b"S", number)], list(fds))
        except (BrokenPipeError, ConnectionResetError):
            self.hang_up()  # before the loop came to see it
            raise
        self._gone[number] = asyncio.Event()

    async def keeper_gone(self, number: int, pid: int) -> None:
        """Returns when that keeper and everything below it is gone, or nobody is left to say so."""
        event = self._gone.get(number)
        if event is not None and not self.lost:
            await event.wait()

    def hang_up(self) -> None:
        """Tells it to end, which it does when its keepers have."""
        if self._control.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._control.fileno())
            self._control.close()
        self.lost = True
        for event in self._gone.values():
            event.set()
        self._gone.clear()

    def _readable(self) -> None:
        # To the last byte, as LocalProcess does and for its reason.
        while (data := self._read()) is not None:
            for offset in range(0, len(data) - _MESSAGE.size + 1, _MESSAGE.size):
                _, number = _MESSAGE.unpack_from(data, offset)
                event = self._gone.pop(number, None)
                if event is not None:
                    event.set()
            if not data:
                self.hang_up()
                if self.on_lost is not None:
                    self.on_lost()
                return

    def _read(self) -> bytes | None:
        """None when there is nothing for now; b"" at the end."""
        try:
            return self._control.recv(_MESSAGE.size * 256)
        except BlockingIOError:
            return None
        except OSError:
            return b""


class Guardian(Source):
    """The guardian process, once it is started."""

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket) -> None:
        super().__init__(f"the guardian (process {process.pid})", control)
        self._process = process

    def kill(self) -> None:
        """It does not answer. What it keeps has keepers of its own."""
        self.hang_up()
        self._process.kill()

    def reap(self) -> None:
        """Blocks until the process is gone; kills it when that takes too long."""
        try:
            self._process.wait(_EXIT_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def start_guardian(mark: str, run_dir: Path) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Blocks for a few milliseconds; OSError when it cannot be run."""
    ours, theirs = socket.socketpair()
    env = {**os.environ, "PILOTLIGHT_OWNER": mark}
    with theirs, _open_log(run_dir) as errors:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(guardian_script()), str(theirs.fileno()), str(os.getpid())],
            env=env,
            cwd="/",
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,  # a Ctrl-C in the terminal is for the server alone
        )
    return process, ours


def _open_log(run_dir: Path) -> BinaryIO:
    """For a traceback that should never be; where it cannot be kept, it is lost."""
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK  # a pipe there would be waited for
        return os.fdopen(os.open(run_dir / "guardian.log", flags, 0o600), "ab")
    except OSError:
        return Path(os.devnull).open("ab")
