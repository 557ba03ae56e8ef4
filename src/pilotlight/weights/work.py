"""Half files, and who is writing them.

Every writer has a folder of its own, `<parts>/<key>.<owner>.<random>/`, with `weights.part` and
`journal.json` in it. The owner is part of the name, so taking over what a dead process left is one rename,
which only one taker can win. No lock is held, and correctness rests on none:

- a second process that finds a living owner waits for it, to save the download, not to be safe;
- should a living owner ever be taken for dead (a shared disk, a clock that jumped), both write the same
  bytes to the same offsets, for nothing is truncated in place and what is resumed is verified first. The
  loser finds its folder gone, and looks again.
"""

import contextlib
import hashlib
import os
import shutil
import socket
import time
from collections.abc import Callable, Generator
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from pilotlight.errors import SourceError
from pilotlight.weights import disk

QUIET = 120.0
"""Seconds without a sign of life after which nobody waits for a living owner any longer."""
FOREIGN = 600.0
"""Seconds without a sign of life after which an owner on another host counts as dead."""
_FREE = "free"
"""Owner of what its writer gave up in an orderly way; anybody may take it."""
_DOOMED = "doomed"
"""Key of what is being deleted; whoever sees it may help."""
_POLL = 0.1
_BEAT = 1.0
_STEP_BACK = 0.05


class Owner(msgspec.Struct, frozen=True):
    """A process, by host, pid and start (Unix seconds, because pids come again)."""

    host: str
    pid: int
    start: int

    def __str__(self) -> str:
        return f"{self.host}-{self.pid}-{self.start}"

    def alive(self, quiet: float) -> bool:
        """Whether it runs; `quiet` is the age of its last sign of life, all one has of another host."""
        import psutil  # noqa: PLC0415 - 20 ms that most starts do not need

        if self.host != _host():
            return quiet < FOREIGN
        try:
            process = psutil.Process(self.pid)
            ended = process.status() == psutil.STATUS_ZOMBIE
            return not ended and abs(int(process.create_time()) - self.start) <= 2
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return True


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _me() -> Owner:
    import psutil  # noqa: PLC0415

    return Owner(_host(), os.getpid(), int(psutil.Process().create_time()))


class Lost(Exception):
    """Another process took this one for dead and has its half file now: look again."""


class Work:
    """A half file that this process may write. As a context manager it is given up at the end, not lost."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache_dir = folder.parent.parent
        """For messages."""
        self.data = folder / "weights.part"
        self.journal = folder / "journal.json"
        self.discarded = False
        self._beaten = 0.0

    def beat(self) -> None:
        """A sign of life, for those who wait; cheap enough to give with every piece."""
        now = time.monotonic()
        if now - self._beaten >= _BEAT:
            self._beaten = now
            os.utime(self.folder)

    @contextlib.contextmanager
    def writing(self, what: str, size: int | None = None) -> Generator[None]:
        """As `disk.writing`, but raises Lost when another process has taken this half file over."""
        try:
            with disk.writing(self.cache_dir, what, size):
                yield
        except SourceError:
            if not self.discarded and not self.folder.exists():
                raise Lost from None
            raise

    def discard(self) -> None:
        self.discarded = True
        shutil.rmtree(self.folder, ignore_errors=True)

    def give_up(self) -> None:
        """Lets anybody go on with it; nothing is kept of what was never begun."""
        if self.data.exists():
            _rename(self.folder, _name(self.folder.parent, self.folder.name.split(".")[0], _FREE))
        else:
            self.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A full disk must not stay full for the sake of a half file.
        if kind is None or issubclass(kind, disk.DiskFull):
            self.discard()
        else:
            self.give_up()


def take(parts: Path, key: str) -> Work | None:
    """The half file of `key`, new or taken over from the dead; None while another one lives and works on it.

    Raises OSError when `parts` cannot be written.
    """
    parts.mkdir(parents=True, exist_ok=True)
    _sweep(parts)
    if _busy(parts, key):
        return None
    mine = _name(parts, key, str(_me()))
    left = sorted((folder for folder in _folders(parts, key) if _abandoned(folder)), key=_size)
    if not left or not _rename(left.pop(), mine):
        mine.mkdir()
    os.utime(mine)
    for folder in left:  # a name that nobody takes over, before it goes
        _rename(folder, _name(parts, _DOOMED, _FREE))
    _sweep(parts)
    # Everybody shows himself first and looks round then, so of two that began in the same moment at most one
    # finds himself alone. The others step back, and come again at different times.
    if _busy(parts, key) != [mine]:
        Work(mine).give_up()
        time.sleep(_STEP_BACK * os.urandom(1)[0] / 255)
        return None
    return Work(mine)


def wait(parts: Path, key: str, done: Callable[[], bool], report: Callable[[int], None]) -> None:
    """Returns when `done()` or when nobody works on `key` any more; `report` gets the bytes so far."""
    while not done():
        busy = _busy(parts, key)
        if not busy:
            return
        report(max(_size(folder) for folder in busy))
        time.sleep(_POLL)


def _busy(parts: Path, key: str) -> list[Path]:
    """Folders of owners that live and give signs of it."""
    return [f for f in _folders(parts, key) if not _abandoned(f) and _quiet(f) < QUIET]


def _folders(parts: Path, key: str) -> list[Path]:
    return sorted(parts.glob(f"{key}.*"))


def _sweep(parts: Path) -> None:
    for folder in _folders(parts, _DOOMED):
        shutil.rmtree(folder, ignore_errors=True)


def _abandoned(folder: Path) -> bool:
    owner = folder.name.split(".")[1]
    if owner == _FREE:
        return True
    host, pid, start = owner.split("-")
    return not Owner(host, int(pid), int(start)).alive(_quiet(folder))


def _name(parts: Path, key: str, owner: str) -> Path:
    return parts / f"{key}.{owner}.{os.urandom(4).hex()}"


def _rename(old: Path, new: Path) -> bool:
    try:
        old.rename(new)
    except FileNotFoundError:
        return False
    return True


def _quiet(folder: Path) -> float:
    try:
        return time.time() - folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _size(folder: Path) -> int:
    """Bytes that have come, as far as is known: a half file may have its full length from the first."""
    try:
        return int(msgspec.json.decode((folder / "journal.json").read_bytes())["done"])
    except (OSError, ValueError, LookupError, TypeError):
        pass
    try:
        return (folder / "weights.part").stat().st_size
    except FileNotFoundError:
        return 0
