"""Lays what is in memory in small pages anew in huge ones: read from the disk once more, a chunk at a time. Linux.

For files that others have written in small pieces, and those of which the kernel has let parts go that came back in
small pages (blocks.py and read_ahead.py tell how the others get into huge ones). To put them together where they are
(MADV_COLLAPSE) takes a kernel built with READ_ONLY_THP_FOR_FS, which many are not.
"""

import mmap
import resource
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from pilotlight.weights.blocks import BLOCK
from pilotlight.weights.page_cache import (
    CHUNK,
    Chunk,
    can_tell,
    chunks,
    drop,
    mapped,
    missing,
    opened,
    populate,
    read_huge,
    size_of,
    spread,
    touch,
)

PROBES = 16
"""Chunks that are looked at: 0.5 ms each in small pages, 0.05 in huge ones."""

SMALL = 8
"""Files of which one chunk in so many is in small pages are worth it [G]."""

MISSING = 8
"""What of one in so many pages, or chunks, is not there is not in memory [G]. A few pages are missing here and there
where the kernel lets go of what nobody uses though memory is free (DAMON)."""

IN_VAIN = 4
"""After so many chunks in a row that stay in small pages no more is tried: the file system has no others, the machine's
memory is in pieces, or somebody maps the file; and after one that could not be read again [G]."""


class Laid(msgspec.Struct, frozen=True):
    """What laying anew has come to."""

    huge: int = 0
    """Bytes that lie in huge pages now."""
    in_vain: int = 0
    """Bytes that were to be, and are in small pages as before or could not be read again."""


def is_small(files: Sequence[Path]) -> bool:
    """Whether an eighth or more lies in memory in small pages, and less than an eighth is missing there, by a few
    chunks. False where the kernel does not tell. Raises OSError for a file that cannot be opened, AttributeError for
    another C library."""
    if not all(map(can_tell, files)):
        return False
    with opened(files) as fds:
        found = _chunks(fds)
        looked = [_lies_small(found[i]) for i in spread(len(found), PROBES)]
    return MISSING * looked.count(None) < len(looked) <= SMALL * looked.count(True)


def lay_anew(files: Sequence[Path], is_over: Callable[[], bool]) -> Laid:
    """Blocks, and lets other threads run. Those chunks that are in memory in small pages, until `is_over` or until it
    proves to be of no use. One is put out of memory and read before the next. Raises as `is_small` does."""
    huge, in_vain, left = 0, 0, IN_VAIN
    room = memoryview(bytearray(CHUNK))
    with opened(files) as fds:
        for chunk in _chunks(fds):
            if not left or is_over():
                break
            if not _lies_small(chunk):
                continue
            drop(*chunk)
            fd, start, size = chunk
            is_back = read_huge(fd, start, size) and touch(fd, start, room[:size])
            if is_back and _lies_small(chunk) is False:
                huge, left = huge + size, IN_VAIN
            else:
                in_vain, left = in_vain + size, left - 1 if is_back else 0
    return Laid(huge, in_vain)


def _chunks(fds: Sequence[int]) -> list[Chunk]:
    """In whole blocks: no huge page reaches over the end of a file."""
    return [chunk for fd in fds for chunk in chunks(fd, size_of(fd) // BLOCK * BLOCK)]


def _lies_small(chunk: Chunk) -> bool | None:
    """By the faults that mapping it takes: one for each huge page, 32 for as much in pages of 4 KiB, of which the
    kernel maps 16 at a time. None where it is not in memory, or the kernel does not tell."""
    size = chunk[2]
    with mapped(*chunk) as place:
        if place is None or MISSING * missing(place, size) * mmap.PAGESIZE >= size:
            return None
        before = _faults()
        error = populate(place, size)
        return None if error else _faults() - before >= 2 * (size // BLOCK)


def _faults() -> int:
    """Of this thread, with no reading from the disk, so far."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
