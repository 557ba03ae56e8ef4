"""A log file that is capped in size: one older file is kept as `<name>.1`."""

import io
import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)


class RotatingFile:
    """Appends bytes. A disk that is full or gone costs lines, never a request; it is said once until it works again."""

    def __init__(self, path: Path, max_size: int) -> None:
        self.path = path
        self.max_size = max_size
        self._file: io.FileIO | None = None
        self._size = 0
        self._failing = False

    def write(self, data: bytes) -> None:
        try:
            if self._file is not None and self._moved():
                self.close()
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._open()
            assert self._file is not None
            if self._size and self._size + len(data) > self.max_size:
                self.close()
                self.path.replace(self.path.with_name(self.path.name + ".1"))
                self._open()
            while data:
                written = self._file.write(data) or 0
                self._size += written
                data = data[written:]
            self._failing = False
        except OSError as e:
            if not self._failing:
                log.warning(
                    "%s cannot be written (%s); its lines are lost until it can", self.path, e.strerror
                )
            self._failing = True
            self.close()

    def _moved(self) -> bool:
        """Whether somebody has removed or renamed the file, as a log rotation does."""
        assert self._file is not None
        try:
            return not os.path.samestat(self.path.stat(), os.fstat(self._file.fileno()))
        except FileNotFoundError:
            return True

    def _open(self) -> None:
        """A last line that a kill or a full disk has cut is ended, so that the next one stands by itself."""
        self._file = open(self.path, "a+b", buffering=0, opener=_private)  # noqa: SIM115
        self._size = self._file.seek(0, os.SEEK_END)
        if self._size:
            self._file.seek(-1, os.SEEK_END)
            if self._file.read(1) != b"\n":
                self._file.write(b"\n")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
