"""What every exchange uses."""

import logging
from collections.abc import Callable, Sequence

from pilotlight.clock import Clock
from pilotlight.errors import RequestError
from pilotlight.fleet.records import RequestRecord, StartRecord
from pilotlight.gateway.desk import Desk
from pilotlight.gateway.remote import Remotes
from pilotlight.gateway.upstream import Upstream

log = logging.getLogger(__name__)


class Patience:
    """When a held request is told that it is not forgotten; seconds [G].

    The first sign commits a 200, so it is delayed: a start that fails before it is still answered with its status.
    """

    def __init__(self, comment: float = 2.0, space: float = 45.0, every: float = 5.0) -> None:
        self.comment = comment
        """The first SSE comment of a streaming request."""
        self.space = space
        """The first leading blank of a JSON answer."""
        self.every = every
        """Each further one; below the 60 s after which common proxies cut."""


MAX_HELD_BYTES = 2**30
"""Bytes of the bodies of all requests that are held; one more is refused [G]."""


Began = Callable[[str, str, str, str | None, str], None]
"""A request, the replica that has it from now on (empty for none), whose that is, and the request's key and class: for
the bill."""


def _nobody(request: str, replica: str, deployment: str, key: str | None, request_class: str) -> None:
    """Keeps no bill."""


class Kitchen:
    """The same for all; one per server."""

    def __init__(
        self,
        *,
        clock: Clock,
        desk: Desk,
        upstream: Upstream,
        url_of: Callable[[str], str],
        ready_at: Callable[[str], float | None],
        is_up: Callable[[str], bool],
        report: Callable[[str], StartRecord | None],
        log_tail: Callable[[str], tuple[str, ...]],
        progress: Callable[[str], str],
        told: Sequence[Callable[[RequestRecord], None]],
        patience: Patience | None = None,
        woken: Callable[[str], bool] = lambda replica: False,
        seen: Callable[[str], str] = lambda replica: "",
        remotes: Remotes | None = None,
        has_room: Callable[[str], bool] = lambda deployment: False,
        began: Began = _nobody,
        share: Callable[[str, float], float] = lambda request, at: 0.0,
    ) -> None:
        self.clock = clock
        self.desk = desk
        self.upstream = upstream
        self.remotes = remotes or Remotes(clock)
        self.has_room = has_room
        """Whether a replica of this deployment would take a request at once."""
        self.url_of = url_of
        """A replica's base URL. KeyError when it is gone."""
        self.ready_at = ready_at
        """When a replica came up, or was woken; None when it is gone."""
        self.woken = woken
        """Whether that was a wake."""
        self.is_up = is_up
        """Whether any replica of this deployment is up, so that those who wait, wait behind others."""
        self.report = report
        self.log_tail = log_tail
        self.seen = seen
        """What may explain that a replica was not ready in time."""
        self.progress = progress
        """What a held request of this deployment may be told."""
        self.told = told
        self.began = began
        self.share = share
        """USD of a request's share of the replicas that have had it up to a moment, until it was told of."""
        self.patience = patience or Patience()
        self.held_bytes = 0
        """Of the bodies of those who wait now, and of those that are still coming."""
        self.max_held_bytes = MAX_HELD_BYTES

    def bound(self) -> None:
        """RequestError 429 when more is held than may be."""
        if self.held_bytes > self.max_held_bytes:
            text = f"the requests that wait hold {self.held_bytes} bytes already; try again later"
            raise RequestError(
                429, text, code="too_many_pending_requests", type="rate_limit_error", retry_after=2.0
            )

    def tell(self, record: RequestRecord) -> None:
        for tell in self.told:
            try:
                tell(record)
            except Exception:
                log.exception("a request could not be recorded")
