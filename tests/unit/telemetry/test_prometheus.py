"""What is scraped, name by name."""

from prometheus_client.parser import text_string_to_metric_families

from pilotlight.clock import VirtualClock
from pilotlight.fleet.actions import Moved
from pilotlight.fleet.deployment import Deployment, Need
from pilotlight.fleet.fleet import DeploymentState, Fleet, Held, Replica
from pilotlight.fleet.plan import Plan, Span
from pilotlight.fleet.records import StartRecord
from pilotlight.fleet.states import Cause, State
from pilotlight.telemetry.cold_rate import ColdRate
from pilotlight.telemetry.prometheus import BUCKETS, Metrics
from unit.telemetry.records import record

LABELS = ("model", "code", "state", "stage", "start", "direction")


class Bench:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.fleet = Fleet()
        self.cold_rate = ColdRate(2.0, 60.0)
        self.metrics = Metrics(self.clock, lambda: self.fleet, self.cold_rate)

    def samples(self, name: str) -> dict[tuple[str, ...], float]:
        """Label values, in the order of LABELS, to value."""
        families = text_string_to_metric_families(self.metrics.text().decode())
        found = [s for f in families for s in f.samples if s.name == name]
        return {tuple(s.labels[k] for k in LABELS if k in s.labels): s.value for s in found}

    def types(self) -> dict[str, str]:
        return {f.name: f.type for f in text_string_to_metric_families(self.metrics.text().decode())}


def declared(bench: Bench, name: str) -> DeploymentState:
    spec = Deployment(id=name, fingerprint="f", need=Need(10), plan=Plan(()))
    bench.fleet.deployments[name] = state = DeploymentState(spec)
    return state


def test_the_buckets_reach_from_a_millisecond_to_ten_minutes():
    assert BUCKETS[0] == 0.001
    assert BUCKETS[-1] == 600.0
    assert list(BUCKETS) == sorted(BUCKETS)


def test_requests():
    bench = Bench()
    bench.metrics.told(record())
    bench.metrics.told(record(stream=False))
    bench.metrics.told(record(replica_ready_at=10.5))
    bench.metrics.told(record(status=502, outcome="engine_died", first_byte_at=None))
    bench.metrics.told(record(status=400, outcome="engine_error"))
    bench.metrics.told(record(model="-", status=401, outcome="refused", replica_ready_at=None))
    assert bench.samples("pilotlight_requests_total") == {
        ("chat", "200", "warm"): 2, ("chat", "200", "cold"): 1, ("chat", "502", "warm"): 1, ("chat", "400", "warm"): 1,
        ("-", "401", "none"): 1,
    }  # fmt: skip
    assert bench.samples("pilotlight_ttft_seconds_count") == {("chat", "warm"): 1, ("chat", "cold"): 1}
    assert bench.samples("pilotlight_ttft_seconds_sum")[("chat", "warm")] == 1.0
    assert bench.samples("pilotlight_start_wait_seconds_count") == {("chat",): 5}
    assert bench.samples("pilotlight_start_wait_seconds_sum") == {("chat",): 0.5}
    assert bench.samples("pilotlight_tokens_total")[("chat", "output")] == 35


def test_starts():
    bench = Bench()
    spans = (Span("fetch", 0.0, 2.0), Span("load", 2.0, 3.0))
    bench.metrics.started(StartRecord("chat-1", "chat", 0.0, 3.5, spans))
    bench.metrics.started(StartRecord("chat-2", "chat", 0.0, None, spans, reason="no"))
    bench.metrics.died("chat")
    stopping = State.STARTING, State.STOPPING
    for cause in (Cause.TIMED_OUT, Cause.TO_STOP):
        bench.metrics.moved(Moved(0.0, "chat-3", "chat", *stopping, cause, "x"))
    assert bench.samples("pilotlight_starts_failed_total") == {("chat",): 1}, "one was called off"
    bench.metrics.moved(Moved(0.0, "chat-2", "chat", State.STARTING, State.GONE, Cause.START_FAILED, "x"))
    assert bench.samples("pilotlight_cold_start_seconds_sum") == {("chat",): 3.5}
    assert bench.samples("pilotlight_cold_start_stage_seconds_sum") == {
        ("chat", "fetch"): 2.0,
        ("chat", "load"): 1.0,
    }
    assert bench.samples("pilotlight_starts_failed_total") == {("chat",): 2}
    assert bench.samples("pilotlight_replicas_died_total") == {("chat",): 1}


def test_sleep_and_wake():
    bench = Bench()
    spans = (Span("wake", 5.0, 5.5), Span("load", 5.1, 5.5))
    bench.metrics.started(StartRecord("chat-1", "chat", 5.0, 5.5, spans, kind="wake"))
    bench.metrics.moved(
        Moved(6.0, "chat-1", "chat", State.GOING_TO_SLEEP, State.STOPPING, Cause.SLEEP_FAILED, "x")
    )
    assert bench.samples("pilotlight_wake_seconds_sum") == {("chat",): 0.5}
    assert bench.samples("pilotlight_cold_start_seconds_sum") == {}
    assert bench.samples("pilotlight_sleep_failures_total") == {("chat",): 1}
    assert bench.samples("pilotlight_starts_failed_total") == {}


def test_the_fleet():
    bench = Bench()
    d = declared(bench, "chat")
    declared(bench, "cold")
    d.replicas["chat-1"] = Replica("chat-1", "chat", "f", State.READY, 0.0, "local", (), 100, (), 0.0)
    d.replicas["chat-2"] = Replica("chat-2", "chat", "f", State.STARTING, 0.0, "local", (), 50, (), 0.0)
    d.held["r"] = Held("r", 0.0)
    replicas = bench.samples("pilotlight_replicas")
    assert replicas["chat", "ready"] == replicas["chat", "starting"] == 1
    assert replicas["chat", "stopping"] == replicas["cold", "ready"] == 0
    assert bench.samples("pilotlight_held_requests") == {("chat",): 1, ("cold",): 0}
    assert bench.samples("pilotlight_memory_reserved_bytes")[("chat",)] == 150


def test_the_time_that_replicas_spent_in_each_state():
    bench = Bench()

    def moved(at: float, state: State) -> None:
        bench.metrics.moved(Moved(at, "chat-1", "chat", None, state, None, "x"))

    moved(0.0, State.STARTING)
    moved(2.0, State.READY)
    bench.clock.run_until(5.0)
    assert bench.samples("pilotlight_replica_seconds_total") == {
        ("chat", "starting"): 2.0,
        ("chat", "ready"): 3.0,
    }
    moved(6.0, State.STOPPING)
    moved(7.0, State.GONE)
    bench.clock.run_until(100.0)
    assert bench.samples("pilotlight_replica_seconds_total") == {
        ("chat", "starting"): 2.0, ("chat", "ready"): 4.0, ("chat", "stopping"): 1.0,
    }  # fmt: skip


def test_the_cold_rate_by_model_and_of_all():
    bench = Bench()
    declared(bench, "a")
    declared(bench, "b")
    assert bench.samples("pilotlight_cold_rate") == {}
    bench.cold_rate.add("a", 0.0, 5.0)
    bench.cold_rate.add("b", 0.0, 0.0)
    assert bench.samples("pilotlight_cold_rate") == {("",): 0.5, ("a",): 1.0, ("b",): 0.0}


def test_every_promised_name_and_type():
    bench = Bench()
    declared(bench, "chat")
    bench.metrics.told(record())
    bench.metrics.started(StartRecord("chat-1", "chat", 0.0, 3.5, (Span("load", 2.0, 3.0),)))
    bench.metrics.moved(Moved(0.0, "chat-1", "chat", None, State.READY, None, "x"))
    bench.cold_rate.add("chat", 0.0, 0.0)
    types = bench.types()
    promised = {
        "pilotlight_requests": "counter", "pilotlight_ttft_seconds": "histogram",
        "pilotlight_start_wait_seconds": "histogram", "pilotlight_cold_start_seconds": "histogram",
        "pilotlight_cold_start_stage_seconds": "histogram", "pilotlight_replicas": "gauge",
        "pilotlight_held_requests": "gauge", "pilotlight_replica_seconds": "counter", "pilotlight_cold_rate": "gauge",
    }  # fmt: skip
    assert promised.items() <= types.items()
    assert not [name for name in types if name.endswith("_created")]


def test_what_a_stand_in_answered_is_counted_under_both_names():
    bench = Bench()
    bench.metrics.told(record(served_model="small"))
    bench.metrics.told(record(served_model="small"))
    bench.metrics.told(record())
    assert bench.samples("pilotlight_requests_total") == {("chat", "200", "warm"): 3}
    found = text_string_to_metric_families(bench.metrics.text().decode())
    samples = [s for f in found for s in f.samples if s.name == "pilotlight_stood_in_total"]
    assert [(s.labels, s.value) for s in samples] == [({"model": "chat", "served_model": "small"}, 2)]


def test_batch_requests_that_wait_are_held_too():
    bench = Bench()
    state = declared(bench, "chat")
    state.held["r"] = Held("r", 0.0)
    state.patient["b"] = Held("b", 0.0)
    assert bench.samples("pilotlight_held_requests") == {("chat",): 2}
