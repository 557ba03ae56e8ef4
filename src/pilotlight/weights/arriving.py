"""A half file that others may open while it is being written: it has its full length, and tells of its header."""

import ctypes
import errno
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pilotlight.errors import SourceError
from pilotlight.weights import gguf_header

FIRST_LOOK = 1 << 18
"""Bytes after which the header is looked for, then after twice as many each time: a look reads all of it anew."""
LAST_LOOK = 1 << 28
"""A header longer than that is not waited for: the greatest vocabularies take some 10 MB [G]."""

_NOT_OFFERED = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


class Arriving:
    """One for each download."""

    def __init__(self, path: Path, tell: Callable[[Path], None]) -> None:
        """`tell` is called once, in the thread that writes, and raises nothing."""
        self._path = path
        self._tell: Callable[[Path], None] | None = tell
        self._next = FIRST_LOOK

    def look(self, done: int, total: int) -> None:
        """After the first `done` of `total` bytes have been written."""
        if self._tell is None or (done < self._next and done < total):
            return
        try:
            found = gguf_header.tensor_types(self._path, done)
        except SourceError:  # whoever reads the whole of it will say so
            self._tell = None
            return
        if found is not None and done < total:
            self._tell(self._path)
        if found is not None or done >= min(total, LAST_LOOK):
            self._tell = None
        self._next = max(2 * self._next, done)


def reserve(fd: int, size: int) -> None:
    """Gives the file its full length, and its room on the disk where the file system can: a disk that is full says so
    now, and not as a signal in a process that has mapped the file. What is there stays. Raises OSError.
    """
    try:
        _fallocate(fd, size)
    except OSError as error:
        if error.errno not in _NOT_OFFERED:
            raise
        if os.fstat(fd).st_size < size:
            os.ftruncate(fd, size)


def allocated(path: Path) -> int:
    """Bytes of the disk that it has already; 0 where there is none."""
    try:
        return path.stat().st_blocks * 512
    except FileNotFoundError:
        return 0


def _fallocate(fd: int, size: int) -> None:
    """The system call. What the C library calls posix_fallocate writes to every block where a file system cannot."""
    call = getattr(_libc(), "fallocate", None)
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    while call(fd, 0, ctypes.c_int64(0), ctypes.c_int64(size)):
        number = ctypes.get_errno()
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))


@functools.cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)
