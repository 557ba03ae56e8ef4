"""What the same traffic would have cost otherwise: always on for its peak, and at zero whenever nobody asks.

A model's traffic is n(t), the requests of it that are answered at once, a provider's among them. Level k of it is the
k-th replica: it is needed while n > slots x (k - 1), one busy spell after the other. The levels of the oracle are the
same ones (sim/oracle.py).

- Always on at peak: as many replicas as the highest level there was, all the time, at the dedicated price.
- Scale to zero: each busy spell of each level costs its own seconds and those of a start, at the on-demand price:
  nothing is kept for the next spell, and everyone who comes first waits for a start.

Both are of the traffic as it was answered. Requests that had to wait count from when they were answered, so that a
burst which found nothing up has a higher peak than it would have had, at the most.
"""

import msgspec


class Spells(msgspec.Struct):
    """Of a span of time. Grows in place."""

    busy: float = 0.0
    """Seconds of all levels."""
    spells: int = 0
    """That began."""
    peak: int = 0
    """The highest level that was needed: replicas."""


class Levels:
    """One model's. Moments are seconds that do not go back."""

    def __init__(self, slots: int) -> None:
        """`slots`: requests that a replica takes at once, 1 or more."""
        self._slots = slots
        self._n = 0
        self._since: list[float] = []
        """Of each level that is busy, lowest first: from when it is to be accounted for."""
        self._now = Spells()

    @property
    def answered(self) -> int:
        """Requests, now."""
        return self._n

    def began(self, at: float) -> None:
        if self._n % self._slots == 0:
            self._since.append(at)
            self._now.spells += 1
            self._now.peak = max(self._now.peak, len(self._since))
        self._n += 1

    def ended(self, at: float) -> None:
        self._n -= 1
        if self._n % self._slots == 0:
            self._now.busy += max(0.0, at - self._since.pop())

    def take(self, at: float) -> Spells:
        """Since the last time, up to now."""
        found = self._now
        found.busy += sum(max(0.0, at - since) for since in self._since)
        self._since = [max(at, since) for since in self._since]
        self._now = Spells(peak=len(self._since))
        return found

    def resize(self, slots: int, at: float) -> None:
        """Replicas take another number of requests from now on; what is busy goes on."""
        if slots == self._slots:
            return
        self._now.busy += sum(max(0.0, at - since) for since in self._since)
        self._slots = slots
        wanted = -(-self._n // slots)
        self._now.spells += max(0, wanted - len(self._since))
        self._now.peak = max(self._now.peak, wanted)
        self._since = [at] * wanted


def scale_to_zero(spells: Spells, start_seconds: float, on_demand: float, devices: int) -> float:
    """USD: (busy seconds + spells x seconds of a start) x price of a device-second x devices of a replica."""
    return (spells.busy + spells.spells * start_seconds) * on_demand * devices
