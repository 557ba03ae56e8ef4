"""The bill of a server, put together: what is declared, what is heard, what is answered."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from pilotlight.clock import Clock
from pilotlight.cost import declared
from pilotlight.cost.history import HOUR
from pilotlight.cost.report import billed
from pilotlight.fleet.actions import Moved, Note, Rented
from pilotlight.fleet.events import SpendKnown, Spent
from pilotlight.fleet.fleet import Fleet
from pilotlight.gateway.errand import Errand
from pilotlight.policy import budget, cold_rate
from pilotlight.spec.model import Config
from pilotlight.spec.provider import Rates
from pilotlight.telemetry.bill import LiveBill
from pilotlight.telemetry.bill_metrics import BillMetrics
from pilotlight.telemetry.bill_store import FILE, BillStore, Earlier
from pilotlight.telemetry.bill_terms import Sold, Terms

log = logging.getLogger("pilotlight")

START = 40.0
"""Seconds that a start is taken to last where none was ever seen, as the simulator takes it."""

SPARE = 0.01
"""Of the smallest limit of a provider's budget, leased beyond what is needed [G]."""

Decided = Callable[[Moved | Rented | Note], None]


def terms(config: Config) -> Terms:
    models = {
        name: Sold(declared.devices(model), declared.slots(model)) for name, model in config.models.items()
    }
    return Terms(declared.price(config), models, config.objective.wait)


def unpriced(config: Config) -> list[str]:
    """The providers whose requests count as $0, for nobody has said what they charge."""
    return [name for name, provider in config.providers.items() if provider.price == Rates()]


class Billing:
    """One per server. `fleet` is asked for what a cold request counts for and how long starts take."""

    def __init__(self, config: Config, state: Path, clock: Clock, fleet: Callable[[], Fleet]) -> None:
        self._config = config
        self._fleet = fleet
        self._clock = clock
        self.bill = LiveBill(
            clock,
            BillStore(state / FILE),
            terms(config),
            self._start_seconds,
            lambda: cold_rate.usd(fleet()),
            self._spare,
        )
        self.metrics = BillMetrics(self.bill.totals, lambda: declared.told(self._config.prices))

    def declare(self, config: Config) -> None:
        self._config = config
        self.bill.declare(terms(config))

    def open(self, post: Callable[[Spent | SpendKnown], None]) -> None:
        """Blocking, before the server takes requests. Posts what was spent at providers by earlier servers; where that
        cannot be read yet, as soon as it can be."""

        def spent(earlier: Earlier | None) -> None:
            now = self._clock.now()
            if earlier is None and self._config.providers:
                log.warning("providers with a budget are not asked until it can be read what was spent there")
            for name, hours in (earlier or {}).items():
                post(Spent(now, name, hours))
            post(SpendKnown(now, known=earlier is not None))

        spent(self.bill.open(spent))

    def beside(self, decided: Decided) -> Decided:
        """Both hear of what was decided."""

        def both(action: Moved | Rented | Note) -> None:
            decided(action)
            if not isinstance(action, Note):
                self.bill.decided(action)

        return both

    def answered(self, errand: Errand) -> None:
        """A provider's first byte is there."""
        if not errand.is_ping:
            self.bill.answered(errand.request, errand.deployment)

    async def lease(self, errand: Errand) -> None:
        """Returns once it may go out."""
        await self.bill.leases.take(errand.request, errand.provider, errand.dearest_usd)

    def _spare(self, provider: str) -> float | None:
        """USD; None where it may spend what it likes. No more than its budget has left."""
        fleet = self._fleet()
        p = fleet.providers.get(provider)
        if p is None or p.spec.budget == budget.UNLIMITED:
            return None
        limits, left = p.spec.budget, budget.left(fleet, p, self._clock.now())
        return max(0.0, min(SPARE * min(limits.hour, limits.day, limits.month), left))

    def paid(self, errand: Errand, usd: float) -> None:
        """Its part is over; it may have cost nothing."""
        if usd > 0.0:
            self.bill.charged(
                errand.provider,
                errand.deployment,
                usd,
                key=errand.key,
                request_class=errand.request_class,
                ping=errand.is_ping,
                seconds=max(0.0, self._clock.now() - errand.sent_at),
            )
        self.bill.settled(errand.request, errand.provider, usd)

    def prices(self) -> dict[str, Any]:
        """What GET /cost says of them."""
        return msgspec.to_builtins(declared.told(self._config.prices))

    async def answer(self, since: float, by: str, rows: bool) -> dict[str, Any]:
        """What GET /cost says, from this Unix time on; with every row of every hour, if wanted."""
        history = await self.bill.history(int(since // HOUR))
        fleet = self._fleet()
        cold = {"usd": cold_rate.usd(fleet), "because": cold_rate.because(fleet)}
        # In a thread: of a year it takes half a second.
        now, prices = self._clock.wall(), self._config.prices
        found = await asyncio.to_thread(billed, history, since, now, by, prices, cold, rows)
        return {**found, "unpriced": unpriced(self._config)}

    def _start_seconds(self, name: str) -> float:
        d = self._fleet().deployments.get(name)
        known = None if d is None else d.spec.start_seconds
        if known is None and d is not None:
            known = next((r.start_seconds for r in d.every if r.start_seconds and not r.woken), None)
        return START if known is None else known
