"""A keeper that was forked ahead of what it is to hold, whose start then need not wait for it. Python >= 3.8.

There is one at most. It waits for the descriptors with which any keeper begins, and ends with its guardian.
"""

from __future__ import annotations

import socket
import struct

_CLOEXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


class Spare:
    """As its guardian sees it."""

    def __init__(self, pid: int, end: socket.socket) -> None:
        self.pid = pid
        self._end = end

    def take(self, fds: list[int]) -> bool:
        """Makes it a keeper like any other; False when it is gone."""
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))
        try:
            self._end.sendmsg([b"\0"], [rights])
        except OSError:
            return False
        finally:
            self._end.close()
        return True

    def let_go(self) -> None:
        self._end.close()


def wait(end: socket.socket) -> list[int]:
    """In the spare: what it begins with; nothing when it is let go of."""
    return receive(end, 1)[1]


def receive(end: socket.socket, size: int) -> tuple[bytes, list[int]]:
    """A message and the descriptors that came with it. Raises OSError."""
    data, ancillary, _, _ = end.recvmsg(size, socket.CMSG_SPACE(8), _CLOEXEC)
    return data, [
        fd for _, _, raw in ancillary for (fd,) in struct.iter_unpack("i", raw[: len(raw) // 4 * 4])
    ]
