"""GET /metrics in Prometheus' text format."""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pilotlight.clock import Clock
from pilotlight.fleet.actions import Moved
from pilotlight.fleet.fleet import Fleet
from pilotlight.fleet.records import RequestRecord, StartRecord
from pilotlight.fleet.states import FAILED, Cause, State
from pilotlight.telemetry.cold_rate import ColdRate
from pilotlight.telemetry.request_counts import BUCKETS, RequestCounts


class Metrics:
    """Counts what it is told of and reads the fleet when it is scraped."""

    def __init__(self, clock: Clock, fleet: Callable[[], Fleet], cold_rate: ColdRate) -> None:
        disable_created_metrics()  # a second series for each counter, which nobody asks for
        self.registry = CollectorRegistry()
        registry = self.registry
        self._cold = Histogram(
            "pilotlight_cold_start_seconds", "Start of a replica, ordered to ready.", ["model"],
            buckets=BUCKETS, registry=registry,
        )  # fmt: skip
        self._stage = Histogram(
            "pilotlight_cold_start_stage_seconds", "Each step of a replica's start.", ["model", "stage"],
            buckets=BUCKETS, registry=registry,
        )  # fmt: skip
        self._failed = Counter(
            "pilotlight_starts_failed",
            "Starts that failed; not those that were called off.",
            ["model"],
            registry=registry,
        )
        self._crashed = Counter(
            "pilotlight_replicas_died", "Replicas that died without having been told to go.", ["model"],
            registry=registry,
        )  # fmt: skip
        self._wake = Histogram(
            "pilotlight_wake_seconds", "Wake of a replica that slept, ordered to ready.", ["model"],
            buckets=BUCKETS, registry=registry,
        )  # fmt: skip
        self._restless = Counter(
            "pilotlight_sleep_failures",
            "Replicas that did not go to sleep, or gave too little memory back, and were stopped for it.",
            ["model"],
            registry=registry,
        )
        self._requests = RequestCounts()
        registry.register(self._requests)
        self._fleet = _FleetCollector(clock, fleet, cold_rate)
        registry.register(self._fleet)

    def told(self, r: RequestRecord) -> None:
        self._requests.told(r)

    def started(self, report: StartRecord) -> None:
        if report.ready_at is None:
            return
        whole = self._wake if report.kind == "wake" else self._cold
        whole.labels(report.deployment).observe(report.ready_at - report.ordered_at)
        for span in report.spans:
            self._stage.labels(report.deployment, span.stage).observe(span.seconds)

    def died(self, deployment: str) -> None:
        self._crashed.labels(deployment).inc()

    def moved(self, action: Moved) -> None:
        self._fleet.moved(action)
        if action.cause is Cause.SLEEP_FAILED:
            self._restless.labels(action.deployment).inc()
        if action.cause in FAILED:
            self._failed.labels(action.deployment).inc()

    def text(self) -> bytes:
        return generate_latest(self.registry)


class _FleetCollector(Collector):
    def __init__(self, clock: Clock, fleet: Callable[[], Fleet], cold_rate: ColdRate) -> None:
        self._clock = clock
        self._fleet = fleet
        self._cold_rate = cold_rate
        self._since: dict[str, tuple[str, State, float]] = {}
        self._seconds: dict[tuple[str, State], float] = {}

    def moved(self, action: Moved) -> None:
        before = self._since.pop(action.replica, None)
        if before is not None:
            model, state, since = before
            self._seconds[model, state] = self._seconds.get((model, state), 0.0) + action.at - since
        if action.state is not State.GONE:
            self._since[action.replica] = (action.deployment, action.state, action.at)

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        now, fleet = self._clock.now(), self._fleet()
        replicas = GaugeMetricFamily("pilotlight_replicas", "Replicas by state.", labels=["model", "state"])
        held = GaugeMetricFamily("pilotlight_held_requests", "Requests that wait.", labels=["model"])
        memory = GaugeMetricFamily(
            "pilotlight_memory_reserved_bytes", "Host memory set aside for replicas.", labels=["model"]
        )
        for name, d in list(fleet.deployments.items()):
            states = [r.state for r in d.every]
            for state in State:
                if state is not State.GONE:
                    replicas.add_metric([name, state.value], states.count(state))
            held.add_metric([name], len(d.held) + len(d.patient))
            memory.add_metric([name], sum(r.memory for r in d.every))
        seconds = CounterMetricFamily(
            "pilotlight_replica_seconds", "Time that replicas spent in each state.", labels=["model", "state"]
        )
        totals = dict(self._seconds)
        for model, state, since in self._since.values():
            totals[model, state] = totals.get((model, state), 0.0) + now - since
        for (model, state), total in sorted(totals.items()):
            seconds.add_metric([model, state.value], total)
        rate = GaugeMetricFamily(
            "pilotlight_cold_rate",
            "Share of requests that a start made wait longer than objective.wait; the empty model is all of them.",
            labels=["model"],
        )
        for model in ["", *fleet.deployments]:
            value = self._cold_rate.rate(now, model or None)
            if value is not None:
                rate.add_metric([model], value)
        yield from (replicas, held, memory, seconds, rate)
