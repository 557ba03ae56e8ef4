"""What came of requests at providers, counted for GET /metrics."""

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from pilotlight.clock import Clock
from pilotlight.fleet.events import Answered, Charged, Declined, Event
from pilotlight.fleet.fleet import Fleet
from pilotlight.policy.providers import Known, known
from pilotlight.telemetry.request_counts import Spread

_STATES = ("closed", "paused", "open", "half-open")


class ProviderCounts(Collector):
    """Hears of every errand, and reads the fleet when it is scraped."""

    def __init__(self, clock: Clock, fleet: Callable[[], Fleet]) -> None:
        self._clock = clock
        self._fleet = fleet
        self._ended: dict[tuple[str, str, str], int] = {}
        self._usd: dict[tuple[str, str], float] = {}
        self._first: dict[str, Spread] = {}
        self._lied: dict[str, int] = {}

    def told(self, event: Event, deployment: str, sent_at: float, *, ping: bool, lied: bool = False) -> None:
        """`sent_at`: when it was sent, as the controller's clock has it. `lied`: what it said of its tokens cannot
        be."""
        if isinstance(event, Answered):
            if not event.whole:
                self._first.setdefault(event.provider, Spread()).add(event.at - sent_at)
            return
        if not isinstance(event, Declined | Charged):
            return
        outcome = event.kind if isinstance(event, Declined) else "ok" if event.ok else "failed"
        key = (event.provider, deployment, f"ping_{outcome}" if ping else outcome)
        self._ended[key] = self._ended.get(key, 0) + 1
        if lied:
            self._lied[event.provider] = self._lied.get(event.provider, 0) + 1
        spent = (event.provider, deployment)
        self._usd[spent] = self._usd.get(spent, 0.0) + event.usd

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        ended = CounterMetricFamily(
            "pilotlight_provider_requests",
            "Requests that were sent to a provider and are over, by what came of them.",
            labels=["provider", "model", "outcome"],
        )
        for labels, number in self._ended.items():
            ended.add_metric(list(labels), number)
        usd = CounterMetricFamily(
            "pilotlight_provider_spend_usd",
            "US dollars that providers charged.",
            labels=["provider", "model"],
        )
        for pair, amount in self._usd.items():
            usd.add_metric(list(pair), amount)
        lied = CounterMetricFamily(
            "pilotlight_provider_implausible_usage",
            "Answers whose `usage` cannot be; their tokens were counted here.",
            labels=["provider"],
        )
        for provider, number in self._lied.items():
            lied.add_metric([provider], number)
        first = HistogramMetricFamily(
            "pilotlight_provider_ttft_seconds",
            "Sending a request to a provider to its first token, streams and pings only.",
            labels=["provider"],
        )
        for provider, spread in self._first.items():
            spread.put(first, [provider])
        yield from (ended, usd, lied, first, *self._now())

    def _now(self) -> Iterator[Metric]:
        """What the kernel knows of them."""
        fleet, now = self._fleet(), self._clock.now()
        of = [known(fleet, p, now) for p in fleet.providers.values() if not p.removed]
        state = GaugeMetricFamily(
            "pilotlight_provider_breaker",
            "1 for the state that a provider's circuit breaker is in.",
            labels=["provider", "state"],
        )
        for k in of:
            for name in _STATES:
                state.add_metric([k.id, name], float(k.breaker == name))
        flight = _gauge("in_flight", "Requests and pings at a provider.", of, lambda k: k.in_flight)
        cold = _gauge(
            "cold_rate", "Share of a provider's answers taken to be cold ones.", of, lambda k: k.cold_rate
        )
        reserved = _gauge(
            "reserved_usd", "US dollars set aside for what is at a provider.", of, lambda k: k.reserved_usd
        )
        left = GaugeMetricFamily(
            "pilotlight_provider_budget_left_usd",
            "US dollars of a budget that are left; not for one without a limit.",
            labels=["provider", "window"],
        )
        for k in of:
            for window in ("hour", "day", "month"):
                amount = getattr(k.left, window)
                if amount is not None:
                    left.add_metric([k.id, window], amount)
        yield from (state, flight, cold, reserved, left)


def _gauge(
    name: str, text: str, of: list[Known], value: Callable[[Known], float | None]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"pilotlight_provider_{name}", text, labels=["provider"])
    for k in of:
        number = value(k)
        if number is not None:
            family.add_metric([k.id], number)
    return family
