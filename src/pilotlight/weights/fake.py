"""Weights for tests and simulations, from no network: they come when they are told to."""

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path

from pilotlight.errors import SourceError
from pilotlight.ports import Early, Progress


class FakeWeights:
    """Implements the port `Weights`; any source is one but the empty one.

    `fetch` says that a third is there, waits for `go`, which is set unless it is `slow`, and writes `size` bytes;
    or raises SourceError with the text of `error`.
    """

    def __init__(self, folder: Path, size: int = 100, slow: bool = False, error: str | None = None) -> None:
        self.folder = folder
        self.size = size
        self.error = error
        self.header = False
        """Its header is there before the rest."""
        self.fetched = 0
        self.asked = threading.Event()
        """A fetch has begun."""
        self.go = threading.Event()
        if not slow:
            self.go.set()

    def path(self, source: str) -> Path:
        """Where its weights are, or will be."""
        return self.folder / f"{hashlib.sha256(source.encode()).hexdigest()[:16]}.bin"

    def check(self, source: str) -> None:
        if not source:
            raise SourceError("the source is empty")

    def local(self, source: str) -> Path | None:
        path = self.path(source)
        return path if source and path.exists() else None

    def files(self, source: str) -> Sequence[Path]:
        found = self.local(source)
        return (found,) if found is not None else ()

    def streams(self, source: str) -> bool:
        return self.header

    def fetch(self, source: str, progress: Progress | None = None, early: Early | None = None) -> Path:
        self.check(source)
        if found := self.local(source):
            return found
        self.fetched += 1
        if progress is not None:
            progress(self.size * 34 // 100, self.size)
        part = self.folder / f"{threading.get_ident()}.part"
        part.write_bytes(b"x" * self.size)
        if self.header and early is not None:
            early(part)
        self.asked.set()
        self.go.wait(10)
        if self.error:
            raise SourceError(self.error)
        if progress is not None:
            progress(self.size, self.size)
        return part.replace(self.path(source))

    def size_hint(self, source: str) -> int | None:
        return self.size if self.local(source) else None
