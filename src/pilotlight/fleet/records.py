"""What is told about a request and a start once they are over. Times are seconds of the controller's clock
unless a field says otherwise."""

import msgspec

from pilotlight.fleet.plan import Span

AT_ONCE = 0.005
"""Seconds from a free replica to a request's assignment below which nothing else was served in between."""

_set = msgspec.structs.force_setattr


class StartRecord(msgspec.Struct, frozen=True):
    """One start plan as it went, or one wake."""

    replica: str
    deployment: str
    ordered_at: float
    ready_at: float | None
    """None when it never got there."""
    spans: tuple[Span, ...] = ()
    techniques: tuple[str, ...] = ()
    """Those that were used."""
    reason: str = ""
    """Why it failed; empty when it did not."""
    kind: str = "start"
    """`start`, or `wake` for a replica that was asleep."""
    fell_back: str = ""
    """Why a technique that was to be used was not; empty when all were."""


class RequestRecord(msgspec.Struct, frozen=True):
    """One request, told once, when it is over. Never holds any of its text."""

    request_id: str
    model: str
    path: str
    stream: bool
    arrived_at: float
    arrived_unix: float
    """Unix seconds."""
    ended_at: float
    status: int
    """The HTTP status the client got; 499 when it left before one was sent."""
    outcome: str
    """`ok`, `refused`, `client_left`, `engine_died`, `engine_error`, `timeout`, `start_failed`,
    `provider_failed` or `internal_error`."""
    key: str | None = None
    request_class: str = "standard"
    """`critical`, `standard` or `batch`."""
    may_stand_in: bool = False
    """A stand-in may answer it, where its model has one."""
    served_model: str | None = None
    """The stand-in that it was sent to, in place of `model`; it did not wait, and is not cold."""
    session: str | None = None
    replica: str | None = None
    assigned_at: float | None = None
    sent_at: float | None = None
    """When it was sent on to the replica."""
    first_byte_at: float | None = None
    """When the first byte of the answer's body came from the replica."""
    replica_ready_at: float | None = None
    """When it came up: its start, or its latest wake, was over. Of a batch request no later than `waiting_since`: it
    waits for capacity, not for a start."""
    woken: bool = False
    """It came up by a wake."""
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    tokens_from: str | None = None
    """`usage`, `timings` or `chunks`: how the tokens were counted."""
    bytes_out: int = 0
    start_record: StartRecord | None = None
    """The start it waited for, if it did."""
    provider: str | None = None
    """The provider that answered it in place of a replica, or had it when it ended."""
    cost_usd: float | None = None
    """US dollars: what providers charged for it, those too that another was faster than, and its share of the time of
    replicas. None for one that nobody had."""
    in_vain: bool = False
    """It was held to its end, and no replica was up by then."""
    waiting_since: float = 0.0
    """Its arrival; or when a replica that had it failed it, and it had to find another."""

    # Of the above, once, for everyone who is told:
    start_wait: float = 0.0
    """Seconds that starting made it wait: from `waiting_since` until the replica that took it was ready, if that
    was later; for one that no replica took, until its end if none was up. For one that a provider answered: until the
    first byte of its stream, or, of an answer that is no stream, until it was sent there."""
    start: str = ""
    """`cold`, `woken` when what it waited for was a wake, `burst` when a provider had it, or `warm`; `none` for one
    that no replica took and that
    waited for none."""
    queue: float = 0.0
    """Seconds behind other requests, after every start was over; 0 when a free replica took it at once."""

    def __post_init__(self) -> None:
        wait = queue = 0.0
        since = max(self.waiting_since, self.arrived_at)
        if self.replica_ready_at is not None:
            wait = max(0.0, self.replica_ready_at - since)
        elif self.request_class != "batch" and (self.in_vain or self.outcome == "start_failed"):
            wait = self.ended_at - since
        if self.assigned_at is not None:
            queue = self.assigned_at - since - wait
        waited = "woken" if self.woken else "cold"
        start = waited if wait > 0 else "none" if self.replica_ready_at is None else "warm"
        if self.provider is not None:
            start, wait, queue = "burst", self._wait_for_provider(since), 0.0
        _set(self, "waiting_since", since)
        _set(self, "start_wait", wait)
        _set(self, "start", start)
        _set(self, "queue", queue if queue > AT_ONCE else 0.0)

    def _wait_for_provider(self, since: float) -> float:
        """Of a stream it shows how long the provider's own start took; of another answer it does not."""
        until = self.first_byte_at if self.stream and self.first_byte_at is not None else self.sent_at
        return max(0.0, (self.ended_at if until is None else until) - since)

    @property
    def stood_in(self) -> bool:
        """Whether another model than the one that was asked for has answered it."""
        return self.served_model is not None

    @property
    def ttft(self) -> float | None:
        """Seconds from arrival to the first byte of the answer's body."""
        return None if self.first_byte_at is None else self.first_byte_at - self.arrived_at

    @property
    def duration(self) -> float:
        return self.ended_at - self.arrived_at
