"""The bill of a running server: the ledger, fed by what happens, and kept on the disk by the hour.

What was not written yet when the process is killed is lost: FLUSH seconds at the most; for what providers with a
budget charge there are leases. A busy request is accounted for as it goes on, not only at its end.
"""

import asyncio
import math
from collections.abc import Callable

from pilotlight.clock import Clock, Timer
from pilotlight.cost.capacity import Devices
from pilotlight.cost.history import HOUR, History
from pilotlight.cost.ledger import Ledger
from pilotlight.cost.rows import BURST, PINGS
from pilotlight.fleet.actions import Moved, Rented
from pilotlight.fleet.records import RequestRecord
from pilotlight.telemetry.bill_store import BillStore, Earlier
from pilotlight.telemetry.bill_terms import Terms
from pilotlight.telemetry.bill_traffic import BillTraffic
from pilotlight.telemetry.leases import Leases

FLUSH = 5.0
"""Seconds from something that costs to when it is on the disk."""

DAY = 24


class LiveBill:
    """Hears of what happens, decides nothing. `start_seconds`: what a start of a model takes; `cold_usd`: what a cold
    request counts for now. `spare`: as Leases has it."""

    def __init__(
        self,
        clock: Clock,
        store: BillStore,
        terms: Terms,
        start_seconds: Callable[[str], float],
        cold_usd: Callable[[], float],
        spare: Callable[[str], float | None] = lambda provider: None,
    ) -> None:
        self._clock = clock
        self._store = store
        self._terms = terms
        self._ledger = Ledger(terms.price, self._devices)
        self._traffic = BillTraffic(terms, start_seconds, cold_usd)
        self._pending = History()
        """Not on the disk yet."""
        self._since = clock.now()
        self._timer: Timer | None = None
        self._at = 0.0
        """When it is due."""
        self._writing: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()
        self.leases = Leases(clock, lambda leases: store.write(History(), leases), spare, self._lock)
        self._is_open = False
        self._heard: Callable[[Earlier], None] | None = None
        """Who is told what was spent before, once that can be read."""
        self._totals = History()

    # -- up and down -------------------------------------------------------------------------------------------------

    def open(self, heard: Callable[[Earlier], None]) -> Earlier | None:
        """Blocking, before the server takes requests. By provider, what was spent in each of the last 31 days' hours;
        also of one that is not declared: it may be again. None where that cannot be read yet: `heard` is told then."""
        self._is_open = True
        self._since = self._clock.now()
        earlier = self._begin()
        self._heard = heard if earlier is None else None
        self._arm()
        return earlier

    def _begin(self) -> Earlier | None:
        now = self._hour()
        return self._store.spent(now - 31 * DAY) if self._store.open(now) else None

    async def close(self) -> None:
        """Also right for one that was never opened: another server may have the file."""
        if not self._is_open:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.collect()
        await self._flush()
        await asyncio.to_thread(self._store.close)

    def declare(self, terms: Terms) -> None:
        """Another configuration holds from now on."""
        self.collect()
        now = self._clock.now()
        self._terms = terms
        self._ledger.reprice(terms.price, now)
        self._traffic.declare(terms, now)

    # -- what happens ------------------------------------------------------------------------------------------------

    def decided(self, action: Moved | Rented) -> None:
        """A replica changed its state, or another number of them is dedicated."""
        if isinstance(action, Moved):
            self._ledger.moved(action)
        else:
            self._ledger.rented(action)
        self._arm()

    def began(self, request: str, replica: str, model: str, key: str | None, request_class: str) -> None:
        """A replica of `model` has the request; with an empty name none has it any more."""
        self._ledger.began(request, replica, self._clock.now(), key or "", request_class)
        self.answered(request, model)

    def answered(self, request: str, model: str) -> None:
        """It is part of the model's traffic, by whomever it is answered. Told again, it changes nothing."""
        self._traffic.answered(request, model, self._clock.now())

    def share(self, request: str, at: float) -> float:
        """USD of its share of the replicas that have had it up to then, of one that is not over; 0.0 of any other."""
        return self._ledger.share(request, at)

    def told(self, record: RequestRecord) -> None:
        """A request is over."""
        self._ledger.ended(record.request_id, record.ended_at)
        self._traffic.told(record)

    def charged(
        self,
        provider: str,
        model: str,
        usd: float,
        *,
        key: str | None = None,
        request_class: str = "",
        ping: bool = False,
        seconds: float = 0.0,
    ) -> None:
        """What a provider wants for a request, or for a ping."""
        if not math.isfinite(usd) or usd < 0.0:
            usd = 0.0
        self._ledger.charged(
            provider,
            model,
            usd,
            key=key or "",
            request_class="" if ping else request_class,
            rung=PINGS if ping else BURST,
            seconds=seconds,
        )
        self._arm()

    def settled(self, request: str, provider: str, usd: float) -> None:
        """The provider is done with it, and `charged` was told."""
        self.leases.settle(request, provider, usd)
        self._arm()

    # -- what came of it ---------------------------------------------------------------------------------------------

    def collect(self) -> None:
        """All that happened up to now is in the hour in which it did; where the wall clock was set, in the one that it
        shows now. Durations are the monotonic clock's."""
        now = self._clock.now()
        since, self._since = self._since, now
        hour = self._hour((now - since) / 2)
        self._ledger.settle(now)
        self.leases.collect()
        for row, amount in self._ledger.take().items():
            self._pending.use(hour, row, amount)
            self._totals.use(0, row, amount)
        for name, traffic in self._traffic.take(now, now - since).items():
            self._pending.of(hour, name).plus(traffic)
            self._totals.of(0, name).plus(traffic)

    def totals(self) -> History:
        """Since this server began, as if it were one hour, the first."""
        self.collect()
        return self._totals

    async def history(self, since: int) -> History:
        """From that hour since 1970 on, up to now."""
        self.collect()
        await asyncio.shield(asyncio.ensure_future(self._flush()))  # whoever asked may leave
        async with self._lock:
            found = await asyncio.to_thread(self._store.read, since)
            found.plus(self._pending.since(since))
            return found

    # -- to the disk -------------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        """A look after FLUSH seconds while something costs, and one at each full hour."""
        now = self._clock.now()
        hour = HOUR - self._clock.wall() % HOUR + 0.01  # a timer may fire a little early
        quiet = self._ledger.quiet and self.leases.quiet and self._heard is None
        at = now + (hour if quiet else min(FLUSH, hour))
        if self._timer is not None and at < self._at:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._at = at
            self._timer = self._clock.call_at(at, self._due)

    def _due(self) -> None:
        self._timer = None
        self.collect()
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._flush())
        self._arm()

    async def _flush(self) -> None:
        async with self._lock:
            await self._write()

    async def _write(self) -> None:
        if self._heard is not None:
            earlier = await asyncio.to_thread(self._begin)
            if earlier is None:
                return
            heard, self._heard = self._heard, None
            heard(earlier)
        batch, self._pending = self._pending, History()
        leases = self.leases.due()
        well = not (batch or leases) or await asyncio.to_thread(self._store.write, batch, leases)
        self.leases.written(well)
        if not well:
            batch.plus(self._pending)
            self._pending = batch

    # -- small things ------------------------------------------------------------------------------------------------

    def _hour(self, ago: float = 0.0) -> int:
        return int((self._clock.wall() - ago) // HOUR)

    def _devices(self, model: str) -> Devices:
        return self._terms.devices(model)
