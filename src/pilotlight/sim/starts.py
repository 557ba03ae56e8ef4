"""How long simulated starts and wakes take: a constant, what was measured drawn by chance, or what was learned."""

from collections.abc import Callable, Sequence
from hashlib import blake2b

import msgspec

UNKNOWN = 40.0
"""Seconds of a start where nothing is known [G]: the 90th percentile of real loads of base models is 42 s."""

WAKE = 1.5
"""Seconds that a parked model takes to wake in a pool where nothing is known [G]."""

Known = Callable[[str], float | None]
"""Seconds, by the name of a model; None where nothing is known of it."""


def nothing_known(name: str) -> float | None:
    return None


class StartTimes(msgspec.Struct, frozen=True):
    """Seconds of a start."""

    constant: float | None = None
    """For every start."""
    drawn: tuple[float, ...] = ()
    """One of these for every start, ascending. In place of `constant`."""
    learned: Known = nothing_known
    """Of each model, where neither of the above is given."""
    wakes: Known = nothing_known
    source: str = "default"
    """Where they come from: `default`, `given`, `learned`, or the name of a file."""

    def mean(self, name: str) -> float:
        """What a start of this model takes on average: what the oracle takes it to be."""
        if self.drawn:
            return sum(self.drawn) / len(self.drawn)
        return self.constant if self.constant is not None else self.known(name) or UNKNOWN

    def known(self, name: str) -> float | None:
        """What its policy is told before it has seen a start. What a constant or a file says it must see first."""
        return None if self.drawn or self.constant is not None else self.learned(name)

    def seconds(self, name: str, replica: str, seed: int) -> float:
        """Of one start; the same for the same replica and seed."""
        if not self.drawn:
            return self.mean(name)
        digest = blake2b(f"{seed}:{replica}".encode(), digest_size=8).digest()
        return self.drawn[int.from_bytes(digest, "big") * len(self.drawn) >> 64]


def constant(seconds: float) -> StartTimes:
    return StartTimes(constant=seconds, source="given")


def empirical(seconds: Sequence[float], source: str) -> StartTimes:
    return StartTimes(drawn=tuple(sorted(seconds)), source=source)


DEFAULT = StartTimes()
"""Where nothing is known."""
