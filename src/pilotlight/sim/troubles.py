"""What goes wrong at a simulated provider, as the config says: the same for the same requests and seed."""

from collections import deque
from hashlib import blake2b
from math import ceil

from pilotlight.fleet.events import Declined
from pilotlight.spec.simulation import RemoteTroubles

MINUTE = 60.0

NO_LIMIT = 1e9
"""Requests in a minute that no trace has."""


def drawn(seed: int, *what: str) -> float:
    """From 0 up to 1, evenly."""
    digest = blake2b(":".join((str(seed), *what)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


class Limit:
    """So many requests in any minute, or one in a longer time where a minute has room for less than one."""

    def __init__(self, rate: float) -> None:
        """`rate`: requests a second."""
        most = max(1, round(min(rate * MINUTE, NO_LIMIT)))
        self._seconds = most / rate
        self._taken: deque[float] = deque(maxlen=most)

    def takes(self, now: float) -> float | None:
        """None for one that is let in; else how many whole seconds it is told to wait for. `now` never falls."""
        taken = self._taken
        if len(taken) == taken.maxlen and (left := taken[0] + self._seconds - now) > 0.0:
            return float(ceil(left))
        taken.append(now)
        return None


class Troubles:
    """Of one provider. `begins`: the trace's first moment."""

    def __init__(self, provider: str, said: RemoteTroubles, begins: float, seed: int) -> None:
        self._provider, self._seed, self._fails = provider, seed, said.fails
        self._limit = None if said.rate is None else Limit(said.rate)
        self._outages = [(begins + o.begins, begins + o.begins + o.lasts) for o in said.outages]

    def at_once(self, request: str, now: float) -> Declined | None:
        """It is not let in."""
        if any(begins <= now < ends for begins, ends in self._outages):
            return Declined(now, request, self._provider, "unreachable", "it could not be reached")
        wait = None if self._limit is None else self._limit.takes(now)
        if wait is None:
            return None
        return Declined(now, request, self._provider, "busy", "it answered 429", wait)

    def later(self, request: str, at: float) -> Declined | None:
        """It is let in, and has an error in place of its first token."""
        if self._fails and drawn(self._seed, self._provider, request) < self._fails:
            return Declined(at, request, self._provider, "error", "it answered 500")
        return None
