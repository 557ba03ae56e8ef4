"""What is counted of every request.

Counted in plain numbers and turned into metrics when somebody scrapes: a prometheus_client Counter takes a lock for
each increment, and a Histogram walks its buckets, several of them for every request.
"""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from pilotlight.fleet.records import RequestRecord

BUCKETS = (
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0,
)  # fmt: skip
"""Seconds: 1 ms to 10 min, so that a warm token and a 70B download are told apart in one histogram."""

_BOUNDS = [*map(floatToGoString, BUCKETS), "+Inf"]


class Spread:
    """How many of a duration's values fell into each bucket."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds

    def put(self, family: HistogramMetricFamily, labels: list[str]) -> None:
        family.add_metric(labels, list(zip(_BOUNDS, accumulate(self.counts), strict=True)), self.total)


class _Of:
    """Requests that have the same labels."""

    __slots__ = ("number", "output", "prompt", "ttft", "wait")

    def __init__(self, wait: Spread | None, ttft: Spread | None) -> None:
        self.number = self.prompt = self.output = 0
        self.wait = wait
        """None for what was refused: it waited for nothing."""
        self.ttft = ttft


class RequestCounts(Collector):
    def __init__(self) -> None:
        self._of: dict[tuple[str, int, str, bool], _Of] = {}
        self._waits: dict[str, Spread] = {}
        self._ttfts: dict[tuple[str, str], Spread] = {}
        self._stood_in: dict[tuple[str, str], int] = {}

    def told(self, r: RequestRecord) -> None:
        key = (r.model, r.status, r.start, r.stream)
        of = self._of.get(key)
        if of is None:
            of = self._of[key] = self._new(r)
        of.number += 1
        if of.wait is not None:
            of.wait.add(r.start_wait)
        if of.ttft is not None and r.first_byte_at is not None:
            of.ttft.add(r.first_byte_at - r.arrived_at)
        of.prompt += r.prompt_tokens or 0
        of.output += r.output_tokens or 0
        if r.served_model is not None:
            pair = (r.model, r.served_model)
            self._stood_in[pair] = self._stood_in.get(pair, 0) + 1

    def _new(self, r: RequestRecord) -> _Of:
        wait = self._waits.setdefault(r.model, Spread()) if r.start != "none" else None
        streamed = r.stream and r.status < 400
        ttft = self._ttfts.setdefault((r.model, r.start), Spread()) if streamed else None
        return _Of(wait, ttft)

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "pilotlight_requests",
            "Requests by model, HTTP status and start.",
            labels=["model", "code", "start"],
        )
        tokens = CounterMetricFamily(
            "pilotlight_tokens", "Tokens by model and direction.", labels=["model", "direction"]
        )
        for labels, number in self._numbers().items():
            requests.add_metric(list(labels), number)
        for labels, number in self._tokens().items():
            tokens.add_metric(list(labels), number)
        ttft = HistogramMetricFamily(
            "pilotlight_ttft_seconds",
            "Arrival to the first byte of the answer, streams only.",
            labels=["model", "start"],
        )
        for (model, start), spread in self._ttfts.items():
            spread.put(ttft, [model, start])
        wait = HistogramMetricFamily(
            "pilotlight_start_wait_seconds",
            "Wait that starting a replica caused, per request.",
            labels=["model"],
        )
        for model, spread in self._waits.items():
            spread.put(wait, [model])
        stood_in = CounterMetricFamily(
            "pilotlight_stood_in",
            "Requests that a stand-in answered while the model they asked for was not up.",
            labels=["model", "served_model"],
        )
        for pair, number in self._stood_in.items():
            stood_in.add_metric(list(pair), number)
        yield from (requests, tokens, ttft, wait, stood_in)

    def _numbers(self) -> dict[tuple[str, str, str], int]:
        found: dict[tuple[str, str, str], int] = {}
        for (model, status, start, _), of in self._of.items():
            key = (model, str(status), start)
            found[key] = found.get(key, 0) + of.number
        return found

    def _tokens(self) -> dict[tuple[str, str], int]:
        found: dict[tuple[str, str], int] = {}
        for (model, *_), of in self._of.items():
            for direction, number in (("prompt", of.prompt), ("output", of.output)):
                found[model, direction] = found.get((model, direction), 0) + number
        return found
