"""Tells of a process of vLLM's that ends while the start waits for a message of its.

vLLM 0.32 looks whether its processes live while it waits for them to be up, and again once it is up itself. In between
it waits for words alone: an engine for its workers to join its queues (`MessageQueue.wait_until_ready`), an API server
for its engine's first message (`MPClient.__init__`, for ten minutes). One that was killed there says nothing.
Standard library only.
"""

from __future__ import annotations

import os
import threading
from multiprocessing import connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

_LOOK_AGAIN = 0.5
"""Seconds after which a watch notices that it is over."""
_PATIENCE = 1.0
"""Seconds for vLLM to tell of it by itself, which it does where it looks [G]."""


class Ended(RuntimeError):
    """One of vLLM's processes has ended."""

    def __init__(self, role: str, status: int | None) -> None:
        """`status`: as multiprocessing has it; None where it is not known."""
        super().__init__(_how(role, status))
        self.killed = status is not None and status < 0


class Watch:
    """Of the processes of one kind, from `begin` until `over`."""

    def __init__(self, role: str, tell: Callable[[Ended], object]) -> None:
        """`tell`: is told once, in a thread of its own, of the first that ended."""
        self._role = role
        self._tell = tell
        self._over = threading.Event()

    def begin(self, processes: Iterable[Any]) -> None:
        """Begins a thread, so nothing may be forked after it. `processes`: those of multiprocessing."""
        work = threading.Thread(target=self._watch, args=(list(processes),), name="watch", daemon=True)
        work.start()

    def over(self) -> None:
        """They are looked after, or told of, by somebody else from now on."""
        self._over.set()

    def _watch(self, processes: list[Any]) -> None:
        watched = {_ends(process): process for process in processes}
        gone: list[Any] = []
        while watched and not gone:
            if self._over.is_set():
                return
            gone = connection.wait(list(watched), _LOOK_AGAIN)
        if gone and not self._over.wait(_PATIENCE):
            self._tell(Ended(self._role, watched[gone[0]].exitcode))


def _ends(process: Any) -> int:
    """A file descriptor that can be read once it has ended; this process ends soon after, or keeps it. Not the one that
    multiprocessing has where that is possible, which all that is forked from it keeps open."""
    try:
        return os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # another system than Linux, or it is over and was waited for
        return process.sentinel


def _how(role: str, status: int | None) -> str:
    if status is None:
        return f"its {role} has ended or was killed"
    if status >= 0:
        return f"its {role} exited with {status}"
    memory = ", as the system does when memory runs out (dmesg says so)" if status == -9 else ""
    return f"its {role} was killed by signal {-status}{memory}"
