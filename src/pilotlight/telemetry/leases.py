"""What may be spent at a provider before the bill has it: told to the disk before a request goes out.

The bill is written every few seconds, so a server that is killed forgets what it spent last, and one that is killed
over and over could spend a budget many times. So where a provider has a budget, what its requests can cost at their
dearest is on the disk before they are sent, as a write-ahead log has it. What a killed server had leased counts as
spent from then on.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping

from pilotlight.clock import Clock
from pilotlight.cost.history import HOUR

log = logging.getLogger(__name__)

Key = tuple[str, int]
"""A provider, and the hour since 1970 (UTC) in which its requests were sent."""


class Lease:
    """Of one provider and hour. USD. `flying + settled + billed <= leased` whenever a request goes out."""

    __slots__ = ("billed", "flights", "flying", "growing", "leased", "settled", "writing")

    def __init__(self) -> None:
        self.flights = 0
        self.flying = 0.0
        """Requests that are not over, each at its dearest."""
        self.settled = 0.0
        """Charged, and in no bill yet."""
        self.billed = 0.0
        """Charged, and in a bill that is not on the disk yet."""
        self.writing = 0.0
        """Of that, what is being written."""
        self.leased = 0.0
        """As the disk has it."""
        self.growing: asyncio.Task[None] | None = None

    @property
    def needed(self) -> float:
        return self.flying + self.settled + self.billed

    @property
    def over(self) -> bool:
        return not (self.flights or self.settled or self.billed or self.leased)


class Leases:
    """`write` puts leases on the disk and says whether it could; blocking. `spare`: USD that are leased beyond what is
    needed, so that not every request waits for the disk; None for a provider without a budget. `lock`: whoever writes
    has it."""

    def __init__(
        self,
        clock: Clock,
        write: Callable[[Mapping[Key, float]], bool],
        spare: Callable[[str], float | None],
        lock: asyncio.Lock,
    ) -> None:
        self._clock = clock
        self._write = write
        self._spare = spare
        self._lock = lock
        self._all: dict[Key, Lease] = {}
        self._out: dict[tuple[str, str], tuple[Lease, float]] = {}
        """By request and provider."""
        self._failing = False

    @property
    def quiet(self) -> bool:
        return not self._all

    async def take(self, request: str, provider: str, dearest: float) -> None:
        """Returns once the request may go out. A disk that cannot be written keeps none from it."""
        if self._spare(provider) is None or (request, provider) in self._out:
            return
        key = provider, int(self._clock.wall() // HOUR)
        lease = self._all.setdefault(key, Lease())
        lease.flights += 1
        lease.flying += dearest
        self._out[request, provider] = lease, dearest
        while lease.needed > lease.leased:
            if lease.growing is None or lease.growing.done():
                lease.growing = asyncio.get_running_loop().create_task(self._grow(key, lease))
            if self._failing:
                return  # it is tried on, and nobody waits for it
            await asyncio.shield(lease.growing)  # others wait for it, too

    async def _grow(self, key: Key, lease: Lease) -> None:
        async with self._lock:
            value = self._wanted(key, lease)
            lease.leased, self._failing = value, not await self._put(key, value)

    def _wanted(self, key: Key, lease: Lease) -> float:
        """With what is spare now: others have asked since this one did, and the budget has less left."""
        return lease.needed + (self._spare(key[0]) or 0.0)

    async def _put(self, key: Key, value: float) -> bool:
        try:
            return await asyncio.to_thread(self._write, {key: value})  # it says itself when it cannot
        except Exception:
            log.exception("a lease of %s", key[0])
            return False

    def settle(self, request: str, provider: str, usd: float) -> None:
        """A request is over and has cost so much."""
        lease, dearest = self._out.pop((request, provider), (None, 0.0))
        if lease is None:
            return
        lease.flights -= 1
        # Without any in flight the sum begins anew, so that roundings do not add up.
        lease.flying = lease.flying - dearest if lease.flights else 0.0
        lease.settled += usd

    # -- the bill is written -----------------------------------------------------------------------------------------

    def collect(self) -> None:
        """All that was charged is in a bill."""
        for lease in self._all.values():
            lease.billed, lease.settled = lease.billed + lease.settled, 0.0

    def due(self) -> dict[Key, float]:
        """What is to stand on the disk beside that bill: leases that are larger than what they are still for. What the
        bill has is not counted twice, should this server be killed."""
        found: dict[Key, float] = {}
        for key, lease in self._all.items():
            lease.writing, lease.billed = lease.billed, 0.0
            value = self._wanted(key, lease) if lease.flights else lease.needed
            if lease.leased > value:
                found[key] = lease.leased = value
        return found

    def written(self, well: bool) -> None:
        """What was due, or not."""
        for lease in self._all.values():
            if not well:
                lease.billed += lease.writing
            lease.writing = 0.0
        self._all = {key: lease for key, lease in self._all.items() if not lease.over}
