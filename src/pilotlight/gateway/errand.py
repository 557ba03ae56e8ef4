"""What was sent to a provider, until it is settled: the kernel hears of its end exactly once, whatever happens."""

import math
from collections.abc import Callable

from pilotlight.clock import Clock
from pilotlight.fleet.actions import Ping, Send
from pilotlight.fleet.events import Answered, Charged, Declined, Event

NOTHING_CAME = "it was called off before a byte of an answer was there"


class Errand:
    """One Send, or one Ping. `post` is the controller's."""

    __slots__ = (
        "_clock",
        "_post",
        "answered",
        "because",
        "dearest_usd",
        "deployment",
        "hedged",
        "is_ping",
        "key",
        "lied",
        "owed",
        "provider",
        "request",
        "request_class",
        "sent_at",
        "settled",
        "usd",
    )

    def __init__(
        self, clock: Clock, post: "Callable[[Errand, Event], None]", order: Send | Ping, deployment: str
    ) -> None:
        self._clock = clock
        self._post = post
        self.request = order.request
        self.provider = order.provider
        self.deployment = deployment
        self.because = order.because
        self.dearest_usd = order.dearest_usd
        self.is_ping = isinstance(order, Ping)
        self.hedged = isinstance(order, Send) and order.hedged
        self.sent_at = clock.now()
        self.key: str | None = None
        """Whose request it is, and of what class: for the bill."""
        self.request_class = "standard"
        self.answered = False
        """Its first byte has come."""
        self.settled = False
        self.usd = 0.0
        """What it cost, once it is settled."""
        self.lied = False
        """What the provider said of its tokens cannot be."""
        self.owed: Callable[[], float] = _nothing
        """What it would cost if it ended now."""

    def answer(self, whole: bool = False, tokens: int | None = None) -> None:
        """The first byte of its answer is there; or the `whole` of it, with so many tokens."""
        if not self.answered and not self.settled:
            self.answered = True
            self._post(self, Answered(self._clock.now(), self.request, self.provider, whole, tokens))

    def decline(self, kind: str, reason: str, retry_after: float | None = None) -> None:
        """No answer came that a client could be given. `kind` as Declined has it."""
        if self._settle():
            now = self._clock.now()
            event = Declined(now, self.request, self.provider, kind, reason, retry_after, self.usd)
            self._post(self, event)

    def charge(self, ok: bool = True, reason: str = "") -> None:
        """Its part is over."""
        if self._settle():
            event = Charged(self._clock.now(), self.request, self.provider, self.usd, ok, reason)
            self._post(self, event)

    def _settle(self) -> bool:
        if self.settled:
            return False
        self.settled = True
        self.usd = within(self.owed(), self.dearest_usd)
        return True


def within(usd: float, dearest: float) -> float:
    """What may be charged of what was reckoned: no less than nothing, and no more than was set aside."""
    return min(max(0.0, usd), dearest) if math.isfinite(usd) else dearest


def _nothing() -> float:
    return 0.0
