"""The rows of a bill: who took what, on which rung."""

import math
from typing import NamedTuple

SERVING = "serving"
"""At least one request is in flight in it."""
IDLE = "idle"
"""Up, and no request in it."""
WARMER = "warmer"
"""The same of a warmer."""
STARTING = "starting"
"""Starting, or waking."""
ASLEEP = "asleep"
"""Asleep, or going to sleep."""
STOPPING = "stopping"
"""Told to stop, or dead, and not gone yet."""
RENTED = "rented"
"""Dedicated capacity that was paid while no replica took it. Not among the replica-seconds."""
BURST = "burst"
"""Requests that a provider answered, or was asked to. Not among the replica-seconds."""
PINGS = "pings"
"""Small requests that kept a provider warm. Not among the replica-seconds."""
UNSETTLED = "unsettled"
"""What could have been spent at a provider when the server was killed. Not among the replica-seconds."""

OF_REPLICAS = (SERVING, IDLE, WARMER, STARTING, ASLEEP, STOPPING)
RUNGS = (*OF_REPLICAS, RENTED, BURST, PINGS, UNSETTLED)


class Row(NamedTuple):
    """Who took what."""

    model: str
    """Whose the replica is; of what a provider charged, the model that was asked for."""
    key: str = ""
    """Of the requests that it served; empty for all that is no request's."""
    request_class: str = ""
    rung: str = SERVING
    provider: str = ""


class Amount:
    """Grows in place."""

    __slots__ = ("seconds", "usd")

    def __init__(self, seconds: float = 0.0, usd: float = 0.0) -> None:
        self.seconds = seconds
        """Of a replica; of a provider's, from sending a request to its end."""
        self.usd = usd

    def __repr__(self) -> str:
        return f"Amount({self.seconds!r}, {self.usd!r})"


Rows = dict[Row, Amount]


def add(rows: Rows, row: Row, seconds: float, usd: float) -> None:
    amount = rows.get(row)
    if amount is None:
        rows[row] = Amount(seconds, usd)
    else:
        amount.seconds += seconds
        amount.usd += usd


def replica_seconds(rows: Rows) -> float:
    """Of all replicas, whatever they did."""
    return math.fsum(amount.seconds for row, amount in rows.items() if row.rung in OF_REPLICAS)


def usd(rows: Rows) -> float:
    return math.fsum(amount.usd for amount in rows.values())
