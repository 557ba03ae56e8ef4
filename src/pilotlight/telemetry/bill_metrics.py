"""What the bill says in GET /metrics, since the server began."""

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pilotlight.cost.declared import Told
from pilotlight.cost.history import History, Traffic
from pilotlight.cost.rows import OF_REPLICAS, Rows

Named = dict[tuple[str, ...], float]


class BillMetrics(Collector):
    """`totals`: all in one hour, the first. As many series as there are models and rungs, and keys and classes: all of
    them are declared, none is a client's to make up."""

    def __init__(self, totals: Callable[[], History], prices: Callable[[], Told]) -> None:
        self._totals = totals
        self._prices = prices

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        totals = self._totals()
        yield from _used(totals.used.get(0, {}))
        yield from _traffic(totals.traffic.get(0, {}))
        yield self._info()

    def _info(self) -> Metric:
        told = self._prices()
        info = GaugeMetricFamily(
            "pilotlight_prices_info",
            "1; what US dollars are reckoned with, whether any of it is an example, and of which day.",
            labels=["gpu_month_usd", "serverless_premium", "examples", "date"],
        )
        examples = "true" if told.date else "false"
        info.add_metric(
            [f"{told.gpu_month_usd:.12g}", f"{told.serverless_premium:.12g}", examples, told.date or ""], 1.0
        )
        return info


def _used(rows: Rows) -> Iterator[Metric]:
    usd: Named = {}
    seconds: Named = {}
    by_key: Named = {}
    for row, amount in rows.items():
        _add(usd, (row.model, row.rung), amount.usd)
        _add(by_key, (row.key, row.request_class), amount.usd)
        if row.rung in OF_REPLICAS:
            _add(seconds, (row.model, row.rung), amount.seconds)
    yield _counter(
        "cost_usd",
        "US dollars at the declared prices, by what the replicas did; burst and pings are what providers charged.",
        ["model", "rung"],
        usd,
    )
    yield _counter("rung_seconds", "Seconds of replicas, by what they did.", ["model", "rung"], seconds)
    yield _counter(
        "key_cost_usd",
        "The same dollars by who asked; what served nobody has neither key nor class.",
        ["key", "class"],
        by_key,
    )


def _traffic(models: dict[str, Traffic]) -> Iterator[Metric]:
    otherwise: Named = {}
    for model, traffic in models.items():
        otherwise[model, "always_on"] = traffic.always_on_usd
        otherwise[model, "scale_to_zero"] = traffic.scale_to_zero_usd
    yield _counter(
        "otherwise_usd",
        "US dollars that the same traffic would have cost: always on at its peak, or with nothing kept.",
        ["model", "way"],
        otherwise,
    )
    yield _counter(
        "waiting_usd",
        "What the requests that waited too long for a start count as; nobody was paid that.",
        ["model"],
        {(model,): traffic.waiting_usd for model, traffic in models.items()},
    )


def _add(named: Named, name: tuple[str, ...], amount: float) -> None:
    named[name] = named.get(name, 0.0) + amount


def _counter(name: str, about: str, labels: list[str], values: Named) -> Metric:
    counter = CounterMetricFamily(f"pilotlight_{name}", about, labels=labels)
    for names, value in sorted(values.items()):
        counter.add_metric(list(names), value)
    return counter
