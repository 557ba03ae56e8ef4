"""A log that never outgrows its size nor stops what it records. Standard library only, Python >= 3.8."""

from __future__ import annotations

import os
import time

_RETRY = 1.0  # seconds between attempts to open a log that could not be written


class CappedLog:
    """`path`, at most `limit` bytes, and the one before it as `path.1`. What cannot be written is dropped.

    Its owner's alone to read: engines may log what was asked of them.
    """

    def __init__(self, path: bytes, limit: int) -> None:
        self._path = path
        self._limit = max(limit, 1)
        self._fd = -1
        self._size = 0
        self._retry_at = 0.0
        self._dropped = 0

    def write(self, data: bytes) -> None:
        """Appends, rotating between lines where it can. Never raises."""
        while data:
            try:
                data = data[self._append(data) :]
            except OSError:  # disk full, folder gone or read-only
                self._dropped += len(data)
                self.close()
                self._retry_at = time.monotonic() + _RETRY
                return

    def _append(self, data: bytes) -> int:
        self._open()
        if self._dropped:
            note = b"[pilotlight: %d bytes of output could not be written here]\n" % self._dropped
            self._size += os.write(self._fd, note)
            self._dropped = 0
        room = self._limit - self._size
        if len(data) > room:
            whole_lines = data.rfind(b"\n", 0, max(room, 0)) + 1
            if not whole_lines and self._size:
                self._rotate()
                return 0
            data = data[: whole_lines or room]
        written = os.write(self._fd, data)
        self._size += written
        return written

    def _open(self) -> None:
        if self._fd >= 0:
            return
        if time.monotonic() < self._retry_at:
            raise OSError("not yet")
        os.makedirs(os.path.dirname(self._path) or b".", 0o700, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK  # a pipe there would be waited for
        self._fd = os.open(self._path, flags, 0o600)
        self._size = os.fstat(self._fd).st_size

    def _rotate(self) -> None:
        try:
            os.replace(self._path, self._path + b".1")
        except OSError:
            os.ftruncate(self._fd, 0)  # the size holds even where nothing can be renamed
        self.close()

    def close(self) -> None:
        """It may be written to again."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
