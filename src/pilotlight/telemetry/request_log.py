"""One JSON line per request, replayable as a trace. No prompt text, no key text."""

from collections.abc import Callable

import msgspec

from pilotlight.clock import Clock, Timer
from pilotlight.fleet.records import RequestRecord
from pilotlight.telemetry.rotate import RotatingFile

FLUSH_AFTER = 0.5
"""Seconds that a line may wait, so that a busy server writes many at a time."""


class RequestLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """The fields of a line. Times in seconds; `t` is Unix time of the arrival."""

    t: float
    model: str
    request_id: str
    path: str
    status: int
    outcome: str
    start: str
    stream: bool
    duration: float
    start_wait: float
    queue: float
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    tokens_from: str | None = None
    session: str | None = None
    key: str | None = None
    request_class: str | None = None
    """None for standard."""
    stand_in: str | None = None
    """`allow` where one may answer, if its model has one."""
    served_model: str | None = None
    replica: str | None = None
    provider: str | None = None
    cost_usd: float | None = None
    """US dollars, its share of replicas' time among them; None for a request that nobody had."""
    ttft: float | None = None
    stages: dict[str, float] | None = None


class RequestLog:
    def __init__(
        self, file: RotatingFile, clock: Clock, stages: Callable[[RequestRecord], dict[str, float]]
    ) -> None:
        self._file = file
        self._clock = clock
        self._stages = stages
        self._lines: list[bytes] = []
        self._timer: Timer | None = None
        self._encode = msgspec.json.Encoder().encode

    def told(self, r: RequestRecord) -> None:
        line = RequestLine(
            t=_micro(r.arrived_unix),
            model=r.model,
            request_id=r.request_id,
            path=r.path,
            status=r.status,
            outcome=r.outcome,
            start=r.start,
            stream=r.stream,
            prompt_tokens=r.prompt_tokens,
            output_tokens=r.output_tokens,
            tokens_from=r.tokens_from,
            session=r.session,
            key=r.key,
            request_class=None if r.request_class == "standard" else r.request_class,
            stand_in="allow" if r.may_stand_in else None,
            served_model=r.served_model,
            replica=r.replica,
            provider=r.provider,
            cost_usd=None if r.cost_usd is None else round(r.cost_usd, 9),
            ttft=None if r.first_byte_at is None else _micro(r.first_byte_at - r.arrived_at),
            duration=_micro(r.ended_at - r.arrived_at),
            start_wait=_micro(r.start_wait) if r.start_wait else 0.0,
            queue=_micro(r.queue) if r.queue else 0.0,
            stages=self._stages(r) if r.start in ("cold", "woken") else None,
        )
        self._lines.append(self._encode(line))
        if self._timer is None:
            self._timer = self._clock.call_at(self._clock.now() + FLUSH_AFTER, self.flush)

    def flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lines:
            self._file.write(b"\n".join(self._lines) + b"\n")
            self._lines.clear()

    def close(self) -> None:
        self.flush()
        self._file.close()


def _micro(seconds: float) -> float:
    """To the microsecond. `round` goes by way of text, which takes seven times as long."""
    return int(seconds * 1e6 + 0.5) / 1e6
