"""What the kernel keeps of files in memory: asked, read, and let go of. Linux.

Through the C library, whose calls are made without Python's lock, unlike those of `mmap`; and no page is touched, so
that a file that is cut off meanwhile harms nobody.
"""

import contextlib
import ctypes
import errno
import functools
import mmap
import os
import stat
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

CHUNK = 8 << 20
"""Bytes that are asked for at once: others of this process can map memory in between, and it can be called off."""

Chunk = tuple[int, int, int]
"""File descriptor, and offset and length in bytes."""

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
"""Nobody waits for a pipe that lies there now."""

_FAILED = ctypes.c_void_p(-1).value
_HUGEPAGE, _POPULATE_READ = 14, 22
"""MADV_HUGEPAGE; and MADV_POPULATE_READ, of Linux 5.14."""
_WRITE_AND_WAIT = 7
"""All flags of sync_file_range."""


def can_tell(file: Path) -> bool:
    """Whether the kernel says what of it is in memory: of a file that is neither ours nor ours to write it says that
    all is. Raises OSError where there is none."""
    return os.geteuid() in (0, file.stat().st_uid) or os.access(file, os.W_OK)


@contextlib.contextmanager
def opened(files: Sequence[Path]) -> Generator[list[int]]:
    """To be read. Raises OSError for one that cannot be."""
    with contextlib.ExitStack() as stack:
        found: list[int] = []
        for file in files:
            found.append(os.open(file, _READ))
            stack.callback(os.close, found[-1])
        yield found


def size_of(fd: int) -> int:
    """Bytes; none of what is no regular file."""
    status = os.fstat(fd)
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def chunks(fd: int, size: int) -> list[Chunk]:
    """The first `size` bytes of it."""
    return [(fd, start, min(CHUNK, size - start)) for start in range(0, size, CHUNK)]


def spread(count: int, most: int) -> list[int]:
    """Of so many, the middle ones of at most `most` parts."""
    probes = min(most, count)
    return [count * (2 * i + 1) // (2 * probes) for i in range(probes)]


@contextlib.contextmanager
def mapped(fd: int, start: int, size: int) -> Generator[int | None]:
    """Its address; None where it cannot be mapped."""
    place = _libc().mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, fd, start) if size else _FAILED
    if place == _FAILED:
        yield None
        return
    try:
        yield place
    finally:
        _libc().munmap(place, size)


def missing(place: int, size: int) -> int:
    """How many pages of what is mapped there are not in memory."""
    pages = -(-size // mmap.PAGESIZE)
    told = ctypes.create_string_buffer(b"\1" * pages, pages)
    _libc().mincore(place, size, told)
    return told.raw.count(0)


def populate(place: int, size: int) -> int:
    """Makes the entries of what is mapped there, and reads what is missing. The number of the error, 0 for none:
    EINVAL of a kernel that cannot."""
    return ctypes.get_errno() if _libc().madvise(place, size, _POPULATE_READ) else 0


def read_huge(fd: int, start: int, size: int) -> bool:
    """Into memory, and what was missing in huge pages where the file system has them. Whether it is there then: Linux
    before 5.14 is told what will be needed, and nobody waits for it."""
    with mapped(fd, start, size) as place:
        if place is None:
            return False
        _libc().madvise(place, size, _HUGEPAGE)
        error = populate(place, size)
        if error == errno.EINVAL:
            os.posix_fadvise(fd, start, size, os.POSIX_FADV_WILLNEED)
        return not error


def touch(fd: int, start: int, room: memoryview) -> bool:
    """Reads as much as there is room for, so that a processor has had it. A virtual machine may have to get from its
    host, a small page at a time, what only the disk has written into its memory: better here than in a start. Whether
    all is there. Raises OSError."""
    return os.preadv(fd, [room], start) == len(room)


def drop(fd: int, start: int, size: int) -> None:
    """Out of memory, once it is on the disk; what somebody maps stays, and what cannot be written."""
    _libc().sync_file_range(fd, start, size, _WRITE_AND_WAIT)
    os.posix_fadvise(fd, start, size, os.POSIX_FADV_DONTNEED)


@functools.cache
def _libc() -> Any:
    """With the types of what is called here. Raises AttributeError for another C library."""
    libc = ctypes.CDLL(None, use_errno=True)
    pointer, size, offset = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64
    libc.mmap.restype = pointer
    libc.mmap.argtypes = (pointer, size, ctypes.c_int, ctypes.c_int, ctypes.c_int, offset)
    libc.munmap.argtypes = (pointer, size)
    libc.madvise.argtypes = (pointer, size, ctypes.c_int)
    libc.mincore.argtypes = (pointer, size, pointer)
    libc.sync_file_range.argtypes = (ctypes.c_int, offset, offset, ctypes.c_uint)
    return libc
