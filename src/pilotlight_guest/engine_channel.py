"""The guest's end of the channel; pilotlight_guest/llamacpp_server.py says what is said over it.

For guests whose engine takes seconds to import: standard library only, and nothing is done when this is imported.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing takes longer than all the rest here
    from typing import Any, NoReturn


class Channel:
    """Each line that cannot be sent ends this process: nobody is there any more."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def tell(self, **event: object) -> None:
        data = json.dumps(event).encode() + b"\n"
        try:
            while data:
                data = data[os.write(self.fd, data) :]
        except OSError:
            os._exit(1)

    def tell_stage(self, name: str, start: float, end: float | None = None, once: bool = False) -> None:
        """`once`: the next start will not have it."""
        end = time.monotonic() if end is None else end
        self.tell(event="stage", name=name, start=start, end=end, once=once)

    def receive(self) -> dict[str, Any]:
        """The order. When the channel closes in its place, this process ends."""
        line = b""
        while not line.endswith(b"\n"):
            part = os.read(self.fd, 65536)
            if not part:
                os._exit(0)
            line += part
        first, _, rest = line.partition(b"\n")
        order = json.loads(first)
        if "take" in order:
            self.tell_stage("take", time.monotonic())
            return json.loads(rest) if rest else self.receive()
        return order

    def hears(self) -> bool:
        """Takes what has come; false once it is closed."""
        try:
            return bool(os.read(self.fd, 4096))
        except OSError:
            return False

    def end_with_it(self, on: bool) -> None:
        """Lets the kernel end this process when the channel closes: SIGIO, unhandled, terminates."""
        flags = fcntl.fcntl(self.fd, fcntl.F_GETFL)
        fcntl.fcntl(self.fd, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(self.fd, fcntl.F_SETFL, flags | os.O_ASYNC if on else flags & ~os.O_ASYNC)
        if on and select.select([self.fd], [], [], 0)[0]:  # closed before it was armed
            os._exit(0)

    def fail(self, message: str, see_log: bool = False) -> NoReturn:
        print(message, file=sys.stderr, flush=True)
        self.tell(event="error", message=message, see_log=see_log)
        os._exit(1)


def from_environment() -> Channel:
    """The one that this process was given; what it starts is not to have it."""
    fd = int(os.environ.pop("PILOTLIGHT_CHANNEL"))
    mine = [fd]

    def let_go() -> None:
        """Once: in a child of a child the number may be something else's."""
        while mine:
            with contextlib.suppress(OSError):
                os.close(mine.pop())

    os.register_at_fork(after_in_child=let_go)
    return Channel(fd)
