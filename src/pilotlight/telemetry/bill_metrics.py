"""What the bill says in GET /metrics, since the server began."""

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from pilotlight.cost.rows import OF_REPLICAS, Amount


class BillMetrics(Collector):
    """`totals`: by model and rung."""

    def __init__(self, totals: Callable[[], dict[tuple[str, str], Amount]]) -> None:
        self._totals = totals

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        usd = CounterMetricFamily(
            "pilotlight_cost_usd",
            "US dollars at the declared prices, by what the replicas did; burst and pings are what providers charged.",
            labels=["model", "rung"],
        )
        seconds = CounterMetricFamily(
            "pilotlight_rung_seconds", "Seconds of replicas, by what they did.", labels=["model", "rung"]
        )
        for (model, rung), amount in sorted(self._totals().items()):
            usd.add_metric([model, rung], amount.usd)
            if rung in OF_REPLICAS:
                seconds.add_metric([model, rung], amount.seconds)
        yield from (usd, seconds)
