"""Which replica had each request of a replay: 4 bytes for each, and the name of each replica once."""

from typing import Any

import numpy as np

from pilotlight.sim.columns import zeros
from pilotlight.sim.trace import Ints


class Placed:
    def __init__(self, requests: int) -> None:
        self.replica: Ints = zeros(requests, np.int32)
        """Of each request, as an index into `names`; 0 where none had it."""
        self.names: list[str] = [""]
        self._codes: dict[str, int] = {}
        self._replica: Any = self.replica.data

    def put(self, request: str, replica: str) -> None:
        """`request`: its number, as text."""
        code = self._codes.get(replica)
        if code is None:
            code = self._codes[replica] = len(self.names)
            self.names.append(replica)
        self._replica[int(request)] = code
