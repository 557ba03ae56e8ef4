"""What is in the cache: one small file per source, written after the weights themselves."""

import contextlib
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from pilotlight.weights import disk


class Part(msgspec.Struct, frozen=True):
    """One file; its path is relative to the cache where it lies inside, its size in bytes."""

    path: str
    size: int
    sha256: str | None = None


class Record(msgspec.Struct, frozen=True):
    """What a source became; `parts[0]` is the file an engine opens."""

    source: str
    parts: tuple[Part, ...]


class Entry(msgspec.Struct, frozen=True):
    """One line of a listing. `source` is without what may be secret in a URL."""

    source: str
    path: Path
    bytes: int


def public(source: str) -> str:
    """The source as it may be shown: without a URL's query, which may carry a signature, and its digest."""
    return re.split(r"[?#]", source, maxsplit=1)[0] if re.match(r"https?://", source) else source


class Index:
    def __init__(self, cache_dir: Path) -> None:
        self._root = cache_dir
        self._folder = cache_dir / "index"

    def put(self, identity: str, source: str, files: list[tuple[Path, str | None]]) -> None:
        """Notes that `identity`, shown as `source`, is these files with these digests. Raises OSError."""
        parts = tuple(Part(self._relative(path), path.stat().st_size, digest) for path, digest in files)
        self._folder.mkdir(parents=True, exist_ok=True)
        disk.write_atomic(self._file(identity), msgspec.json.encode(Record(public(source), parts)))

    def get(self, identity: str) -> Path | None:
        """The file to open, when every part is still there with the size it had."""
        return self._whole(self._file(identity))

    def remove_damaged(self, identity: str) -> None:
        """Takes its final name from a file in the cache whose size is no longer what it was."""
        record = _read(self._file(identity))
        for part in record.parts if record else ():
            path = self._root / part.path
            if path.is_relative_to(self._root) and path.exists() and path.stat().st_size != part.size:
                path.unlink()

    def entries(self) -> Iterator[Entry]:
        for file in sorted(self._folder.glob("*.json")):
            path = self._whole(file)
            record = _read(file)
            if path is not None and record is not None:
                yield Entry(record.source, path, sum(part.size for part in record.parts))

    def _whole(self, file: Path) -> Path | None:
        record = _read(file)
        if record is None or not record.parts:
            return None
        for part in record.parts:
            try:
                if (self._root / part.path).stat().st_size != part.size:
                    return None
            except OSError:
                return None
        return self._root / record.parts[0].path

    def _file(self, identity: str) -> Path:
        return self._folder / f"{key_of(identity)}.json"

    def _relative(self, path: Path) -> str:
        # Relative names let a cache be moved, or be mounted elsewhere.
        with contextlib.suppress(ValueError):
            return str(path.relative_to(self._root))
        return str(path)


def key_of(source: str) -> str:
    """A short name for a source that is safe as a file name."""
    return hashlib.sha256(source.encode()).hexdigest()[:24]


def _read(file: Path) -> Record | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Record)
    except (OSError, msgspec.MsgspecError):
        return None
