"""Brings files from the disk into memory ahead of those who map them. Linux; elsewhere nothing happens.

Of a file that is mapped the kernel reads 128 KiB at a time, unless its disk is set to more, and keeps it in small
pages. Where huge pages are asked for it reads 2 MiB at a time and the next 2 MiB beside it, and keeps them as one page
each (on the file systems that blocks.py names): who maps the file later has 512 times fewer entries to make.
"""

import contextlib
import mmap
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from pilotlight.weights.page_cache import chunks, mapped, missing, opened, read_huge, size_of, spread

PROBES = 64
"""Pages of each file that are looked for in memory."""

COLD = 8
"""A file of which one in so many is not there is on the disk [G]."""

READERS = 4
"""Threads. What is asked for has to stay ahead of who maps the file and follows: where he catches up he reads by
himself, in small pages, and both take longer than one alone."""


def is_cold(files: Sequence[Path]) -> bool:
    """Whether an eighth of their pages or more is not in memory, by a few of each: 0.1 ms a file. False where
    `page_cache.can_tell` is not true of each."""
    looked = [found for file in files for found in _look(file)]
    return bool(looked) and COLD * (len(looked) - sum(looked)) >= len(looked)


def read(files: Sequence[Path], is_over: Callable[[], bool]) -> None:
    """Blocks, and lets other threads run. Until all is in memory or `is_over`; what cannot be read is left to those
    who need it. Raises OSError for a file that cannot be opened."""
    with opened(files) as fds:
        todo = iter([chunk for fd in fds for chunk in chunks(fd, size_of(fd))])

        def work() -> None:
            for chunk in todo:
                if is_over():
                    return
                read_huge(*chunk)

        readers = [threading.Thread(target=work, name="read ahead", daemon=True) for _ in range(READERS)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()


def _look(file: Path) -> list[bool]:
    with contextlib.suppress(OSError, AttributeError), opened([file]) as (fd,):  # another C library
        pages = size_of(fd) // mmap.PAGESIZE
        with mapped(fd, 0, pages * mmap.PAGESIZE) as place:
            if place is not None:
                return [not missing(place + i * mmap.PAGESIZE, 1) for i in spread(pages, PROBES)]
    return []
