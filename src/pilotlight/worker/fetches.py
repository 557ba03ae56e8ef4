"""Weights on their way: one thread for each source, whoever waits for it."""

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from pilotlight.errors import SourceError
from pilotlight.ports import Early, Progress, Weights, WeightsInfo
from pilotlight.units import format_size
from pilotlight.worker.arriving import Arriving

log = logging.getLogger(__name__)

Describe = Callable[[Path], WeightsInfo]


class Here(msgspec.Struct, frozen=True):
    """Weights that are on this machine's disk."""

    path: Path
    info: WeightsInfo


class _Fetch(msgspec.Struct, eq=False):
    done: asyncio.Future[Here]
    header: asyncio.Future[Arriving]
    progress: str = ""


class Fetches:
    """A fetch that nobody waits for any more goes on: what has come is not lost, and the next start finds it."""

    def __init__(self, weights: Weights, describe: Describe, describe_arriving: Describe) -> None:
        self._weights = weights
        self._describe = describe
        self._describe_arriving = describe_arriving
        self._running: dict[str, _Fetch] = {}
        self._known: dict[tuple[Path, int, int], WeightsInfo] = {}

    def progress(self, source: str) -> str:
        """Such as `fetching 34 %`; empty when nothing is being fetched."""
        fetch = self._running.get(source)
        return fetch.progress if fetch else ""

    async def get(self, source: str) -> Here:
        """Whole and verified. Cancelling it does not end the fetch. Raises SourceError, or OSError for a file that
        cannot be read."""
        fetch = self._running.get(source)
        if fetch is None:
            known = self._at_hand(source)
            if known is not None:
                return known
            fetch = self._begin(source)
        return await asyncio.shield(fetch.done)

    def will_stream(self, source: str) -> bool:
        """Whether it is not here and would come in one piece from its beginning to its end."""
        return self._weights.streams(source) and self._weights.local(source) is None

    def files(self, source: str) -> Sequence[Path]:
        """Of what is here whole; nothing is asked, and nothing raised."""
        return self._weights.files(source)

    async def header(self, source: str) -> Arriving | None:
        """As soon as it is there, while the rest is on its way: for the caller to close. None when it is whole, or has
        failed, before: `get` says which. Cancelling it does not end the fetch."""
        fetch = self._running.get(source)
        if fetch is None:
            if self._at_hand(source) is not None:
                return None
            fetch = self._begin(source)
        await asyncio.wait((fetch.done, fetch.header), return_when=asyncio.FIRST_COMPLETED)
        return None if fetch.done.done() else fetch.header.result().another()

    def _at_hand(self, source: str) -> Here | None:
        """Without a thread, where the file is here and has been looked into before."""
        path = self._weights.local(source)
        info = self._known.get(_mark(path)) if path is not None else None
        return Here(path, info) if path is not None and info is not None else None

    def _begin(self, source: str) -> _Fetch:
        loop = asyncio.get_running_loop()
        fetch = self._running[source] = _Fetch(loop.create_future(), loop.create_future())

        def progress(done: int, total: int | None) -> None:
            share = f"{100 * done // total} %" if total else format_size(done)
            fetch.progress = f"fetching {share}"

        def early(path: Path) -> None:
            arriving = self._opened(path)
            if arriving is not None:
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(fetch.header.set_result, arriving)

        def finish(here: Here | Exception) -> None:
            del self._running[source]
            if fetch.header.done():
                fetch.header.result().close()
            if fetch.done.done():
                return
            if isinstance(here, Exception):
                fetch.done.set_exception(here)
                fetch.done.exception()  # perhaps nobody waits for it any more
            else:
                fetch.done.set_result(here)

        def work() -> None:
            try:
                here: Here | Exception = self._fetch(source, progress, early)
            except Exception as error:
                here = error
            with contextlib.suppress(RuntimeError):  # the loop is closed: the server has left
                loop.call_soon_threadsafe(finish, here)

        # A daemon, for a server that leaves does not wait for a download; that resumes where it was.
        threading.Thread(target=work, name=f"fetch {source}", daemon=True).start()
        return fetch

    def _opened(self, path: Path) -> Arriving | None:
        """None where it cannot be used before it is whole; if something is wrong with it, that is said then."""
        with contextlib.suppress(OSError):
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                return Arriving(fd, self._describe_arriving(path))
            except (SourceError, OSError):
                os.close(fd)
            except Exception:
                log.exception("the header of %s", path)
                os.close(fd)
        return None

    def _fetch(self, source: str, progress: Progress, early: Early) -> Here:
        path = self._weights.local(source) or self._weights.fetch(source, progress, early)
        mark = _mark(path)
        info = self._known.get(mark) or self._describe(path)
        if len(self._known) >= 1024:
            self._known.clear()
        self._known[mark] = info
        return Here(path, info)


def _mark(path: Path) -> tuple[Path, int, int]:
    stat = path.stat()
    return path, stat.st_mtime_ns, stat.st_size
