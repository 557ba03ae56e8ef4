"""A request's wait, stage by stage, from what was recorded of it and of the start it waited for."""

from typing import Any

import msgspec

from pilotlight.fleet.plan import Span, Stage
from pilotlight.fleet.records import RequestRecord


class Row(msgspec.Struct, frozen=True):
    """One stage of one request; seconds since its arrival."""

    stage: str
    start_s: float
    seconds: float


def stages(r: RequestRecord) -> list[Row]:
    """In the order of time. The start's steps count from when the request began to wait, for what came before cost
    it nothing; steps that overlap are shown as they were."""
    spans: list[Span] = []
    since = r.waiting_since
    ready = r.replica_ready_at
    if ready is not None and ready > since:
        report = r.start_record
        if report is not None:
            if report.ordered_at > since:
                spans.append(Span(Stage.HOLD, since, report.ordered_at))
            spans += [Span(s.stage, max(s.start, since), s.end) for s in report.spans if s.end > since]
        else:
            spans.append(Span(Stage.HOLD, since, ready))
    if r.assigned_at is not None:
        free = max(since, ready or 0.0)
        if r.queue:
            spans.append(Span(Stage.QUEUE, free, r.assigned_at))
        if r.sent_at is not None:
            spans.append(Span(Stage.HAND_OVER, r.assigned_at if r.queue else free, r.sent_at))
    if r.sent_at is not None and r.first_byte_at is not None:
        spans.append(Span(Stage.FIRST_TOKEN, r.sent_at, r.first_byte_at))
    spans.sort(key=lambda s: (s.start, s.end))
    return [Row(s.stage, s.start - r.arrived_at, s.seconds) for s in spans]


def server_timing(r: RequestRecord) -> str:
    """W3C Server-Timing, milliseconds."""
    return ", ".join(f"{row.stage};dur={row.seconds * 1000:.1f}" for row in stages(r))


def trace(r: RequestRecord) -> dict[str, Any]:
    """What GET /traces/{id} answers."""
    return {
        "request_id": r.request_id,
        "model": r.model,
        "served_model": r.served_model,
        "class": r.request_class,
        "replica": r.replica,
        "provider": r.provider,
        "cost_usd": r.cost_usd,
        "start": r.start,
        "status": r.status,
        "outcome": r.outcome,
        "stream": r.stream,
        "arrived_unix": round(r.arrived_unix, 6),
        "start_wait_s": round(r.start_wait, 6),
        "queue_s": round(r.queue, 6),
        "first_token_s": None
        if r.sent_at is None or r.first_byte_at is None
        else round(r.first_byte_at - r.sent_at, 6),
        "ttft_s": None if r.ttft is None else round(r.ttft, 6),
        "duration_s": round(r.duration, 6),
        "prompt_tokens": r.prompt_tokens,
        "output_tokens": r.output_tokens,
        "tokens_from": r.tokens_from,
        "techniques": list(r.start_record.techniques) if r.start_record else [],
        "fell_back": r.start_record.fell_back if r.start_record else "",
        "spans": [
            {"stage": row.stage, "start_s": round(row.start_s, 6), "seconds": round(row.seconds, 6)}
            for row in stages(r)
        ],
    }
