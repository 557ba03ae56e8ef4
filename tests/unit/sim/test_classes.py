"""Classes and stand-ins in a replay, reckoned by hand: a token takes a second, and a start ten."""

import json

import pytest

from pilotlight.fleet.classes import BATCH, CRITICAL, STANDARD
from pilotlight.sim.result import TIMINGS, OfClass, Result
from pilotlight.sim.simulate import simulate
from pilotlight.sim.starts import constant
from pilotlight.sim.trace import Trace
from pilotlight.spec.load import parse

ONE_SLOT = "ttl: 60s, target_requests: 1, max_requests: 1, max_replicas: 1"
TWO_MODELS = """
models:
  large: {source: "demo://1b", stand_in: small}
  small: {source: "demo://50m", min_replicas: 1}
"""

Asked = tuple[float, int] | tuple[float, int, str]
"""The second, the tokens of the answer, and the class."""


def trace_of(*requests: Asked) -> Trace:
    classes = [r[2] if len(r) > 2 else "standard" for r in requests]
    return Trace.from_rows("x", [(r[0], "m", 1, r[1]) for r in requests], classes=classes)


def played(trace: Trace, defaults: str = ONE_SLOT, more: str = "", given: str = "", **how: bool) -> Result:
    text = f"""
defaults: {{{defaults}}}
objective: {{wait: 2s}}
prices: {{gpu_month_usd: {730 * 3600}, serverless_premium: 2}}
simulation: {{first_token: 0s, per_token: 1s, warm_up: 0%{given}}}
{more}
"""
    return simulate(trace, parse(text, "c", {}, simulated=True), constant(10.0), **how)


def test_a_queue_is_left_by_critical_then_standard_then_batch():
    # The first has the only replica started, which is up at 10, when all of them wait.
    found = played(trace_of((0, 20), (1, 5, "batch"), (2, 5), (3, 5, "critical")))
    assert found.by_class == {
        "critical": OfClass(1, 1.0, 7.0, 7.0, 0, 0, None),  # from 10 to 15
        "standard": OfClass(2, 1.0, 15.0, 33.0, 0, 0, None),  # to 35, and to 40
        "batch": OfClass(1, None, 39.0, 39.0, 0, 0, 0),
    }
    assert list(found.by_class) == ["critical", "standard", "batch"]
    assert (found.starts, found.evaluated, found.unserved) == (1, 4, 0)


def test_the_figures_of_all_leave_out_who_has_asked_to_wait():
    found = played(trace_of((0, 20), (1, 5, "batch"), (2, 5), (3, 5, "critical")), bill=True)
    assert (found.cold_rate, found.cold_rate_by_model) == (1.0, {"m": 1.0})
    assert (found.ttft_p50, found.ttft_p99, found.ttft_mean) == (15.0, 33.0, pytest.approx(55 / 3))
    assert sum(found.series.cold) == 3 and sum(found.series.requests) == 4
    assert found.bill is not None
    assert (found.bill.waiting.cold, found.bill.waiting.waited_s) == (3, 55.0)


def test_a_batch_request_starts_nothing_and_takes_what_is_idle():
    # The standard one has the replica from 60 to 65.
    found = played(trace_of((0, 5, "batch"), (50, 5)), f"{ONE_SLOT}, batch_deadline: 100s")
    assert (found.starts, found.by_class["batch"].ttft_p95, found.by_class["batch"].past_deadline) == (
        1,
        65.0,
        0,
    )


def test_at_its_deadline_a_batch_request_has_a_replica_started():
    found = played(trace_of((0, 5, "batch")), f"{ONE_SLOT}, batch_deadline: 100s")
    assert found.starts == 1
    assert found.by_class == {"batch": OfClass(1, None, 110.0, 110.0, 0, 0, 1)}
    assert (found.cold_rate, found.ttft_p95, found.evaluated) == (None, None, 1), "nobody else has asked"


def test_one_that_takes_a_busy_replicas_slot_at_its_deadline_has_waited_until_then():
    # Up from 10 on, with one of two slots taken, which is no idle capacity for batch.
    config = "ttl: 60s, target_requests: 1, max_requests: 2, max_replicas: 1, batch_deadline: 700ms"
    found = played(trace_of((0, 90), (20.1, 5, "batch")), config)
    batch = found.by_class["batch"]
    assert 20.1 + 0.7 - 20.1 < 0.7, "in floating point"
    assert (batch.ttft_p95, batch.past_deadline) == (pytest.approx(0.7), 1)


def test_one_that_finds_no_idle_capacity_until_its_deadline_goes_before_those_that_come_after_it():
    # The replica is taken from 10 to 210. At 101 the batch request is in the queue behind the one that came at 50.
    asked = trace_of((0, 200), (1, 5, "batch"), (50, 5), (150, 5))
    found = played(asked, f"{ONE_SLOT}, batch_deadline: 100s")
    assert found.by_class["batch"] == OfClass(1, None, 214.0, 214.0, 0, 0, 1)
    assert found.by_class["standard"].ttft_p95 == 160.0, "at 210, before it; and at 220 the last, after 70 s"


def test_a_replay_goes_on_until_the_last_deadline():
    found = played(trace_of((0, 1), (5000, 1, "batch")), f"{ONE_SLOT}, batch_deadline: 2h")
    assert found.by_class["batch"] == OfClass(1, None, 7210.0, 7210.0, 0, 0, 1)
    assert found.unserved == 0
    ever = played(trace_of((0, 1), (5000, 1, "batch")), f"{ONE_SLOT}, batch_deadline: -1")
    assert ever.by_class["batch"] == OfClass(1, None, 3600.0, 3600.0, 1, 0, 0)


def test_a_full_queue_gives_the_place_of_a_batch_request_away():
    found = played(trace_of((0, 5, "batch"), (1, 5), (2, 5)), f"{ONE_SLOT}, max_pending_requests: 1")
    batch, standard = found.by_class["batch"], found.by_class["standard"]
    assert (batch.refused, batch.unserved, batch.past_deadline) == (1, 1, 0)
    assert (standard.refused, found.refused, found.unserved) == (1, 2, 2), (
        "the third finds nobody to push out"
    )


def test_a_batch_request_may_leave_the_house_once_it_counts_as_standard():
    provider = "{base_url: 'https://p.example.com/v1', price: {request_usd: 1.0}, first_token: 500ms}"
    more = f"providers: {{p: {provider}}}\nmodels: {{m: {{burst: {{provider: p}}}}}}"
    found = played(trace_of((0, 5, "batch"), (1, 5, "critical")), f"{ONE_SLOT}, batch_deadline: 100s", more)
    assert found.by_class["critical"].ttft_p95 == 0.5
    assert found.by_provider["p"].burst_requests >= 1
    alone = played(trace_of((0, 5, "batch")), f"{ONE_SLOT}, batch_deadline: 100s", more)
    assert alone.by_class["batch"] == OfClass(1, None, 100.5, 100.5, 0, 0, 1)
    assert alone.burst_requests == 1


FIRST = (0.0, "small", False)
"""Until it comes nothing is up, and `small` is from 10 on, serves it until 14, and is free."""


def large(
    *requests: tuple[float, str, bool], more: str = TWO_MODELS, classes: list[str] | None = None
) -> Result:
    trace = Trace.from_rows(
        "x",
        [(t, name, 1, 4) for t, name, _ in (FIRST, *requests)],
        stand_in=[may for *_, may in (FIRST, *requests)],
        classes=None if classes is None else ["standard", *classes],
    )
    return played(trace, "ttl: 60s, target_requests: 1, max_requests: 1, max_replicas: 2", more, bill=True)


def test_a_stand_in_answers_while_the_model_that_was_asked_for_starts():
    # `large` is started by the first that asks for it, and is up at 30.
    found = large((20, "large", True), (25, "large", False), (40, "large", True))
    assert found.stood_in == 1, "the second does not allow it, and the third finds its own"
    assert (found.cold_rate, found.ttft_p50, found.ttft_p99) == (0.5, 0.0, 10.0)
    assert (found.starts, found.ttft_mean) == (2, pytest.approx((10 + 0 + 5 + 0) / 4))
    assert found.bill is not None
    serving = {line.name: line.by_rung["serving"] for line in found.bill.lines if "serving" in line.by_rung}
    assert serving == {"small": pytest.approx(4 + 4), "large": pytest.approx(2 * 4)}, (
        "the trace ends with the last"
    )


def test_a_stand_in_lends_no_more_than_it_has_to_spare():
    # Its only slot is taken when the second comes, which waits for `large`.
    found = large((20, "large", True), (21, "large", True))
    assert (found.stood_in, found.ttft_p50) == (1, 9.0)
    assert large((20, "small", True), (21, "large", True)).stood_in == 0


def test_a_batch_request_waits_for_its_own_model():
    found = large((20, "large", True), (21, "large", True), classes=["batch", "critical"])
    assert found.stood_in == 1
    assert found.by_class["critical"].ttft_p95 == 0.0
    assert found.by_class["batch"].ttft_p95 == 10 + 1.0, "the critical one had it started at 21"


def test_where_no_model_has_a_stand_in_it_is_said():
    found = large((20, "large", True), more="")
    assert (found.stood_in, found.ttft_p50) == (0, 10.0)
    assert found.notes == ("none of this trace's requests finds a stand-in: its models name no `stand_in`",)


def test_a_trace_that_says_standard_of_all_has_the_figures_of_one_that_says_nothing():
    rows = [(0.0, "m", 1, 20), (1.0, "m", 1, 5), (300.0, "n", 1, 5)]
    figures = []
    for more in ({}, {"classes": ["standard"] * 3}):
        found = played(Trace.from_rows("x", rows, **more)).figures()
        figures.append(json.dumps({key: x for key, x in found.items() if key not in TIMINGS}))
    assert figures[0] == figures[1]
    assert json.loads(figures[0])["by_class"] == {} and json.loads(figures[0])["stood_in"] is None


def test_the_warm_up_is_in_no_class():
    asked = trace_of(
        *((100.0 * i, 1, name) for i, name in enumerate(["batch", "critical", "batch", "critical"]))
    )
    text = f"defaults: {{{ONE_SLOT}}}\nsimulation: {{first_token: 0s, warm_up: 50%}}"
    found = simulate(asked, parse(text, "c", {}, simulated=True), constant(10.0))
    assert {name: c.requests for name, c in found.by_class.items()} == {"critical": 1, "batch": 1}
    assert found.evaluated == 2


def test_ranks_follow_the_order_of_time():
    trace = Trace.from_rows(
        "x",
        [(2.0, "m", 1, 1), (0.0, "m", 1, 1), (1.0, "m", 1, 1)],
        classes=["batch", "critical", "standard"],
        stand_in=[True, False, False],
    )
    assert trace.ranks is not None and trace.ranks.tolist() == [CRITICAL, STANDARD, BATCH]
    assert trace.stand_in is not None and trace.stand_in.tolist() == [False, False, True]
    assert trace.asked_by(2) == ("", "batch")
