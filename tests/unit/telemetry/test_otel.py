"""Requests as OpenTelemetry spans, sent by the real exporter to a collector of the test's own."""

import http.server
import threading

import pytest

from pilotlight.fleet.plan import Span
from pilotlight.fleet.records import RequestRecord, StartRecord
from pilotlight.telemetry.otel import from_env
from pilotlight.telemetry.stages import stages

pytest.importorskip("opentelemetry.sdk")

RECORD = RequestRecord(
    request_id="req-1",
    model="chat",
    path="/v1/chat/completions",
    stream=True,
    arrived_at=100.0,
    arrived_unix=1_700_000_000.0,
    ended_at=103.0,
    status=200,
    outcome="ok",
    replica="chat-1",
    assigned_at=102.0,
    sent_at=102.001,
    first_byte_at=102.5,
    replica_ready_at=102.0,
    output_tokens=7,
    start_record=StartRecord(
        "chat-1", "chat", 100.0, 102.0, (Span("spawn", 100.0, 100.5), Span("load", 100.5, 102.0))
    ),
)


@pytest.fixture
def collector():
    """A server that keeps what it is sent."""
    bodies: list[bytes] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", bodies
    server.shutdown()
    server.server_close()


def spans_in(bodies: list[bytes]):
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    for body in bodies:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                yield from scope.spans


def test_a_cold_request_is_one_span_with_its_stages_below(collector, monkeypatch):
    url, bodies = collector
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    otel = from_env({"OTEL_EXPORTER_OTLP_ENDPOINT": url}, stages)
    otel.told(RECORD)
    otel.close()
    spans = {s.name: s for s in spans_in(bodies)}
    root = spans.pop("/v1/chat/completions chat")
    assert set(spans) == {"spawn", "load", "hand_over", "first_token"}
    assert all(s.parent_span_id == root.span_id and s.trace_id == root.trace_id for s in spans.values())
    assert root.start_time_unix_nano == 1_700_000_000 * 10**9
    assert (spans["load"].end_time_unix_nano - spans["load"].start_time_unix_nano) == pytest.approx(
        1.5e9, abs=1000
    )
    told = {a.key: a.value for a in root.attributes}
    assert told["pilotlight.start"].string_value == "cold"
    assert told["gen_ai.usage.output_tokens"].int_value == 7


def test_without_a_collector_there_is_nothing():
    assert from_env({}, stages) is None


def test_a_named_collector_without_the_extra_is_said_once(monkeypatch, caplog):
    caplog.set_level("WARNING")
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.sdk.trace", None)
    assert from_env({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, stages) is None
    assert "pilotlight[otel]" in caplog.text
