"""Processes as the guardian, its keepers and the server see them. Standard library only, Python >= 3.8.

On Linux a *child subreaper* inherits every orphan below it, whatever session or group the orphan moved to. So
all descendants of a keeper stay below it, and `waitpid` saying "no children" means that none is left.
Elsewhere there is no such thing: only the direct children and their process groups can be reached.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator

KEEPER = "pl-keeper"
"""The name of every keeper, by which whoever inherits one knows to let it work."""
SPARE = "pl-spare"
"""Of one that holds nothing yet; whoever inherits it may end it."""

LINUX = sys.platform.startswith("linux")
_PR_SET_PDEATHSIG, _PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 1, 15, 36  # <linux/prctl.h>
_CHILDREN = LINUX and os.path.exists("/proc/thread-self/children")

if LINUX:
    _prctl = ctypes.CDLL(None).prctl
    _prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]


def adopt_orphans() -> None:
    """Makes this process the parent of every orphan below it; not inherited by fork."""
    if LINUX:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent(parent: int) -> None:
    """SIGKILL for the caller when its parent ends; ends it at once when the parent is gone already."""
    if LINUX:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(127)


def set_name(name: str) -> None:
    """What `ps` and `top` show, at most 15 bytes."""
    if LINUX:
        buffer = ctypes.create_string_buffer(name.encode()[:15])
        _prctl(_PR_SET_NAME, ctypes.addressof(buffer), 0, 0, 0)


def watch_process(pid: int) -> int | None:
    """An fd that polls readable once that process has ended, or None where the system has no such thing."""
    opener = getattr(os, "pidfd_open", None)  # Python 3.9, Linux 5.3
    try:
        return None if opener is None else opener(pid)
    except OSError:
        return None


def watch_children() -> int:
    """An fd that polls readable when a child has ended; read it empty with `drain`. Main thread only."""
    readable, writable = os.pipe()
    os.set_blocking(readable, False)
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _signal, _frame: None)
    return readable


def drain(fd: int) -> None:
    try:
        while os.read(fd, 4096):
            pass
    except OSError:
        pass


class Stat:
    """Some fields of /proc/<pid>/stat."""

    __slots__ = ("group", "parent", "start", "state")

    def __init__(self, state: bytes, parent: int, group: int, start: int) -> None:
        self.state = state
        self.parent = parent
        self.group = group
        self.start = start

    @property
    def alive(self) -> bool:
        return self.state not in (b"Z", b"X")


def stat(pid: int) -> Stat | None:
    """None when there is no such process, or no /proc."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            text = file.read(1024)
    except OSError:
        return None
    fields = text[text.rfind(b")") + 2 :].split()
    return Stat(fields[0], int(fields[1]), int(fields[2]), int(fields[19])) if len(fields) > 19 else None


def processes() -> list[int]:
    """Every process there is; empty where there is no /proc."""
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def is_keeper(pid: int) -> bool:
    """Also of one that has ended and was not yet waited for."""
    try:
        with open(f"/proc/{pid}/comm", "rb", buffering=0) as file:
            return file.read(64).rstrip(b"\n") == KEEPER.encode()
    except OSError:
        return False


def _nobody(_: int) -> bool:
    return False


def descendants(root: int, spare: Callable[[int], bool] = _nobody) -> Iterator[int]:
    """Everything below `root`, parents first, zombies included, without what to `spare` and all below that.

    Each is given as soon as it is seen; what ends meanwhile leaves its children to the next walk.
    """
    table = None if _CHILDREN else _scan()
    todo = [root]
    while todo:
        pid = todo.pop()
        for child in children(pid) if table is None else table.get(pid, ()):
            if not spare(child):
                yield child
                todo.append(child)


def children(pid: int) -> list[int]:
    """Direct children, zombies included."""
    if not _CHILDREN:
        return _scan().get(pid, [])
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):  # a child is listed under the thread that forked it
            with open(f"/proc/{pid}/task/{task}/children", "rb", buffering=0) as file:
                found += map(int, (file.read() or b"").split())
    except OSError:
        pass  # it ended while it was read
    return found


def _scan() -> dict[int, list[int]]:
    # For kernels built without CONFIG_PROC_CHILDREN.
    table: dict[int, list[int]] = {}
    for pid in processes():
        found = stat(pid)
        if found is not None:
            table.setdefault(found.parent, []).append(pid)
    return table


def send(pid: int, number: int) -> None:
    with contextlib.suppress(OSError):
        os.kill(pid, number)


def send_group(group: int, number: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(group, number)


def terminate_below(root: int, spare: Callable[[int], bool], group: int) -> None:
    """SIGTERM, once each, to all below `root` but `spare`; to `group` where descendants cannot be listed.

    Once only: to many servers a second SIGTERM means "do not finish what you are doing".
    """
    if not LINUX:
        send_group(group, signal.SIGTERM)
    for pid in list(descendants(root, spare)):
        send(pid, signal.SIGTERM)
        send(pid, signal.SIGCONT)  # one that was stopped could not act on it


def kill_below(root: int, spare: Callable[[int], bool] = _nobody) -> int:
    """One round of SIGKILL to everything below `root` but what to `spare`, each the moment it is seen; how many.

    With its whole group: the kernel signals a group in one go that no fork slips through, so a process that
    forks as fast as it can loses at once, and one that also leaves its group loses ground in every round.
    """
    count = 0
    for pid in descendants(root, spare):
        kill_with_group(pid)
        count += 1
    return count


def kill_with_group(pid: int) -> None:
    """Each command has a session of its own, and a group never spans two: this does not reach out of it."""
    with contextlib.suppress(OSError):
        group = os.getpgid(pid)
        if group not in (0, 1, os.getpgrp()):
            os.killpg(group, signal.SIGKILL)
    send(pid, signal.SIGKILL)
