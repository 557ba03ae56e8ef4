"""Free ports for engines that are told theirs."""

import os
import socket
from collections.abc import Container

from pilotlight.errors import EngineError

_FIRST, _COUNT = 20000, 12000
"""Below Linux's ephemeral range (32768 on): no outgoing connection can take the port before the engine does."""


class FreePorts:
    """Goes round the range, so that a port is not used again soon after its engine has gone."""

    def __init__(self) -> None:
        # Two servers on one machine begin at different places.
        self._next = os.getpid() * 37 % _COUNT

    def take(self, taken: Container[int]) -> int:
        """A port that nobody listens on and that is not in `taken`. Raises EngineError when there is none."""
        for _ in range(_COUNT):
            port = _FIRST + self._next
            self._next = (self._next + 1) % _COUNT
            if port not in taken and _free(port):
                return port
        raise EngineError(f"no port between {_FIRST} and {_FIRST + _COUNT} is free")


def _free(port: int) -> bool:
    """On every address: an engine may bind to 0.0.0.0 or to loopback alone."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as engines do
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104  closed again at once
        except OSError:
            return False
        return True
