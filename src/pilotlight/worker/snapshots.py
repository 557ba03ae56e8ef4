"""Engines dumped when they were ready, one for each model: taken behind its stop, restored by its starts.

What is dumped is a process of its own, brought up for that in the room that the replica has just left, and asked
nothing but for a warm-up: so no prompt is in an image. An image is restored as often as it is wanted, side by side
too. It goes when anything has changed that it depends on, and when a restore of it has failed but for want of disk
space, rights or the like.
"""

import asyncio
import contextlib
import errno
import hashlib
import itertools
import logging
import shutil
import socket
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import msgspec

from pilotlight.clock import Clock
from pilotlight.errors import EngineError, ZygoteUnavailable
from pilotlight.ports import Substrate
from pilotlight.spec.diff import fingerprint
from pilotlight.spec.model import Model
from pilotlight.units import format_size
from pilotlight.worker import criu, cuda_checkpoint
from pilotlight.worker.channel import EngineRefused
from pilotlight.worker.pool import BEHIND, Pool
from pilotlight.worker.settings import Settings
from pilotlight.worker.snapshot_making import GUEST, Wanted, make
from pilotlight.worker.snapshot_stamp import kept_env, stamp
from pilotlight.worker.waiting import sleep
from pilotlight_guest.snapshot_port import with_port

log = logging.getLogger(__name__)

RETRY = 600.0
"""Seconds after a dump or a restore that failed before another is taken [G]."""

_OF_THE_MACHINE = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EPERM, errno.EACCES),
        *(errno.EEXIST, errno.EMFILE, errno.ENFILE, errno.ENOMEM),
    }
)
"""Errors that say nothing of the snapshot that was to be restored."""

_STAMP = "stamp.json"
_WORK = "work"
_numbers = itertools.count(1)


class _Image(msgspec.Struct, frozen=True):
    stamp: Mapping[str, str]
    files: Mapping[str, tuple[int, int]]
    """Bytes and time of change."""
    socket: int
    pipe: int
    port_at: int


class _Stale(ZygoteUnavailable):
    """Nothing is wrong with it, but that it is of no use any more."""


class Snapshots:
    def __init__(
        self,
        substrate: Substrate,
        clock: Clock,
        settings: Settings,
        pool: Pool,
        room: Callable[[Collection[int]], int],
    ) -> None:
        """`room`: bytes of host memory that nothing is reserved for; none where something is on these devices."""
        self._substrate = substrate
        self._clock = clock
        self._settings = settings
        self._pool = pool
        self._room = room
        self._why: dict[str, str] = {}
        """There is none, by folder's name."""
        self._not_before: dict[str, float] = {}
        self._one = asyncio.Lock()
        self._taking: dict[str, tuple[Wanted, asyncio.Task[None]]] = {}
        """By folder's name."""
        self._restoring: set[str] = set()
        self._names: set[str] = set()
        self._declared: dict[str, str] = {}
        """The fingerprint of what is declared, by folder's name."""

    # -- for a start ---------------------------------------------------------------------------------------------

    def why_not(self, deployment: str, small: bool, gpus: int = 0) -> str:
        """Why none can be restored; empty when one may. Cheap, but for the first time."""
        if self._settings.snapshot_dir is None:
            return "there is no folder for it"
        if why := cuda_checkpoint.why_no_snapshots(gpus):
            return why
        name = _name(deployment, small)
        return (
            "" if (self._folder(name) / _STAMP).exists() else self._why.get(name, "none has been taken yet")
        )

    @contextlib.asynccontextmanager
    async def restoring(self, wanted: Wanted, port: int) -> AsyncGenerator[tuple[str, ...]]:
        """The words with which a process restores it, listening on that port, which is held meanwhile. Raises
        ZygoteUnavailable; on that, also from within, it is discarded, unless only this machine was in the way."""
        name = _name(wanted.deployment, wanted.small)
        images = self._folder(f"restore-{next(_numbers)}")
        self._restoring.add(images.name)
        log_file = self._folder(_WORK) / f"{images.name}.log"
        with _held(port), contextlib.ExitStack() as stack:
            stack.callback(self._restoring.discard, images.name)
            stack.callback(_remove, log_file)
            stack.callback(shutil.rmtree, images, ignore_errors=True)
            try:
                image = await asyncio.to_thread(self._lay_out, name, wanted, images, port)
                yield criu.restoring(criu.find() or "criu", images, log_file, image.socket, image.pipe)
            except _Stale as error:
                self._discard(name, str(error))
                raise
            except (ZygoteUnavailable, OSError, msgspec.MsgspecError) as error:
                # An engine that has said why ends, which CRIU may find an error.
                said = "" if isinstance(error.__cause__, EngineRefused) else criu.first_error(log_file)
                why = f"it could not be restored: {said or error}"
                stays = isinstance(error, OSError) and error.errno in _OF_THE_MACHINE
                log.warning(
                    "the snapshot of %s is %s: %s", wanted.deployment, "kept" if stays else "discarded", why
                )
                if not stays:
                    self._failed(name, why)
                raise ZygoteUnavailable(why) from error

    def _lay_out(self, name: str, wanted: Wanted, images: Path, port: int) -> _Image:
        folder = self._folder(name)
        image = msgspec.json.decode((folder / _STAMP).read_bytes(), type=_Image)
        now = self._stamp(wanted)
        if _files(folder) != image.files:
            raise OSError("its images are not as they were dumped")
        changed = [what for what, mark in now.items() if image.stamp.get(what) != mark]
        if changed:
            raise _Stale(f"{' and '.join(changed)} changed since it was taken")
        images.mkdir(0o700)
        self._folder(_WORK).mkdir(0o700, exist_ok=True)
        for file in image.files:
            if file != "files.img":
                (images / file).symlink_to(folder / file)
        with_port(str(folder / "files.img"), str(images / "files.img"), image.port_at, port)
        return image

    def _failed(self, name: str, why: str) -> None:
        self._not_before[name] = self._clock.now() + RETRY
        self._discard(name, why)

    def _discard(self, name: str, why: str) -> None:
        self._why[name] = why
        shutil.rmtree(self._folder(name), ignore_errors=True)

    # -- taken ---------------------------------------------------------------------------------------------------

    def after_stop(self, wanted: Wanted) -> None:
        """Its last replica may have gone: takes one where there is none, soon. None of what was declared once: no start
        would restore it."""
        name = _name(wanted.deployment, wanted.small)
        if self._declared.get(name) != wanted.fingerprint or name in self._taking:
            return
        if self._lacks(name, len(wanted.devices)):
            task = asyncio.create_task(self._take(name, wanted))
            self._taking[name] = wanted, task
            task.add_done_callback(lambda _: self._taking.pop(name))

    def give_way(self, devices: Collection[int]) -> None:
        """Somebody is to use these devices: what is being taken there is called off, for no room of it is reserved."""
        for wanted, task in self._taking.values():
            if not set(wanted.devices).isdisjoint(devices):
                _call_off(task)

    def is_busy(self) -> bool:
        """Whether one is taken, or soon will be."""
        return bool(self._taking)

    def taken(self) -> list[str]:
        """Models of which there is one."""
        if self._settings.snapshot_dir is None:
            return []
        return sorted(n for n in self._names if (self._folder(_name(n, False)) / _STAMP).exists())

    def keep(self, models: Mapping[str, Model]) -> None:
        """Of these models only, by name; what an earlier server left half made goes as well."""
        self._names = set(models)
        whole = {_name(name, False): fingerprint(model) for name, model in models.items()}
        small = {_name(name, True): fingerprint(model.small()) for name, model in models.items()}
        self._declared = whole | small
        if self._settings.snapshot_dir is None:
            return
        for name, (wanted, task) in self._taking.items():
            if self._declared.get(name) != wanted.fingerprint:
                _call_off(task)
        making = {f"{name}.new" for name in self._taking}  # each goes with its task
        for folder in self._settings.snapshot_dir.glob("*"):
            if folder.name not in {_WORK, *self._restoring, *self._declared, *making}:
                shutil.rmtree(folder, ignore_errors=True)

    async def close(self) -> None:
        tasks = [task for _, task in self._taking.values()]
        for task in tasks:
            _call_off(task)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _lacks(self, name: str, gpus: int) -> bool:
        if self._settings.snapshot_dir is None or (self._folder(name) / _STAMP).exists():
            return False
        due = self._clock.now() >= self._not_before.get(name, 0.0)
        return due and not cuda_checkpoint.why_no_snapshots(gpus)

    async def _take(self, name: str, wanted: Wanted) -> None:
        await sleep(self._clock, BEHIND)
        async with self._one:
            if self._room(wanted.devices) < wanted.memory:
                beside = ", and its devices" if wanted.devices else ""
                self._why[name] = f"to take one, {format_size(wanted.memory)}{beside} have to be free"
                return
            new = self._folder(f"{name}.new")
            try:
                shutil.rmtree(new, ignore_errors=True)
                new.parent.mkdir(0o700, parents=True, exist_ok=True)
                new.mkdir(0o700)
                image = await self._make(name, wanted, new)
                (new / _STAMP).write_bytes(msgspec.json.encode(image))
                new.rename(self._folder(name))
                self._why.pop(name, None)
            except (EngineError, OSError, TimeoutError, msgspec.MsgspecError) as error:
                log.warning("no snapshot of %s was taken: %s", wanted.deployment, error)
                self._failed(name, f"none could be taken: {error}")
            finally:
                shutil.rmtree(new, ignore_errors=True)

    async def _make(self, name: str, wanted: Wanted, folder: Path) -> _Image:
        before = await asyncio.to_thread(self._stamp, wanted)
        made = await make(self._substrate, self._clock, self._settings, self._pool, name, wanted, folder)
        if await asyncio.to_thread(self._stamp, wanted) != before:
            raise EngineError("something that it depends on was changed meanwhile")
        return _Image(before, _files(folder), made.socket, made.pipe, made.port_at)

    def _stamp(self, wanted: Wanted) -> dict[str, str]:
        env = kept_env(self._settings.env, wanted.launch)
        found = stamp(wanted.launch, env, wanted.order, criu.find() or "", GUEST)
        return found | ({cuda_checkpoint.WHAT: cuda_checkpoint.stamp()} if wanted.devices else {})

    def _folder(self, name: str) -> Path:
        assert self._settings.snapshot_dir is not None
        return self._settings.snapshot_dir / name


def _call_off(task: asyncio.Task[None]) -> None:
    """Once: a second time would break off its clearing up."""
    if not task.cancelling():
        task.cancel()


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _files(folder: Path) -> dict[str, tuple[int, int]]:
    found = {path.name: path.stat() for path in folder.iterdir() if path.name != _STAMP}
    return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in found.items()}


def _name(deployment: str, small: bool) -> str:
    """Of a folder; names of models may have what those of folders may not."""
    return hashlib.sha256(f"{deployment}\0{small}".encode()).hexdigest()[:16]


@contextlib.contextmanager
def _held(port: int) -> Any:
    """So that nobody else can get it; CRIU, which allows for others on a port, gets it all the same."""
    with socket.socket() as holder:
        try:
            for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):  # as CRIU does
                holder.setsockopt(socket.SOL_SOCKET, option, 1)
            holder.bind(("127.0.0.1", port))
        except OSError as error:
            raise ZygoteUnavailable(f"port {port} cannot be had: {error}") from error
        yield
