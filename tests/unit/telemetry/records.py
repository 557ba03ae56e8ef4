"""Requests to tell of."""

from typing import Any

from pilotlight.fleet.records import RequestRecord


def record(**more: Any) -> RequestRecord:
    """A warm request that took two seconds, half of them to its first byte."""
    fields: dict[str, Any] = {
        "request_id": "r-1", "model": "chat", "path": "/v1/chat/completions", "stream": True, "arrived_at": 10.0,
        "arrived_unix": 1000.0, "ended_at": 12.0, "status": 200, "outcome": "ok", "key": "team-a", "session": "s",
        "replica": "chat-1", "assigned_at": 10.0, "sent_at": 10.0, "first_byte_at": 11.0, "replica_ready_at": 1.0,
        "prompt_tokens": 5, "output_tokens": 7, "tokens_from": "usage", **more,
    }  # fmt: skip
    return RequestRecord(**fields)
