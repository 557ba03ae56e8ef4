"""Requests as OpenTelemetry traces: one span per request, one below it for each stage of its wait.

An extra (`pilotlight[otel]`), on when OpenTelemetry's own variables name a collector. Spans are made once a request
is over, from what was recorded of it, so that nothing is added to its way.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from pilotlight import __version__
from pilotlight.fleet.records import RequestRecord

log = logging.getLogger(__name__)

SWITCHES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""https://opentelemetry.io/docs/specs/otel/protocol/exporter/"""


class Row(Protocol):
    """A stage; seconds since the request's arrival."""

    @property
    def stage(self) -> str: ...
    @property
    def start_s(self) -> float: ...
    @property
    def seconds(self) -> float: ...


Stages = Callable[[RequestRecord], Iterable[Row]]


class Otel:
    """A sink. `provider` is an opentelemetry.sdk TracerProvider."""

    def __init__(self, provider: Any, stages: Stages) -> None:
        from opentelemetry import trace  # noqa: PLC0415 - an extra

        self._trace = trace
        self._provider = provider
        self._tracer = provider.get_tracer("pilotlight", __version__)
        self._stages = stages

    def told(self, r: RequestRecord) -> None:
        attributes: dict[str, Any] = {
            "gen_ai.request.model": r.model,
            "http.route": r.path,
            "http.response.status_code": r.status,
            "pilotlight.request_id": r.request_id,
            "pilotlight.start": r.start,
            "pilotlight.outcome": r.outcome,
            "pilotlight.start_wait_s": r.start_wait,
        }
        optional = {
            "pilotlight.replica": r.replica,
            "pilotlight.provider": r.provider,
            "pilotlight.cost_usd": r.cost_usd,
            "gen_ai.response.model": r.served_model,
            "gen_ai.usage.input_tokens": r.prompt_tokens,
            "gen_ai.usage.output_tokens": r.output_tokens,
        }
        attributes.update({k: v for k, v in optional.items() if v is not None})
        span = self._tracer.start_span(
            f"{r.path} {r.model}",
            kind=self._trace.SpanKind.SERVER,
            attributes=attributes,
            start_time=_ns(r.arrived_unix),
        )
        if r.status >= 500:
            span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, r.outcome))
        below = self._trace.set_span_in_context(span)
        for row in self._stages(r):
            begin = r.arrived_unix + row.start_s
            stage = self._tracer.start_span(row.stage, context=below, start_time=_ns(begin))
            stage.end(_ns(begin + row.seconds))
        span.end(_ns(r.arrived_unix + r.duration))

    def close(self) -> None:
        """Sends what has not been sent; takes some seconds when nobody receives it."""
        self._provider.shutdown()


def from_env(env: Mapping[str, str], stages: Stages) -> Otel | None:
    """A sink that sends to the collector which the environment names; None without one."""
    if not any(env.get(name) for name in SWITCHES):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError:
        log.warning("a trace collector is named, but traces need: pip install 'pilotlight[otel]'")
        return None
    name = env.get("OTEL_SERVICE_NAME") or "pilotlight"
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Otel(provider, stages)


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
