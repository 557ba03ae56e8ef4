"""Puts what a process has in memory into huge pages, so that forking it copies few page tables. Standard library only;
Linux 6.1 or newer, and elsewhere nothing happens.

A fork copies an entry for each page of 4 KiB that was written to: 20 ms for the 450 MB of a zygote of vLLM, and again
in each process that its forks start. With 2 MiB a page it takes 4 ms. What a fork then writes to is copied by 4 KiB as
before, so what they share they share still.
"""

from __future__ import annotations

import contextlib
import ctypes

SIZE = 2 << 20
"""Bytes of a huge page on x86-64, and on arm64 with pages of 4 KiB. Where they are larger, less is put together."""

_COLLAPSE = 25
"""MADV_COLLAPSE, of Linux 6.1: at once, and whatever /sys/kernel/mm/transparent_hugepage says but `never`."""


_WORTH_IT = 64 << 20
"""Bytes. A zygote of llama.cpp has 20 MiB, forks in 2 ms, and gains nothing."""


def collapse() -> bool:
    """Takes 2 ms for each MiB; for a process in which nothing is going on. Whether it has so much that it pays."""
    with contextlib.suppress(OSError, AttributeError, ValueError):  # another C library, no /proc
        libc = ctypes.CDLL(None)
        found = _own()
        if sum(end - start for start, end in found) < _WORTH_IT:
            return False
        for start, end in found:
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _COLLAPSE)
    return True


def _own() -> list[tuple[int, int]]:
    """Start and end of what is of no file and nobody shares, in whole huge pages. Not of what is hardly in use: a huge
    page takes 2 MiB for a single byte that was written to."""
    found: list[tuple[int, int]] = []
    own, start, end = False, 0, 0
    with open("/proc/self/smaps") as maps:
        for line in maps:
            words = line.split()
            if words[0] == "Rss:" and own and int(words[1]) * 1024 * 2 >= end - start:
                start, end = -(-start // SIZE) * SIZE, end // SIZE * SIZE
                found += [(start, end)] if start < end else []
            elif not words[0].endswith(":"):
                start, end = (int(text, 16) for text in words[0].split("-"))
                own = words[1] == "rw-p" and words[5:] in ([], ["[heap]"])
    return found
