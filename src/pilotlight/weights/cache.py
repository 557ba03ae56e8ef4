"""The cache of weights on this machine.

cache_dir/
  demo/   demo-50m-v1.gguf
  http/   KEY/name.gguf          KEY is a digest of the URL
  hub/    org--repo/COMMIT/...   as in the repository
  parts/  half files, see work.py
  index/  one small file per source, written last

A file has its final name only when it is whole, verified and on the disk.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pilotlight.errors import SourceError
from pilotlight.ports import Early, Progress
from pilotlight.weights import demo, disk, http, hub, path, split, work
from pilotlight.weights.demo import DemoSource
from pilotlight.weights.http import HttpSource
from pilotlight.weights.hub import HubSource
from pilotlight.weights.index import Entry, Index, key_of, public
from pilotlight.weights.remote import Remote

_SCHEMES = "a path to a .gguf file, hf://org/repo/file.gguf, https://host/file.gguf, demo://50m or demo://1b"
_LOOK_UPS = 3
_LOOK_UP_PAUSE = 1.0

_Fill = Callable[[work.Work, Progress], str | None]
"""Fills a half file and says its SHA-256 where it took one."""


class WeightCache:
    """Implements the port `Weights`. Safe to use from several threads and processes at once."""

    def __init__(self, cache_dir: Path) -> None:
        self._root = cache_dir.expanduser().absolute()
        self._parts = self._root / "parts"
        self._index = Index(self._root)

    def check(self, source: str) -> None:
        """Static; no network. Raises SourceError when the source can never be one."""
        if _parse(source) is None:
            path.find(source)

    def local(self, source: str) -> Path | None:
        """The file to open, when all of it is here; no network, and nothing is raised."""
        try:
            parsed = _parse(source)
            return path.find(source) if parsed is None else self._index.get(_identity(source, parsed))
        except SourceError:
            return None

    def files(self, source: str) -> tuple[Path, ...]:
        """All parts of what is here whole; the tensors of a folder in Hugging Face's layout. Nothing is raised."""
        with contextlib.suppress(OSError):
            folder = Path(source)
            if folder.is_absolute() and folder.is_dir():
                return tuple(sorted(folder.glob("*.safetensors")))
            if first := self.local(source):
                return tuple(first.with_name(name) for name in split.parts(first.name))
        return ()

    def streams(self, source: str) -> bool:
        """Whether it is one file that comes over the network."""
        try:
            parsed = _parse(source)
        except SourceError:
            return False
        return isinstance(parsed, (HttpSource, HubSource)) and len(parsed.files) == 1

    def fetch(self, source: str, progress: Progress | None = None, early: Early | None = None) -> Path:
        """Blocks. The file to open, whole and verified under its final name. Raises SourceError.

        What is here already is not asked for again, so a moving branch is fetched once: name a commit to
        move on. `progress` is called in the calling thread; an exception from it ends the fetch, and the
        next one resumes it. `early` is called there too, with a half file whose header has come: see the port.
        """
        report: Progress = progress or (lambda _done, _total: None)
        parsed = _parse(source)
        if parsed is None:
            return path.find(source)
        identity = _identity(source, parsed)
        if found := self._index.get(identity):
            return found
        with disk.writing(self._root, public(source)):
            self._index.remove_damaged(identity)
            files = self._obtain(source, parsed, report, early if self.streams(source) else None)
            self._index.put(identity, source, files)
        return files[0][0]

    def entries(self) -> list[Entry]:
        """What is here whole, apart from paths, which are nobody's to list; a URL's query is not shown."""
        return sorted(self._index.entries(), key=lambda entry: entry.source)

    def size_hint(self, source: str) -> int | None:
        """Bytes of all parts, when known without network: what is here, and demo models. Never raises.

        Also of a folder in Hugging Face's layout, which engines that fetch by themselves are given.
        """
        with contextlib.suppress(SourceError, OSError):
            if files := self.files(source):
                return sum(file.stat().st_size for file in files)
            parsed = _parse(source)
            if isinstance(parsed, DemoSource):
                return parsed.shape.file_size
        return None

    def _obtain(
        self,
        source: str,
        parsed: "DemoSource | HttpSource | HubSource",
        report: Progress,
        early: Early | None,
    ) -> list[tuple[Path, str | None]]:
        match parsed:
            case DemoSource():
                final = self._root / "demo" / parsed.file_name
                return [(final, self._one(final, _generate(parsed), report))]
            case HttpSource(files, names):
                folder = self._root / "http" / key_of(source)
                return self._several(files, [folder / name for name in names], report, early)
            case HubSource():
                if here := hub.already_here(parsed, report):
                    return list(here)
                found = _look_up(parsed)
                folder = self._root.joinpath("hub", parsed.repo.replace("/", "--"), found.commit)
                return self._several(found.files, [folder / name for name in parsed.files], report, early)

    def _several(
        self, files: Sequence[Remote], finals: Sequence[Path], report: Progress, early: Early | None
    ) -> list[tuple[Path, str | None]]:
        """All parts of a model, one after the other, with one progress for all."""
        sizes = [file.size for file in files]
        known = [size for size in sizes if size is not None]
        total = sum(known) if len(known) == len(sizes) else None
        done: list[tuple[Path, str | None]] = []
        behind = 0
        for file, final in zip(files, finals, strict=True):

            def shifted(n: int, of: int | None, behind: int = behind) -> None:
                report(behind + n, total if len(files) > 1 else of)

            digest = self._one(final, _download(file, early), shifted)
            behind += final.stat().st_size
            done.append((final, digest))
        return done

    def _one(self, final: Path, fill: _Fill, report: Progress) -> str | None:
        """Gets one file under its final name, or waits until another has. The digest where one was taken."""
        key = key_of(str(final.relative_to(self._root)))
        while not final.exists():
            mine = work.take(self._parts, key)
            if mine is None:
                work.wait(self._parts, key, final.exists, lambda n: report(n, None))
                continue
            with contextlib.suppress(work.Lost), mine, mine.writing(final.name):
                digest = fill(mine, report)
                disk.publish(mine.data, final)
                return digest
        return None


def _parse(source: str) -> DemoSource | HttpSource | HubSource | None:
    """None for a path. Raises SourceError for what can never be a source."""
    scheme, sign, _ = source.partition("://")
    if not sign:
        if not source:
            raise SourceError(f"the source is empty; write {_SCHEMES}")
        return None
    match scheme:
        case "demo":
            return demo.parse(source)
        case "http" | "https":
            return http.parse(source)
        case "hf":
            return hub.parse(source)
        case _:
            raise SourceError(f"{public(source)}: there is no {scheme}:// source; write {_SCHEMES}")


def _identity(source: str, parsed: DemoSource | HttpSource | HubSource) -> str:
    """What the index knows a source by: a new version of the demo models is another model."""
    return parsed.file_name if isinstance(parsed, DemoSource) else source


def _generate(source: DemoSource) -> _Fill:
    def fill(mine: work.Work, report: Progress) -> None:
        demo.generate(source, mine, report)

    return fill


def _download(remote: Remote, early: Early | None) -> _Fill:
    def fill(mine: work.Work, report: Progress) -> str:
        from pilotlight.weights import transfer  # noqa: PLC0415 - 20 ms of network library

        return transfer.download(remote, mine, report, early)

    return fill


def _look_up(source: HubSource) -> hub.Found:
    for _ in range(_LOOK_UPS - 1):
        try:
            return hub.look_up(source)
        except hub.Unreachable:
            time.sleep(_LOOK_UP_PAUSE)
    return hub.look_up(source)
