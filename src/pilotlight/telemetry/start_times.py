"""What starts have taken, kept on the disk so that a server that comes back knows it."""

import asyncio
import contextlib
import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path

import msgspec

from pilotlight.clock import Clock, Timer
from pilotlight.coldstart.learned import Learned, Row, Who
from pilotlight.fleet.plan import Plan
from pilotlight.fleet.records import StartRecord

log = logging.getLogger(__name__)

VERSION = 1

WRITE_AFTER = 1.0
"""Seconds after a start before the table is written, so that many starts at a time are one write."""

Of = Callable[[StartRecord], tuple[Who, str, Plan] | None]
"""The model, host and plan of a start; None when nobody knows them any more."""


class _File(msgspec.Struct, frozen=True):
    version: int
    rows: tuple[Row, ...]


class StartTimes:
    """A file that cannot be used is put aside and one that cannot be written is said once: starts go on without."""

    def __init__(self, path: Path, clock: Clock, of: Of) -> None:
        self.path = path
        self.learned = Learned()
        self._clock = clock
        self._of = of
        self._timer: Timer | None = None
        self._writing: asyncio.Task[None] | None = None
        self._failing = False

    def load(self) -> None:
        """Blocking, 30 ms for the most that it keeps."""
        try:
            self.learned = Learned(read_rows(self.path))
        except FileNotFoundError:
            return
        except (ValueError, OSError) as e:
            self._put_aside(str(e))

    def _put_aside(self, fault: str) -> None:
        aside = self.path.with_name(self.path.name + ".unusable")
        with contextlib.suppress(OSError):
            self.path.replace(aside)
        log.warning("%s cannot be used (%s); what starts take is learned anew", self.path, fault)

    def told(self, record: StartRecord) -> None:
        """Learns from a start that is over; written a moment later."""
        found = self._of(record)
        if found is None:
            return
        who, host, plan = found
        if not self.learned.learn(who, host, plan, record, self._clock.wall()):
            return
        if self._timer is None:
            self._timer = self._clock.call_at(self._clock.now() + WRITE_AFTER, self._due)

    def _due(self) -> None:
        self._timer = None
        if self._writing is not None and not self._writing.done():
            self._timer = self._clock.call_at(self._clock.now() + WRITE_AFTER, self._due)
            return
        rows = self.learned.rows()
        self._writing = asyncio.get_running_loop().create_task(asyncio.to_thread(self.write, rows))

    def write(self, rows: tuple[Row, ...]) -> None:
        """Blocking. Whole or not at all: whoever is cut off leaves the older one in place."""
        new = self.path.with_name(f"{self.path.name}.{os.getpid()}.new")
        try:
            _write(new, msgspec.json.encode(_File(VERSION, rows)))
            new.replace(self.path)
            _sync_folder(self.path.parent)
            self._failing = False
        except OSError as e:
            with contextlib.suppress(OSError):
                new.unlink(missing_ok=True)
            if not self._failing:
                log.warning("%s cannot be written (%s); a restart would not know it", self.path, e.strerror)
            self._failing = True

    async def close(self) -> None:
        """Writes what is not written yet."""
        if self._writing is not None:
            await self._writing
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            await asyncio.to_thread(self.write, self.learned.rows())


def read_rows(path: Path) -> tuple[Row, ...]:
    """Raises ValueError saying what is wrong with it, OSError when it cannot be read."""
    if not stat.S_ISREG(path.stat().st_mode):  # a pipe in its place would be waited for without end
        raise ValueError("it is no regular file")
    data = path.read_bytes()
    try:
        version = msgspec.json.decode(data, type=dict[str, msgspec.Raw]).get("version", msgspec.Raw(b"null"))
        if bytes(version) != str(VERSION).encode():
            raise ValueError(f"it is of version {bytes(version).decode(errors='replace')}, not {VERSION}")
        return msgspec.json.decode(data, type=_File).rows
    except msgspec.DecodeError as e:
        raise ValueError(str(e)) from None


def _write(path: Path, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
