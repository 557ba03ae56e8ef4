"""Brings files from the disk into memory ahead of those who map them. Linux; elsewhere nothing happens.

Of a file that is mapped the kernel reads 128 KiB at a time, unless its disk is set to more, and keeps it in small
pages. Where huge pages are asked for it reads 2 MiB at a time and the next 2 MiB beside it, and keeps them as one page
each (on the file systems that blocks.py names): who maps the file later has 512 times fewer entries to make.
"""

import contextlib
import ctypes
import errno
import functools
import mmap
import os
import threading
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

PROBES = 64
"""Pages of each file that are looked for in memory."""

COLD = 8
"""A file of which one in so many is not there is on the disk [G]."""

CHUNK = 8 << 20
"""Bytes that are asked for at once: others of this process can map memory in between, and it can be called off."""

READERS = 4
"""Threads. What is asked for has to stay ahead of who maps the file and follows: where he catches up he reads by
himself, in small pages, and both take longer than one alone."""

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
"""Nobody waits for a pipe that lies there now."""

_FAILED = ctypes.c_void_p(-1).value
_HUGEPAGE, _POPULATE_READ = 14, 22
"""MADV_HUGEPAGE; and MADV_POPULATE_READ, of Linux 5.14."""


def is_cold(files: Sequence[Path]) -> bool:
    """Whether an eighth of their pages or more is not in memory, by a few of each: 0.1 ms a file. False where
    `can_tell` is not true of each."""
    looked = [found for file in files for found in _look(file)]
    return bool(looked) and COLD * (len(looked) - sum(looked)) >= len(looked)


def can_tell(file: Path) -> bool:
    """Whether the kernel says what of it is in memory: of a file that is neither ours nor ours to write it says that
    all is. Raises OSError where there is none."""
    return os.geteuid() in (0, file.stat().st_uid) or os.access(file, os.W_OK)


def read(files: Sequence[Path], is_over: Callable[[], bool]) -> None:
    """Blocks, and lets other threads run. Until all is in memory or `is_over`; what cannot be read is left to those
    who need it. Raises OSError for a file that cannot be opened."""
    with contextlib.ExitStack() as stack:
        opened: list[int] = []
        for file in files:
            opened.append(os.open(file, _READ))
            stack.callback(os.close, opened[-1])
        chunks = iter([chunk for fd in opened for chunk in _chunks(fd)])

        def work() -> None:
            for fd, start, size in chunks:
                if is_over():
                    return
                _populate(fd, start, size)

        readers = [threading.Thread(target=work, name="read ahead", daemon=True) for _ in range(READERS)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()


def _chunks(fd: int) -> list[tuple[int, int, int]]:
    size = os.fstat(fd).st_size
    return [(fd, start, min(CHUNK, size - start)) for start in range(0, size, CHUNK)]


def _populate(fd: int, start: int, size: int) -> None:
    with _mapped(fd, start, size) as place:
        if place is None:
            return
        _libc().madvise(place, size, _HUGEPAGE)
        if _libc().madvise(place, size, _POPULATE_READ) and ctypes.get_errno() == errno.EINVAL:
            os.posix_fadvise(fd, start, size, os.POSIX_FADV_WILLNEED)


def _look(file: Path) -> list[bool]:
    with contextlib.suppress(OSError, AttributeError):  # another C library
        fd = os.open(file, _READ)
        try:
            pages = os.fstat(fd).st_size // mmap.PAGESIZE
            with _mapped(fd, 0, pages * mmap.PAGESIZE) as place:
                return [_is_there(place + i * mmap.PAGESIZE) for i in _spread(pages)] if place else []
        finally:
            os.close(fd)
    return []


def _spread(pages: int) -> list[int]:
    """Of so many pages, the middle ones of PROBES parts."""
    probes = min(PROBES, pages)
    return [pages * (2 * i + 1) // (2 * probes) for i in range(probes)]


def _is_there(place: int) -> bool:
    told = ctypes.c_ubyte(1)
    _libc().mincore(place, mmap.PAGESIZE, ctypes.byref(told))
    return bool(told.value & 1)


@contextlib.contextmanager
def _mapped(fd: int, start: int, size: int) -> Generator[int | None]:
    """Its address; None where it cannot be mapped."""
    place = _libc().mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, fd, start) if size else _FAILED
    if place == _FAILED:
        yield None
        return
    try:
        yield place
    finally:
        _libc().munmap(place, size)


@functools.cache
def _libc() -> Any:
    """With the types of what is called here; its calls are made without Python's lock, unlike those of `mmap`."""
    libc = ctypes.CDLL(None, use_errno=True)
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    libc.mmap.restype = pointer
    libc.mmap.argtypes = (pointer, size, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64)
    libc.munmap.argtypes = (pointer, size)
    libc.madvise.argtypes = (pointer, size, ctypes.c_int)
    libc.mincore.argtypes = (pointer, size, pointer)
    return libc
