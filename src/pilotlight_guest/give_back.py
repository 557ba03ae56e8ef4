"""What a process that sleeps can give back to the system beside what it freed. Standard library only; Linux.

what was freed     glibc keeps what lies between what is still used
code               pages of libraries as they are in their files: they are mapped in anew, from the page cache,
                   when they are run again
"""

import contextlib
import ctypes

MAPS = "/proc/self/smaps"

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
