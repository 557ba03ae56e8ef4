"""What is told of requests that a provider had: the record, the log's line, the metrics."""

from prometheus_client import CollectorRegistry

from pilotlight.clock import VirtualClock
from pilotlight.fleet.events import Answered, Charged, Configured, Declined
from pilotlight.fleet.fleet import Fleet
from pilotlight.fleet.provider import Budget, Provider
from pilotlight.policy.step import step
from pilotlight.telemetry.providers import ProviderCounts
from pilotlight.telemetry.stages import trace
from unit.telemetry.records import record

FAR = {"provider": "far", "replica": None, "replica_ready_at": None, "assigned_at": None, "cost_usd": 0.5}


def test_a_burst_waits_for_its_first_token_and_for_no_start():
    r = record(**FAR)
    assert (r.start, r.start_wait, r.queue) == ("burst", 1.0, 0.0)


def test_of_an_answer_that_is_no_stream_only_the_time_before_it_was_sent_counts():
    r = record(**FAR, stream=False, sent_at=10.25, first_byte_at=12.0)
    assert (r.start, r.start_wait) == ("burst", 0.25)


def test_one_that_had_no_answer_waited_to_its_end():
    assert record(**{**FAR, "sent_at": None, "first_byte_at": None}).start_wait == 2.0


def test_a_hedge_that_a_replica_won_is_no_burst_and_still_cost():
    r = record(cost_usd=0.5)
    assert (r.start, r.cost_usd) == ("warm", 0.5)
    assert trace(r)["cost_usd"] == 0.5


def metrics() -> tuple[ProviderCounts, CollectorRegistry]:
    fleet, _ = step(Fleet(), Configured(0.0, (), (), providers=(Provider("far", budget=Budget(month=10.0)),)))
    counts, registry = ProviderCounts(VirtualClock(), lambda: fleet), CollectorRegistry()
    registry.register(counts)
    return counts, registry


def test_each_end_is_counted_once_with_what_it_cost():
    counts, registry = metrics()
    counts.told(Answered(2.0, "r", "far"), "m", 1.5, ping=False)
    counts.told(Charged(3.0, "r", "far", 0.5), "m", 1.5, ping=False)
    counts.told(Declined(3.0, "s", "far", "busy", "429", usd=0.25), "m", 1.5, ping=False)
    counts.told(Charged(3.0, "t", "far", 0.25, ok=False), "m", 1.5, ping=False)
    counts.told(Charged(3.0, "p", "far", 1.0), "m", 1.5, ping=True)

    def ended(outcome: str) -> float | None:
        labels = {"provider": "far", "model": "m", "outcome": outcome}
        return registry.get_sample_value("pilotlight_provider_requests_total", labels)

    assert [ended(o) for o in ("ok", "busy", "failed", "ping_ok")] == [1, 1, 1, 1]
    spent = registry.get_sample_value(
        "pilotlight_provider_spend_usd_total", {"provider": "far", "model": "m"}
    )
    assert spent == 2.0
    assert registry.get_sample_value("pilotlight_provider_ttft_seconds_sum", {"provider": "far"}) == 0.5


def test_an_answer_in_one_piece_says_nothing_of_the_first_token():
    counts, registry = metrics()
    counts.told(Answered(2.0, "r", "far", whole=True), "m", 1.5, ping=False)
    assert registry.get_sample_value("pilotlight_provider_ttft_seconds_sum", {"provider": "far"}) is None


def test_a_usage_that_cannot_be_is_counted():
    counts, registry = metrics()
    counts.told(Charged(3.0, "r", "far", 0.5), "m", 1.5, ping=False, lied=True)
    counts.told(Charged(3.0, "s", "far", 0.5), "m", 1.5, ping=False)
    lied = registry.get_sample_value("pilotlight_provider_implausible_usage_total", {"provider": "far"})
    assert lied == 1


def test_what_the_kernel_knows_is_read_when_somebody_asks():
    _, registry = metrics()
    assert (
        registry.get_sample_value("pilotlight_provider_breaker", {"provider": "far", "state": "closed"}) == 1
    )
    assert registry.get_sample_value("pilotlight_provider_in_flight", {"provider": "far"}) == 0
    left = {"provider": "far", "window": "month"}
    assert registry.get_sample_value("pilotlight_provider_budget_left_usd", left) == 10
    assert registry.get_sample_value("pilotlight_provider_budget_left_usd", {**left, "window": "day"}) is None
