"""One file over HTTP into a half file: resumed, verified, retried. Where it goes then is not known here."""

import hashlib
import http.client
import logging
import os
import time
import urllib.error
import urllib.request
from functools import partial
from http import HTTPStatus
from typing import IO, NoReturn

import msgspec

from pilotlight.errors import SourceError
from pilotlight.ports import Early, Progress
from pilotlight.units import format_size
from pilotlight.weights import answer, arriving, disk
from pilotlight.weights.arriving import Arriving
from pilotlight.weights.blocks import gathered, write_all
from pilotlight.weights.path import NotGguf, check_start
from pilotlight.weights.remote import Remote
from pilotlight.weights.trouble import STALL, Broken, read, refused, unreachable
from pilotlight.weights.work import Work

log = logging.getLogger(__name__)

RETRIES = 5
"""Failures in a row, without a new byte in between, after which it is given up."""
BACK_OFF, BACK_OFF_CAP = 0.5, 8.0
"""Seconds before the second attempt, doubling, and their limit (also for a server's Retry-After)."""
_PIECE = 1 << 20
_NOTE_BYTES, _NOTE_SECONDS = 64 << 20, 1.0
"""How much may be lost to a kill: the journal is brought up to date at the first of the two."""


class _Note(msgspec.Struct):
    """The journal: what can be resumed, and how to know that it is still the same file."""

    done: int
    prefix_sha256: str
    total: int | None
    etag: str | None
    last_modified: str | None
    offered_sha256: str | None


def download(remote: Remote, work: Work, progress: Progress, early: Early | None = None) -> str:
    """Fills `work.data` and returns its SHA-256. Blocks; an exception out of `progress` ends it resumably.

    `early` is called once when the header is there, if the length of the whole is known then.
    Raises SourceError: refused, unreachable after some attempts, not what was promised, disk full.
    """
    try:
        with work.writing(remote.name):
            return _Download(remote, work, progress, early).run()
    except NotGguf:
        work.discard()
        raise


class _Download:
    def __init__(self, remote: Remote, work: Work, progress: Progress, early: Early | None) -> None:
        self.remote, self.work, self.progress = remote, work, progress
        self.arriving = Arriving(work.data, early) if early is not None else None
        self.resumed = False
        self._forget()

    def run(self) -> str:
        self._load()
        digest = self._attempts()
        if self._wrong(digest) and self.resumed:
            # What was resumed may have been another file; the whole of it once more decides.
            self._restart()
            digest = self._attempts()
        if expected := self._wrong(digest):
            self.work.discard()
            raise SourceError(
                f"{self.remote.name} has the SHA-256 {digest}, and {expected} was expected: the file was "
                "changed or damaged; check the digest and the server, then fetch it again"
            )
        return digest

    def _wrong(self, digest: str) -> str | None:
        expected = self.remote.sha256 or self.offered
        return expected if expected and expected != digest else None

    def _attempts(self) -> str:
        failures, best = 0, self.done
        while True:
            try:
                return self._attempt()
            except Broken as broken:
                failures = 1 if self.done > best else failures + 1
                best = max(best, self.done)
                if failures > RETRIES:
                    raise SourceError(
                        f"{self.remote.name} could not be fetched ({broken}), {failures} times in a row; "
                        f"{format_size(self.done)} are kept, and fetching it again goes on from there"
                    ) from broken
                pause = min(max(BACK_OFF * 2 ** (failures - 1), broken.wait), BACK_OFF_CAP)
                text = "%s: %s; trying again in %g s (%d of %d)"
                log.warning(text, self.remote.name, broken, pause, failures, RETRIES)
                time.sleep(pause)
                self.work.beat()

    def _attempt(self) -> str:
        if self.total is not None and self.done == self.total > 0:
            return self.hash.hexdigest()
        try:
            with self._open() as response:
                self._begin(response)
                self._copy(response)
        except urllib.error.HTTPError as error:
            with error:
                self._refused(error)
        except urllib.error.URLError as error:
            unreachable(self.remote, error.reason)
        except (http.client.HTTPException, TimeoutError, ConnectionError) as error:
            raise Broken(str(error) or type(error).__name__) from error
        if self.total is not None and self.done != self.total:
            raise Broken(f"the connection ended after {self.done} of {self.total} bytes")
        check_start(self.start, self.remote.name)
        return self.hash.hexdigest()

    def _open(self) -> http.client.HTTPResponse:
        headers = {"Accept-Encoding": "identity", "Want-Repr-Digest": "sha-256=9", "User-Agent": "pilotlight"}
        headers |= self.remote.headers
        if self.done and not (self.remote.sha256 or self.etag or self.last_modified):
            self._restart()
        if self.done:
            headers["Range"] = f"bytes={self.done}-"
            # With a digest known beforehand no validator is needed, and signed URLs change theirs.
            if not self.remote.sha256 and (validator := self.etag or self.last_modified):
                headers["If-Range"] = validator
        opener = urllib.request.build_opener(answer.Redirects)
        return opener.open(urllib.request.Request(self.remote.url, headers=headers), timeout=STALL)  # noqa: S310

    def _begin(self, response: http.client.HTTPResponse) -> None:
        """Reads what the answer says of itself, and starts over where the server did."""
        headers, expected = response.headers, self.remote.size
        if headers.get("Content-Encoding", "identity") != "identity":
            raise SourceError(f"{self.remote.name} is served compressed; serve the file itself")
        if response.status == HTTPStatus.PARTIAL_CONTENT and self.done:
            start, total = answer.content_range(headers)
            if start != self.done or (self.total is not None and total not in (None, self.total)):
                self._restart()
                raise Broken("the server sent another part than was asked for")
        else:
            self._restart()  # also where nothing has come: the file may have been given the length of another one
            total = answer.content_length(headers)
            self.etag, self.last_modified = answer.strong_etag(headers), headers.get("Last-Modified")
        if expected is not None and total not in (None, expected):
            raise SourceError(f"{self.remote.name} has {total} bytes, not {expected}; fetch it again later")
        self.total = total if total is not None else self.total
        self.offered = answer.offered_sha256(headers) or self.offered
        if self.total is None and not response.chunked and not (self.remote.sha256 or self.offered):
            raise SourceError(
                f"{self.remote.name}: the server does not say how long the file is, so half of it could pass "
                "for the whole; add its digest to the URL as #sha256=HEX"
            )
        if self.total is not None:
            has = max(self.done, arriving.allocated(self.work.data))
            disk.need(self.work.cache_dir, max(0, self.total - has), self.remote.name)

    def _copy(self, response: http.client.HTTPResponse) -> None:
        left = None if self.total is None else self.total - self.done
        with self.work.writing(self.remote.name, left):
            fd = os.open(self.work.data, os.O_WRONLY | os.O_CREAT, 0o644)
            with os.fdopen(fd, "wb", buffering=0) as data:
                self._reserve(data)
                data.seek(self.done)
                try:
                    self._pieces(response, data)
                finally:
                    self._save(data)

    def _reserve(self, data: IO[bytes]) -> None:
        """Those who are told early map the whole of it. Noted first: its length no longer says how much has come."""
        if self.arriving is not None and self.total is not None:
            self._save(data)
            arriving.reserve(data.fileno(), self.total)
            self.arriving.look(self.done, self.total)  # resumed, it may have its header already

    def _pieces(self, response: http.client.HTTPResponse, data: IO[bytes]) -> None:
        noted, noted_at = self.done, time.monotonic()
        while piece := gathered(partial(read, response), self.done):
            if len(self.start) < 4:
                self.start = (self.start + piece)[:64]
                if len(self.start) >= 4:
                    check_start(self.start, self.remote.name)
            if os.fstat(data.fileno()).st_size < self.done:
                self._restart()
                raise Broken("somebody has cut the half file off")
            write_all(data, piece)
            self.hash.update(piece)
            self.done += len(piece)
            self.work.beat()
            self.progress(self.done, self.total)
            if self.arriving is not None and self.total is not None:
                self.arriving.look(self.done, self.total)
            if self.done - noted >= _NOTE_BYTES or time.monotonic() - noted_at >= _NOTE_SECONDS:
                self._save(data)
                noted, noted_at = self.done, time.monotonic()

    def _refused(self, error: urllib.error.HTTPError) -> NoReturn:
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and self.done:
            self._restart()
            raise Broken("the server no longer has what was begun")
        refused(self.remote, error)

    # -- the journal ---------------------------------------------------------------------------------------

    def _save(self, data: IO[bytes]) -> None:
        os.fsync(data.fileno())
        prefix = self.hash.copy().hexdigest()
        note = _Note(self.done, prefix, self.total, self.etag, self.last_modified, self.offered)
        disk.write_atomic(self.work.journal, msgspec.json.encode(note))

    def _load(self) -> None:
        """Takes up what the journal vouches for, after reading it again."""
        try:
            note = msgspec.json.decode(self.work.journal.read_bytes(), type=_Note)
            if not self._reread(note.done) or self.hash.hexdigest() != note.prefix_sha256:
                raise ValueError("the half file is not what was noted")
        except (OSError, ValueError):
            self._restart()
            return
        self.done, self.total = note.done, note.total if self.remote.size is None else self.remote.size
        self.etag, self.last_modified, self.offered = note.etag, note.last_modified, note.offered_sha256
        self.resumed = note.done > 0

    def _reread(self, size: int) -> bool:
        """Brings the digest up to the first `size` bytes of the half file; False when there are fewer."""
        with self.work.data.open("rb") as data:
            while size and (piece := data.read(min(size, _PIECE))):
                self.start = self.start or piece[:64]
                self.hash.update(piece)
                size -= len(piece)
                self.work.beat()
        return not size

    def _restart(self) -> None:
        """Begins again in a new file: truncating could hurt another writer of the old one."""
        self.work.data.unlink(missing_ok=True)
        self.work.journal.unlink(missing_ok=True)
        self.resumed = False
        self._forget()

    def _forget(self) -> None:
        self.done, self.hash, self.start = 0, hashlib.sha256(), b""
        self.total: int | None = self.remote.size
        self.etag: str | None = None
        self.last_modified: str | None = None
        self.offered: str | None = None
