"""Each model's traffic for the bill: what was cold, what waiting counts for, and what it could have cost otherwise."""

from collections.abc import Callable

from pilotlight.cost.history import Traffic
from pilotlight.cost.levels import Levels, scale_to_zero
from pilotlight.fleet.records import RequestRecord
from pilotlight.telemetry.bill_terms import Terms


class BillTraffic:
    """Gathers it until it is taken. Moments are the monotonic clock's; the callables are as LiveBill has them."""

    def __init__(
        self, terms: Terms, start_seconds: Callable[[str], float], cold_usd: Callable[[], float]
    ) -> None:
        self._terms = terms
        self._start_seconds = start_seconds
        self._cold_usd = cold_usd
        self._levels: dict[str, Levels] = {}
        self._traffic: dict[str, Traffic] = {}
        """Since it was taken."""
        self._answered: dict[str, str] = {}
        """The model of each request that is being answered."""

    def declare(self, terms: Terms, now: float) -> None:
        self._terms = terms
        for name, levels in self._levels.items():
            levels.resize(terms.slots(name), now)

    def answered(self, request: str, model: str, now: float) -> None:
        """It is part of the model's traffic. Told again, it changes nothing."""
        if request not in self._answered:
            self._answered[request] = model
            self._of(model).began(now)

    def told(self, record: RequestRecord) -> None:
        """A request is over."""
        model = self._answered.pop(record.request_id, None)
        if model is not None:
            self._levels[model].ended(record.ended_at)
        if record.outcome == "refused":
            return
        traffic = self._traffic.setdefault(record.model, Traffic())
        traffic.requests += 1
        if record.request_class == "batch" or record.start_wait <= 0.0:
            return  # it has asked to wait, or did not
        traffic.waited += record.start_wait
        if record.start_wait > self._terms.cold_after:
            traffic.cold += 1
            traffic.waiting_usd += self._cold_usd()

    def take(self, now: float, seconds: float) -> dict[str, Traffic]:
        """By model, what there was in the seconds since the last time."""
        for name in {*self._terms.models, *self._levels}:
            self._price(name, now, seconds)
        self._levels = {
            name: levels
            for name, levels in self._levels.items()
            if levels.answered or name in self._terms.models
        }
        found, self._traffic = self._traffic, {}
        return found

    def _price(self, name: str, now: float, seconds: float) -> None:
        """What it could have cost."""
        price, devices = self._terms.price, self._terms.devices(name).full
        one = seconds * price.dedicated * devices if name in self._terms.models else 0.0
        levels = self._levels.get(name)
        if one <= 0.0 and levels is None:
            return
        traffic = self._traffic.setdefault(name, Traffic())
        traffic.one_usd += one
        if levels is not None:
            spells = levels.take(now)
            traffic.peak = max(traffic.peak, spells.peak)
            start = self._start_seconds(name) if spells.spells else 0.0
            traffic.scale_to_zero_usd += scale_to_zero(spells, start, price.on_demand, devices)

    def _of(self, model: str) -> Levels:
        found = self._levels.get(model)
        if found is None:
            found = self._levels[model] = Levels(self._terms.slots(model))
        return found
