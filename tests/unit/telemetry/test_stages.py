import pytest

from pilotlight.fleet.plan import Span
from pilotlight.fleet.records import RequestRecord, StartRecord
from pilotlight.telemetry.stages import server_timing, stages, trace

SPANS = (
    Span("allocate", 10.0, 10.1),
    Span("fetch", 10.1, 13.0),
    Span("spawn", 10.1, 10.4),
    Span("import", 10.4, 11.0),
    Span("load", 13.0, 14.0),
)


def record(**more) -> RequestRecord:
    fields = {
        "request_id": "r", "model": "m", "path": "/v1/chat/completions", "stream": True, "arrived_at": 10.0,
        "arrived_unix": 1000.0, "ended_at": 20.0, "status": 200, "outcome": "ok", **more,
    }  # fmt: skip
    return RequestRecord(**fields)


def cold(arrived_at: float = 10.0, ordered_at: float = 10.0, **more) -> RequestRecord:
    start = StartRecord("m-1", "m", ordered_at, 14.0, SPANS, techniques=("zygote",))
    fields = {"assigned_at": 14.0, "sent_at": 14.002, "first_byte_at": 14.5, "replica_ready_at": 14.0, **more}
    return record(arrived_at=arrived_at, start_record=start, replica="m-1", **fields)


def rows(r: RequestRecord) -> dict[str, tuple[float, float]]:
    return {row.stage: (pytest.approx(row.start_s), pytest.approx(row.seconds)) for row in stages(r)}  # type: ignore[misc]


def test_a_warm_request_has_two():
    r = record(assigned_at=10.0, sent_at=10.001, first_byte_at=10.2, replica_ready_at=1.0)
    assert rows(r) == {"hand_over": (0, 0.001), "first_token": (0.001, 0.199)}
    assert (r.start, r.start_wait, r.queue) == ("warm", 0.0, 0.0)


def test_a_cold_one_has_those_of_its_start_as_they_overlapped():
    r = cold()
    assert rows(r) == {
        "allocate": (0, 0.1),
        "fetch": (0.1, 2.9),
        "spawn": (0.1, 0.3),
        "import": (0.4, 0.6),
        "load": (3, 1),
        "hand_over": (4, 0.002),
        "first_token": (4.002, 0.498),
    }
    assert [row.start_s for row in stages(r)] == sorted(row.start_s for row in stages(r))
    assert (r.start, r.start_wait, r.queue) == ("cold", 4.0, 0.0)


def test_what_came_before_its_arrival_cost_it_nothing():
    r = cold(arrived_at=12.0)
    assert rows(r) == {
        "fetch": (0, 1),
        "load": (1, 1),
        "hand_over": (2, 0.002),
        "first_token": (2.002, 0.498),
    }
    assert r.start_wait == 2.0


def test_the_hold_before_the_start_was_ordered():
    r = cold(arrived_at=7.0)
    assert rows(r)["hold"] == (0, 3)


def test_a_start_of_which_nothing_is_known_any_more():
    r = record(assigned_at=14.0, sent_at=14.0, first_byte_at=15.0, replica_ready_at=14.0)
    assert rows(r)["hold"] == (0, 4)


def test_queueing_is_kept_apart_from_starting():
    r = cold(assigned_at=16.0, sent_at=16.001)
    assert rows(r)["queue"] == (4, 2)
    assert rows(r)["hand_over"] == (6, 0.001)
    assert (r.start_wait, r.queue) == (4.0, 2.0)
    warm = record(assigned_at=12.0, sent_at=12.0, first_byte_at=12.5, replica_ready_at=1.0)
    assert rows(warm)["queue"] == (0, 2)
    assert (warm.start, warm.queue) == ("warm", 2.0)


def test_what_it_spent_on_a_replica_that_failed_it_is_no_wait_for_a_start():
    r = cold(arrived_at=2.0, waiting_since=12.0)
    assert (r.start, r.start_wait, r.queue, r.ttft) == ("cold", 2.0, 0.0, 12.5)
    assert rows(r)["fetch"] == (10, 1)
    warm = cold(arrived_at=2.0, waiting_since=15.0, assigned_at=15.0)
    assert (warm.start, warm.start_wait, warm.queue) == ("warm", 0.0, 0.0)


def test_one_that_nobody_served():
    assert stages(record(outcome="client_left", status=499)) == []
    failed = record(outcome="start_failed", status=503)
    assert (failed.start, failed.start_wait) == ("cold", 10.0)
    left = record(outcome="client_left", status=499, in_vain=True)
    assert (left.start, left.start_wait) == ("cold", 10.0)
    queued = record(outcome="client_left", status=499)
    assert (queued.start, queued.start_wait) == ("none", 0.0)


def test_server_timing_is_in_milliseconds():
    r = record(assigned_at=10.0, sent_at=10.001, first_byte_at=10.2, replica_ready_at=1.0)
    assert server_timing(r) == "hand_over;dur=1.0, first_token;dur=199.0"


def test_a_trace():
    t = trace(cold(prompt_tokens=5, output_tokens=3, tokens_from="usage"))
    assert (t["start"], t["start_wait_s"], t["ttft_s"], t["first_token_s"]) == ("cold", 4.0, 4.5, 0.498)
    assert t["techniques"] == ["zygote"]
    assert {s["stage"] for s in t["spans"]} >= {"fetch", "load"}
    empty = trace(record())
    assert (empty["spans"], empty["techniques"], empty["ttft_s"], empty["first_token_s"]) == (
        [],
        [],
        None,
        None,
    )


def test_a_trace_names_the_class_and_the_model_that_served():
    t = trace(record(request_class="critical", served_model="small"))
    assert (t["class"], t["served_model"]) == ("critical", "small")
