"""Free memory of a virtual machine, which its host may have taken back.

With free page reporting (Linux 5.7) a guest tells its host of huge pages that have been free for two seconds, and the
host takes them: whoever uses one next waits for it to be given back, 200 ms for the context of a small model. That is
a matter of how long nothing has run there, and would be noise in what techniques are compared by.
"""

import contextlib
import mmap
from pathlib import Path

import psutil

MOST = 1 << 30
"""Bytes that are taken: more than a small model's context."""

SHARE = 0.25
"""Of the free memory, at most."""

_BALLOONS = Path("/sys/bus/virtio/drivers/virtio_balloon")

_REPORTING = 5
"""VIRTIO_BALLOON_F_REPORTING, of <linux/virtio_balloon.h>: the place of its bit in `features`."""


def is_taken_back() -> bool:
    """Whether this machine tells its host of free memory."""
    for features in _BALLOONS.glob("*/features"):
        with contextlib.suppress(OSError):
            if features.read_text()[_REPORTING : _REPORTING + 1] == "1":
                return True
    return False


def take_and_let_go() -> None:
    """Has the host give back what the next to start will take."""
    size = min(MOST, int(SHARE * psutil.virtual_memory().available)) // mmap.PAGESIZE * mmap.PAGESIZE
    with mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as taken:
        taken.madvise(mmap.MADV_HUGEPAGE)
        for at in range(0, size, mmap.PAGESIZE):
            taken[at] = 1
