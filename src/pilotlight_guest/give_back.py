"""What a process that sleeps can give back to the system beside what it freed. Standard library only; Linux.

what was freed     glibc keeps what lies between what is still used
code               pages of libraries as they are in their files: they are mapped in anew, from the page cache,
                   when they are run again
"""

import contextlib
import ctypes
import os

MAPS = "/proc/self/smaps"

_ZEROES = bytes(1 << 16)
_LARGE = 1 << 20

_DONTNEED = 4
"""MADV_DONTNEED; a page that was never written to is read from its file again."""


def give_back() -> None:
    with contextlib.suppress(OSError, AttributeError, ValueError):  # another C library, no /proc
        libc = ctypes.CDLL(None)
        libc.malloc_trim(0)
        for start, size in _untouched():
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), _DONTNEED)


def _untouched() -> list[tuple[int, int]]:
    """Start and size of what is mapped from files, cannot be written to and never was: relocations count as such."""
    found: list[tuple[int, int]] = []
    with open(MAPS) as maps:
        start = end = 0
        for line in maps:
            name, *words = line.split()
            if not name.endswith(":"):
                first, _, last = name.partition("-")
                from_file = len(words) > 4 and words[4].startswith("/") and "w" not in words[0]
                start, end = (int(first, 16), int(last, 16)) if from_file else (0, 0)
            elif name == "Anonymous:" and end and words[0] == "0":
                found.append((start, end - start))
    return found


def drop_zeroes() -> None:
    """Lets go of what holds but zeros, for it will read as zeros again: for a process in which nothing is going on. A
    context that nobody has used yet is of that kind, and would be dumped and restored byte by byte."""
    with contextlib.suppress(OSError, AttributeError, ValueError):
        libc = ctypes.CDLL(None)
        libc.malloc_trim(0)
        memory = os.open("/proc/self/mem", os.O_RDONLY)
        for start, end in _own():
            for place in range(start, end, len(_ZEROES)):
                size = min(len(_ZEROES), end - place)
                if os.pread(memory, size, place) == _ZEROES[:size]:
                    libc.madvise(ctypes.c_void_p(place), ctypes.c_size_t(size), _DONTNEED)
        os.close(memory)


def _own() -> list[tuple[int, int]]:
    """Start and end of large mappings of no file that nobody shares, without the heap and the stack."""
    found: list[tuple[int, int]] = []
    with open("/proc/self/maps") as maps:
        for line in maps:
            words = line.split()
            start, end = (int(text, 16) for text in words[0].split("-"))
            if words[1] == "rw-p" and len(words) == 5 and words[4] == "0" and end - start >= _LARGE:
                found.append((start, end))
    return found
